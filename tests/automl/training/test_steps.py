from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.training.executables import Chunk, TrainState
from automl.training.optimizers import averaged
from automl.training.trainer import Course, Trainer
from tests.automl.training.trials import CONFIGURATION, After, segment, trained

STEPS = 4


@pytest.fixture(scope="module")
def program(trainer: Trainer) -> Any:
    trained(trainer, segment(), stop=After(1))
    return trainer.compiled[(trainer._static(CONFIGURATION), trainer.plan.buckets[0])]


@pytest.fixture(scope="module")
def chunk(trainer: Trainer) -> Chunk:
    return course(trainer).chunk(next(trainer.plan.runs(5, 0)))


def course(trainer: Trainer, seed: int = 5) -> Course:
    return Course(segment(seed=seed), CONFIGURATION, trainer.plan, 0)


def fresh(trainer: Trainer) -> TrainState:
    state: TrainState = trainer._fresh(trainer._static(CONFIGURATION), 5)
    return state


def part(chunk: Chunk, first: int, steps: int) -> Chunk:
    rows, rates = jnp.roll(chunk.rows, -first, axis=0), jnp.roll(chunk.learning_rates, -first)
    return chunk._replace(rows=rows, learning_rates=rates, steps=jnp.int32(steps))


def test_steps_are_the_same_however_they_are_cut_into_chunks(trainer: Trainer, program: Any, chunk: Chunk) -> None:
    whole, losses = program(fresh(trainer), trainer.data, chunk)
    state, found = fresh(trainer), []
    for first, steps in ((0, 1), (1, 3)):
        state, part_losses = program(state, trainer.data, part(chunk, first, steps))
        found += part_losses[:steps].tolist()
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    assert found == losses[:STEPS].tolist()
    assert not np.any(losses[STEPS:])


def test_the_average_follows_the_parameters(trainer: Trainer, program: Any, chunk: Chunk) -> None:
    state = fresh(trainer)
    for index in range(STEPS):
        before = jax.tree.map(jnp.copy, state.average)
        state, _ = program(state, trainer.data, part(chunk, index, 1))
        expected = averaged(before, state.parameters, jnp.float32(index))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.average, expected)
    assert not np.allclose(state.average["decoder.logits.kernel"], state.parameters["decoder.logits.kernel"])


def test_the_seed_decides_what_is_dropped(trainer: Trainer, program: Any, chunk: Chunk) -> None:
    keys = [course(trainer, seed).key for seed in (5, 5, 6)]
    losses = [program(fresh(trainer), trainer.data, chunk._replace(key=key))[1].tolist() for key in keys]
    assert losses[0] == losses[1] != losses[2]

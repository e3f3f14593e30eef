from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.training.course import Course
from automl.training.steps import Chunk, TrainState
from automl.training.trainer import Trainer
from tests.automl.training.trials import CONFIGURATION, After, segment, trained

STEPS = 4


@pytest.fixture(scope="module")
def program(trainer: Trainer) -> Any:
    trained(trainer, segment(), stop=After(1))
    own = (trainer._static(CONFIGURATION), trainer.dataset(CONFIGURATION).plan.buckets[0])
    return next(program for key, program in trainer.compiled.items() if key[:2] == own)


@pytest.fixture(scope="module")
def chunk(trainer: Trainer) -> Chunk:
    return course(trainer).chunk(next(trainer.dataset(CONFIGURATION).plan.runs(5, 0)))


def course(trainer: Trainer, seed: int = 5) -> Course:
    return Course(segment(seed=seed), CONFIGURATION, trainer.dataset(CONFIGURATION).order(CONFIGURATION), 0)


def fresh(trainer: Trainer) -> TrainState:
    state: TrainState = trainer._fresh(trainer._static(CONFIGURATION), 5)
    return state


def part(chunk: Chunk, first: int, steps: int) -> Chunk:
    """Some of the steps of a chunk."""
    bounds, tokens = jnp.roll(chunk.bounds, -first), jnp.roll(chunk.tokens, -first)
    pace = jax.tree.map(lambda numbers: jnp.roll(numbers, -first), chunk.pace)
    return chunk._replace(bounds=bounds, tokens=tokens, pace=pace, steps=jnp.int32(steps))


def test_steps_are_the_same_however_they_are_cut_into_chunks(trainer: Trainer, program: Any, chunk: Chunk) -> None:
    whole, losses = program(fresh(trainer), trainer.dataset(CONFIGURATION).data, chunk)
    state, found = fresh(trainer), []
    for first, steps in ((0, 1), (1, 3)):
        state, part_losses = program(state, trainer.dataset(CONFIGURATION).data, part(chunk, first, steps))
        found += part_losses[:steps].tolist()
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    assert found == losses[:STEPS].tolist()
    assert not np.any(losses[STEPS:])


def test_the_average_follows_the_parameters(trainer: Trainer, program: Any, chunk: Chunk) -> None:
    state = fresh(trainer)
    for index in range(STEPS):
        before, share = jax.tree.map(jnp.copy, state.average), float(chunk.pace.average[index])
        state, _ = program(state, trainer.dataset(CONFIGURATION).data, part(chunk, index, 1))
        for name, value in state.parameters.items():
            expected = (1 - share) * before[name] + share * value
            np.testing.assert_allclose(state.average[name], expected, atol=1e-6)
    assert not np.allclose(
        state.average["decoder.Recurrent.output.kernel"], state.parameters["decoder.Recurrent.output.kernel"]
    )


def test_a_step_of_several_batches_is_that_of_the_mean_over_all_their_tokens(
    trainer: Trainer, program: Any, chunk: Chunk
) -> None:
    still = chunk._replace(noise=chunk.noise._replace(rate=jnp.float32(0)))
    rows = np.asarray(chunk.rows)[0]
    halves = np.full_like(chunk.rows, -1)
    halves[0, :10], halves[1, : len(rows) - 10] = rows[:10], rows[10:]
    whole, losses = program(fresh(trainer), trainer.dataset(CONFIGURATION).data, still._replace(steps=jnp.int32(1)))
    bounds = jnp.asarray([0, 2] + [2] * (len(chunk.bounds) - 2), jnp.int32)
    split = still._replace(rows=jnp.asarray(halves), bounds=bounds, steps=jnp.int32(1))
    parts, part_losses = program(fresh(trainer), trainer.dataset(CONFIGURATION).data, split)
    np.testing.assert_allclose(part_losses, losses, rtol=1e-5)
    for name, moment in whole.optimizer.first.items():
        np.testing.assert_allclose(parts.optimizer.first[name], moment, atol=1e-7, err_msg=name)


def test_the_seed_decides_what_is_dropped(trainer: Trainer, program: Any, chunk: Chunk) -> None:
    noises = [course(trainer, seed).noise for seed in (5, 5, 6)]
    losses = [
        program(fresh(trainer), trainer.dataset(CONFIGURATION).data, chunk._replace(noise=noise))[1].tolist()
        for noise in noises
    ]
    assert losses[0] == losses[1] != losses[2]

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from automl.data.batching import Bucket
from automl.data.table import Split
from automl.data.tokenizers import BOS, EOS
from automl.training.arrays import gather, on_device
from automl.training.losses import SoftTargets
from automl.training.steps import new_state
from tests.automl.models.cases import random

SOURCES, TARGETS = [[4, 5, 6], [7], [8, 9]], [[4], [5, 6], [7, 8, 9]]
COPIES = np.array([0, 0, 0, 0, 9, 8, 7, 6, 5, 0], np.int32)


def split() -> Split:
    flat = [np.array([token for row in side for token in row], np.int32) for side in (SOURCES, TARGETS)]
    offsets = [np.cumsum([0, *map(len, side)]) for side in (SOURCES, TARGETS)]
    return Split(flat[0], offsets[0], flat[1], offsets[1], 3)


def test_a_batch_holds_its_rows_padded_with_begin_and_end() -> None:
    batch = jax.jit(gather, static_argnums=2)(on_device(split(), COPIES), jnp.array([2, -1, 0, 1]), Bucket(4, 5))
    assert batch.source.tolist() == [[8, 9, 0, 0], [0] * 4, [4, 5, 6, 0], [7, 0, 0, 0]]
    assert batch.copies.tolist() == [[5, 0, 0, 0], [0] * 4, [9, 8, 7, 0], [6, 0, 0, 0]]
    assert batch.targets.tolist() == [[7, 8, 9, EOS, 0], [0] * 5, [4, EOS, 0, 0, 0], [5, 6, EOS, 0, 0]]
    assert batch.inputs.tolist() == [[BOS, 7, 8, 9, 0], [0] * 5, [BOS, 4, 0, 0, 0], [BOS, 5, 6, 0, 0]]


def test_a_row_may_fill_its_shape() -> None:
    batch = jax.jit(gather, static_argnums=2)(on_device(split(), COPIES), jnp.array([2]), Bucket(2, 4))
    assert (batch.source.tolist(), batch.targets.tolist()) == ([[8, 9]], [[7, 8, 9, EOS]])


def test_what_a_teacher_expects_lies_beside_the_tokens_and_the_end_of_each_row() -> None:
    said = sum(len(target) + 1 for target in TARGETS)
    arrays: Any = np.arange(said, dtype=np.int32)[:, None], np.ones((said, 1), np.float32)
    placed = on_device(split(), COPIES, soft=SoftTargets(*arrays))
    batch = jax.jit(gather, static_argnums=2)(placed, jnp.array([2, -1, 0, 1]), Bucket(4, 5))
    assert batch.soft is not None
    assert batch.soft.tokens[..., 0].tolist() == [[5, 6, 7, 8, 0], [0] * 5, [0, 1, 0, 0, 0], [2, 3, 4, 0, 0]]
    assert batch.soft.probabilities[..., 0].tolist() == (np.asarray(batch.targets) != 0).astype(float).tolist()


def test_a_new_state_shares_no_memory_with_what_it_was_made_of() -> None:
    values = {"kernel": random(64, 64), "bias": random(64)}
    before = {name: value.copy() for name, value in values.items()}
    state = new_state(values)
    program = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    for _ in range(3):
        state = program(state)
    assert all(np.array_equal(values[name], before[name]) for name in values)
    np.testing.assert_allclose(state.parameters["bias"], before["bias"] + 3, rtol=1e-6)
    assert int(state.step) == 3

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.training.losses import SoftTargets, smoothed_cross_entropy, token_counts
from tests.automl.models.cases import random

LOGITS = 3 * random(2, 4, 6)
TARGETS = np.array([[4, 5, 2, 0], [3, 2, 0, 0]], np.int32)
MASK = TARGETS != 0
LIKELY = np.log(np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True))
PLAIN = -np.take_along_axis(LIKELY, TARGETS[..., None], axis=-1)[..., 0]

loss_of = jax.jit(smoothed_cross_entropy)


def loss(logits: Any = LOGITS, targets: Any = TARGETS, mask: Any = MASK, smoothing: float = 0.1) -> float:
    return float(loss_of(logits, targets, mask, np.float32(smoothing)))


def test_without_smoothing_it_is_the_mean_cross_entropy_of_real_tokens() -> None:
    assert loss(smoothing=0) == pytest.approx(PLAIN[MASK].mean(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothing_spreads_its_share_evenly_over_the_vocabulary(smoothing: float) -> None:
    wanted = (1 - smoothing) * np.eye(6)[TARGETS] + smoothing / 6
    assert loss(smoothing=smoothing) == pytest.approx(-(wanted * LIKELY).sum(axis=-1)[MASK].mean(), rel=1e-5)


@given(st.integers(0, 5), st.integers(-1000, 1000))
def test_padding_never_counts(target: int, logit: int) -> None:
    logits, targets = np.where(MASK[..., None], LOGITS, np.float32(logit)), np.where(MASK, TARGETS, np.int32(target))
    assert loss(logits, targets) == loss()
    for clean, dirty in zip(counts(LOGITS, TARGETS), counts(logits, targets), strict=True):
        np.testing.assert_array_equal(clean, dirty)


def test_a_batch_of_padding_alone_has_no_loss() -> None:
    assert loss(mask=np.zeros_like(MASK)) == 0


def test_counts_are_sums_over_each_row() -> None:
    guesses = np.array([[4, 5, 3, 0], [3, 2, 0, 0]], np.int32)
    found = counts(LOGITS, TARGETS, guesses)
    np.testing.assert_allclose(found.loss, (PLAIN * MASK).sum(axis=1), rtol=1e-5)
    assert (found.right.tolist(), found.tokens.tolist()) == ([2, 2], [3, 2])


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    twice = loss(LOGITS[[0, 0, 1]], TARGETS[[0, 0, 1]], MASK[[0, 0, 1]])
    weights = np.array([2, 1]) * MASK.sum() / (2 * MASK[0].sum() + MASK[1].sum())
    weighted = loss_of(LOGITS, TARGETS, MASK, np.float32(0.1), weights=np.float32(weights))
    assert float(weighted) == pytest.approx(twice, rel=1e-5)


counts_of = jax.jit(token_counts)


def counts(logits: Any, targets: Any, guesses: Any = TARGETS) -> Any:
    return counts_of(logits, guesses, targets, jnp.asarray(MASK))


def soft(*probabilities: Any) -> SoftTargets:
    """Return the same two tokens for each place, with probabilities for each row."""
    tokens = np.broadcast_to(np.array([5, 1], np.int32), (2, 4, 2))
    given: Any = (tokens, np.broadcast_to(np.array(probabilities, np.float32)[:, None], (2, 4, 2)))
    return SoftTargets(*given)


def test_half_of_the_loss_is_the_cross_entropy_to_what_a_teacher_expects() -> None:
    found = loss_of(LOGITS, TARGETS, MASK, np.float32(0), soft=soft([0.75, 0.25], [0.75, 0.25]))
    expected = -(0.75 * LIKELY[..., 5] + 0.25 * LIKELY[..., 1])
    assert float(found) == pytest.approx((PLAIN[MASK].mean() + expected[MASK].mean()) / 2, rel=1e-5)


def test_where_no_teacher_was_asked_the_true_target_counts_alone() -> None:
    assert float(loss_of(LOGITS, TARGETS, MASK, np.float32(0.1), soft=soft([0, 0], [0, 0]))) == loss()
    mixed = loss_of(LOGITS, TARGETS, MASK, np.float32(0), soft=soft([1, 0], [0, 0]))
    first = (PLAIN[0] - LIKELY[0, :, 5])[MASK[0]].sum() / 2
    assert float(mixed) == pytest.approx((first + PLAIN[1][MASK[1]].sum()) / MASK.sum(), rel=1e-5)

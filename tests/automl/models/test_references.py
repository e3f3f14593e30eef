"""Every kind against formulas in NumPy: logits, their decoding step by step, the loss and its gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.embeddings import Heads, Relations, relative_bucket
from search_spaces.embeddings import ALiBi, Rotary
from search_spaces.outputs import PointerGenerator
from tests.automl.models.cases import CASES, LANGUAGE_MODELS, Case, assert_every_kind, inputs_of, random, tokens
from tests.automl.models.references import bucket, loss, rotated, scores

SOURCE, TARGET = tokens(3, (4, 1, 6), 6), tokens(3, (2, 6, 4), 6, end=True)
PAIRS = [(source[source != 0], target[target != 0]) for source, target in zip(SOURCE, TARGET, strict=True)]
NOTHING = (np.zeros_like(SOURCE), np.float32(0))


def perturbed(case: Case) -> dict[str, Any]:
    """Parameters of which none is 0 or 1: biases, scales and tables of biases count."""
    return {
        name: np.asarray(value) + 0.3 * random(*value.shape, seed=place)
        for place, (name, value) in enumerate(case.parameters.items())
    }


def doubled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.astype(np.float64) for name, value in values.items()}


@pytest.mark.parametrize("name", [*CASES, *LANGUAGE_MODELS])
def test_the_logits_are_those_of_the_formulas_at_once_and_step_by_step(name: str) -> None:
    case = (CASES | LANGUAGE_MODELS)[name]
    values, inputs = perturbed(case), inputs_of(TARGET)
    for logits in case.logits(values, SOURCE, inputs):
        found = np.asarray(jax.nn.log_softmax(logits))
        for row, (source, target) in enumerate(PAIRS):
            expected = scores(case.configuration, doubled(values), source, inputs[row, : len(target)])
            np.testing.assert_allclose(found[row, : len(target)], expected, atol=2e-4)


def test_the_gradient_is_that_of_the_formulas(case: Case) -> None:
    values, step = perturbed(case), 1e-6
    found, gradients = case.loss_and_gradient(values, SOURCE, TARGET, NOTHING)
    exact = doubled(values)
    assert found == pytest.approx(loss(case.configuration, exact, PAIRS, 0.1), abs=1e-5)
    for place, (name, gradient) in enumerate(gradients.items()):
        way = random(*gradient.shape, seed=100 + place).astype(np.float64)
        ends = [loss(case.configuration, {**exact, name: exact[name] + s * way}, PAIRS, 0.1) for s in (step, -step)]
        rise = (ends[0] - ends[1]) / (2 * step)
        assert np.sum(np.asarray(gradient, np.float64) * way) == pytest.approx(rise, rel=2e-3, abs=2e-5), name


def test_the_cases_have_every_kind() -> None:
    assert_every_kind(case.configuration for case in (CASES | LANGUAGE_MODELS).values())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("buckets", [8, 16, 32])
def test_buckets_of_distances_are_raffels(buckets: int, causal: bool) -> None:
    distances = np.arange(-300, 301)
    found = jax.jit(relative_bucket, static_argnames="causal")(distances, jnp.int32(buckets), causal=causal)
    assert found.tolist() == [bucket(int(d), buckets, causal=causal) for d in distances]


def test_slopes_of_eight_heads_are_the_powers_of_a_half() -> None:
    relations, places = Relations([ALiBi()], 8, causal=True), jnp.arange(4)
    bias = jax.jit(lambda places: relations.bias(places, places, Heads(4, 8, 1), 8, jnp.float32))(places)
    np.testing.assert_allclose(bias[:, 3, 2], -(0.5 ** np.arange(1, 9)), rtol=1e-6)
    np.testing.assert_allclose(bias[:, 0, 3], 3 * bias[:, 3, 2], rtol=1e-6)


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    relations, x = Relations([Rotary()], 1, causal=False), random(1, 9, 1, 6)
    turn = jax.jit(lambda x, places: relations.turn(x, places, Heads(6, 1, 1)))
    np.testing.assert_allclose(turn(x, jnp.arange(9))[0, :, 0], rotated(x[0, :, 0]), atol=1e-5)
    near, far = (np.asarray(turn(x, first + jnp.arange(9)))[0, :, 0] for first in (0, 40))
    np.testing.assert_allclose(near @ near.T, far @ far.T, atol=1e-4)


def test_a_pointer_generator_shares_all_probability_and_copies_what_the_source_has() -> None:
    case = next(c for c in CASES.values() if isinstance(c.configuration.output, PointerGenerator))
    values = perturbed(case)
    share = next(name for name in values if name.endswith("share.bias"))
    for bias, copied in ((-40, False), (40, True)):
        logits, _ = case.logits({**values, share: np.full(1, bias, np.float32)}, SOURCE, inputs_of(TARGET))
        probabilities = np.exp(np.asarray(logits))
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
        for row, (source, _) in enumerate(PAIRS):
            assert np.allclose(probabilities[row][:, np.unique(source)].sum(axis=-1), 1, atol=1e-5) == copied

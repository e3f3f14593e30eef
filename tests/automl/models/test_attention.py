from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automl.models.attention import Memory, MultiHeadAttention, SourceAttention, masked_softmax, window_mask
from search_spaces import attention as kinds
from tests.automl.models.cases import filled, random

QUERY, MEMORY, LENGTHS = random(3, 4, seed=2), random(3, 5, 4), np.array([5, 1, 3])
MASK = np.arange(5)[None, :] < LENGTHS[:, None]


def softmax(scores: Any) -> Any:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def multi_head(v: Any, queries: Any, seen: Any, heads: int = 2, group: int = 1) -> Any:
    """Vaswani et al., 2017, section 3.2.2; keys and values are shared by groups of heads (Ainslie et al., 2023)."""
    q, k = queries @ v["query"] + v["query_bias"], seen @ v["key"]
    values = seen @ v["value"] + v["value_bias"]
    size, context = q.shape[-1] // heads, []
    for head in range(heads):
        own, shared = slice(head * size, (head + 1) * size), slice(head // group * size, (head // group + 1) * size)
        weights = softmax(q[:, own] @ k[:, shared].T / np.sqrt(size))
        context.append(weights @ values[:, shared])
    return np.concatenate(context, axis=1) @ v["out"] + v["out_bias"]


def attended(kind: kinds.Attention, memory: Any, place: int = 0) -> tuple[Any, Any]:
    module, values = filled(SourceAttention([(kind, 4)], 4))
    seen = Memory(jnp.asarray(memory), jnp.asarray(MASK))
    found = jax.jit(lambda q, t: module(q, module.keys(seen), seen, t))(QUERY, jnp.int32(place))
    return found, {name.split(".", 2)[2]: value for name, value in values.items()}


def scores_of(kind: kinds.Attention, v: Any, query: Any, real: Any) -> Any:
    match kind:
        case kinds.Additive():
            return np.tanh(query @ v["query.kernel"] + real @ v["key.kernel"] + v["query.bias"]) @ v["score"]
        case kinds.Concat():
            return np.tanh(query @ v["query.kernel"] + real @ v["key.kernel"]) @ v["score"]
        case kinds.Dot():
            return real @ query
        case kinds.General():
            return real @ v["key.kernel"] @ query
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize("kind", [kinds.Additive(7), kinds.Concat(5), kinds.Dot(), kinds.General()])
def test_the_context_is_the_mean_of_the_memory_under_the_softmax_of_the_scores(kind: kinds.Attention) -> None:
    found, v = attended(kind, MEMORY)
    for row, length in enumerate(LENGTHS):
        real = MEMORY[row, :length]
        weights = softmax(scores_of(kind, v, QUERY[row], real))
        np.testing.assert_allclose(found.weights[row, :length], weights, atol=1e-5)
        np.testing.assert_allclose(found.context[row], weights @ real, atol=1e-5)


@pytest.mark.parametrize(("place", "seen"), [(0, (0, 1)), (2, (1, 2, 3)), (9, (3, 4))])
def test_local_attention_sees_what_is_near_the_place_of_the_target(place: int, seen: tuple[int, ...]) -> None:
    found, v = attended(kinds.Local(1), MEMORY, place)
    real = MEMORY[0, list(seen)]
    weights = softmax(real @ v["key.kernel"] @ QUERY[0])
    np.testing.assert_allclose(found.weights[0, list(seen)], weights, atol=1e-5)
    assert found.weights[0].sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("heads", "group"), [(1, 1), (2, 1), (4, 2), (4, 4)])
def test_multi_head_attention_is_vaswanis_and_its_groups_share_keys(heads: int, group: int) -> None:
    module, v = filled(MultiHeadAttention([(kinds.MultiHead(heads, group), 8)], 8))
    queries, memory = random(3, 2, 8, seed=3), random(3, 5, 8)
    look = jax.jit(lambda q, m: module(module.queries(q), module.keys_values(m), jnp.asarray(MASK[:, None, :])))
    out, weights = look(queries, memory)
    for row, length in enumerate(LENGTHS):
        expected = multi_head(v, queries[row], memory[row, :length], heads, group)
        np.testing.assert_allclose(out[row], expected, atol=1e-4)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)


def test_multi_head_context_is_vaswanis_for_one_query() -> None:
    found, v = attended(kinds.MultiHead(2), MEMORY)
    for row, length in enumerate(LENGTHS):
        inner = {name.removeprefix("attention."): value for name, value in v.items()}
        np.testing.assert_allclose(
            found.context[row], multi_head(inner, QUERY[row][None], MEMORY[row, :length])[0], atol=1e-4
        )


@pytest.mark.parametrize("kind", [kinds.Additive(7), kinds.Dot(), kinds.Local(2), kinds.MultiHead(2)])
def test_masked_positions_are_never_looked_at(kind: kinds.Attention) -> None:
    clean, _ = attended(kind, MEMORY)
    dirty, _ = attended(kind, np.where(MASK[:, :, None], MEMORY, 1e3).astype(np.float32))
    np.testing.assert_allclose(clean.context, dirty.context, atol=1e-6)


@pytest.mark.parametrize("window", [0, 1, 3])
def test_a_window_leaves_the_positions_at_most_so_far_away(window: int) -> None:
    places = jnp.arange(6)
    mask = np.asarray(window_mask(places, places, window))
    far = np.abs(np.arange(6)[None, :] - np.arange(6)[:, None])
    np.testing.assert_array_equal(mask, (far <= window) if window else True)
    np.testing.assert_array_equal(mask, window_mask(places, places, jnp.int32(window)))


@given(arrays.arrays(np.float32, (2, 5), elements=st.floats(-1e4, 1e4, width=32)), st.integers(1, 5))
def test_masked_weights_sum_to_one_over_what_the_mask_allows(scores: Any, allowed: int) -> None:
    mask = jnp.broadcast_to(jnp.arange(5) < allowed, (2, 5))
    weights = np.asarray(masked_softmax(jnp.asarray(scores), mask))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(weights[:, allowed:], 0)
    np.testing.assert_allclose(weights[:, :allowed], softmax(scores[:, :allowed]), atol=1e-6)


def test_a_mask_that_allows_nothing_leaves_the_weights_finite() -> None:
    weights = masked_softmax(jnp.asarray(random(1, 5)), jnp.zeros((1, 5), bool))
    np.testing.assert_allclose(weights, 0.2)

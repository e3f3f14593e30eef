from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automl.models.attention import Memory, MultiHeadAttention, build_attention, masked_softmax
from search_spaces import attention as kinds
from tests.automl.models.cases import filled, random

QUERY, MEMORY, LENGTHS = random(3, 4, seed=2), random(3, 5, 6), np.array([5, 1, 3])
MASK = np.arange(5)[None, :] < LENGTHS[:, None]


def softmax(scores: Any) -> Any:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def multi_head(v: Any, queries: Any, seen: Any) -> Any:
    out = v["out_bias"]
    for head in range(2):
        q = queries @ v["query"][:, head] + v["query_bias"][head]
        weights = softmax(q @ (seen @ v["key"][:, head]).T / np.sqrt(q.shape[-1]))
        out = out + weights @ (seen @ v["value"][:, head] + v["value_bias"][head]) @ v["out"][head]
    return out


def attended(kind: kinds.Attention, memory: Any) -> tuple[Any, Any]:
    module, values = filled(build_attention(kind, 4, 6))
    seen = Memory(jnp.asarray(memory), jnp.asarray(MASK))
    return jax.jit(lambda q: module(q, module.keys(seen), seen))(QUERY), values


def test_additive_attention_is_bahdanaus() -> None:
    context, v = attended(kinds.Additive(7), MEMORY)
    for row, length in enumerate(LENGTHS):
        real = MEMORY[row, :length]
        hidden = np.tanh(QUERY[row] @ v["query.kernel"] + real @ v["key.kernel"] + v["query.bias"])
        np.testing.assert_allclose(context[row], softmax(hidden @ v["score"]) @ real, atol=1e-5)


def test_multi_head_attention_is_vaswanis() -> None:
    module, v = filled(MultiHeadAttention(4, 6, 8, 2))
    queries = random(3, 2, 4, seed=3)
    out = jax.jit(lambda q, m: module(q, module.keys_values(m), jnp.asarray(MASK[:, None, :])))(queries, MEMORY)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(out[row], multi_head(v, queries[row], MEMORY[row, :length]), atol=1e-4)


def test_multi_head_context_is_vaswanis_for_one_query() -> None:
    context, v = attended(kinds.MultiHead(2), MEMORY)
    for row, length in enumerate(LENGTHS):
        inner = {name.removeprefix("attention."): value for name, value in v.items()}
        expected = multi_head(inner, QUERY[row][None], MEMORY[row, :length])[0] @ v["out.kernel"] + v["out.bias"]
        np.testing.assert_allclose(context[row], expected, atol=1e-4)


@pytest.mark.parametrize("kind", [kinds.Additive(7), kinds.MultiHead(2)])
def test_masked_positions_are_never_looked_at(kind: kinds.Attention) -> None:
    clean, _ = attended(kind, MEMORY)
    dirty, _ = attended(kind, np.where(MASK[:, :, None], MEMORY, 1e3).astype(np.float32))
    np.testing.assert_allclose(clean, dirty, atol=1e-6)


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

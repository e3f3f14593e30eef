import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automl.models.attention import Memory, MultiHeadAttention, build_attention, masked_softmax
from automl.models.scanning import apply_of
from search_spaces import attention as kinds
from tests.automl.models.cases import filled, random

QUERY, MEMORY, LENGTHS = random(3, 4, seed=2), random(3, 5, 6), np.array([5, 1, 3])
MASK = np.arange(5)[None, :] < LENGTHS[:, None]


def softmax(scores, axis=-1):
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def attended(kind: kinds.Attention, memory, query=QUERY):
    module, values = filled(build_attention(kind, 4, 6))
    ready = module.prepare(Memory(jnp.asarray(memory), jnp.asarray(MASK)))
    return module.attend(apply_of(ready.maps), ready.constants, jnp.asarray(query)), values


def test_additive_attention_is_bahdanaus() -> None:
    context, v = attended(kinds.Additive(7), MEMORY)
    for row, length in enumerate(LENGTHS):
        real = MEMORY[row, :length]
        hidden = np.tanh(QUERY[row] @ v["query.kernel"] + real @ v["key.kernel"] + v["key.bias"])
        np.testing.assert_allclose(context[row], softmax(hidden @ v["score"]) @ real, atol=1e-5)


def test_multi_head_attention_is_vaswanis() -> None:
    module, v = filled(MultiHeadAttention(4, 6, 8, 2))
    queries = random(3, 2, 4, seed=3)
    out = module(jnp.asarray(queries), module.keys_values(jnp.asarray(MEMORY)), jnp.asarray(MASK)[:, None, :])
    for row, length in enumerate(LENGTHS):
        real, expected = MEMORY[row, :length], v["out_bias"]
        for head in range(2):
            q = queries[row] @ v["query"][:, head] + v["query_bias"][head]
            weights = softmax(q @ (real @ v["key"][:, head]).T / np.sqrt(4))
            expected = expected + weights @ (real @ v["value"][:, head] + v["value_bias"][head]) @ v["out"][head]
        np.testing.assert_allclose(out[row], expected, atol=1e-4)


def test_multi_head_context_is_vaswanis_for_one_query() -> None:
    context, v = attended(kinds.MultiHead(2), MEMORY)
    for row, length in enumerate(LENGTHS):
        real, expected = MEMORY[row, :length], v["out_bias"]
        for head in range(2):
            q = QUERY[row] @ v["query"][:, head] + v["query_bias"][head]
            weights = softmax(real @ v["key"][:, head] @ q / np.sqrt(2))
            expected = expected + weights @ (real @ v["value"][:, head]) @ v["out"][head]
        np.testing.assert_allclose(context[row], expected, atol=1e-4)


@pytest.mark.parametrize("kind", [kinds.Additive(7), kinds.MultiHead(2)])
def test_masked_positions_are_never_looked_at(kind: kinds.Attention) -> None:
    clean, _ = attended(kind, MEMORY)
    dirty, _ = attended(kind, np.where(MASK[:, :, None], MEMORY, 1e3))
    np.testing.assert_allclose(clean, dirty, atol=1e-6)


@given(arrays.arrays(np.float32, (2, 5), elements=st.floats(-1e4, 1e4, width=32)), st.integers(1, 5))
def test_masked_weights_sum_to_one_over_what_the_mask_allows(scores, allowed: int) -> None:
    mask = jnp.broadcast_to(jnp.arange(5) < allowed, (2, 5))
    weights = np.asarray(masked_softmax(jnp.asarray(scores), mask))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(weights[:, allowed:], 0)
    np.testing.assert_allclose(weights[:, :allowed], softmax(scores[:, :allowed]), atol=1e-6)


def test_a_mask_that_allows_nothing_leaves_the_weights_finite() -> None:
    weights = masked_softmax(jnp.asarray(random(1, 5)), jnp.zeros((1, 5), bool))
    np.testing.assert_allclose(weights, 0.2)

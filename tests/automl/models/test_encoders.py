from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.encoders import build_encoder
from automl.models.facts import bind
from search_spaces.attention import MultiHead
from search_spaces.embeddings import NoPositions
from search_spaces.encoders import Convolution, Encoder, Recurrent, Transformer
from tests.automl.models.cases import CASES, VOCABULARY, filled, tokens

SOURCE = tokens(3, (4, 1, 6), 6)


@pytest.mark.parametrize("name", CASES)
def test_an_encoder_gives_a_vector_of_the_decoders_size_a_token_and_nought_for_padding(name: str) -> None:
    model, parameters = CASES[name].model, CASES[name].parameters
    memory = jax.jit(lambda values, source: bind(model, values).encode(source))(parameters, SOURCE)
    assert memory.states.shape == (3, 6, 8)
    np.testing.assert_array_equal(memory.mask, SOURCE != 0)
    np.testing.assert_array_equal(np.any(memory.states, axis=-1), SOURCE != 0)


def encode(kind: Encoder) -> Any:
    encoder, _ = filled(build_encoder([(kind, 4)], VOCABULARY, 4))
    return jax.jit(lambda source: encoder.pick(lambda member: member(source, source != 0, None)))


@pytest.mark.parametrize(
    ("kind", "sees"),
    [
        (Recurrent("gru", 4, 1, True), [True] * 4),
        (Recurrent("gru", 4, 1, False), [False] * 3 + [True]),
        (Recurrent("mingru", 4, 1, True), [True] * 4),
        (Recurrent("mingru", 4, 1, False), [False] * 3 + [True]),
        (Transformer(4, 1, 2, MultiHead(1)), [True] * 4),
        (Transformer(4, 1, 2, MultiHead(1), window=1), [False] * 2 + [True] * 2),
        (Convolution(4, 1, 3), [False] * 2 + [True] * 2),
        (Convolution(4, 1, 5), [False] + [True] * 3),
        (Convolution(4, 2, 3), [False] + [True] * 3),
    ],
)
def test_a_position_sees_what_its_encoder_lets_it_see(kind: Encoder, sees: list[bool]) -> None:
    before, after = encode(kind)(jnp.array([[4, 5, 6, 7]])), encode(kind)(jnp.array([[4, 5, 6, 8]]))
    assert np.any(~np.isclose(before[0], after[0]), axis=-1).tolist() == sees


@pytest.mark.parametrize("kind", [Transformer(4, 1, 2, MultiHead(2), NoPositions())])
def test_a_transformer_without_positions_does_not_know_the_order(kind: Encoder) -> None:
    there, back = encode(kind)(jnp.array([[4, 5, 6, 7]])), encode(kind)(jnp.array([[7, 6, 5, 4]]))
    np.testing.assert_allclose(there[0], back[0, ::-1], atol=1e-5)

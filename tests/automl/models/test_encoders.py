import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.encoders import build_encoder
from automl.models.parameters import bind
from search_spaces.attention import MultiHead
from search_spaces.encoders import Encoder, Recurrent, Transformer
from tests.automl.models.cases import CASES, VOCABULARY, filled, tokens

SOURCE = tokens(3, (4, 1, 6), 6)


@pytest.mark.parametrize(("name", "size"), [("recurrent -> transformer", 12), ("transformer -> transformer", 8)])
def test_an_encoder_gives_a_vector_of_its_size_a_token_and_nought_for_padding(name: str, size: int) -> None:
    model, parameters = CASES[name].model, CASES[name].parameters
    memory = jax.jit(lambda values, source: bind(model, values).encode(source))(parameters, SOURCE)
    assert memory.states.shape == (3, 6, size)
    np.testing.assert_array_equal(memory.mask, SOURCE != 0)
    np.testing.assert_array_equal(np.any(memory.states, axis=-1), SOURCE != 0)


@pytest.mark.parametrize(
    ("kind", "sees"),
    [
        (Recurrent("gru", 4, 1, True), [True] * 4),
        (Recurrent("gru", 4, 1, False), [False] * 3 + [True]),
        (Transformer(4, 1, 2, MultiHead(1)), [True] * 4),
    ],
)
def test_a_position_sees_what_comes_after_unless_the_encoder_runs_one_way(kind: Encoder, sees: list[bool]) -> None:
    encoder, _ = filled(build_encoder(kind, VOCABULARY))
    encode = jax.jit(lambda source: encoder(source, source != 0, None).states)
    before, after = encode(jnp.array([[4, 5, 6, 7]])), encode(jnp.array([[4, 5, 6, 8]]))
    assert np.any(~np.isclose(before[0], after[0]), axis=-1).tolist() == sees

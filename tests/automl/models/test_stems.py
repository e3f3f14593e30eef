from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.tokenizers import PAD
from automl.models.facts import bind
from automl.models.parameters import initialise
from automl.models.seq2seq import Seq2Seq
from automl.models.stems import brightness, convolved, merged
from search_spaces import decoders, encoders, stems
from search_spaces.seq2seq import Seq2Seq as Configuration

DRAW = np.random.default_rng(0)


def reference(x: Any, kernel: Any) -> Any:
    """A convolution written out, in double precision."""
    _, height, width, _ = x.shape
    around = np.pad(np.asarray(x, float), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(row, column) for row in range(3) for column in range(3)]
    return sum(around[:, r : r + height, c : c + width] @ np.asarray(kernel, float)[r, c] for r, c in taps)


def test_a_convolution_and_its_written_gradients_are_those_of_the_formula() -> None:
    x, kernel, wanted = (
        DRAW.normal(size=size).astype(np.float32) for size in ((2, 5, 4, 3), (3, 3, 3, 6), (2, 5, 4, 6))
    )
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    np.testing.assert_allclose(convolved(x, kernel), reference(x, kernel), rtol=1e-4, atol=1e-5)

    def plain(x: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    own, other = (
        jax.grad(lambda x, k, of=of: (of(x, k) * wanted).sum(), argnums=(0, 1))(x, kernel) for of in (convolved, plain)
    )
    for found, right in zip(own, other, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)


def test_squares_are_joined_and_the_edge_is_black() -> None:
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    np.testing.assert_array_equal(merged(x, 2)[0, 0, 0], [0, 1, 5, 6])
    np.testing.assert_array_equal(merged(x, 2)[0, 1, 2], [14, 0, 0, 0])


def test_pixels_come_back_row_by_row_from_tokens_however_padded() -> None:
    stem = stems.Patches(4, 5, 3, 2)
    pixels = DRAW.integers(0, 256, (2, 4, 5, 3))
    tokens = np.pad(pixels.reshape(2, -1) + 4, ((0, 0), (0, 7)), constant_values=PAD)
    np.testing.assert_allclose(brightness(jnp.asarray(tokens), stem) * 64, pixels)


@pytest.mark.parametrize("stem", [stems.Patches(6, 5, 1, 2), stems.Convolutions(6, 5, 1, 2, 16, 1)])
@pytest.mark.parametrize(
    "encoder", [encoders.Transformer(8, 1, 2), encoders.Convolution(8, 1), encoders.Recurrent("gru", 8)]
)
def test_each_encoder_reads_images_and_padding_rows_leave_the_others_alone(stem: Any, encoder: Any) -> None:
    model = Seq2Seq(Configuration(encoder, decoders.Recurrent("gru", 8), stem=stem), 260, 9)
    bound = bind(model, start(model))
    images = np.asarray(DRAW.integers(4, 260, (3, 30)), np.int32)
    alone = bound.encode(jnp.asarray(images[:2]))
    images[2] = PAD
    together = bound.encode(jnp.pad(images, ((0, 0), (0, 2))))
    assert together.mask.shape == (3, stems.positions(stem, 30))
    assert (bool(together.mask[:2].all()), bool(together.mask[2].any())) == (True, False)
    np.testing.assert_allclose(together.states[:2], alone.states, rtol=1e-5, atol=1e-5)
    assert float(jnp.abs(alone.states[0] - alone.states[1]).max()) > 1e-3


def start(model: Seq2Seq) -> Any:
    return {name: jnp.asarray(value) for name, value in initialise(model, 0).items()}


def test_models_of_several_stems_are_no_hull() -> None:
    first, second = (Configuration(encoders.Transformer(8, 1), stem=stems.Patches(8, 8, 1, side)) for side in (2, 4))
    with pytest.raises(ValueError, match="several stems"):
        Seq2Seq([first, second], 260, 9)


def test_a_model_that_is_padded_computes_what_it_computes_alone() -> None:
    from automl.models.facts import encoded, facts
    from automl.models.parameters import padded

    stem = stems.Convolutions(6, 5, 1, 1, 16, 1)
    small, large = (
        Configuration(encoders.Transformer(size, 1, 2), decoders.Recurrent("gru", 8), stem=stem) for size in (8, 16)
    )
    true, hull = Seq2Seq(small, 260, 9), Seq2Seq([small, large], 260, 9)
    values = initialise(true, 0)
    images, inputs = jnp.asarray(DRAW.integers(4, 260, (2, 30)), jnp.int32), jnp.ones((2, 3), jnp.int32)
    larger = {name: jnp.asarray(value) for name, value in padded(values, true, hull).items()}
    alone = bind(true, start(true))(images, inputs)
    numbers = {name: jnp.asarray(value) for name, value in encoded(hull, facts(true)).items()}
    held = bind(hull, larger, numbers)(images, inputs)
    np.testing.assert_allclose(held, alone, rtol=1e-4, atol=1e-5)

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.dropout import drop, drop_tokens
from automl.models.embeddings import TokenEmbedding, sinusoidal
from automl.models.layers import FeedForward, Linear, Norm
from tests.automl.models.cases import filled, noise, random

DROP = jax.jit(drop)


def test_linear_maps_the_last_axis() -> None:
    module, v = filled(Linear(4, 3))
    x = random(2, 5, 4)
    np.testing.assert_allclose(jax.jit(module.__call__)(x), x @ v["kernel"] + v["bias"], atol=1e-5)
    assert list(filled(Linear(4, 3, bias=False))[1]) == ["kernel"]


def test_layer_norm_has_mean_nought_and_deviation_one_before_scale_and_shift() -> None:
    module, v = filled(Norm(6, ["layer"]))
    x = 5 + 3 * random(2, 4, 6)
    normed = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(jax.jit(module.__call__)(x), normed * v["scale"] + v["bias"], atol=1e-5)


def test_the_root_mean_square_norm_divides_by_it_and_scales() -> None:
    module, v = filled(Norm(6, ["rms"]))
    x = 5 + 3 * random(2, 4, 6)
    expected = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-6) * v["scale"]
    np.testing.assert_allclose(jax.jit(module.__call__)(x), expected, atol=1e-5)


def test_feed_forward_is_two_maps_around_a_gelu() -> None:
    module, v = filled(FeedForward(4, 6, ["gelu"]))
    x = random(2, 4)
    hidden = x @ v["widen.kernel"] + v["widen.bias"]
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    expected = gelu @ v["narrow.kernel"] + v["narrow.bias"]
    np.testing.assert_allclose(jax.jit(lambda x: module(x, None))(x), expected, atol=3e-3)


@pytest.mark.parametrize("size", [5, 8])
def test_positions_are_sines_and_cosines_at_geometric_wavelengths(size: int) -> None:
    table = jax.jit(sinusoidal, static_argnums=(1, 2))(np.array([0, 3, 11]), size, size)
    for row, position in enumerate((0, 3, 11)):
        angles = [position / 10_000 ** (2 * (i // 2) / size) for i in range(size)]
        expected = [math.cos(angle) if i % 2 else math.sin(angle) for i, angle in enumerate(angles)]
        np.testing.assert_allclose(table[row], expected, atol=1e-5)


def test_tokens_are_looked_up_and_scaled_by_the_root_of_the_size() -> None:
    module, v = filled(TokenEmbedding(7, 4))
    tokens = np.array([[1, 6], [0, 3]], np.int32)
    np.testing.assert_allclose(module(jnp.asarray(tokens)), 2 * v["table"][tokens], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate: float) -> None:
    dropped = np.asarray(DROP(np.ones((100, 100), np.float32), noise(rate)))
    assert (dropped == 0).mean() == pytest.approx(rate, abs=0.02)
    np.testing.assert_allclose(dropped[dropped > 0], 1 / (1 - rate), rtol=1e-4)
    assert dropped.mean() == pytest.approx(1, abs=0.04)


def test_dropout_is_off_without_noise_or_at_rate_nought() -> None:
    x = jnp.asarray(random(100, 100))
    assert drop(x, None) is x
    np.testing.assert_array_equal(DROP(x, noise(0)), x)


def test_locked_dropout_drops_the_same_at_every_position_of_a_sequence() -> None:
    dropped = np.asarray(DROP(np.ones((50, 7, 40), np.float32), noise(0.3, locked=True)))
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1], dropped.shape))
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.03)
    free = np.asarray(DROP(np.ones((50, 7, 40), np.float32), noise(0.3)))
    assert np.any(free[:, 0] != free[:, 1])


def test_token_dropout_drops_whole_tokens() -> None:
    dropped = np.asarray(jax.jit(drop_tokens)(np.ones((100, 50, 3), np.float32), noise(tokens=0.2)))
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :, :1], dropped.shape))
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.02)


def test_what_is_dropped_does_not_depend_on_the_shape_around_it() -> None:
    small = DROP(np.ones((3, 4, 5), np.float32), noise(0.5))
    large = DROP(np.ones((5, 9, 11), np.float32), noise(0.5))
    np.testing.assert_array_equal(small, large[:3, :4, :5])


def test_dropout_follows_its_key_and_place() -> None:
    x = jnp.ones((100, 100))
    first = DROP(x, noise(0.5))
    np.testing.assert_array_equal(first, DROP(x, noise(0.5)))
    others = [DROP(x, other) for other in (noise(0.5, seed=1), noise(0.5).at(0), noise(0.5).at(1))]
    assert len({np.asarray(y).tobytes() for y in [first, *others]}) == 4

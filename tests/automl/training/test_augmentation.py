from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.tokenizers import EOS, PAD
from automl.models.dropout import Noise
from automl.training.augmentation import Variation, arranged, varied
from search_spaces.augmentation import Unchanged, Varied
from search_spaces.stems import Patches, Tokens

STEM = Patches(8, 6, 3, 2)
STILL = Varied(0.0, 0.0, False, 0.0, 0.0, 0.0)
IMAGES = np.asarray(np.random.default_rng(0).integers(0, 256, (64, 8, 6, 3)), np.int32)
ROWS = jnp.asarray(IMAGES.reshape(64, -1) + 4)


def noise(seed: int) -> Noise:
    return Noise(jnp.uint32(seed), jnp.float32(0), jnp.uint32(0), jnp.float32(0), jnp.float32(0))


def seen(augmentation: Any, seed: int = 1, rows: Any = ROWS, stem: Any = STEM) -> Any:
    return np.asarray(varied(stem, rows, Variation.of(augmentation), noise(seed)))


def pixels(tokens: Any) -> Any:
    return (tokens - 4).reshape(-1, 8, 6, 3)


def test_texts_are_read_as_they_are() -> None:
    assert (seen(Varied(), stem=Tokens()) == np.asarray(ROWS)).all()


@pytest.mark.parametrize("augmentation", [Unchanged(), STILL])
def test_what_is_not_varied_is_seen_as_it_is(augmentation: Any) -> None:
    np.testing.assert_allclose(seen(augmentation), ROWS, atol=1e-3)


@pytest.mark.parametrize(
    "dial", [{"shift": 0.2}, {"zoom": 0.3}, {"flip": True}, {"brightness": 0.3}, {"contrast": 0.5}]
)
def test_each_dial_varies_some_rows_by_the_seed_alone(dial: dict[str, Any]) -> None:
    once, again, other = (seen(replace(STILL, **dial), seed) for seed in (1, 1, 2))
    assert (once == again).all()
    assert (once != other).any()
    assert not np.allclose(once, np.asarray(ROWS), atol=1)
    assert 4 <= once.min() <= once.max() <= 259


def test_a_mirrored_image_is_the_image_from_right_to_left_and_half_of_them_are() -> None:
    found = pixels(seen(replace(STILL, flip=True)))
    mirrored = np.isclose(found, IMAGES[:, :, ::-1], atol=1e-2).all(axis=(1, 2, 3))
    same = np.isclose(found, IMAGES, atol=1e-2).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


def test_what_is_covered_is_black_and_a_part_of_some_images() -> None:
    bright = jnp.full_like(ROWS, 204)
    black = (pixels(seen(replace(STILL, erasing=0.5), rows=bright)) == 0).all(axis=3)
    covered = black.mean(axis=(1, 2))
    assert 16 < (covered > 0).sum() < 48
    assert covered.max() < 0.5


def test_rows_of_padding_stay_padding() -> None:
    rows = ROWS.at[3:].set(PAD)
    assert (seen(Varied(0.2, 0.3, True, 0.3, 0.5, 0.5), rows=rows)[3:] == PAD).all()


BINS = 8
CAT, DOG = [4, 5, 8, 9, 12], [6, 4, 9, 11, 13]
TARGETS = jnp.array([[*CAT, *DOG, EOS, PAD], [*DOG, EOS, *[PAD] * 6], [EOS, *[PAD] * 11], [PAD] * 12] * 16, jnp.int32)


def said(augmentation: Any, bins: int = BINS, seed: int = 1, stem: Any = STEM) -> Any:
    return np.asarray(arranged(stem, TARGETS, Variation.of(augmentation, bins), noise(seed)))


def test_targets_that_are_no_boxes_stay_as_they_are() -> None:
    assert (said(STILL, bins=0) == np.asarray(TARGETS)).all()
    assert (said(STILL, stem=Tokens()) == np.asarray(TARGETS)).all()


def test_boxes_come_in_any_order_and_are_otherwise_the_same() -> None:
    found = said(STILL)
    orders = {tuple(row) for row in found[::4].tolist()}
    assert orders == {(*CAT, *DOG, EOS, PAD), (*DOG, *CAT, EOS, PAD)}
    for place in (1, 2, 3):
        assert (found[place::4] == np.asarray(TARGETS)[place::4]).all()
    assert (found == said(STILL)).all()


def test_boxes_are_mirrored_where_their_image_is() -> None:
    flipping = replace(STILL, flip=True)
    images = pixels(seen(flipping))
    mirrored = ~np.isclose(images, IMAGES, atol=1e-2).all(axis=(1, 2, 3))
    turned = [4, 4 + BINS - 1 - (9 - 4), 8, 4 + BINS - 1 - (5 - 4), 12]
    for row, flipped in zip(said(flipping)[::4], mirrored[::4], strict=True):
        objects = {tuple(row[:5]), tuple(row[5:10])}
        assert (tuple(turned) in objects) == flipped
        assert (tuple(CAT) in objects) != flipped

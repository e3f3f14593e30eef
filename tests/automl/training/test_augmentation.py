from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.tokenizers import EOS, PAD, UNK
from automl.models.dropout import Noise
from automl.training.augmentation import Scene, Variation, arranged, filled_up, varied
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
CLASSES = {12, 13}
TARGETS = jnp.array([[*CAT, *DOG, EOS, PAD], [*DOG, EOS, *[PAD] * 6], [EOS, *[PAD] * 11], [PAD] * 12] * 16, jnp.int32)


def said(augmentation: Any, bins: int = BINS, seed: int = 1, stem: Any = STEM) -> Any:
    return np.asarray(arranged(stem, TARGETS, Variation.of(augmentation, Scene(bins)), noise(seed)))


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


MORE = jnp.concatenate([TARGETS, jnp.zeros((64, 9), jnp.int32)], axis=1)


def filled(objects: int, seed: int = 1) -> Any:
    variation = Variation.of(STILL, Scene(BINS, len(CLASSES), objects))
    return [np.asarray(part) for part in filled_up(STEM, MORE, variation, noise(seed))]


def test_targets_are_filled_up_with_boxes_of_which_a_model_says_that_they_are_of_no_class() -> None:
    shown, said_then = filled(3)
    for row, shown_row, said_row in zip(np.asarray(MORE)[:32], shown, said_then, strict=False):
        if (row == PAD).all():
            assert (shown_row == PAD).all()
            continue
        real = int(np.argmax(row == EOS))
        assert (shown_row[:real] == row[:real]).all()
        assert (said_row[:real] == row[:real]).all()
        assert said_row[real:].tolist() == [*[PAD, PAD, PAD, PAD, UNK] * (3 - real // 5), EOS, *[PAD] * 5]
        for upper, left, lower, right, label in shown_row[real:15].reshape(-1, 5).tolist():
            assert 4 <= upper <= lower < 4 + BINS
            assert 4 <= left <= right < 4 + BINS
            assert label in CLASSES
        assert shown_row[15] == EOS


def test_boxes_that_are_none_are_drawn_by_the_seed_and_never_from_rows_of_enough_objects() -> None:
    once, again, other = (filled(3, seed)[0] for seed in (1, 1, 2))
    assert (once == again).all()
    assert (once != other).any()
    for objects in (0, 1):
        shown, said_then = filled(objects)
        assert (shown[::4] == np.asarray(MORE)[::4]).all()
        assert (said_then[::4] == np.asarray(MORE)[::4]).all()
    assert all((part == np.asarray(MORE)).all() for part in filled(0))

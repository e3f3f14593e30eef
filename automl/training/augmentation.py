"""Augmentation: images of a batch, varied by a hash of the step and the row, so that resuming changes nothing."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from automl.data.boxes import PER_OBJECT
from automl.data.pixels import LEVELS
from automl.data.tokenizers import EOS, PAD, SPECIAL_TOKENS, UNK
from automl.models.dropout import GOLDEN, Noise, mixed
from search_spaces.augmentation import Augmentation, Unchanged, Varied
from search_spaces.stems import Image, Stem, Tokens

PLACE = 7_919
"""Keeps what is drawn here apart from what dropout draws of the same seed."""
FULL = float(LEVELS - 1)


class Scene(NamedTuple):
    """What is said of boxes: their steps along a side, their classes, and to how many objects targets are filled up.

    All are 0 where targets are no boxes.
    """

    bins: int = 0
    classes: int = 0
    objects: int = 0


NO_BOXES = Scene()


class Variation(NamedTuple):
    """The dials of `search_spaces.augmentation.Varied`, and the numbers of a `Scene`."""

    shift: Float[Array, ""]
    zoom: Float[Array, ""]
    flip: Float[Array, ""]
    brightness: Float[Array, ""]
    contrast: Float[Array, ""]
    erasing: Float[Array, ""]
    bins: Int[Array, ""]
    classes: Int[Array, ""]
    objects: Int[Array, ""]

    @staticmethod
    def of(augmentation: Augmentation, scene: Scene = NO_BOXES) -> "Variation":
        """Return the dials as numbers, and those of boxes."""
        kind = Varied(0.0, 0.0, False, 0.0, 0.0, 0.0) if isinstance(augmentation, Unchanged) else augmentation
        flip = 0.5 if kind.flip else 0.0
        dials = (kind.shift, kind.zoom, flip, kind.brightness, kind.contrast, kind.erasing)
        numbers: tuple[Any, ...] = (*map(np.float32, dials), *map(np.int32, scene))
        return Variation(*numbers)


class View(NamedTuple):
    """Where each row of a batch is looked at: of each axis, `from + scale * place` is the place that is seen."""

    down: Float[Array, "batch"]
    right: Float[Array, "batch"]
    scale: Float[Array, "batch"]
    mirrored: Float[Array, "batch"]


def varied(stem: Stem, source: Array, variation: Variation, noise: Noise) -> Float[Array, "batch tokens"] | Array:
    """Return sources as they are seen this time: images varied, texts as they are."""
    if isinstance(stem, Tokens):
        return source
    draw = _drawn(noise, source.shape[0], 9)
    view = viewed(stem, variation, draw[:, :4])
    values = stem.height * stem.width * stem.channels
    pixels = source[:, :values].astype(jnp.float32) - len(SPECIAL_TOKENS)
    seen = looked_at(pixels.reshape(-1, stem.height, stem.width, stem.channels), view)
    seen = _lit(seen, variation, draw[:, 4:6])
    seen = seen * _uncovered(stem, variation, draw[:, 6:9])[..., None]
    tokens = jnp.clip(seen, 0.0, FULL).reshape(-1, values) + len(SPECIAL_TOKENS)
    return jnp.where(source[:, :1] == PAD, float(PAD), tokens)


def _drawn(noise: Noise, rows: int, count: int) -> Float[Array, "rows count"]:
    """Return numbers from 0 to 1 for each row."""
    places = jnp.arange(rows * count, dtype=jnp.uint32).reshape(rows, count) + jnp.uint32(PLACE)
    places = places + noise.first_row * jnp.uint32(count)
    hashes = mixed(mixed(noise.seed + jnp.uint32(PLACE)) + places * jnp.uint32(GOLDEN))
    return (hashes >> 8).astype(jnp.float32) / (1 << 24)


def viewed(stem: Image, variation: Variation, draw: Float[Array, "batch 4"]) -> View:
    """Return where each row is looked at: moved either way, brought nearer or further, mirrored or not."""
    away = 2.0 * draw - 1.0
    scale = jnp.exp(away[:, 0] * jnp.log1p(variation.zoom))
    down, right = (away[:, axis] * variation.shift * size for axis, size in ((1, stem.height), (2, stem.width)))
    down += (1.0 - scale) * (stem.height - 1) / 2
    right += (1.0 - scale) * (stem.width - 1) / 2
    return View(down, right, scale, (draw[:, 3] < variation.flip).astype(jnp.float32))


def looked_at(
    images: Float[Array, "batch height width channels"], view: View
) -> Float[Array, "batch height width channels"]:
    """Return what is seen, linear between pixels; beyond the edge it is black.

    Rows and columns are mixed by a matrix each, since no place moves along both.
    """
    height, width = images.shape[1:3]
    rows = _mixing(height, view.down, view.scale)
    columns = _mixing(width, view.right, view.scale)
    columns = jnp.where(view.mirrored[:, None, None] > 0, columns[:, ::-1], columns)
    seen = jnp.einsum("byh,bhwc->bywc", rows, images)
    return jnp.einsum("bxw,bywc->byxc", columns, seen)


def _mixing(size: int, first: Float[Array, "batch"], scale: Float[Array, "batch"]) -> Float[Array, "batch size size"]:
    places = jnp.arange(size, dtype=jnp.float32)
    seen = first[:, None] + scale[:, None] * places[None, :]
    return jnp.maximum(1.0 - jnp.abs(seen[:, :, None] - places[None, None, :]), 0.0)


def _lit(
    images: Float[Array, "batch height width channels"], variation: Variation, draw: Float[Array, "batch 2"]
) -> Float[Array, "batch height width channels"]:
    away = (2.0 * draw - 1.0)[:, :, None, None, None]
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    spread = mean + (images - mean) * (1.0 + away[:, 0] * variation.contrast)
    return spread + away[:, 1] * variation.brightness * FULL


def _uncovered(stem: Image, variation: Variation, draw: Float[Array, "batch 3"]) -> Float[Array, "batch height width"]:
    """Return 0 in a square of up to two fifths of each side, where one is covered, and 1 elsewhere."""
    size = 0.1 + 0.3 * (draw[:, 0] / jnp.maximum(variation.erasing, 1e-6)).clip(0.0, 1.0)
    inside = []
    for axis, length in ((1, stem.height), (2, stem.width)):
        places = (jnp.arange(length) + 0.5)[None, :] / length
        begin = (draw[:, axis] * (1.0 - size))[:, None]
        inside.append((places >= begin) & (places < begin + size[:, None]))
    covered = inside[0][:, :, None] & inside[1][:, None, :] & (draw[:, 0] < variation.erasing)[:, None, None]
    return 1.0 - covered.astype(jnp.float32)


def arranged(
    stem: Stem, targets: Int[Array, "batch target"], variation: Variation, noise: Noise
) -> Int[Array, "batch target"]:
    """Return targets of boxes in a random order (Chen et al., 2022, section 2.2), mirrored where the image is.

    Others stay as they are.
    """
    rows, length = targets.shape
    most = length // PER_OBJECT
    if isinstance(stem, Tokens) or not most:
        return targets
    objects = targets[:, : most * PER_OBJECT].reshape(rows, most, PER_OBJECT)
    real = jnp.arange(most)[None, :] < _counted(targets)[:, None]
    keys = jnp.where(real, _drawn(noise._replace(seed=noise.seed + jnp.uint32(1)), rows, most), 2.0 + jnp.arange(most))
    mixed_up = jnp.take_along_axis(objects, jnp.argsort(keys, axis=1)[:, :, None], axis=1)
    flip = _drawn(noise, rows, 9)[:, 3] < variation.flip
    other = 2 * len(SPECIAL_TOKENS) + variation.bins - 1 - mixed_up[:, :, jnp.array([0, 3, 2, 1, 4])]
    sideways = jnp.array([[[False, True, False, True, False]]])
    mirrored = jnp.where(sideways & (flip[:, None] & real)[:, :, None], other, mixed_up)
    found = jnp.concatenate([mirrored.reshape(rows, -1), targets[:, most * PER_OBJECT :]], axis=1)
    return jnp.where(variation.bins > 0, found, targets).astype(targets.dtype)


class Filled(NamedTuple):
    """Targets that were filled up: as a model is shown them, and as it is to say them; it need not say a `PAD`."""

    shown: Int[Array, "batch target"]
    said: Int[Array, "batch target"]


def filled_up(stem: Stem, targets: Int[Array, "batch target"], variation: Variation, noise: Noise) -> Filled:
    """Return targets of boxes behind which come objects that are none (Chen et al., 2022, section 3.2).

    They are shown with a class at random; where it stands the model is to say `UNK`, which is no class, and nothing is
    asked of it where their edges stand. Others stay as they are.
    """
    rows, length = targets.shape
    most = length // PER_OBJECT
    if isinstance(stem, Tokens) or not most:
        return Filled(targets, targets)
    count, places = _counted(targets), jnp.arange(length)[None, :]
    total = jnp.where(targets[:, 0] == PAD, 0, jnp.maximum(count, variation.objects))
    objects = targets[:, : most * PER_OBJECT].reshape(rows, most, PER_OBJECT)
    draw = _drawn(noise._replace(seed=noise.seed + jnp.uint32(2)), rows, most * 7).reshape(rows, most, 7)
    edges = _no_objects(objects, count, variation, draw[:, :, :6])
    label = (
        jnp.floor(draw[:, :, 6:] * variation.classes.astype(jnp.float32)).astype(jnp.int32)
        + len(SPECIAL_TOKENS)
        + variation.bins
    )
    none = jnp.concatenate([edges, label], axis=2).reshape(rows, -1)
    unsaid = jnp.broadcast_to(jnp.array([PAD] * (PER_OBJECT - 1) + [UNK]), objects.shape).reshape(rows, -1)
    first, last = PER_OBJECT * count[:, None], PER_OBJECT * total[:, None]

    def of(filling: Int[Array, "batch filled"]) -> Int[Array, "batch target"]:
        wide = jnp.pad(filling, ((0, 0), (0, length - most * PER_OBJECT)))
        found = jnp.where((places >= first) & (places < last), wide, targets)
        return jnp.where((places == last) & (first < last), EOS, found).astype(targets.dtype)

    return Filled(of(none), of(unsaid))


def _counted(targets: Int[Array, "batch target"]) -> Int[Array, "batch"]:
    """Return the number of objects before the end of each target."""
    length = targets.shape[1]
    return jnp.where(targets == EOS, jnp.arange(length), length).min(axis=1) // PER_OBJECT


def _no_objects(
    objects: Int[Array, "batch most tokens"],
    count: Int[Array, "batch"],
    variation: Variation,
    draw: Float[Array, "batch most 6"],
) -> Int[Array, "batch most 4"]:
    """Return edges of objects that are none: one half is drawn anywhere, the other near an object of the row.

    Of that each edge is moved by half of its side at most.
    """
    steps = (variation.bins - 1).astype(jnp.float32)
    anywhere = steps * draw[:, :, 2:]
    which = jnp.floor(draw[:, :, :1] * count[:, None, None]).astype(jnp.int32)
    real = jnp.take_along_axis(objects[:, :, :4], which, axis=1).astype(jnp.float32) - len(SPECIAL_TOKENS)
    sides = jnp.tile(real[:, :, 2:] - real[:, :, :2], (1, 1, 2))
    near = real + (draw[:, :, 2:] - 0.5) * sides
    chosen = jnp.where((draw[:, :, 1:2] < 0.5) & (count[:, None, None] > 0), near, anywhere)
    ends = jnp.round(jnp.clip(chosen, 0.0, steps)).astype(jnp.int32) + len(SPECIAL_TOKENS)
    low, high = jnp.minimum(ends[:, :, :2], ends[:, :, 2:]), jnp.maximum(ends[:, :, :2], ends[:, :, 2:])
    return jnp.concatenate([low, high], axis=2)

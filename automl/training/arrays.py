"""A split as arrays on the device, and padded batches of its rows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from numpy.typing import NDArray

from automl.data.batching import Bucket
from automl.data.pixels import is_image
from automl.data.table import Split
from automl.data.tokenizers import BOS, EOS, PAD, SPECIAL_TOKENS
from automl.training.losses import SoftTargets

TOKENS, ROWS, BATCHES = 2**20, 2**16, 2**10
"""Smallest sizes of the arrays of a split, and of the list of batches that are evaluated."""
IMAGE_BYTES, MOST_SPARE = 2**22, 2**6
"""Smallest size of an array of images, and up to how many times that it is filled up."""


class DeviceSplit(NamedTuple):
    """A split on the device: token ids end to end, where each row begins and how long it is, and what can be copied.

    `copies` holds for each source token the target token of the same text, or `PAD`; `weights` how much rows count. Of
    images, `source` holds the bytes of a row each. Of `soft` targets, if there are any, each row has one for each
    target token and one for its end, end to end. `numbers` say which rows of the data they are, where that matters.
    """

    source: Int[Array, "source_tokens"] | UInt8[Array, "rows values"]
    source_starts: Int[Array, "rows"]
    source_lengths: Int[Array, "rows"]
    target: Int[Array, "target_tokens"]
    target_starts: Int[Array, "rows"]
    target_lengths: Int[Array, "rows"]
    copies: Int[Array, "rounded_vocabulary"]
    weights: Float[Array, "rows"]
    soft: SoftTargets | None = None
    numbers: Int[Array, "rows"] | None = None

    def numbered(self, rows: Int[Array, "batch"]) -> Int[Array, "batch"]:
        """Return which rows of the data some rows are."""
        return rows if self.numbers is None else self.numbers[rows]

    def known_by(self, numbers: NDArray[np.int32]) -> "DeviceSplit":
        """Return the split, each of its rows being so numbered a row of the data."""
        return self._replace(numbers=jax.device_put(filled(numbers, len(self.weights))))


class Room(NamedTuple):
    """Smallest sizes of the arrays of a split: ids of a side, and rows."""

    ids: int = TOKENS
    rows: int = ROWS


USUAL = Room()


def on_device(
    split: Split, copies: NDArray[np.int32], room: Room = USUAL, soft: SoftTargets | None = None
) -> DeviceSplit:
    """Copy a split to the device, once, with what its source tokens could be copied as, and its soft targets.

    The arrays are filled up to one of few sizes, so that programs know no data set by its size.
    """

    def side(flat: Any, offsets: Any) -> tuple[Any, Any, Any]:
        rows = capacity(len(offsets) - 1, room.rows)
        return (
            _images(flat, len(offsets) - 1, room)
            if is_image(flat)
            else filled(flat, capacity(len(flat) + 1, room.ids), PAD),
            filled(offsets[:-1], rows),
            filled(np.diff(offsets), rows),
        )

    sides = *side(split.source, split.source_offsets), *side(split.target, split.target_offsets)
    weights = np.ones(capacity(split.rows, room.rows), np.float32)
    weights[: split.rows] = 1 if split.weights is None else split.weights
    softened = None if soft is None else _softened(soft)
    arrays: tuple[Any, ...] = (*sides, filled(copies, rounded(len(copies)), PAD), weights, softened)
    placed: DeviceSplit = jax.device_put(DeviceSplit(*arrays))
    return placed


def _softened(soft: SoftTargets) -> SoftTargets:
    """Return soft targets as arrays of few sizes; behind them are some that say nothing."""
    said = len(soft.tokens)
    tokens = filled(soft.tokens, capacity(said + 1, ROWS))
    probabilities: Any = np.zeros(tokens.shape, np.float32)
    probabilities[:said] = soft.probabilities
    arrays: tuple[Any, ...] = tokens, probabilities
    return SoftTargets(*arrays)


def rounded(vocabulary: int) -> int:
    """Return the number of tokens that an array is made for: a power of two, or one and a half times that."""
    size = 16
    while size < vocabulary:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _images(flat: NDArray[np.uint8], rows: int, room: Room) -> NDArray[np.uint8]:
    """Return images as rows of bytes, and some rows of none behind them."""
    values = len(flat) // rows
    size = capacity(rows, max(IMAGE_BYTES // values, 1))
    if room != USUAL:
        size = room.rows
    elif size * values > MOST_SPARE * IMAGE_BYTES:
        size = rows
    found = np.zeros((size, values), np.uint8)
    found[:rows] = flat.reshape(rows, values)
    return found


def capacity(count: int, least: int) -> int:
    """Return the size of an array for so many values: the least one, or twice, four times that and so on."""
    return least << max(-(-count // least) - 1, 0).bit_length()


def filled(values: Any, size: int, filling: int = 0) -> NDArray[np.int32]:
    """Return the values as an array of a given length, the rest of it filled up."""
    array = np.full((size, *np.shape(values)[1:]), filling, np.int32)
    array[: len(values)] = values
    return array


class Batch(NamedTuple):
    """Padded token ids; an absent row is all padding."""

    source: Int[Array, "batch source"]
    copies: Int[Array, "batch source"]
    inputs: Int[Array, "batch target"]
    targets: Int[Array, "batch target"]
    weights: Float[Array, "batch"]
    soft: SoftTargets | None = None


def gather(split: DeviceSplit, rows: Int[Array, "batch"], bucket: Bucket) -> Batch:
    """Return rows of a split, padded to a shape; row -1 is absent."""
    present = (rows >= 0)[:, None]

    def padded(flat: Array, starts: Array, lengths: Array, size: int) -> tuple[Array, Array]:
        places = jnp.arange(size)[None, :]
        inside = (places < lengths[rows][:, None]) & present
        indices = jnp.where(inside, starts[rows][:, None] + places, flat.shape[0] - 1)
        return jnp.where(inside, flat[indices], PAD), lengths[rows]

    if split.source.ndim == 2:
        source = jnp.where(present, split.source[rows].astype(jnp.int32) + len(SPECIAL_TOKENS), PAD)
    else:
        source, _ = padded(split.source, split.source_starts, split.source_lengths, bucket.source)
    target, lengths = padded(split.target, split.target_starts, split.target_lengths, bucket.target)
    ends = (jnp.arange(bucket.target)[None, :] == lengths[:, None]) & present
    targets = jnp.where(ends, EOS, target)
    begins = jnp.where(present, BOS, PAD).astype(targets.dtype)
    inputs = jnp.concatenate([begins, target[:, :-1]], axis=1)
    soft = None
    if split.soft is not None:
        firsts = split.target_starts[rows] + rows
        inside = (jnp.arange(bucket.target)[None, :] <= lengths[:, None]) & present
        places = jnp.where(inside, firsts[:, None] + jnp.arange(bucket.target)[None, :], len(split.soft.tokens) - 1)
        soft = SoftTargets(*(each[places] for each in split.soft))
    return Batch(source, split.copies[source], inputs, targets, split.weights[rows], soft)

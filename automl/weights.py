"""Weights of a bundle: float32 arrays by name in safetensors, or int8 with a scale for each column of a matrix."""

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError

MOST_HEADER_BYTES = 2**20
HEAD_BYTES = MOST_HEADER_BYTES + 8
"""Of a file, in which its header ends."""
SCALE = ".int8_scale"
AVERAGE = "average/"
"""How the names of averaged parameters begin in a checkpoint."""
LEAST_QUANTISED = 1024
"""Smaller arrays stay float32: they weigh next to nothing, and biases and scales of norms need their digits."""

_DTYPES: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I8": np.dtype("i1")}


def read_weights(data: bytes, most: int) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a safetensors file as float32; those that are int8 are scaled back.

    Args:
        data: The file.
        most: Number of parameters that it may hold.

    Raises:
        InputError: It is none, or holds what no bundle does.
    """
    stored = _arrays(data)
    if sum(value.size for name, value in stored.items() if not name.endswith(SCALE)) != most:
        raise _wrong("holds other parameters than config.json describes")
    return {name: _scaled(name, value, stored) for name, value in stored.items() if not name.endswith(SCALE)}


def shapes_of(beginning: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of a safetensors file, by name, from the beginning that holds its header.

    Raises:
        InputError: There is no such header.
    """
    entries, _ = _entries(beginning)
    return {name: tuple(entry["shape"]) for _, _, name, entry in entries if not name.endswith(SCALE)}


def quantised(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return matrices as int8 with a float32 scale for each of their columns, so that the largest entry is 127."""
    stored: dict[str, NDArray[Any]] = {}
    for name, value in weights.items():
        if value.ndim < 2 or value.size < LEAST_QUANTISED:
            stored[name] = value
            continue
        largest = np.abs(value).max(axis=tuple(range(value.ndim - 1)))
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        stored[name] = np.rint(value / scale).astype(np.int8)
        stored[name + SCALE] = scale
    return stored


def averaged(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return the averaged parameters of a checkpoint by their own names."""
    return {name.removeprefix(AVERAGE): value for name, value in tensors.items() if name.startswith(AVERAGE)}


def together(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the weights of models under the names that they have in an ensemble; of one model, its own."""
    if len(members) == 1:
        return dict(members[0])
    return {f"members.{place}.{name}": value for place, of in enumerate(members) for name, value in of.items()}


def _scaled(name: str, value: NDArray[Any], stored: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    if value.dtype == np.float32:
        return value
    scale = stored.get(name + SCALE)
    if scale is None or scale.dtype != np.float32 or scale.shape != value.shape[-1:]:
        raise _wrong(f"holds no scale for {name[:60]!r}")
    scaled: NDArray[np.float32] = value.astype(np.float32) * scale
    return scaled


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays that lie in a file end to end, as its header says; every byte belongs to one."""
    entries, start = _entries(data)
    body, arrays, last = memoryview(data)[start:], {}, 0
    for begin, end, name, entry in entries:
        if begin != last or not begin <= end <= len(body):
            raise _wrong("has arrays that overlap or leave gaps")
        arrays[name] = _array(body[begin:end], entry)
        last = end
    if last != len(body):
        raise _wrong("goes on after its arrays")
    return arrays


def _entries(data: bytes) -> tuple[list[tuple[int, int, str, Mapping[str, Any]]], int]:
    """Return what the header of a file says of its arrays, in the order of their bytes, and where these begin."""
    if len(data) < 8 or (size := struct.unpack("<Q", data[:8])[0]) > min(MOST_HEADER_BYTES, len(data) - 8):
        raise _wrong("has no header")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
        header.pop("__metadata__", None)
        entries = [(*entry["data_offsets"], name, entry) for name, entry in header.items()]
        if not all(_is_sound(*entry) for entry in entries):
            raise ValueError("no array")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _wrong(f"cannot be read ({type(error).__name__})") from error
    return sorted(entries, key=lambda entry: entry[0]), 8 + size


def _is_sound(begin: Any, end: Any, name: str, entry: Mapping[str, Any]) -> bool:
    """Whether an entry is of numbers of a kind and shape that bundles have, and of as many bytes as these take."""
    del name
    shape, kind = entry["shape"], _DTYPES.get(entry["dtype"])
    if kind is None or not isinstance(shape, list) or len(shape) > 8 or type(begin) is not int or type(end) is not int:
        return False
    return all(type(size) is int and 0 < size < 2**31 for size in shape) and end - begin == prod(shape) * kind.itemsize


def _array(body: memoryview, entry: Mapping[str, Any]) -> NDArray[Any]:
    array = np.frombuffer(body, _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise _wrong("holds what is no number")
    return array


def _wrong(what: str) -> InputError:
    return InputError(f"model.safetensors: {what}; export the model again")

"""Weights of a bundle: float32 arrays by name in safetensors, or int8 with a scale for each column of a matrix."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError

MOST_HEADER_BYTES = 2**20
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
    weights = {name: _scaled(name, value, stored) for name, value in stored.items() if not name.endswith(SCALE)}
    if sum(value.size for value in weights.values()) != most:
        raise _wrong("holds other parameters than config.json describes")
    return weights


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
    if len(data) < 8 or (size := struct.unpack("<Q", data[:8])[0]) > min(MOST_HEADER_BYTES, len(data) - 8):
        raise _wrong("has no header")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
        header.pop("__metadata__", None)
        entries = [(*entry["data_offsets"], name, entry) for name, entry in header.items()]
        body, arrays, last = memoryview(data)[8 + size :], {}, 0
        for begin, end, name, entry in sorted(entries, key=lambda entry: entry[0]):
            if type(begin) is not int or begin != last or not begin <= end <= len(body):
                raise ValueError("arrays overlap or leave gaps")
            arrays[name] = _array(body[begin:end], entry)
            last = end
        if last != len(body):
            raise ValueError("something follows the arrays")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _wrong(f"cannot be read ({type(error).__name__})") from error
    return arrays


def _array(body: memoryview, entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
    if not all(type(size) is int and 0 < size < 2**31 for size in shape) or len(shape) > 8:
        raise ValueError("no shape")
    array = np.frombuffer(body, dtype).reshape(shape)
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise ValueError("not finite")
    return array


def _wrong(what: str) -> InputError:
    return InputError(f"model.safetensors: {what}; export the model again")

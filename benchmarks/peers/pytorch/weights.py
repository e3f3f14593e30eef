"""Weights that were handed over: arrays by the dotted paths of automl's parameters, each taken once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Form:
    """What a parameter is to an optimizer, and the matrices or vectors that it holds side by side.

    Attributes:
        kind: `matrix`, `embedding` or `vector`.
        gates: Matrices, or vectors, one below the other.
        taps: Matrices along the last axis, which then is the third.
    """

    kind: Literal["matrix", "embedding", "vector"]
    gates: int = 1
    taps: int = 0

    def pieces(self, array: Tensor) -> list[Tensor]:
        """Return views of the matrices, `[outputs, inputs]`, or of the vectors."""
        gates = array.chunk(self.gates) if self.gates > 1 else [array]
        return [piece for gate in gates for piece in (gate.unbind(2) if self.taps else [gate])]


class Weights:
    """Arrays below one path."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], path: str = "", taken: set[str] | None = None) -> None:
        self._arrays, self._path = arrays, path
        self._taken = set() if taken is None else taken

    def at(self, path: str) -> "Weights":
        """Return those further below."""
        return Weights(self._arrays, f"{self._path}{path}.", self._taken)

    def has(self, name: str) -> bool:
        """Say whether there is an array, or one below the name."""
        whole = self._path + name
        return any(path == whole or path.startswith(f"{whole}.") for path in self._arrays)

    def left(self) -> list[str]:
        """Return the paths of arrays that nobody has taken."""
        return sorted(set(self._arrays) - self._taken)

    def matrix(self, name: str) -> nn.Parameter:
        """Take `[inputs, outputs]` as `[outputs, inputs]`."""
        return _parameter(self._take(name).T, Form("matrix"))

    def embedding(self, name: str) -> nn.Parameter:
        """Take a row for each token or place."""
        return _parameter(self._take(name), Form("embedding"))

    def vector(self, name: str) -> nn.Parameter:
        """Take a vector; of `[gates, size]` one after the other."""
        array = self._take(name)
        return _parameter(array.reshape(-1), Form("vector", gates=len(array) if array.ndim == 2 else 1))

    def gates(self, name: str) -> nn.Parameter:
        """Take `[inputs, gates, outputs]` as `[gates · outputs, inputs]`."""
        array = self._take(name)
        return _parameter(array.transpose(1, 2, 0).reshape(-1, len(array)), Form("matrix", gates=array.shape[1]))

    def kernel(self, name: str) -> nn.Parameter:
        """Take a convolution's `[taps, inputs, gates, outputs]` as `[gates · outputs, inputs, taps]`."""
        array = self._take(name)
        taps, inputs, gates, _ = array.shape
        return _parameter(array.transpose(2, 3, 1, 0).reshape(-1, inputs, taps), Form("matrix", gates, taps))

    def _take(self, name: str) -> NDArray[np.float32]:
        path = self._path + name
        if path in self._taken:
            raise ValueError(f"{path} was taken before")
        self._taken.add(path)
        return self._arrays[path]


def form_of(parameter: nn.Parameter) -> Form:
    """Return what a parameter is to an optimizer."""
    form: Form = parameter.form  # type: ignore[attr-defined]
    return form


def _parameter(array: NDArray[np.float32], form: Form) -> nn.Parameter:
    parameter = nn.Parameter(torch.from_numpy(np.array(array, np.float32, order="C")))
    parameter.form = form  # type: ignore[attr-defined]
    return parameter

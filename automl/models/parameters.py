"""Parameters: declared as shapes, initialised by NumPy, handled as a flat dict of arrays.

A model is built without computing anything: its parameters are shapes with an initializer. That
costs microseconds, compiles nothing, and gives the same bits on every platform.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import NDArray

Initializer = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.floating[Any]]]
Parameters = Mapping[str, Float[Array, "..."]]
Declared = Mapping[str, nnx.Param[Any]]


class Width(NamedTuple):
    """The last axis of a sequence of vectors: its size in all is `blocks` parts of `size` each."""

    size: int
    blocks: int = 1

    @property
    def total(self) -> int:
        """Size of all parts together."""
        return self.size * self.blocks

    @staticmethod
    def of(width: "Width | int") -> "Width":
        """Return a width; a number is one part."""
        return width if isinstance(width, Width) else Width(width)


class Form(NamedTuple):
    """What a parameter is to an optimizer.

    Attributes:
        kind: `matrix`, `embedding` (a row a token, or a position) or `vector` (biases, scales, and what scores).
        rows: Axis of a matrix's inputs; every axis but rows and columns stacks matrices.
        columns: Axis of a matrix's outputs.
    """

    kind: Literal["matrix", "embedding", "vector"]
    rows: int = 0
    columns: int = -1


MATRIX, EMBEDDING, VECTOR = Form("matrix"), Form("embedding"), Form("vector")


def parameter(
    shape: tuple[int, ...], initializer: Initializer, form: Form = VECTOR, blocks: tuple[int, ...] = ()
) -> Any:
    """Declare a float32 parameter: a shape now, an array once the model is bound to values.

    Args:
        shape: Sizes of the axes.
        initializer: Makes the start values.
        form: What it is to an optimizer.
        blocks: For each axis, how many parts of equal size lie on it, each padded by itself; 1 where not given.
    """
    struct: Any = jax.ShapeDtypeStruct
    parts = (*blocks, *(1,) * (len(shape) - len(blocks)))
    return nnx.Param(struct(shape, jnp.float32), initializer=initializer, form=form, blocks=parts)


def zeros(_: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    """Start at 0."""
    return np.zeros(shape)


def ones(_: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    """Start at 1."""
    return np.ones(shape)


def scaled(fan_in: int, fan_out: int) -> Initializer:
    """Start uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    return lambda generator, shape: generator.uniform(-bound, bound, shape)


def normal(deviation: float) -> Initializer:
    """Start from a normal distribution around 0."""
    return lambda generator, shape: generator.normal(0, deviation, shape)


def orthogonal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    """Start each `[size, gate, size]` gate as a random orthogonal matrix (Saxe et al., 2014)."""
    rows, gates, columns = shape
    matrices = [np.linalg.qr(generator.normal(size=(rows, columns)))[0] for _ in range(gates)]
    return np.stack(matrices, axis=1)


def open_gate(index: int) -> Initializer:
    """Start the biases `[gate, size]` at 0, but one gate's at 1 (Jozefowicz et al., 2015)."""

    def initializer(_: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
        bias = np.zeros(shape)
        bias[index] = 1
        return bias

    return initializer


def declared(model: nnx.Module) -> dict[str, nnx.Param[Any]]:
    """Return a model's parameters by dotted path, sorted."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): param for path, param in sorted(flat, key=lambda item: str(item[0]))}


def forms(model: nnx.Module) -> dict[str, Form]:
    """Return what each parameter is to an optimizer."""
    return {path: param.get_metadata("form") for path, param in declared(model).items()}


def true_shapes(model: nnx.Module) -> dict[str, tuple[int, int]]:
    """Return rows and columns of each parameter; of a stack, those of one matrix, and a vector is one row."""
    shapes = {}
    for path, param in declared(model).items():
        form, shape = param.get_metadata("form"), param.get_value().shape
        shapes[path] = (1 if form.kind == "vector" else shape[form.rows], shape[form.columns])
    return shapes


def initialise(model: nnx.Module, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return start values of a model's parameters."""
    return drawn(declared(model), seed)


def drawn(of: Declared, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return start values; each depends on the seed and its path alone."""
    values = {}
    for path, param in of.items():
        digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        initializer: Initializer = param.get_metadata("initializer")
        values[path] = initializer(generator, param.get_value().shape).astype(np.float32)
    return values


def padded(values: Mapping[str, NDArray[Any]], true: nnx.Module, model: nnx.Module) -> dict[str, NDArray[Any]]:
    """Return the parameters of a model laid into those of a larger one; what is beyond them is 0."""
    return laid(values, declared(true), declared(model))


def unpadded(values: Mapping[str, NDArray[Any]], true: nnx.Module, model: nnx.Module) -> dict[str, NDArray[Any]]:
    """Return the parameters of a model that were laid into those of a larger one."""
    return cut(values, declared(true), declared(model))


def laid(values: Mapping[str, NDArray[Any]], true: Declared, larger: Declared) -> dict[str, NDArray[Any]]:
    """Return values of declared parameters laid into those of larger ones by the same paths; the rest is 0."""
    found = {}
    for name, param in larger.items():
        dtype = values[name].dtype if name in values else np.dtype(np.float32)
        found[name] = np.zeros(param.get_value().shape, dtype)
        if name in values:
            parts = true[name].get_metadata("blocks")
            inside = _inside(found[name], values[name].shape, parts, param.get_metadata("blocks"))
            inside[...] = _in_blocks(values[name], parts)
    return found


def cut(values: Mapping[str, NDArray[Any]], true: Declared, larger: Declared) -> dict[str, NDArray[Any]]:
    """Return the values that were laid into those of larger parameters."""
    found = {}
    for name, param in true.items():
        shape, parts = param.get_value().shape, larger[name].get_metadata("blocks")
        found[name] = _inside(np.asarray(values[name]), shape, param.get_metadata("blocks"), parts).reshape(shape)
    return found


def _in_blocks(array: NDArray[Any], blocks: tuple[int, ...]) -> NDArray[Any]:
    shape = [part for size, count in zip(array.shape, blocks, strict=True) for part in (count, size // count)]
    return array.reshape(shape)


def _inside(
    array: NDArray[Any], shape: tuple[int, ...], blocks: tuple[int, ...], larger: tuple[int, ...]
) -> NDArray[Any]:
    """View the part of a padded array that a true shape fills, block by block."""
    cut = [slice(end) for size, count in zip(shape, blocks, strict=True) for end in (count, size // count)]
    return _in_blocks(array, larger)[tuple(cut)]

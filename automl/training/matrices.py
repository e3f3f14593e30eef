"""A parameter as a stack of matrices, and how much of each is real where arrays are padded with 0."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from automl.models.parameters import Form

Number = int | Int[Array, ""]
Sizes = Mapping[str, tuple[Number, Number]]
"""True rows and columns of each parameter by path; a vector is one row. What is left out is a layer that is none."""
Matrices = Float[Array, "stack rows columns"]


class Stack(NamedTuple):
    """A parameter whose matrices have their inputs as rows.

    Attributes:
        form: What it is to an optimizer.
        shape: That of its array.
        rows: True rows of each matrix.
        columns: True columns.
    """

    form: Form
    shape: tuple[int, ...]
    rows: Number
    columns: Number

    @staticmethod
    def of(form: Form, shape: tuple[int, ...], size: tuple[Number, Number] | None = None) -> "Stack":
        """Return the stack of a parameter; without a size, all of its array is real."""
        rows, columns = size or (1 if form.kind == "vector" else shape[form.rows], shape[form.columns])
        return Stack(form, shape, rows, columns)

    def matrices(self, array: Float[Array, "..."]) -> Matrices:
        """Return the matrices of the array."""
        moved = jnp.moveaxis(array, self._axes, self._places)
        return moved.reshape(-1, *(moved.shape[-2:] if len(self._axes) == 2 else (1, moved.shape[-1])))

    def array(self, matrices: Matrices) -> Float[Array, "..."]:
        """Return the array of the matrices."""
        others = [size for axis, size in enumerate(self.shape) if axis not in self._axes]
        sides = [self.shape[axis] for axis in self._axes]
        return jnp.moveaxis(matrices.reshape(*others, *sides), self._places, self._axes)

    @property
    def _axes(self) -> tuple[int, ...]:
        named = (self.form.columns,) if self.form.kind == "vector" else (self.form.rows, self.form.columns)
        return tuple(axis % len(self.shape) for axis in named)

    @property
    def _places(self) -> tuple[int, ...]:
        return (-2, -1)[-len(self._axes) :]

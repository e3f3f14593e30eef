"""A parameter as a stack of matrices, and how much of each is real where arrays are padded with 0."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from automl.models.parameters import Form, Parameters

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
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of each matrix of the array, padding included."""
        *rows, columns = (self.shape[axis] for axis in self._axes)
        return rows[0] if rows else 1, columns

    @property
    def height(self) -> int:
        """How many matrices there are."""
        return prod(self.shape) // prod(self.matrix)

    @property
    def _axes(self) -> tuple[int, ...]:
        named = (self.form.columns,) if self.form.kind == "vector" else (self.form.rows, self.form.columns)
        return tuple(axis % len(self.shape) for axis in named)

    @property
    def _places(self) -> tuple[int, ...]:
        return (-2, -1)[-len(self._axes) :]


class Group(NamedTuple):
    """Parameters whose matrices have one shape, as one stack.

    Attributes:
        stack: That of all of them.
        members: The stack of each, by its name.
    """

    stack: Stack
    members: Mapping[str, Stack]

    def joined(self, parameters: Parameters) -> Float[Array, "..."]:
        """Return the members' arrays as one of the whole stack."""
        if len(self.members) == 1:
            return parameters[next(iter(self.members))]
        return jnp.concatenate([own.matrices(parameters[name]) for name, own in self.members.items()])

    def parted(self, array: Float[Array, "..."]) -> dict[str, Float[Array, "..."]]:
        """Return each member's array, from one of the whole stack."""
        if len(self.members) == 1:
            return dict.fromkeys(self.members, array)
        found, begin = {}, 0
        for name, own in self.members.items():
            end = begin + own.height
            found[name] = own.array(array[begin:end])
            begin = end
        return found


def stacked(stacks: Mapping[str, Stack], *, is_padded: bool) -> Iterator[Group]:
    """Yield parameters with matrices of one shape together; each by itself where how much of it is real is data."""
    alike: dict[object, dict[str, Stack]] = {}
    for name, own in stacks.items():
        alike.setdefault(name if is_padded else (own.form.kind, own.matrix), {})[name] = own
    for members in alike.values():
        first, *others = members.values()
        shape = (sum(own.height for own in members.values()), *first.matrix)
        yield Group(Stack.of(Form(first.form.kind, 1, 2), shape) if others else first, members)

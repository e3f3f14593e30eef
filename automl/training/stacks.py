"""Stacks: the parameters of a model as a few arrays of matrices of one shape.

What an optimizer does to whole matrices is compiled once a stack, not once a parameter.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from automl.models.parameters import Form, Parameters

Number = int | Int[Array, ""]
Sizes = Mapping[str, tuple[Number, Number]]
"""True rows and columns of each parameter by path; a vector is one row. What is left out is a layer that is none."""
Matrices = Float[Array, "stack rows columns"]


class Member(NamedTuple):
    """A parameter of a stack; rows are its inputs, and matrices lie with their longer side as columns.

    Attributes:
        form: What it is to an optimizer.
        shape: That of its array.
    """

    form: Form
    shape: tuple[int, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of rows and columns in the array, as they lie in the stack; a vector has columns alone."""
        columns = self.form.columns % len(self.shape)
        if self.form.kind == "vector":
            return (columns,)
        rows = self.form.rows % len(self.shape)
        return (columns, rows) if self.turned else (rows, columns)

    @property
    def turned(self) -> bool:
        """Whether its columns lie as rows."""
        return self.form.kind == "matrix" and self.shape[self.form.rows] > self.shape[self.form.columns]

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns as they lie in the stack."""
        sides = tuple(self.shape[axis] for axis in self.axes)
        return (sides[0], sides[1]) if len(sides) == 2 else (1, sides[0])

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the array."""
        return self.sides[::-1] if self.turned else self.sides

    @property
    def stacked(self) -> int:
        """Number of matrices."""
        return int(np.prod(self.shape)) // int(np.prod(self.sides))

    def matrices(self, array: Float[Array, "..."]) -> Matrices:
        """Return the matrices of the array."""
        places = (-2, -1)[-len(self.axes) :]
        return jnp.moveaxis(array, self.axes, places).reshape(self.stacked, *self.sides)

    def array(self, matrices: Matrices) -> Float[Array, "..."]:
        """Return the array of the matrices."""
        others = [size for axis, size in enumerate(self.shape) if axis not in self.axes]
        places = (-2, -1)[-len(self.axes) :]
        return jnp.moveaxis(matrices.reshape(*others, *(self.shape[a] for a in self.axes)), places, self.axes)


class Stack(NamedTuple):
    """Parameters of one kind and shape.

    Attributes:
        members: By path.
        rows: True rows of each matrix as it lies, at least 1.
        columns: True columns likewise.
        growth: Outputs of each matrix divided by its inputs.
    """

    members: Mapping[str, Member]
    rows: Float[Array, "stack 1 1"]
    columns: Float[Array, "stack 1 1"]
    growth: Float[Array, "stack 1 1"]

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of each matrix, its padding included."""
        return next(iter(self.members.values())).sides

    @property
    def kind(self) -> str:
        """Kind of the parameters."""
        return next(iter(self.members.values())).form.kind

    def matrices(self, parameters: Parameters) -> Matrices:
        """Return the matrices of all members."""
        return jnp.concatenate([member.matrices(parameters[name]) for name, member in self.members.items()])

    def arrays(self, matrices: Matrices) -> dict[str, Array]:
        """Return the members' arrays of the matrices."""
        ends = np.cumsum([0, *(member.stacked for member in self.members.values())])
        parts = zip(self.members.items(), pairwise(ends.tolist()), strict=True)
        return {name: member.array(matrices[begin:end]) for (name, member), (begin, end) in parts}


def stacks_of(parameters: Parameters, forms: Mapping[str, Form], sizes: Sizes | None) -> list[Stack]:
    """Return the stacks of some parameters; without sizes, all of each array is real."""
    alike: dict[tuple[str, tuple[int, int]], dict[str, Member]] = defaultdict(dict)
    for name, value in parameters.items():
        member = Member(forms[name], tuple(value.shape))
        alike[forms[name].kind, member.sides][name] = member
    dtype = next(iter(parameters.values())).dtype
    return [_stack(members, sizes, dtype) for members in alike.values()]


def _stack(members: Mapping[str, Member], sizes: Sizes | None, dtype: Any) -> Stack:
    inputs, outputs, turned = [], [], []
    for name, member in members.items():
        rows, columns = member.size if sizes is None else sizes.get(name, (0, 0))
        inputs += [rows] * member.stacked
        outputs += [columns] * member.stacked
        turned += [member.turned] * member.stacked
    own, other = (_numbers(side, dtype) for side in (inputs, outputs))
    flip = np.array(turned)[:, None, None]
    return Stack(members, jnp.where(flip, other, own), jnp.where(flip, own, other), other / own)


def _numbers(values: Sequence[Number], dtype: Any) -> Float[Array, "stack 1 1"]:
    return jnp.maximum(jnp.stack([jnp.asarray(value, dtype) for value in values]), 1)[:, None, None]

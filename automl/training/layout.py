"""Parameters end to end: what an optimizer treats alike is one array, so that a program has few operations.

Of the time that a recurrent model compiles, half went into updates of its two dozen parameters, one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import jax.numpy as jnp
from jaxtyping import Array, Float

from automl.models.parameters import MATRIX, VECTOR, Form, Parameters
from search_spaces.optimizers import AdamW, Lion, Optimizer

ELEMENTWISE = (AdamW, Lion)
"""Optimizers to which a parameter is the same whatever its axes are."""
ENCODER = "encoder."
"""How the names of an encoder's parameters begin, and those of the arrays that hold them."""


@dataclass(frozen=True)
class Layout:
    """Which parameters lie in which array.

    Attributes:
        shapes: Of the parameters.
        members: The parameters of each array, in their order; one that is alone keeps its axes.
        forms: What each array is to an optimizer.
    """

    shapes: Mapping[str, tuple[int, ...]]
    members: Mapping[str, Sequence[str]]
    forms: Mapping[str, Form]

    @staticmethod
    def of(parameters: Parameters, forms: Mapping[str, Form], kinds: Sequence[type[Optimizer]]) -> "Layout":
        """Return the layout for some optimizers: matrices and others, of the encoder and of the rest, or all alone."""
        shapes = {name: value.shape for name, value in parameters.items()}
        if not set(kinds) <= set(ELEMENTWISE):
            return Layout(shapes, {name: (name,) for name in shapes}, {name: forms[name] for name in shapes})
        members: dict[str, list[str]] = {}
        for name in shapes:
            part = ENCODER if name.startswith(ENCODER) else ""
            members.setdefault(part + ("matrices" if forms[name].kind == "matrix" else "others"), []).append(name)
        own = {array: MATRIX if array.endswith("matrices") else VECTOR for array in members}
        return Layout(shapes, members, own)

    def packed(self, parameters: Parameters) -> dict[str, Float[Array, "..."]]:
        """Return the arrays that hold parameters."""
        return {array: _joined([parameters[name] for name in names]) for array, names in self.members.items()}

    def unpacked(self, arrays: Parameters) -> dict[str, Float[Array, "..."]]:
        """Return the parameters that arrays hold."""
        found, sizes = {}, {name: prod(shape) for name, shape in self.shapes.items()}
        for array, names in self.members.items():
            flat, begin = arrays[array].reshape(-1), 0
            for name in names:
                found[name] = flat[begin : begin + sizes[name]].reshape(self.shapes[name])
                begin += sizes[name]
        return found


def _joined(values: Sequence[Float[Array, "..."]]) -> Float[Array, "..."]:
    return values[0] if len(values) == 1 else jnp.concatenate([value.reshape(-1) for value in values])

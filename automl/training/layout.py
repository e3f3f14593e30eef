"""Parameters end to end: those of a kind are one array, so that a program has few operations.

Of the time that a recurrent model compiled, a third went into updates of its two dozen parameters, one by one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import jax.numpy as jnp
from jaxtyping import Array, Float

from automl.models.parameters import MATRIX, VECTOR, Form, Parameters

ENCODER = "encoder."
"""How the names of an encoder's parameters begin, and those of the arrays that hold them."""


@dataclass(frozen=True)
class Layout:
    """Which parameters lie in which array.

    Attributes:
        shapes: Of the parameters.
        forms: What each parameter is to an optimizer.
        members: The parameters of each array, in their order; one that is alone keeps its axes.
        kinds: What each array is to an optimizer, as far as its axes do not matter.
    """

    shapes: Mapping[str, tuple[int, ...]]
    forms: Mapping[str, Form]
    members: Mapping[str, Sequence[str]]
    kinds: Mapping[str, Form]

    @staticmethod
    def of(parameters: Parameters, forms: Mapping[str, Form]) -> "Layout":
        """Return the layout of few arrays: matrices and others, of the encoder and of the rest."""
        shapes = {name: value.shape for name, value in parameters.items()}
        members: dict[str, list[str]] = {}
        for name in shapes:
            part = ENCODER if name.startswith(ENCODER) else ""
            members.setdefault(part + ("matrices" if forms[name].kind == "matrix" else "others"), []).append(name)
        kinds = {array: MATRIX if array.endswith("matrices") else VECTOR for array in members}
        return Layout(shapes, forms, members, kinds)

    @staticmethod
    def apart(parameters: Parameters, forms: Mapping[str, Form]) -> "Layout":
        """Return the layout in which each parameter is an array."""
        shapes = {name: value.shape for name, value in parameters.items()}
        return Layout(shapes, forms, {name: (name,) for name in shapes}, forms)

    def packed(self, parameters: Parameters) -> dict[str, Float[Array, "..."]]:
        """Return the arrays that hold parameters."""
        return {array: _joined([parameters[name] for name in names]) for array, names in self.members.items()}

    def unpacked(self, arrays: Parameters) -> dict[str, Float[Array, "..."]]:
        """Return the parameters that arrays hold."""
        found = {}
        for array, names in self.members.items():
            begin = 0
            for name in names:
                end = begin + prod(self.shapes[name])
                alone = len(names) == 1
                found[name] = arrays[array] if alone else arrays[array][begin:end].reshape(self.shapes[name])
                begin = end
        return found

    def without(self, arrays: Collection[str]) -> "Layout":
        """Return the layout that lacks some of the arrays."""
        return replace(self, members={name: own for name, own in self.members.items() if name not in arrays})


def _joined(values: Sequence[Float[Array, "..."]]) -> Float[Array, "..."]:
    return values[0] if len(values) == 1 else jnp.concatenate([value.reshape(-1) for value in values])

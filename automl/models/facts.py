"""Facts: what a padded model of several kinds must know of the one that it is to be.

A model is built for one configuration or for several. For several, its sizes are the largest, its
kinds are all of theirs, and which sizes and kinds are meant is data: each module declares the facts
that its arithmetic needs, beside its parameters. For one, every fact is a Python number, and neither
mask nor switch is in its program.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.parameters import Parameters

T = TypeVar("T")
Number = int | Int[Array, ""]


class Fact(nnx.Variable[Any]):
    """A size, a number of layers or heads, or the place of a kind among `names`."""


def fact(value: int) -> Any:
    """Declare a number: this one, unless the model is bound to the facts of another."""
    return Fact(value, names=None)


def kind_among(names: Iterable[str]) -> Any:
    """Declare which of several kinds is meant: the only one there is, or one that the model is bound to."""
    return Fact(0, names=tuple(dict.fromkeys(names)))


def number(declared: Any) -> Number:
    """Return the value of a fact: a Python number, or an array in a model that is bound to facts."""
    value: Number = declared.get_value()
    return value


def names(declared: Any) -> tuple[str, ...]:
    """Return the kinds among which a fact chooses."""
    found: tuple[str, ...] = declared.get_metadata("names")
    return found


def is_kind(declared: Any, name: str) -> bool | Array:
    """Say whether a kind is meant; a Python truth value where no other could be."""
    among = names(declared)
    if name not in among or len(among) == 1:
        return name in among
    return jnp.asarray(number(declared)) == among.index(name)


def of_kind(declared: Any, branches: Mapping[str, Callable[[], T]]) -> T:
    """Compute what the kind that is meant computes, and nothing of the others."""
    among = names(declared)
    if len(among) == 1:
        return branches[among[0]]()
    chosen: T = jax.lax.switch(number(declared), [branches[name] for name in among])
    return chosen


def times(flag: bool | Array, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return `x` where the flag holds, and 0 otherwise."""
    if isinstance(flag, bool):
        return x if flag else jnp.zeros_like(x)
    return jnp.where(flag, x, 0.0)


class OneOf(nnx.Module):
    """Members of one family under their names, of which one is meant."""

    def __init__(self, members: Mapping[str, nnx.Module]) -> None:
        self.kind = kind_among(members)
        for name, member in members.items():
            setattr(self, name, member)

    def pick(self, call: Callable[[Any], T]) -> T:
        """Call the member that is meant."""
        return of_kind(self.kind, {name: _later(call, getattr(self, name)) for name in names(self.kind)})

    def members(self) -> dict[str, Any]:
        """Return the members by name."""
        return {name: getattr(self, name) for name in names(self.kind)}


def _later(call: Callable[[Any], T], member: Any) -> Callable[[], T]:
    return lambda: call(member)


def facts(model: nnx.Module) -> dict[str, int | str]:
    """Return the facts of a model of one configuration by dotted path; of a kind, its name."""
    found: dict[str, int | str] = {}
    for path, declared in nnx.to_flat_state(nnx.state(model, Fact)):
        among = declared.get_metadata("names")
        found[".".join(map(str, path))] = declared.get_value() if among is None else among[declared.get_value()]
    return found


def encoded(model: nnx.Module, true: Mapping[str, int | str]) -> dict[str, int]:
    """Return the facts of a model of one configuration as the numbers that another is bound to.

    What the smaller model does not have is 0 in the larger one: a layer beyond its depth, a kind that it is not.
    """
    numbers = {}
    for path, declared in nnx.to_flat_state(nnx.state(model, Fact)):
        name = ".".join(map(str, path))
        among, value = declared.get_metadata("names"), true.get(name, 0)
        numbers[name] = value if isinstance(value, int) else among.index(value)
    return numbers


def bind(model: nnx.Module, values: Parameters, given: Mapping[str, Any] | None = None) -> Any:
    """Return the model with values for its parameters; inside a trace they may be traced.

    Args:
        model: A model whose parameters are shapes.
        values: Arrays of those shapes by dotted path.
        given: Numbers from `encoded` (or arrays of them) for a model of several configurations: then it computes what
            the model of that one would.
    """
    graph, state = nnx.split(model)
    paths = {".".join(map(str, path)): path for path, _ in nnx.to_flat_state(state)}
    own = {name: leaf.get_value() for name, leaf in _facts(state).items()} if given is None else dict(given)
    return nnx.merge(graph, nnx.from_flat_state([(paths[name], {**values, **own}[name]) for name in paths]))


def _facts(state: Any) -> dict[str, Any]:
    return {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(state) if isinstance(leaf, Fact)}


def distinct(values: Iterable[T]) -> Sequence[T]:
    """Return the values without repetition, in the order of their first appearance."""
    return tuple(dict.fromkeys(values))

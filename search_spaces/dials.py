"""Dials: the fields of a configuration that a search may turn.

A configuration is a frozen dataclass; a dial is a field with a default and a range. The defaults
alone are a valid configuration. `sample` turns every dial by asking a trial for it, so the names
that Optuna sees are the paths of the fields: `encoder.Recurrent.hidden_size`.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeVar

Value = bool | int | float | str


class SpaceError(ValueError):
    """A space or a configuration that cannot be: one line that names the dial and its range."""


@dataclass(frozen=True)
class Choice:
    """A dial with a few values."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Uniform:
    """A dial with a range of real numbers, drawn evenly on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class OneOf:
    """A dial whose values are kinds: dataclasses with dials of their own."""

    kinds: tuple[type, ...]

    def names(self) -> tuple[str, ...]:
        """Return the kinds' names, the default first."""
        return _names_of(self.kinds)


@cache
def _names_of(kinds: tuple[type, ...]) -> tuple[str, ...]:
    return tuple(kind.__name__ for kind in kinds)


Dial = Choice | Uniform | OneOf


def choice(default: Value, *values: Value) -> Any:
    """Declare a field that takes one of `values` (at least the default)."""
    return field(default=default, metadata={"dial": Choice(values or (default,))})


def later(default: Value, *values: Value, before: Value | None = None) -> Any:
    """Declare a choice that earlier versions did not have: a configuration of theirs has `before`, else the default."""
    metadata = {"dial": Choice(values), "later": True, "before": default if before is None else before}
    return field(default=default, metadata=metadata)


def uniform(default: float, low: float, high: float, log: bool = False) -> Any:
    """Declare a field that takes a real number between `low` and `high`."""
    return field(default=default, metadata={"dial": Uniform(low, high, log)})


def one_of(default: type, *others: type) -> Any:
    """Declare a field that takes a configuration of one of several kinds."""
    return field(default_factory=default, metadata={"dial": OneOf((default, *others))})


def later_kind(default: type, *others: type) -> Any:
    """Declare kinds that earlier versions did not have: a configuration of theirs has the default."""
    return field(default_factory=default, metadata={"dial": OneOf((default, *others)), "later": True})


class Trial(Protocol):
    """The part of `optuna.trial.BaseTrial` that sampling needs."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of `choices`."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, step: None = None, log: bool = False) -> float:
        """Return a number from `low` to `high`."""
        ...


Narrowing = Mapping[str, Dial]
"""A dial's full path → what is left of its range."""

Configuration = TypeVar("Configuration")


def dials(kind: type, prefix: str = "") -> Iterator[tuple[str, Dial, Any]]:
    """Yield path, dial and default of every dial of a kind, and of the kinds within it."""
    for item in dataclasses.fields(kind):
        dial = item.metadata["dial"]
        path = f"{prefix}{item.name}"
        yield path, dial, default_value(item)
        if isinstance(dial, OneOf):
            for member in dial.kinds:
                yield from dials(member, f"{path}.{member.__name__}.")


def default_value(item: dataclasses.Field[Any]) -> Any:
    """Return the default of a field, of a kind that is its name."""
    if item.default is not dataclasses.MISSING:
        return item.default
    return item.metadata["dial"].kinds[0].__name__


def to_dict(configuration: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON values; each kind carries its name under `kind`."""
    own: type = type(configuration)
    values: dict[str, Any] = {"kind": own.__name__}
    for name in names(own):
        value = getattr(configuration, name)
        kind: type = type(value)
        values[name] = to_dict(value) if _is_kind(kind) else value
    return values


@cache
def names(kind: type) -> tuple[str, ...]:
    """Return the names of the dials of a kind."""
    return tuple(item.name for item in dataclasses.fields(kind))


@cache
def _is_kind(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


def from_dict(kind: type[Configuration], values: Mapping[str, Any], path: str = "") -> Configuration:
    """Rebuild a configuration; names come from the dataclasses alone.

    Raises:
        SpaceError: A key is missing or unknown, or names a kind that does not exist.
    """
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields) - {"kind"}):
        raise SpaceError(f"{path or kind.__name__} has no dial {unknown[0][:60]!r}; it has {', '.join(fields)}")
    known = {name: item for name, item in fields.items() if name in values or not item.metadata.get("later")}
    if missing := sorted(set(known) - set(values)):
        raise SpaceError(f"{path or kind.__name__} lacks the dial {missing[0]!r}")
    before = {name: item.metadata["before"] for name, item in fields.items() if "before" in item.metadata}
    read = {name: _from_value(item.metadata["dial"], values[name], path + name) for name, item in known.items()}
    return kind(**{**before, **read})


def _from_value(dial: Dial, value: Any, path: str) -> Any:
    if not isinstance(dial, OneOf):
        return value
    name = value.get("kind") if isinstance(value, Mapping) else None
    member = next((kind for kind in dial.kinds if kind.__name__ == name), None)
    if member is None:
        raise SpaceError(f"{path} has no kind {repr(name)[:60]}; it has {', '.join(dial.names())}")
    return from_dict(member, value, f"{path}.{member.__name__}.")


def parameters(configuration: Any, prefix: str = "") -> dict[str, Value]:
    """Return the dials that a configuration has, as Optuna names them."""
    found: dict[str, Value] = {}
    own: type = type(configuration)
    for name in names(own):
        value, path = getattr(configuration, name), prefix + name
        kind: type = type(value)
        if _is_kind(kind):
            found[path] = kind.__name__
            found |= parameters(value, f"{path}.{kind.__name__}.")
        else:
            found[path] = value
    return found

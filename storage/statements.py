"""Statements compiled once for a database: the few that run for every segment cost a driver's call each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Delete, Dialect, Insert, Select, Update

Statement = Insert | Update | Delete | Select[Any]
Parameters = dict[str, Any] | tuple[Any, ...]


@dataclass(frozen=True)
class Prepared:
    """A statement in the words of one driver.

    Attributes:
        slots: Of each parameter, in the driver's order, its name and what turns a value into what the driver takes.
        by_name: Whether the driver takes them by name.
        constants: Values that the statement itself brings along.
    """

    text: str
    slots: tuple[tuple[str, Callable[[Any], Any] | None], ...]
    by_name: bool
    constants: Mapping[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> Parameters:
        """The values as the driver takes them; every parameter of the statement must be among them."""
        if self.constants:
            values = {**self.constants, **values}
        given = [values[name] if process is None else process(values[name]) for name, process in self.slots]
        return dict(zip((name for name, _ in self.slots), given, strict=True)) if self.by_name else tuple(given)


def prepare(statement: Statement, dialect: Dialect) -> Prepared:
    """Compile a statement whose values are all bound parameters, for the driver of a dialect."""
    compiled: Any = statement.compile(dialect=dialect)
    names = compiled.positiontup if compiled.positional else compiled.binds
    types = {name: bind.type.dialect_impl(dialect) for name, bind in compiled.binds.items()}
    slots = tuple((name, types[name].bind_processor(dialect)) for name in names)
    constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    return Prepared(str(compiled), slots, not compiled.positional, constants)

"""Statements compiled once for a database: the few that run for every segment cost a driver's call each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Delete, Dialect, Insert, Select, Update

from storage.schema import Moment

Statement = Insert | Update | Delete | Select[Any]
Parameters = dict[str, Any] | list[Any]


@dataclass(frozen=True)
class Prepared:
    """A statement in the words of one driver.

    Attributes:
        names: Of the parameters, in the driver's order.
        processors: By place, what turns a value into what the driver takes.
        by_name: Whether the driver takes them by name.
        constants: Values that the statement itself brings along.
    """

    text: str
    names: tuple[str, ...]
    processors: tuple[tuple[int, Callable[[Any], Any]], ...]
    by_name: bool
    constants: Mapping[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> Parameters:
        """The values as the driver takes them; every parameter of the statement must be among them."""
        if self.constants:
            values = {**self.constants, **values}
        given = [values[name] for name in self.names]
        for place, process in self.processors:
            given[place] = process(given[place])
        return dict(zip(self.names, given, strict=True)) if self.by_name else given


def prepare(statement: Statement, dialect: Dialect) -> Prepared:
    """Compile a statement whose values are all bound parameters, for the driver of a dialect."""
    compiled: Any = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup if compiled.positional else compiled.binds)
    found = (_processor(compiled.binds[name].type.dialect_impl(dialect), dialect) for name in names)
    processors = tuple((place, process) for place, process in enumerate(found) if process is not None)
    constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    return Prepared(str(compiled), names, processors, not compiled.positional, constants)


def _processor(kind: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    process: Callable[[Any], Any] | None = kind.bind_processor(dialect)
    return _moment_processor(dialect) if isinstance(kind, Moment) and process else process


@cache
def _moment_processor(dialect: Dialect) -> Callable[[Any], Any]:
    """One for all columns that remembers the last values: what a transaction writes has one moment."""
    process = Moment().dialect_impl(dialect).bind_processor(dialect)
    assert process is not None
    return lru_cache(maxsize=4)(process)

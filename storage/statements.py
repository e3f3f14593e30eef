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
        processors: What turns a value into what the driver takes, by the name of its parameter.
        order: Names of the parameters where the driver takes them by position, else nothing.
        constants: Values that the statement itself brings along.
    """

    text: str
    processors: Mapping[str, Callable[[Any], Any] | None]
    order: tuple[str, ...] | None
    constants: Mapping[str, Any]

    def parameters(self, values: Mapping[str, Any]) -> Parameters:
        """The values as the driver takes them; every parameter of the statement must be among them."""
        given: dict[str, Any] = {}
        for name, process in self.processors.items():
            value = values[name] if name in values else self.constants[name]
            given[name] = value if process is None else process(value)
        return given if self.order is None else tuple([given[name] for name in self.order])


def prepare(statement: Statement, dialect: Dialect) -> Prepared:
    """Compile a statement whose values are all bound parameters, for `Connection.exec_driver_sql`."""
    compiled: Any = statement.compile(dialect=dialect)
    processors = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
    }
    constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    order = tuple(compiled.positiontup) if compiled.positional else None
    return Prepared(str(compiled), processors, order, constants)

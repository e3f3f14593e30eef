"""How configurations are drawn: what is asked for each dial of a space, worked out once for all draws from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from search_spaces.dials import Choice, Dial, OneOf, Trial, Uniform, names
from search_spaces.seq2seq import BESIDE, LATER

Draw = Callable[[Trial], Any]


@dataclass(frozen=True)
class Known:
    """What is drawn where nothing is free; one configuration for all draws."""

    value: Any

    def __call__(self, _: Trial) -> Any:
        """Return it without asking."""
        return self.value


def drawing(ranges: Mapping[str, Dial], kind: type, prefix: str = "") -> Draw:
    """Return what draws a kind at a place: it asks a trial for each free dial that exists under the kinds drawn so far.

    Args:
        ranges: Full path of each dial → its range.
        prefix: Begins the path of each dial of the kind.
    """
    draws = {name: _draw(ranges, prefix + name) for name in names(kind)}
    fixed = {n: draw.value for n, draw in draws.items() if isinstance(draw, Known) and prefix + n not in BESIDE}
    asked = [(n, draw, BESIDE.get(prefix + n), LATER.get(prefix + n)) for n, draw in draws.items() if n not in fixed]
    if not asked:
        return Known(kind(**fixed))

    def draw_all(trial: Trial) -> Any:
        values = dict(fixed)
        for name, draw, beside, otherwise in asked:
            values[name] = draw(trial) if beside is None or values[beside[0]] == beside[1] else otherwise
        return kind(**values)

    return draw_all


def _draw(ranges: Mapping[str, Dial], path: str) -> Draw:
    match ranges[path]:
        case Choice(values):
            return Known(values[0]) if len(values) < 2 else lambda trial: trial.suggest_categorical(path, values)
        case Uniform(low, high, log):
            return Known(low) if low >= high else lambda trial: trial.suggest_float(path, low, high, log=log)
        case OneOf(kinds) as dial:
            inside = {kind.__name__: drawing(ranges, kind, f"{path}.{kind.__name__}.") for kind in kinds}
            named = dial.names()
            if len(named) < 2:
                return inside[named[0]]
            return lambda trial: inside[trial.suggest_categorical(path, named)](trial)
        case other:
            assert_never(other)

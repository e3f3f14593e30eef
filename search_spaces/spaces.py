"""A space: the dials of `Seq2Seq`, narrowed by a preset and by the user."""

import dataclasses
import difflib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

from search_spaces import encoders, outputs
from search_spaces.dials import Choice, Dial, OneOf, SpaceError, Trial, Uniform, Value, dials, names, parameters
from search_spaces.drawing import Draw, drawing
from search_spaces.seq2seq import BESIDE, LATER, Seq2Seq


@dataclass(frozen=True)
class Space:
    """The configurations that a search may try.

    Attributes:
        ranges: Full path of each dial → its range; of a dial with kinds, the kinds that are left.
        preferred: Full path of each dial → its default inside the range.
    """

    ranges: Mapping[str, Dial]
    preferred: Mapping[str, Value]

    def default(self) -> Seq2Seq:
        """Return the configuration that every search tries first."""
        return self._configure(self.preferred.__getitem__)

    def defaults(self) -> list[Seq2Seq]:
        """Return the default of each combination of families, the default of all first."""
        top = [item.name for item in dataclasses.fields(Seq2Seq) if item.name in {"encoder", "decoder"}]
        kinds = [_preferred_first(self.kinds(path), self.preferred[path]) for path in top]
        combinations = [dict(zip(top, names, strict=True)) for names in itertools.product(*kinds)]
        same_first = sorted(combinations, key=lambda c: (c != combinations[0], len(set(c.values()))))
        return [self._configure({**self.preferred, **combination}.__getitem__) for combination in same_first]

    def configured(self, values: Mapping[str, Value]) -> Seq2Seq:
        """Return the configuration of some values by path, and of the preferred ones elsewhere."""
        return self._configure({**self.preferred, **values}.__getitem__)

    def narrowed(self, path: str, wanted: Any) -> "Space":
        """Return the space in which a dial is pinned, or left fewer choices.

        Raises:
            SpaceError: A value lies outside of its range.
        """
        dial = _narrowed(path, self.ranges[path], wanted)
        preferred = {**self.preferred, path: _nearest(dial, self.preferred[path])}
        return Space({**self.ranges, path: dial}, preferred)

    def preferring(self, wanted: Mapping[str, Value]) -> "Space":
        """Return the space with other defaults, or those that are nearest to them in the ranges of their dials."""
        return Space(
            self.ranges, {**self.preferred, **{path: _nearest(self.ranges[path], v) for path, v in wanted.items()}}
        )

    def sample(self, trial: Trial) -> Seq2Seq:
        """Ask a trial for every dial that exists under the kinds drawn so far."""
        configuration: Seq2Seq = self._drawing(trial)
        return configuration

    @cached_property
    def _drawing(self) -> Draw:
        return drawing(self.ranges, Seq2Seq)

    @cached_property
    def _free(self) -> frozenset[str]:
        return frozenset(path for path, dial in self.ranges.items() if _is_free(dial))

    @cached_property
    def _members(self) -> dict[str, dict[Any, type]]:
        """The kinds of each dial that has kinds, by name."""
        return {path: {k.__name__: k for k in _kinds(dial)} for path, dial in self.ranges.items() if _kinds(dial)}

    def around(self, configuration: Seq2Seq, free: Collection[str]) -> "Space":
        """Return the space in which only the dials of some fields of `Seq2Seq` are free, the rest as they are here.

        The free ones are preferred as they are here, or as near to that as their ranges allow.
        """
        own = parameters(configuration)
        ranges = {
            path: dial if path.split(".")[0] in free or path not in own else _pinned(dial, own[path])
            for path, dial in self.ranges.items()
        }
        preferred = {**self.preferred, **own}
        return Space(ranges, {path: _nearest(ranges[path], value) for path, value in preferred.items()})

    def wider(self, configuration: Seq2Seq) -> Seq2Seq | None:
        """Return a configuration with each width one choice larger, where there is one; nothing where there is none.

        A rate that each element of a step is as large as falls as widths grow (Yang et al., 2022, table 3).
        """
        own = parameters(configuration)
        widths = {path: self.ranges[path] for path in own if path.split(".")[-1] in WIDTHS}
        larger = {path: _larger(dial, own[path]) for path, dial in widths.items() if isinstance(dial, Choice)}
        models = [path for path in larger if path.split(".")[-1] in MODEL_WIDTHS]
        growth = max((float(larger[path]) / float(own[path]) for path in models), default=1.0)
        if growth == 1.0:
            return None
        rates = {path: _nearest(self.ranges[path], float(own[path]) / growth) for path in WIDE_RATES if path in own}
        return self._configure({**self.preferred, **own, **larger, **rates}.__getitem__)

    def parameters(self, configuration: Seq2Seq) -> dict[str, Value]:
        """Return the values of the dials that are free in this space and mean something, by path."""
        free, own = self._free, parameters(configuration)
        return {path: value for path, value in own.items() if path in free and _matters(path, own)}

    def distributions(self, configuration: Seq2Seq) -> dict[str, Choice | Uniform]:
        """Return the ranges behind `parameters`, kinds as choices of their names."""
        return {path: _plain(self.ranges[path]) for path in self.parameters(configuration)}

    def free(self, path: str) -> Iterator[str]:
        """Yield the dials that are free at a path and below it, in the kinds that are left."""
        dial = self.ranges[path]
        if _is_free(dial):
            yield path
        for kind in _kinds(dial):
            for item in dataclasses.fields(kind):
                yield from self.free(f"{path}.{kind.__name__}.{item.name}")

    def reached(self, kind: type = Seq2Seq, prefix: str = "") -> Iterator[str]:
        """Yield the dials that some configuration has."""
        for item in dataclasses.fields(kind):
            path = prefix + item.name
            yield path
            for member in _kinds(self.ranges[path]):
                yield from self.reached(member, f"{path}.{member.__name__}.")

    def size(self) -> int:
        """Return the number of configurations, each real-valued dial counted once."""
        return self._count(Seq2Seq, "")

    def _count(self, kind: type, prefix: str) -> int:
        total = 1
        for item in dataclasses.fields(kind):
            match self.ranges[prefix + item.name]:
                case Choice(values):
                    total *= len(values)
                case Uniform():
                    pass
                case OneOf(kinds):
                    total *= sum(self._count(k, f"{prefix}{item.name}.{k.__name__}.") for k in kinds)
                case other:
                    assert_never(other)
        return total

    def kinds(self, path: str) -> tuple[str, ...]:
        """Return the names of the kinds that are left to a dial; none where it has no kinds."""
        dial = self.ranges[path]
        return dial.names() if isinstance(dial, OneOf) else ()

    def _configure(self, pick: Callable[[str], Any]) -> Seq2Seq:
        configuration: Seq2Seq = self._build(pick, Seq2Seq, "")
        return configuration

    def _build(self, pick: Callable[[str], Any], kind: type, prefix: str) -> Any:
        values: dict[str, Any] = {}
        for name, path, members in self._layout(kind, prefix):
            value = pick(path) if _matters(path, values) else LATER[path]
            values[name] = value if members is None else self._build(pick, members[value], f"{path}.{value}.")
        return kind(**values)

    def _layout(self, kind: type, prefix: str) -> list[tuple[str, str, dict[Any, type] | None]]:
        """Return the dials of a kind at a place: name, path, and its kinds where it has kinds."""
        known = self._layouts.get(prefix)
        if known is None:
            known = [(name, prefix + name, self._members.get(prefix + name)) for name in names(kind)]
            self._layouts[prefix] = known
        return known

    @cached_property
    def _layouts(self) -> dict[str, list[tuple[str, str, dict[Any, type] | None]]]:
        return {}


MODEL_WIDTHS = ("hidden_size", "model_size")
"""The dials of how many numbers a position has in an encoder or decoder."""
WIDTHS = (*MODEL_WIDTHS, "size")
"""These, and that of additive attention."""
WIDE_RATES = ("optimizer.AdamW.learning_rate", "optimizer.Lion.learning_rate")
"""Rates that an element of a step is as large as, whatever its gradient; the other optimizers scale theirs."""
WITH_SOURCE: Mapping[str, tuple[type, ...]] = {
    "encoder": (encoders.Recurrent, encoders.Transformer, encoders.Convolution),
    "output": (outputs.Softmax, outputs.PointerGenerator),
}
WITHOUT_SOURCE: Mapping[str, tuple[type, ...]] = {"encoder": (encoders.Identity,), "output": (outputs.Softmax,)}


def space(narrowing: Mapping[str, Any] | None = None, *, sources: bool = True) -> Space:
    """Return the whole space, narrowed; without `sources`, that of language models.

    A key names a dial by its full path or by the end of it, and then narrows every dial that ends so.
    A single value pins a dial; a list leaves so many choices or kinds, or for a real number its ends.
    Of several dials, each takes the values that lie in its range, and is left alone where none does.

    Raises:
        SpaceError: A key names no dial, or a value lies outside the range of all that it names.
    """
    ranges: dict[str, Dial] = {path: dial for path, dial, _ in dials(Seq2Seq)}
    ranges |= {path: OneOf(kinds) for path, kinds in (WITH_SOURCE if sources else WITHOUT_SOURCE).items()}
    preferred: dict[str, Any] = {path: default for path, _, default in dials(Seq2Seq)}
    ranges |= {name: _pinned(ranges[name], value) for name, value in LATER.items() if name not in (narrowing or {})}
    for key, wanted in (narrowing or {}).items():
        matching = {path: ranges[path] for path in _matching(key, ranges)}
        for path, share in _shares(wanted, matching).items():
            ranges[path] = _narrowed(path, ranges[path], share)
    for path, dial in ranges.items():
        preferred[path] = _nearest(dial, preferred[path])
    return Space(ranges, preferred)


def fields_of(key: str) -> set[str]:
    """Return the fields of `Seq2Seq` in which a key of a narrowing names dials.

    Raises:
        SpaceError: It names none.
    """
    return {path.split(".")[0] for path in _matching(key, {path: dial for path, dial, _ in dials(Seq2Seq)})}


def refuse_excluded(found: Space, narrowing: Mapping[str, Any]) -> None:
    """Refuse what narrows only dials that no configuration of a space has.

    Raises:
        SpaceError: The kinds that are left have no such dial, or one with another range.
    """
    reached, whole = set(found.reached()), {path: dial for path, dial, _ in dials(Seq2Seq)}
    for key, wanted in narrowing.items():
        matching = {path: whole[path] for path in _matching(key, whole)}
        there = [path for path in matching if path in reached]
        if not there:
            path = next(iter(matching))
            raise SpaceError(_excluded(found, key, path, whole[path]))
        if reached.isdisjoint(_shares(wanted, matching)):
            _narrowed(there[0], whole[there[0]], wanted)


def refuse_idle(found: Space, narrowing: Mapping[str, Any]) -> None:
    """Refuse what narrows dials that mean nothing in a space.

    Raises:
        SpaceError: The dial beside which they would mean something cannot have the value for it.
    """
    for name, (other, value) in BESIDE.items():
        left = found.ranges[other]
        if name in narrowing and not _allows(left, value):
            raise SpaceError(f"space.{name} is for {other} = {value!r}, and {other} leaves {_said(left)}")


def _excluded(found: Space, key: str, path: str, dial: Dial) -> str:
    names = path.split(".")  # a dial, one of its kinds, a dial of that, and so on
    above = {".".join(names[:end]): names[end] for end in range(1, len(names), 2)}
    excluding, kind = next((over, kind) for over, kind in above.items() if kind not in found.kinds(over))
    return (
        f"space.{key} and space.{excluding} exclude each other: {path} ({_said(dial)}) needs {kind}, "
        f"but {excluding} leaves {', '.join(found.kinds(excluding))}"
    )


def _matching(key: str, ranges: Mapping[str, Dial]) -> list[str]:
    found = [path for path in ranges if path == key or path.endswith("." + key)]
    if not found:
        close = difflib.get_close_matches(key, {p.rsplit(".", 1)[-1] for p in ranges} | set(ranges), n=1)
        raise SpaceError(f"space.{key}: no such dial" + (f"; did you mean {close[0]!r}?" if close else ""))
    return found


def _shares(wanted: Any, matching: Mapping[str, Dial]) -> dict[str, Any]:
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not values or not all(any(_allows(dial, value) for dial in matching.values()) for value in values):
        widest = sorted(matching, key=lambda path: -len(_kinds(matching[path])))  # the first is what the error names
        return dict.fromkeys(widest, wanted)
    shares = {path: [value for value in values if _allows(dial, value)] for path, dial in matching.items()}
    return {path: share for path, share in shares.items() if share}


def _allows(dial: Dial, value: Any) -> bool:
    match dial:
        case Choice(allowed):
            return value in allowed and isinstance(value, bool) == isinstance(allowed[0], bool)
        case Uniform(low, high):
            return _is_number(value) and low <= value <= high
        case OneOf():
            return value in dial.names()
        case other:
            assert_never(other)


def _narrowed(path: str, dial: Dial, wanted: Any) -> Dial:
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    allowed = bool(values) and all(_allows(dial, value) for value in values)
    if not allowed or (isinstance(dial, Uniform) and len(values) > 2):
        among = "not among its kinds" if isinstance(dial, OneOf) else "outside its range"
        raise SpaceError(f"space.{path}: {wanted!r} is {among} {_said(dial)}")
    match dial:
        case Choice(choices):
            return Choice(tuple(v for v in choices if v in values))
        case Uniform(_, _, log):
            return Uniform(float(min(values)), float(max(values)), log)
        case OneOf(kinds):
            return OneOf(tuple(k for k in kinds if k.__name__ in values))
        case other:
            assert_never(other)


def _said(dial: Dial) -> str:
    match dial:
        case Choice(values):
            return ", ".join(map(str, values))
        case Uniform(low, high):
            return f"{low} to {high}"
        case OneOf():
            return ", ".join(dial.names())
        case other:
            assert_never(other)


def _kinds(dial: Dial) -> tuple[type, ...]:
    return dial.kinds if isinstance(dial, OneOf) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _larger(dial: Choice, value: Any) -> Any:
    return min((other for other in dial.values if isinstance(other, int) and other > value), default=value)


def _nearest(dial: Dial, value: Any) -> Any:
    match dial:
        case Choice(values):
            return value if value in values else min(values, key=lambda v: _distance(v, value))
        case Uniform(low, high):
            return min(max(value, low), high)
        case OneOf():
            return value if value in dial.names() else dial.names()[0]
        case other:
            assert_never(other)


def _distance(a: Value, b: Any) -> float:
    return abs(float(a) - float(b)) if _is_number(a) and _is_number(b) else 0.0


def _preferred_first(names: tuple[str, ...], first: Any) -> list[str]:
    return sorted(names, key=lambda name: name != first)


def _is_free(dial: Dial) -> bool:
    match dial:
        case Choice(values):
            return len(values) > 1
        case Uniform(low, high):
            return low < high
        case OneOf(kinds):
            return len(kinds) > 1
        case other:
            assert_never(other)


def _pinned(dial: Dial, value: Value) -> Dial:
    match dial:
        case Choice():
            return Choice((value,))
        case Uniform(_, _, log):
            return Uniform(float(value), float(value), log)
        case OneOf(kinds):
            return OneOf(tuple(kind for kind in kinds if kind.__name__ == value))
        case other:
            assert_never(other)


def _plain(dial: Dial) -> Choice | Uniform:
    return Choice(dial.names()) if isinstance(dial, OneOf) else dial


def _matters(path: str, others: Mapping[str, Any]) -> bool:
    """Say whether a dial means something beside others."""
    return path not in BESIDE or others[BESIDE[path][0]] == BESIDE[path][1]

"""Training, validation and test parts that share no source."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import repeat

from automl.data.sources import Pairs
from automl.errors import InputError

SMALLEST = 10
HELD_OUT_SHARE, HELD_OUT_LIMIT = 0.1, 2_000
DUPLICATE, IN_HELD_OUT = "duplicate", "source also in valid or test"


@dataclass(frozen=True)
class Part:
    """One split: each distinct source with its distinct acceptable targets, and from how many rows each came.

    Where rows count differently, `weights` holds how much each target of each source does, in the order of these.
    """

    references: Mapping[str, list[str]]
    row_counts: Mapping[str, int]
    weights: Mapping[str, list[float]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the file that this part is made of."""
        return sum(self.row_counts.values())


@dataclass(frozen=True)
class Splits:
    """The parts `train`, `valid` and `test`, and the rows left out of each file by reason."""

    parts: Mapping[str, Part]
    dropped: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...]


def split(train: Pairs, valid: Pairs | None = None, test: Pairs | None = None, *, recurring: bool = False) -> Splits:
    """Hold valid and test out of train where absent, and keep their sources out of train unless they are `recurring`.

    A tenth of the sources each, about, at least 1 and at most 2,000, chosen by a hash: the same sources whatever the
    order of the rows and the seed of the search. Those of one unit are held out together; a source of several units
    stays in train.

    Raises:
        InputError: Train has fewer than 10 sources of its own.
    """
    files = {"train": train} | {name: pairs for name, pairs in (("valid", valid), ("test", test)) if pairs is not None}
    grouped = {name: group(pairs) for name, pairs in files.items()}
    whole, others = grouped["train"][0], {name: part for name, (part, _) in grouped.items() if name != "train"}
    shared = {source for part in others.values() for source in part.references if not recurring}
    own = _select(whole, [source for source in whole.references if source not in shared])
    if len(own.references) < SMALLEST:
        raise InputError(_too_small(train, len(own.references), len(whole.references)))
    held_out = _hold_out(_units(train, own), [name for name in ("test", "valid") if name not in files])
    gone = {source for sources in held_out.values() for source in sources}
    rest = _select(own, [source for source in own.references if source not in gone])
    parts = {"train": rest, **others} | {name: _select(own, sources) for name, sources in held_out.items()}
    dropped = {name: Counter(files[name].dropped) + Counter({DUPLICATE: count}) for name, (_, count) in grouped.items()}
    dropped["train"] += Counter({IN_HELD_OUT: whole.rows - own.rows})
    said = [
        f"{train.path.name}: {len(sources):,} of {len(own.references):,} sources held out as {name}"
        for name, sources in held_out.items()
    ]
    told = (*_drops(files, dropped), *_missing(files))
    return Splits(parts, dropped, (*told, *([] if recurring else _overlap(files, parts)), *said))


def group(pairs: Pairs) -> tuple[Part, int]:
    """Gather the targets of each source; a row that brings nothing new is a duplicate, and the larger weight counts."""
    references: dict[str, dict[str, float]] = {}
    rows: Counter[str] = Counter()
    duplicates = 0
    weights = pairs.weights or repeat(1.0, len(pairs.sources))
    for source, targets, weight in zip(pairs.sources, pairs.targets, weights, strict=True):
        known = references.setdefault(source, {})
        before = len(known)
        known.update({target: max(weight, known.get(target, weight)) for target in targets})
        if len(known) == before:
            duplicates += 1
        else:
            rows[source] += 1
    counts = {source: list(targets.values()) for source, targets in references.items()} if pairs.weights else {}
    return Part({source: list(targets) for source, targets in references.items()}, rows, counts), duplicates


def _select(part: Part, sources: Iterable[str]) -> Part:
    chosen = list(sources)
    weights = {key: part.weights[key] for key in chosen if key in part.weights}
    return Part({key: part.references[key] for key in chosen}, {key: part.row_counts[key] for key in chosen}, weights)


def _units(pairs: Pairs, part: Part) -> dict[str, list[str]]:
    """Return the sources of each unit, without those that are in several."""
    found: dict[str, str | None] = {}
    for source, unit in zip(pairs.sources, pairs.units or pairs.sources, strict=True):
        found[source] = unit if found.get(source, unit) == unit else None
    units: dict[str, list[str]] = {}
    for source in part.references:
        if (own := found[source]) is not None:
            units.setdefault(own, []).append(source)
    return units


def _hold_out(units: Mapping[str, list[str]], names: Sequence[str]) -> dict[str, list[str]]:
    count = sum(map(len, units.values()))
    size = max(1, min(HELD_OUT_LIMIT, int(count * HELD_OUT_SHARE)))
    ordered = iter(sorted(units.items(), key=lambda item: blake2b(item[0].encode(), digest_size=16).digest()))
    held: dict[str, list[str]] = {name: [] for name in names}
    for part in held.values():
        while len(part) < size and (following := next(ordered, None)) is not None:
            part.extend(following[1])
    return held


def _too_small(train: Pairs, own: int, total: int) -> str:
    if own < total:
        return f"{train.path}: only {own} of its {total:,} sources are not in valid or test; train needs {SMALLEST}"
    return f"{train.path}: {own} different sources are too few to learn from; give at least {SMALLEST}"


def _drops(files: Mapping[str, Pairs], dropped: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [
        f"{pairs.path.name}: {count:,} {'row' if count == 1 else 'rows'} dropped: {reason}{_first(pairs, reason)}"
        for name, pairs in files.items()
        for reason, count in dropped[name].items()
    ]


def _missing(files: Mapping[str, Pairs]) -> list[str]:
    return [
        f"{pairs.path.name}: {count:,} {'row has' if count == 1 else 'rows have'} no {column!r} "
        f"(the first on {pairs.where(first)}); it is read as empty"
        for pairs in files.values()
        for column, (count, first) in pairs.missing.items()
    ] + [
        f"{pairs.path.name}: {pairs.garbled[0]:,} {'row looks' if pairs.garbled[0] == 1 else 'rows look'} as if UTF-8 "
        f"had been read as Latin-1, Ã© for é (the first on {pairs.where(pairs.garbled[1])}); mixed encodings?"
        for pairs in files.values()
        if pairs.garbled
    ]


def _first(pairs: Pairs, reason: str) -> str:
    number = pairs.first_dropped.get(reason)
    return "" if number is None else f" (the first on {pairs.where(number)})"


def _overlap(files: Mapping[str, Pairs], parts: Mapping[str, Part]) -> list[str]:
    shared = len(parts["valid"].references.keys() & parts["test"].references.keys())
    if not shared:
        return []
    names = f"{files['valid'].path.name} and {files['test'].path.name}"
    return [f"{names}: {shared:,} sources are in both; test scores may flatter"]

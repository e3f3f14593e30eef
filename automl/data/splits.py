"""Training, validation and test parts that share no source."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data.forms import MOST_HELD_OUT
from automl.data.sources import Pairs
from automl.data.spool import BLOCK
from automl.errors import InputError

SMALLEST = 10
HELD_OUT_SHARE = 0.1
DUPLICATE, IN_HELD_OUT = "duplicate", "source also in valid or test"

Numbers = NDArray[np.int64]


class Record(NamedTuple):
    """A source, its distinct acceptable targets, and how much each counts where rows count differently."""

    source: str
    references: list[str]
    weights: list[float]


@dataclass(frozen=True)
class Part:
    """One split: each distinct source with its distinct acceptable targets, and from how many rows each came.

    Attributes:
        pairs: The file that it is a part of.
        firsts: The row that each source is first on.
        counts: How many rows of each source brought something new.
        bounds: Where the acceptable targets of each source begin among `owners`, and where they end: `[sources, 2]`.
        owners: The row of each acceptable target of the file.
        places: Which target of that row it is.
        counted: How much each counts; empty where all count the same.
        keys: A number for the text of each source, by which sources of files are compared.
    """

    pairs: Pairs
    firsts: Numbers
    counts: Numbers
    bounds: Numbers
    owners: Numbers
    places: NDArray[np.int32]
    counted: NDArray[np.float64]
    keys: Numbers

    def __len__(self) -> int:
        return len(self.firsts)

    @property
    def rows(self) -> int:
        """Rows of the file that this part is made of."""
        return int(self.counts.sum())

    @cached_property
    def references(self) -> dict[str, list[str]]:
        """Each source with its targets, for a part that fits into memory."""
        return {record.source: record.references for record in self.records()}

    @property
    def weights(self) -> dict[str, list[float]]:
        """Each source with how much its targets count; empty where all count the same."""
        return {record.source: record.weights for record in self.records()} if self.counted.size else {}

    @property
    def targets(self) -> int:
        """The acceptable targets of all sources."""
        return int((self.bounds[:, 1] - self.bounds[:, 0]).sum())

    def sources(self) -> Iterator[str]:
        """Yield the sources."""
        return (texts[0] for texts in self.pairs.texts(self.firsts))

    def records(self) -> Iterator[Record]:
        """Yield the sources with their targets, a few at a time."""
        lengths = self.bounds[:, 1] - self.bounds[:, 0]
        for begin in range(0, len(self), BLOCK):
            block = slice(begin, begin + BLOCK)
            yield from self._records(self.bounds[block, 0], lengths[block])

    def _records(self, begins: Numbers, lengths: Numbers) -> Iterator[Record]:
        ends = lengths.cumsum()
        entries = np.repeat(begins - ends + lengths, lengths) + np.arange(ends[-1])
        texts = self.pairs.texts(self.owners[entries])
        targets = zip(texts, self.places[entries].tolist(), strict=True)
        weights = iter(self.counted[entries].tolist() if self.counted.size else ())
        for length in lengths.tolist():
            (row, place), *further = islice(targets, length)
            said = [row[1 + place], *(other[1 + index] for other, index in further)]
            yield Record(row[0], said, [*islice(weights, length)])

    def of(self, chosen: Numbers | NDArray[np.bool_]) -> "Part":
        """Return the part of some of its sources, by number or by mask."""
        firsts, counts, bounds, keys = (each[chosen] for each in (self.firsts, self.counts, self.bounds, self.keys))
        return replace(self, firsts=firsts, counts=counts, bounds=bounds, keys=keys)


@dataclass(frozen=True)
class Splits:
    """The parts `train`, `valid` and `test`, and the rows left out of each file by reason."""

    parts: Mapping[str, Part]
    dropped: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...]


def split(
    train: Pairs,
    valid: Pairs | None = None,
    test: Pairs | None = None,
    *,
    recurring: bool = False,
    most_held_out: int = MOST_HELD_OUT,
) -> Splits:
    """Hold valid and test out of train where absent, and keep their sources out of train unless they are `recurring`.

    A tenth of the sources each, about, at least 1 and at most `most_held_out`, chosen by a hash: the same sources
    whatever the order of the rows and the seed of the search. Those of one unit are held out together; a source of
    several units stays in train.

    Raises:
        InputError: Train has fewer than 10 sources of its own.
    """
    files = {"train": train} | {name: pairs for name, pairs in (("valid", valid), ("test", test)) if pairs is not None}
    grouped = {name: group(pairs) for name, pairs in files.items()}
    whole, others = grouped["train"][0], {name: part for name, (part, _) in grouped.items() if name != "train"}
    shared = [part.keys for part in others.values() if not recurring]
    own = whole.of(~np.isin(whole.keys, np.concatenate(shared))) if shared else whole
    if len(own) < SMALLEST:
        raise InputError(_too_small(train, len(own), len(whole)))
    held_out = _hold_out(own, [name for name in ("test", "valid") if name not in files], most_held_out)
    rest = np.ones(len(own), np.bool_)
    rest[np.concatenate([*held_out.values(), np.empty(0, np.int64)])] = False
    parts = {"train": own.of(rest), **others} | {name: own.of(numbers) for name, numbers in held_out.items()}
    dropped = {name: Counter(files[name].dropped) + Counter({DUPLICATE: count}) for name, (_, count) in grouped.items()}
    dropped["train"] += Counter({IN_HELD_OUT: whole.rows - own.rows})
    said = [
        f"{train.path.name}: {len(sources):,} of {len(own):,} sources held out as {name}"
        for name, sources in held_out.items()
    ]
    told = [notice for name, pairs in files.items() for notice in lacks(pairs, dropped[name])]
    return Splits(parts, dropped, (*told, *([] if recurring else _overlap(files, parts)), *said))


def group(pairs: Pairs) -> tuple[Part, int]:
    """Gather the targets of each source; a row that brings nothing new is a duplicate, and the larger weight counts.

    Texts are told apart by 64 bits of each, so that none has to be held.
    """
    keys, entries, counts = _keys(pairs)
    owners = np.repeat(np.arange(len(keys)), counts)
    places = (np.arange(len(owners)) - np.repeat(counts.cumsum() - counts, counts)).astype(np.int32)
    same = _first(entries)
    new = same == np.arange(len(same))
    counted = np.zeros(0)
    if pairs.weights:
        counted = np.zeros(len(same))
        np.maximum.at(counted, same, np.asarray(pairs.weights)[owners])
    del entries, same
    first = _first(keys)
    useful = np.zeros(len(keys), np.bool_)
    useful[owners[new]] = True
    order = np.flatnonzero(new)
    order = order[np.argsort(first[owners[order]], kind="stable")]
    gathered = first[owners[order]]
    begins = _heads(gathered)
    firsts = gathered[begins]
    part = Part(
        pairs,
        firsts,
        np.bincount(np.searchsorted(firsts, first[useful]), minlength=len(firsts)),
        np.stack([begins, np.append(begins, len(order))[1:]], axis=1),
        owners[order],
        places[order],
        counted[order] if counted.size else counted,
        keys[firsts],
    )
    return part, int((~useful).sum())


def _keys(pairs: Pairs) -> tuple[Numbers, Numbers, Numbers]:
    """Return a number for each source, one for each target with its source, and how many targets each row has."""
    keys, entries, counts = array("q"), array("q"), array("q")
    for source, *targets in pairs.texts():
        keys.append(hash(source))
        entries.extend([hash((source, target)) for target in targets])
        counts.append(len(targets))
    return np.asarray(keys), np.asarray(entries), np.asarray(counts)


def _first(keys: Numbers) -> Numbers:
    """Return for each place the first with the same key."""
    order = np.argsort(keys, kind="stable")
    heads = _heads(keys[order])
    found = np.empty_like(order)
    found[order] = np.repeat(order[heads], np.diff(heads, append=len(order)))
    return found


def _heads(keys: Numbers) -> Numbers:
    """Return the places where another key than the one before stands."""
    other = np.ones(len(keys), np.bool_)
    other[1:] = keys[1:] != keys[:-1]
    return np.flatnonzero(other)


def _units(part: Part) -> list[Numbers]:
    """Return the sources of each unit, by number, without those that are in several."""
    pairs = part.pairs
    units = np.fromiter(map(hash, pairs.units), np.int64, len(pairs.units))
    keys = np.fromiter((hash(source) for source, *_ in pairs.texts()), np.int64, len(units))
    first = _first(keys)
    several = np.zeros(len(units), np.bool_)
    several[first[units != units[first]]] = True
    left = np.flatnonzero(~several[part.firsts])
    if not left.size:
        return []
    order = left[np.argsort(_first(units[part.firsts[left]]), kind="stable")]
    return np.split(order, _heads(units[part.firsts[order]])[1:])


def _hold_out(own: Part, names: Sequence[str], most: int) -> dict[str, Numbers]:
    units = _units(own) if own.pairs.units else None
    count = len(own) if units is None else sum(map(len, units))
    size = max(1, min(most, int(count * HELD_OUT_SHARE)))
    texts = own.sources() if units is None else (own.pairs.units[own.firsts[unit[0]]] for unit in units)
    digests = ((blake2b(text.encode(), digest_size=16).digest(), number) for number, text in enumerate(texts))
    ordered = (number for _, number in nsmallest(len(names) * size, digests))
    held: dict[str, list[int]] = {name: [] for name in names}
    for part in held.values():
        while len(part) < size and (following := next(ordered, None)) is not None:
            part.extend([following] if units is None else units[following].tolist())
    return {name: np.array(part, np.int64) for name, part in held.items()}


def _too_small(train: Pairs, own: int, total: int) -> str:
    if own < total:
        return f"{train.path}: only {own} of its {total:,} sources are not in valid or test; train needs {SMALLEST}"
    return f"{train.path}: {own} different sources are too few to learn from; give at least {SMALLEST}"


def lacks(pairs: Pairs, dropped: Mapping[str, int]) -> list[str]:
    """Say what a file lacks: the rows that were dropped, by reason, and those that are odd, each with the first."""
    counted = [
        (count, f"dropped: {reason}", f"dropped: {reason}", pairs.first_dropped.get(reason), "")
        for reason, count in dropped.items()
    ] + [
        (count, f"has no {column!r}", f"have no {column!r}", first, "; it is read as empty")
        for column, (count, first) in pairs.missing.items()
    ]
    if pairs.wide:
        quotes = "; put quotes around a text with commas" if pairs.path.suffix.lower() == ".csv" else ""
        what = "more fields than the header, which are not read"
        counted.append((pairs.wide[0], f"has {what}", f"have {what}", pairs.wide[1], quotes))
    if pairs.garbled:
        what = "as if UTF-8 had been read as Latin-1, Ã© for é"
        counted.append((pairs.garbled[0], f"looks {what}", f"look {what}", pairs.garbled[1], "; mixed encodings?"))
    return [
        f"{pairs.path.name}: {count:,} {'row' if count == 1 else 'rows'} {one if count == 1 else many}"
        f"{_first_place(pairs, first)}{advice}"
        for count, one, many, first, advice in counted
    ]


def _first_place(pairs: Pairs, number: int | None) -> str:
    return "" if number is None else f" (the first on {pairs.where(number)})"


def _overlap(files: Mapping[str, Pairs], parts: Mapping[str, Part]) -> list[str]:
    shared = len(np.intersect1d(parts["valid"].keys, parts["test"].keys))
    if not shared:
        return []
    names = f"{files['valid'].path.name} and {files['test'].path.name}"
    return [f"{names}: {shared:,} sources are in both; test scores may flatter"]

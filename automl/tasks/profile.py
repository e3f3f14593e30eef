"""A profile: what can be seen of data before anything is trained, as a function of tables alone."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from statistics import quantiles
from typing import Any

from automl.data.headers import OTHER_NAMES, SOURCE_NAMES, TARGET_NAMES, are_labels, numbers_rows
from automl.data.raw import RawTable
from automl.data.sources import Column
from automl.data.tokenizers import automatic_tokens, normalise
from automl.data.turns import KEYS
from automl.tasks.classes import alike, scripts_of

MOST_CLASSES, ROWS_PER_CLASS, MOST_CLASS_WORDS = 1_000, 10, 4
COMMON_WORDS = 300
FEWEST_ROWS = 5
DIVIDED = 0.5
"""Share of texts with `||` from which on these are turns."""
SPEAKER = re.compile(r"^\s*[\w .'’-]{1,40}:\s")
WORD = re.compile(r"[^\w\s]*[^\W\d_]{2,}(?:['’-][^\W\d_]+)*[^\w\s]*")
UNSPACED = ("Cjk", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
SHOWN_CLASSES = 12


@dataclass(frozen=True)
class Lengths:
    """Lengths of the texts of a column, in one unit: the least, the mean, that which 99 of 100 keep to, the most."""

    least: int
    mean: float
    usual: int
    most: int

    @staticmethod
    def of(lengths: Sequence[int]) -> "Lengths":
        """Return the lengths of some texts."""
        if len(lengths) < 2:
            only = lengths[0] if lengths else 0
            return Lengths(only, float(only), only, only)
        return Lengths(
            min(lengths),
            sum(lengths) / len(lengths),
            round(quantiles(lengths, n=100, method="inclusive")[98]),
            max(lengths),
        )


@dataclass(frozen=True)
class ColumnProfile:
    """What a column holds.

    Attributes:
        column: Its name in the header, or its index where there is none.
        alphabet: Different characters.
        scripts: Scripts of its letters and the share of each, the most frequent first.
        tokens: What `automatic_tokens` makes of it.
        spelt: Share of what stands between spaces that is a word of letters, beside punctuation, of two or more.
        spoken: Share of texts that begin with a speaker and a colon.
        divided: Share of texts with `||` between words, as turns have between them.
        common: Its most frequent words.
    """

    column: Column
    rows: int
    empty: int
    distinct: int
    characters: Lengths
    words: Lengths
    alphabet: int
    scripts: tuple[tuple[str, float], ...]
    tokens: str
    spelt: float
    spoken: float
    divided: float
    common: frozenset[str]

    @property
    def is_running_text(self) -> bool:
        """Whether it holds sentences rather than words, symbols or names."""
        if any(script in UNSPACED and share >= 0.5 for script, share in self.scripts):
            return self.characters.mean >= 8
        return self.words.mean >= 4 and self.spelt >= 0.6

    @property
    def has_classes(self) -> bool:
        """Whether its values are few enough, and recur often enough, to be classes."""
        few = 2 <= self.distinct <= MOST_CLASSES and self.distinct * ROWS_PER_CLASS <= self.rows - self.empty
        return few and self.words.most <= MOST_CLASS_WORDS


@dataclass(frozen=True)
class Profile:
    """What the data of a task look like.

    Attributes:
        source: The column that is read; none where there is one column only.
        target: The column that is learnt to be said.
        others: Columns that were not chosen.
        rows: Rows of each split that were looked at.
        whole: Whether these are all.
        repeated: Rows of train that say again what another one says.
        ambiguous: Different sources of train that have several targets.
        leaks: Split → its sources that are also in train.
        near_leaks: The same, but for case, accents, digits and punctuation.
        longer: Split → its targets of more characters than any of train.
        classes: Classes of the target and their rows in train, the most frequent first, where it has classes.
        unseen_classes: Split → its rows of classes that train has not.
        headed: Whether the first row names the columns.
        suffix: Of the file of train.
        wide: Split → its rows that have more fields than the header.
    """

    source: ColumnProfile | None
    target: ColumnProfile
    others: tuple[ColumnProfile, ...]
    rows: Mapping[str, int]
    whole: bool
    repeated: int
    ambiguous: int
    leaks: Mapping[str, int]
    near_leaks: Mapping[str, int]
    longer: Mapping[str, int]
    classes: tuple[tuple[str, int], ...]
    unseen_classes: Mapping[str, int]
    headed: bool
    suffix: str
    wide: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def further(self) -> tuple[ColumnProfile, ...]:
        """Columns that hold further targets of some rows: without a header those behind the target that most lack."""
        if self.headed or self.source is None:
            return ()
        return tuple(each for each in self._behind if 2 * each.empty > each.rows)

    @cached_property
    def unread(self) -> tuple[ColumnProfile, ...]:
        """Columns behind the target that would be taken for further ones, as nothing but their place says."""
        return tuple(each for each in self._behind if each not in self.further) if not self.headed else ()

    @property
    def _behind(self) -> list[ColumnProfile]:
        places = ((each.column, each) for each in self.others)
        target = self.target.column
        return [each for place, each in places if isinstance(place, int) and isinstance(target, int) and place > target]

    @cached_property
    def common_words(self) -> float:
        """Share of the frequent words of the target that are frequent in the source too: low between languages."""
        if self.source is None:
            return 0.0
        return len(self.source.common & self.target.common) / max(len(self.target.common), 1)

    @cached_property
    def alike_classes(self) -> int:
        """Classes that differ from another one by case, spaces or hyphens alone."""
        return alike(name for name, _ in self.classes)

    @cached_property
    def class_scripts(self) -> tuple[str, ...]:
        """Scripts that classes are written in; more than one looks like labels in two languages."""
        return tuple(scripts_of(name for name, _ in self.classes))

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values, without any text but the names of classes."""
        mapping = asdict(self)
        for column in (mapping["source"], mapping["target"], *mapping["others"]):
            if column is not None:
                del column["common"]
        return mapping


def profile(tables: Mapping[str, RawTable]) -> Profile:
    """Look at the tables of `train` and, where there are any, `valid` and `test`."""
    train = tables["train"]
    columns = [_column(train, index) for index in range(train.width)]
    source, target = _roles(train, columns)
    pairs = {name: _pairs(table, source, target) for name, table in tables.items()}
    chosen = {target} if source is None else {source, target}
    counts = Counter(said for _, said in pairs["train"] if said)
    classes = counts.most_common() if columns[target].has_classes else []
    return Profile(
        source=None if source is None else columns[source],
        target=columns[target],
        others=tuple(column for index, column in enumerate(columns) if index not in chosen),
        rows={name: len(table.rows) for name, table in tables.items()},
        whole=all(table.whole for table in tables.values()),
        repeated=len(pairs["train"]) - len(set(pairs["train"])),
        ambiguous=_ambiguous(pairs["train"]) if source is not None else 0,
        leaks=_shared(pairs, lambda text: text),
        near_leaks=_shared(pairs, _plain),
        longer={
            name: sum(len(said) > columns[target].characters.most for _, said in rows)
            for name, rows in pairs.items()
            if name != "train"
        },
        classes=tuple(classes),
        unseen_classes={
            name: sum(said not in counts for _, said in rows if said)
            for name, rows in pairs.items()
            if classes and name != "train"
        },
        headed=train.header is not None,
        suffix=train.path.suffix.lower(),
        wide={name: table.wide for name, table in tables.items()},
    )


def _column(table: RawTable, index: int) -> ColumnProfile:
    texts = [normalise(text) for text in table.column(index)]
    filled = [text for text in texts if text]
    characters = Counter[str]()
    for text in filled:
        characters.update(text)
    words = Counter(chain.from_iterable(re.findall(r"[^\W\d_]+", text.casefold()) for text in filled))
    return ColumnProfile(
        column=index if table.header is None else table.header[index].strip(),
        rows=len(texts),
        empty=len(texts) - len(filled),
        distinct=len(set(filled)),
        characters=Lengths.of([len(text) for text in filled]),
        words=Lengths.of([len(text.split()) for text in filled]),
        alphabet=len(characters),
        scripts=_scripts(characters),
        tokens=automatic_tokens(filled),
        spelt=_spelt(filled),
        spoken=sum(bool(SPEAKER.match(text)) for text in filled) / max(len(filled), 1),
        divided=sum(" || " in text for text in filled) / max(len(filled), 1),
        common=frozenset(word for word, _ in words.most_common(COMMON_WORDS)),
    )


def _spelt(texts: Iterable[str]) -> float:
    pieces = Counter(chain.from_iterable(text.split() for text in texts))
    words = sum(count for piece, count in pieces.items() if WORD.fullmatch(piece))
    return words / max(pieces.total(), 1)


def _scripts(characters: Counter[str]) -> tuple[tuple[str, float], ...]:
    found = Counter[str]()
    for character, count in characters.items():
        if character.isalpha():
            found[unicodedata.name(character, "UNNAMED").split()[0].capitalize()] += count
    return tuple((script, count / found.total()) for script, count in found.most_common(4))


def _roles(table: RawTable, columns: Sequence[ColumnProfile]) -> tuple[int | None, int]:
    """Choose source and target: by the names of a header, else the first two columns that say something."""
    if (conversations := _conversations(table, columns)) is not None:
        return None, conversations
    names = [str(column.column).casefold() for column in columns]
    source, target = (
        next((names.index(n) for n in known if n in names), None) for known in (SOURCE_NAMES, TARGET_NAMES)
    )
    filled = [i for i, column in enumerate(columns) if 2 * column.empty <= column.rows]
    useful = [i for i in filled if not _is_number(table, i)]
    said = [i for i in useful if not _is_label(table, i)]
    useful = said if len(said) > 1 else useful
    if len(useful) < 2:  # numbers that stand alone beside a column are read, or said, where no name says otherwise
        useful = [i for i in filled if names[i] not in OTHER_NAMES] or list(range(len(columns)))
    if source is None and target is None:
        if len(useful) < 2:
            return None, useful[0]
        first, second = useful[:2]
        return (second, first) if columns[first].has_classes and not columns[second].has_classes else (first, second)
    if target is None:
        target = next((i for i in useful if i != source), None)
        return (source, target) if target is not None else (None, source or 0)
    return (source if source is not None else next((i for i in useful if i != target), None)), target


def _conversations(table: RawTable, columns: Sequence[ColumnProfile]) -> int | None:
    """Return the column of whole conversations, beside which JSON lines have no other to learn from but a target."""
    if table.path.suffix.lower() != ".jsonl":
        return None
    names = [str(column.column) for column in columns]
    if not {name.casefold() for name in names}.isdisjoint(TARGET_NAMES):
        return None
    return next(
        (names.index(key) for key in KEYS if key in names and columns[names.index(key)].divided >= DIVIDED), None
    )


def _is_number(table: RawTable, index: int) -> bool:
    """Whether a column numbers the rows."""
    texts = table.column(index)
    return len(texts) > 1 and all(text.strip().isdecimal() for text in texts) and len(set(texts)) == len(texts)


def _is_label(table: RawTable, index: int) -> bool:
    """Whether a column labels the rows: by its name, or where it may have one in its first row, by what follows."""
    if table.header is not None:
        return numbers_rows(table.header[index])
    texts = [text.strip() for text in table.column(index)]
    return are_labels(texts[1:] if len(texts) > FEWEST_ROWS else texts)


def _pairs(table: RawTable, source: int | None, target: int) -> list[tuple[str, str]]:
    said = map(normalise, table.column(target))
    read = map(normalise, table.column(source)) if source is not None else None
    return [(text, text) for text in said] if read is None else list(zip(read, said, strict=True))


def _ambiguous(pairs: Iterable[tuple[str, str]]) -> int:
    targets: dict[str, set[str]] = {}
    for source, said in pairs:
        targets.setdefault(source, set()).add(said)
    return sum(len(several) > 1 for several in targets.values())


def _shared(pairs: Mapping[str, Sequence[tuple[str, str]]], form: Any) -> dict[str, int]:
    known = {form(source) for source, _ in pairs["train"]}
    return {
        name: sum(form(source) in known for source in dict.fromkeys(source for source, _ in rows))
        for name, rows in pairs.items()
        if name != "train"
    }


def _plain(text: str) -> str:
    """Return a text without case, accents, digits' values, punctuation and white space."""
    spread = unicodedata.normalize("NFKD", text.casefold())
    letters = (("0" if c.isdigit() else c) for c in spread if c.isalnum())
    return "".join(letters) or text

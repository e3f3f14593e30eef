"""Classes: what can be wrong with the labels of data."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from automl.data.sources import Pairs
from automl.errors import InputError

MOST_UNSEEN = 0.5
LEAST_RECURRENCE = 2.0
JAPANESE = ("Hiragana", "Katakana", "Katakana-hiragana", "Ideographic")


def alike(labels: Iterable[str]) -> int:
    """Count labels that differ from an earlier one by case, width of characters, spaces or hyphens alone."""
    seen = Counter(re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", label).casefold()) for label in set(labels))
    return sum(count - 1 for count in seen.values())


def scripts_of(labels: Iterable[str]) -> list[str]:
    """Return the scripts of the first letters of labels, the most frequent first; those of Japanese are one."""
    first = (next(filter(str.isalpha, unicodedata.normalize("NFKC", label)), "") for label in labels)
    names = (unicodedata.name(letter, "UNNAMED").partition(" ")[0].capitalize() for letter in first if letter)
    found = Counter("Cjk" if name in JAPANESE else name for name in names)
    return [script for script, _ in found.most_common()]


def inspect_classes(files: Mapping[str, Pairs]) -> Sequence[str]:
    """Say what a person should know of the classes of a task.

    Raises:
        InputError: There is one class only, hardly any class recurs, or most of a split is of classes that train lacks.
    """
    train = files["train"]
    counts = Counter(label for labels in train.targets for label in labels)
    if len(counts) < 2:
        raise InputError(f"{train.path}: every row is of the same class; give rows of two classes or more")
    if counts.total() < LEAST_RECURRENCE * len(counts):
        raise InputError(
            f"{train.path}: {len(counts):,} classes in {counts.total():,} rows hardly recur; these look like texts: "
            'use kind = "sequence_to_sequence", or check [data] target'
        )
    said = [f"train: {len(counts):,} classes of {min(counts.values()):,} to {max(counts.values()):,} rows"]
    said += [*of_same(counts), *_scripts(train)]
    return said + [notice for name, pairs in files.items() for notice in _unseen(name, pairs, counts)]


def of_same(labels: Iterable[str]) -> list[str]:
    """Say how many classes are another one but for their spelling."""
    same = alike(labels)
    said = f"train: classes that differ from another by case, spaces or hyphens alone: {same:,}; make them one"
    return [said] if same else []


def _scripts(train: Pairs) -> list[str]:
    """Say where classes are written in several scripts, as where two languages have names for the same."""
    of_row = [next(iter(scripts_of(labels)), "") for labels in train.targets]
    scripts = scripts_of(label for labels in train.targets for label in labels)
    if len(scripts) < 2:
        return []
    rows = [row for row, script in enumerate(of_row) if script not in ("", scripts[0])]
    others = " and ".join(scripts[1:])
    first = train.where(train.numbers[rows[0]]) if rows else "no row alone"
    return [
        f"train: classes are written in {scripts[0]}, those of {len(rows):,} rows in {others} (the first on {first}): "
        "are these two languages for the same?"
    ]


def _unseen(name: str, pairs: Pairs, counts: Counter[str]) -> list[str]:
    rows = [i for i, labels in enumerate(pairs.targets) if not any(label in counts for label in labels)]
    if not rows:
        return []
    first = pairs.where(pairs.numbers[rows[0]])
    said = f"{len(rows):,} of {len(pairs.targets):,} rows are of classes that train lacks (the first on {first})"
    if len(rows) > MOST_UNSEEN * len(pairs.targets):
        raise InputError(f"{pairs.path}: {said}; a score would say nothing: split the data anew")
    return [f"{name}: {said}; no model can say them"]

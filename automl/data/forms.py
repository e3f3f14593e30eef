"""Forms of data: how the files of a kind of task become pairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.data.sources import READERS, Columns, Pairs, read_pairs


def _nothing(files: Mapping[str, Pairs]) -> Sequence[str]:
    del files
    return ()


@dataclass(frozen=True)
class Form:
    """How files become pairs.

    Attributes:
        name: Two forms of other names read the same files otherwise.
        read: Reads one file.
        suffixes: Of the files that it reads.
        inspect: Takes what was read of each split and returns what a person should know, one sentence each; raises
            `InputError` where a result would mislead.
        has_sources: Whether something is read before the target is said; else a source stands for its target.
    """

    name: str = "pairs"
    read: Callable[[Path, Columns], Pairs] = read_pairs
    suffixes: tuple[str, ...] = tuple(READERS)
    inspect: Callable[[Mapping[str, Pairs]], Sequence[str]] = _nothing
    has_sources: bool = True


PAIRS = Form()

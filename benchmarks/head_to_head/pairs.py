"""The sets as arrays of token ids, for the peers; imports nothing of automl."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SETS: dict[str, tuple[str, str]] = {
    "g2p_sigmorphon2020/fre": ("characters", "whitespace"),
    "g2p_sigmorphon2020/ice": ("characters", "whitespace"),
    "g2p_sigmorphon2020/jpn": ("characters", "whitespace"),
    "dates": ("characters", "characters"),
    "algo_scan-simple": ("whitespace", "whitespace"),
}
"""Folder → tokens of sources and of targets."""
PAD, BEGIN, END, UNKNOWN = range(4)
BATCH, POOL = 64, 16
"""Rows of a batch, and batches that are sorted by length together."""


class Split(NamedTuple):
    """Sources with their end, and targets between begin and end, padded with 0."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]


class Pairs(NamedTuple):
    """A set: its splits by name, and the sizes of both vocabularies."""

    splits: dict[str, Split]
    vocabularies: tuple[int, int]


def read_pairs(folder: Path, tokens: tuple[str, str]) -> Pairs:
    """Read `train.tsv`, `valid.tsv` and `test.tsv`; what train has not is unknown."""
    texts = {name: _rows(folder / f"{name}.tsv", tokens) for name in ("train", "valid", "test")}
    known = []
    for side in range(2):
        seen = sorted({token for row in texts["train"] for token in row[side]})
        known.append({token: number for number, token in enumerate(seen, UNKNOWN + 1)})
    splits = {name: _split(rows, *known) for name, rows in texts.items()}
    return Pairs(splits, (len(known[0]) + UNKNOWN + 1, len(known[1]) + UNKNOWN + 1))


def batches(split: Split, draw: np.random.Generator) -> Iterator[Split]:
    """Yield the batches of one pass, in random order, rows of like length together."""
    order = draw.permutation(len(split.source))
    lengths = (split.source != PAD).sum(1) + (split.target != PAD).sum(1)
    found = []
    for begin in range(0, len(order), BATCH * POOL):
        pool = order[begin : begin + BATCH * POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        found += [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
    for number in draw.permutation(len(found)):
        yield cut(split, found[number])


def cut(split: Split, rows: NDArray[np.int64]) -> Split:
    """Return some rows, without the padding that none of them needs."""
    source, target = split.source[rows], split.target[rows]
    return Split(source[:, : (source != PAD).sum(1).max()], target[:, : (target != PAD).sum(1).max()])


def _rows(path: Path, tokens: tuple[str, str]) -> list[tuple[list[str], list[str]]]:
    lines = [line.split("\t") for line in path.read_text("utf-8").splitlines() if line]
    return [(_tokens(line[0], tokens[0]), _tokens(line[1], tokens[1])) for line in lines]


def _tokens(text: str, kind: str) -> list[str]:
    return text.split() if kind == "whitespace" else list(text)


def _split(rows: list[tuple[list[str], list[str]]], source: dict[str, int], target: dict[str, int]) -> Split:
    return Split(
        _padded([[*(source.get(token, UNKNOWN) for token in row[0]), END] for row in rows]),
        _padded([[BEGIN, *(target.get(token, UNKNOWN) for token in row[1]), END] for row in rows]),
    )


def _padded(rows: list[list[int]]) -> NDArray[np.int64]:
    found = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found

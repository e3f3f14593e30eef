"""Edit distances, and the metrics that count them: the best reference counts for each source."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from automl.metrics.scores import References, Tokenize, Weights

CELLS = 1_000_000


def exact_match(
    outputs: Sequence[str], references: References, tokenize: Tokenize, weights: Weights | None = None
) -> float:
    """Share (0 to 1) of sources whose output equals one of their references, token by token."""
    return 1 - sequence_error_rate(outputs, references, tokenize, weights)


def sequence_error_rate(
    outputs: Sequence[str], references: References, tokenize: Tokenize, weights: Weights | None = None
) -> float:
    """Share (0 to 1) of sources whose output equals none of their references, token by token."""
    wrong = [
        all(tokenize(output) != tokenize(reference) for reference in acceptable)
        for output, acceptable in zip(outputs, references, strict=True)
    ]
    if weights is None:
        return sum(wrong) / max(len(outputs), 1)
    return float(np.average(wrong, weights=weights))


def token_error_rate(
    outputs: Sequence[str], references: References, tokenize: Tokenize, weights: Weights | None = None
) -> float:
    """Edit distance over tokens to the nearest reference, as a fraction of the tokens of those references."""
    pairs = [
        (index, tokens, tokenize(reference))
        for index, (output, acceptable) in enumerate(zip(outputs, references, strict=True))
        for tokens in [tokenize(output)]
        for reference in acceptable
    ]
    distances = edit_distances([tokens for _, tokens, _ in pairs], [target for _, _, target in pairs])
    best: dict[int, tuple[int, int]] = {}
    for (index, _, target), distance in zip(pairs, distances.tolist(), strict=True):
        best[index] = min(best.get(index, (distance, len(target))), (distance, len(target)))
    counts = {index: 1 if weights is None else weights[index] for index in best}
    length = sum(counts[index] * length for index, (_, length) in best.items())
    return sum(counts[index] * distance for index, (distance, _) in best.items()) / (length or 1)


def word_error_rate(
    outputs: Sequence[str], references: References, _: Tokenize, weights: Weights | None = None
) -> float:
    """Edit distance over words, split at white space, as a fraction of the words of the references."""
    return token_error_rate(outputs, references, str.split, weights)


def character_error_rate(
    outputs: Sequence[str], references: References, _: Tokenize, weights: Weights | None = None
) -> float:
    """Edit distance over Unicode characters, as a fraction of the characters of the references."""
    return token_error_rate(outputs, references, list, weights)


def edit_distances(left: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Levenshtein distance of each pair of token sequences, many pairs at a time."""
    ids: dict[str, int] = {}
    rows = [[ids.setdefault(token, len(ids)) for token in row] for row in left]
    columns = [[ids.setdefault(token, len(ids)) for token in row] for row in right]
    order = sorted(range(len(rows)), key=lambda index: (len(columns[index]), len(rows[index])))
    distances = np.zeros(len(rows), dtype=np.int64)
    for chunk in _chunks(order, [len(column) for column in columns]):
        distances[chunk] = _distances_of_chunk([rows[index] for index in chunk], [columns[index] for index in chunk])
    return distances


def _chunks(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for index in order:
        if chunk and (len(chunk) + 1) * (lengths[index] + 1) > CELLS:
            yield chunk
            chunk = []
        chunk.append(index)
    if chunk:
        yield chunk


def _distances_of_chunk(rows: Sequence[Sequence[int]], columns: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Fill the table row by row; along a row the cheapest run of insertions is a running minimum."""
    left, left_lengths = _padded(rows, -1)
    right, right_lengths = _padded(columns, -2)
    ramp = np.arange(right.shape[1] + 1)
    line = np.tile(ramp, (len(rows), 1))
    distances = right_lengths.copy()
    for step in range(left.shape[1]):
        candidate = np.empty_like(line)
        candidate[:, 0] = step + 1
        candidate[:, 1:] = np.minimum(line[:, :-1] + (left[:, step, None] != right), line[:, 1:] + 1)
        line = np.minimum.accumulate(candidate - ramp, axis=1) + ramp
        ended = left_lengths == step + 1
        distances[ended] = line[ended, right_lengths[ended]]
    return distances


def _padded(rows: Sequence[Sequence[int]], fill: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    padded = np.full((len(rows), int(lengths.max(initial=0))), fill, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = [token for row in rows for token in row]
    return padded, lengths

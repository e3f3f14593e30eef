"""Decoding the slow way: every step computes the whole target so far anew, and plain Python chooses."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from automl.data.tokenizers import BOS, EOS, PAD, UNK
from automl.decoding.steps import sayable
from search_spaces import decoders, encoders, seq2seq, stems
from tests.automl.models.cases import CASES, DECODERS, ENCODERS, LANGUAGE_MODELS, VOCABULARY, Case, tokens

SOURCE, LENGTH = tokens(3, (4, 1, 6), 6), 5
IMAGES = np.random.default_rng(2).integers(4, 260, (3, 30)).astype(np.int32)
COPIES = np.arange(VOCABULARY, dtype=np.int32)
ANY = np.full(VOCABULARY, True)
STEM = stems.Patches(6, 5, 1, 2)
FURTHER = {
    "transformer -> transformer": Case(seq2seq.Seq2Seq(ENCODERS["transformer"], DECODERS["transformer"])),
    "images -> recurrent": Case(
        seq2seq.Seq2Seq(encoders.Transformer(8, 1, 2), decoders.Recurrent("gru", 8, 1), stem=STEM)
    ),
    **{f"nothing -> {name}": LANGUAGE_MODELS[name] for name in ("transformer", "simple recurrent")},
}
"""What `CASES` has not: no relations between positions, images, and language models."""
DECODED = CASES | FURTHER


def source_of(case: Case) -> Any:
    """What a case reads: three rows."""
    return SOURCE if isinstance(case.configuration.stem, stems.Tokens) else IMAGES


def opinionated(case: Case, **biases: float) -> dict[str, Any]:
    """Parameters whose logits lie far apart, with biases for some tokens."""
    bias = np.zeros(VOCABULARY, np.float32)
    for token, value in biases.items():
        bias[{"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK}[token]] = value
    changed = dict(case.parameters)
    for path, value in case.parameters.items():
        if path.endswith("output.kernel") or (path.endswith("embedding.table") and path.startswith("decoder")):
            changed[path] = 8 * value
        if path.endswith("output.bias"):
            changed[path] = jnp.asarray(bias)
        if path.endswith("output.share.bias"):
            changed[path] = value - 20  # what is copied knows nothing of the biases
    return changed


def next_scores(case: Case, parameters: Any, source: Any, said: list[list[int]]) -> Any:
    """Logits of the next token of each of three rows, of tokens that are not special."""
    inputs = np.full((3, LENGTH), PAD, np.int32)
    for row, before in enumerate(said):
        inputs[row, : len(before) + 1] = [BOS, *before]
    logits, _ = case.logits(parameters, source, inputs)
    scores = np.asarray(sayable(logits), np.float64)
    return np.stack([scores[row, len(before)] for row, before in enumerate(said)])


def among(scores: Any, allowed: Any, given: Any) -> Any:
    """Log-probabilities among tokens that are allowed; where a token is given, all are."""
    open_ = np.asarray(allowed)[None] | (np.asarray(given) != PAD)[:, None]
    return np.asarray(jax.nn.log_softmax(np.where(open_, scores, -1e9)), np.float64)


def slow_walk(
    case: Case,
    parameters: Any,
    choose: Callable[[Any, int], Any],
    prefix: Any = None,
    stops: tuple[tuple[int, ...], ...] = (),
    allowed: Any = ANY,
) -> tuple[list[list[int]], list[float]]:
    """Say a token a row until all have ended; `choose` takes log-probabilities and the position."""
    said: list[list[int]] = [[], [], []]
    totals, ended = [0.0] * 3, [False] * 3
    begun = np.full((3, LENGTH), PAD) if prefix is None else prefix
    for position in range(LENGTH):
        logits = next_scores(case, parameters, source_of(case), [row[:position] for row in said])
        scores = among(logits, allowed, begun[:, position])
        chosen = choose(scores, position)
        for row in range(3):
            if ended[row]:
                continue
            token = int(begun[row][position]) if begun[row][position] != PAD else int(chosen[row])
            totals[row] += scores[row, token]
            ended[row] = token == EOS
            if not ended[row]:
                said[row].append(token)
                ended[row] = any(tuple(said[row][-len(stop) :]) == stop for stop in stops)
            else:
                said[row] += [PAD] * (LENGTH - len(said[row]))
    return [[token for token in row if token != PAD] for row in said], totals


def slow_beam(
    case: Case, parameters: Any, source: Any, power: float, begun: Any = (), allowed: Any = ANY
) -> list[tuple[list[int], float]]:
    """Search with three partial targets for one source; return the ended ones and their log-probabilities, best first."""
    alive: list[tuple[list[int], float]] = [([], 0.0)]
    ended: list[tuple[float, list[int], float]] = []
    rows = np.repeat(source[None], 3, axis=0)
    for position in range(LENGTH):
        filled = [before for before, _ in alive] + [[]] * (3 - len(alive))
        given = begun[position] if position < len(begun) else PAD
        scores = among(next_scores(case, parameters, rows, filled), allowed, [given] * 3)
        candidates = [
            (total + scores[place, token], [*before, token])
            for place, (before, total) in enumerate(alive)
            for token in range(VOCABULARY)
            if scores[place, token] > -1e8 and given in (PAD, token)
        ]
        candidates.sort(key=lambda item: -item[0])
        for total, said in candidates[:3]:
            if said[-1] == EOS:
                ended.append((total / (position + 1) ** power, said[:-1], total))
        alive = [(said, total) for total, said in candidates if said[-1] != EOS][:3]
    found = [(said, total) for _, said, total in sorted(ended, key=lambda item: -item[0])]
    return (found + alive)[:3]

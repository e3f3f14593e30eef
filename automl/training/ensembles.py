"""Ensembles: which models of the same tokens are better together than alone."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from automl.data.batching import Bucket
from automl.data.tokenizers import PAD
from automl.decoding.steps import sayable
from automl.models.facts import bind
from automl.models.parameters import Parameters
from automl.training.arrays import DeviceSplit, gather
from automl.training.evaluation import BY_EXACT_MATCH, Evaluator, forced_rows, padded
from automl.training.executables import model_of
from automl.training.losses import TokenCounts, token_counts
from automl.training.programs import Programs
from automl.training.signature import Signature

ROWS = 64
MOST_SCORES = 2**24
"""Log-probabilities of a batch and a member that are held at a time."""


class Candidate(NamedTuple):
    """A model that may be a member."""

    signature: Signature
    parameters: Parameters

    @property
    def size(self) -> int:
        """Number of its parameters."""
        return sum(int(np.size(value)) for value in self.parameters.values())


def chosen(valid: Evaluator, candidates: Sequence[Candidate], most: int | None = None) -> tuple[int, ...]:
    """Return the places of the candidates that are best together, the first always being one of them.

    All their subsets are compared on valid, given the true target so far: by the share of sources that come out right
    where the objective counts these, else by loss. For exact matches that is what greedy decoding would come to.
    Among equals the smallest wins. Log-probabilities are computed once a member, whatever the number of subsets.

    Args:
        most: Parameters that the chosen may have in all.
    """
    places = range(1, len(candidates))
    subsets = [(0, *rest) for size in range(len(candidates)) for rest in combinations(places, size)]
    sizes = [candidate.size for candidate in candidates]
    subsets = [s for s in subsets if len(s) == 1 or most is None or sum(sizes[place] for place in s) <= most]
    weights = np.zeros((len(subsets), len(candidates)), np.float32)
    for row, subset in enumerate(subsets):
        weights[row, list(subset)] = 1 / len(subset)
    counts = _counts(valid, candidates, weights)
    standings = [_standing(valid, TokenCounts(*(each[row] for each in counts))) for row in range(len(subsets))]
    return subsets[min(range(len(subsets)), key=lambda row: (standings[row], len(subsets[row])))]


def _standing(valid: Evaluator, counts: TokenCounts) -> tuple[float, ...]:
    """Return what is the lower the better."""
    fits = np.diff(valid.forced.target_offsets) < valid.bucket.target
    matched = np.logical_or.reduceat((np.asarray(counts.right) == np.asarray(counts.tokens)) & fits, valid.firsts)
    loss = float(np.asarray(counts.loss)[valid.firsts].sum())
    by_exact_match = valid.metrics[0].name in BY_EXACT_MATCH and not valid.needs_decoding
    return (float(1 - matched.mean()), loss) if by_exact_match else (loss,)


def _counts(valid: Evaluator, candidates: Sequence[Candidate], weights: Any) -> TokenCounts:
    """Return the sums of each row of valid, for each subset."""
    bucket, total = padded(valid.bucket), valid.forced.rows
    size = said_rows(candidates, bucket)
    parts: list[TokenCounts] = []
    for first in range(0, total, size):
        rows = np.full(size, -1, np.int32)
        rows[: min(size, total - first)] = np.arange(first, min(first + size, total))
        said = [said_by(candidate, valid.programs, valid.device, rows, bucket) for candidate in candidates]
        found = _together(jnp.stack([scores for scores, _ in said]), said[0][1], weights)
        parts.append(jax.tree.map(np.asarray, found))
    whole: list[Any] = [np.concatenate(each, axis=1)[:, :total] for each in zip(*parts, strict=True)]
    return TokenCounts(*whole)


def said_rows(candidates: Sequence[Candidate], bucket: Bucket) -> int:
    """Return the rows of a batch of a shape, all of whose log-probabilities are held for each model."""
    most = MOST_SCORES // (bucket.target * candidates[0].signature.target_vocabulary)
    return max(min(ROWS, most, *(forced_rows(each.signature.footprint(), bucket) for each in candidates)), 1)


def said_by(candidate: Candidate, programs: Programs, split: DeviceSplit, rows: Any, bucket: Bucket) -> Any:
    """Return what the program of a model gives for rows of a split; -1 is none."""
    inputs = (candidate.parameters, split, rows)
    build = partial(said_program, candidate.signature, bucket)
    return programs.get(repr(("said", candidate.signature, bucket)), build, inputs)(*inputs)


def said_program(signature: Signature, bucket: Bucket) -> Callable[..., tuple[Array, Array]]:
    """Return the program of the log-probabilities after each token of known targets, and of these targets."""
    model = model_of(signature)

    def said(
        parameters: Parameters, split: DeviceSplit, rows: Int[Array, "batch"]
    ) -> tuple[Float[Array, "batch target vocabulary"], Int[Array, "batch target"]]:
        batch = gather(split, rows, bucket)
        logits = bind(model, parameters)(batch.source, batch.inputs, None, batch.copies)
        return jax.nn.log_softmax(logits, axis=-1), batch.targets

    return jax.jit(said)


@jax.jit
def _together(
    scores: Float[Array, "members batch target vocabulary"],
    targets: Int[Array, "batch target"],
    weights: Float[Array, "subsets members"],
) -> TokenCounts:
    """Return the sums of each row for each subset, which speaks by the mean of its members."""

    def one(subset: Float[Array, "members"]) -> TokenCounts:
        mean = jnp.einsum("m,mbtv->btv", subset, scores)
        return token_counts(mean, sayable(mean).argmax(axis=-1), targets, targets != PAD)

    found: TokenCounts = jax.lax.map(one, weights)
    return found

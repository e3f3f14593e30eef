"""Soft targets: what one or several models expect of each target token of train, for another one to learn.

They are of the table of train, a row of arrays for each token that is said: those of a row of train follow each other,
its end last.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from automl.data.advance import tell
from automl.data.batching import Bucket
from automl.decoding.steps import sayable
from automl.errors import FailureReason, TrialFailure
from automl.training import checkpoints
from automl.training.dataset import Dataset
from automl.training.ensembles import Candidate, said_by, said_rows
from automl.training.evaluation import padded
from automl.training.losses import SoftTargets
from automl.training.programs import Programs
from storage import objects

LIKELIEST = 8
"""So many tokens are kept of what could be said."""
FEW = 10_000
"""Up to so many rows it is sooner done to pad all alike than to compile a second shape."""


def soft_targets(
    dataset: Dataset, teachers: Sequence[Candidate], programs: Programs, over: Callable[[], bool] = lambda: False
) -> SoftTargets:
    """Return what teachers expect together, by the mean of their log-probabilities, given the true target so far.

    Args:
        dataset: Train, in the tokens of all teachers.
        teachers: The models.
        programs: Compiles what is needed.
        over: Says whether to end early; what was not asked by then has no probabilities.
    """
    train = dataset.table.split("train")
    lengths = np.diff(train.target_offsets) + 1
    firsts = train.target_offsets[:-1] + np.arange(train.rows)
    kept = min(LIKELIEST, teachers[0].signature.target_vocabulary)
    tokens: NDArray[np.int32] = np.zeros((int(lengths.sum()), kept), np.int32)
    probabilities: NDArray[np.float32] = np.zeros(tokens.shape, np.float32)
    for rows, bucket in _batches(dataset, teachers):
        if over():
            break
        scores = [said_by(teacher, programs, dataset.data, rows, bucket)[0] for teacher in teachers]
        found = _likeliest(jnp.stack(scores), kept)
        places = np.arange(bucket.target)[None, :]
        inside = (places < lengths[rows][:, None]) & (rows >= 0)[:, None]
        where = (firsts[rows][:, None] + places)[inside]
        tokens[where], probabilities[where] = (np.asarray(each)[inside] for each in found)
        tell("teaching", float(where[-1]) / len(tokens) if where.size else 0.0)
    arrays: tuple[Any, ...] = tokens, probabilities
    return SoftTargets(*arrays)


def _batches(dataset: Dataset, teachers: Sequence[Candidate]) -> Iterator[tuple[NDArray[np.int32], Bucket]]:
    """Yield the numbers of all rows, -1 for none, in the shapes that they are trained in."""
    plan = dataset.plan
    shapes = list(zip(plan.buckets, plan.members, strict=True))
    if sum(len(members) for members in plan.members) <= FEW:
        widest = Bucket(max(own.source for own in plan.buckets), max(own.target for own in plan.buckets))
        shapes = [(widest, np.concatenate(plan.members))]
    for own, members in shapes:
        bucket = padded(own)
        size = said_rows(teachers, bucket)
        for first in range(0, len(members), size):
            rows = np.full(size, -1, np.int32)
            rows[: len(members[first : first + size])] = members[first : first + size]
            yield rows, bucket


@partial(jax.jit, static_argnums=1)
def _likeliest(scores: Float[Array, "teachers batch target vocabulary"], kept: int) -> SoftTargets:
    likeliest, tokens = jax.lax.top_k(sayable(scores.mean(axis=0)), kept)
    return SoftTargets(tokens, jax.nn.softmax(likeliest, axis=-1))


def write(folder: objects.Place, soft: SoftTargets) -> str:
    """Keep them durably; return their sha256.

    Raises:
        TrialFailure: The disk does not take them (`STORAGE`).
    """
    return checkpoints.write_tensors(folder, {name: np.asarray(own) for name, own in soft._asdict().items()})


def read(folder: objects.Place, digest: str) -> SoftTargets:
    """Read what was written.

    Raises:
        TrialFailure: The bytes are not those that were written, or hold something else (`CORRUPT_CHECKPOINT`), or their
            place does not answer (`STORAGE`).
    """
    tensors: Any = checkpoints.read_tensors(folder, digest)
    if tensors.keys() != set(SoftTargets._fields):
        raise TrialFailure(FailureReason.CORRUPT_CHECKPOINT, f"object {digest[:12]} holds no soft targets")
    return SoftTargets(**tensors)

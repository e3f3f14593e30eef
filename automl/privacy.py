"""Differential privacy of a search: what it promises, the noise that this takes, and what has been spent.

The unit is one pair of train: two sets that differ by a pair, which one of them lacks, give nearly the same search
(epsilon, delta; Dwork and Roth, 2014, definition 2.4). Every step of every trial is the same mechanism: each pair is in
the batch by itself with one probability, and the sum of clipped gradients has noise added (Abadi et al., 2016). So the
whole search is that mechanism a fixed number of times over, whichever trials take the steps and however that was
decided by what came before, and its cost is the composition of so many (Koskela et al., 2020).
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import InputError
from search_spaces.seq2seq import Seq2Seq

if TYPE_CHECKING:
    from storage.searches import SearchRow

FIXED: Mapping[str, Any] = {"batch_tokens": Seq2Seq().batch_tokens}
"""Dials that say nothing of a private search: a step has as many pairs as its terms say."""
UNIT = "one pair of train"
SAW = (
    "train, without noise: the tokenizers and their vocabularies, which symbols canaries are made of, the lengths of "
    "texts, the sizes of images, how many objects they have, and the number of rows, by which it is decided what pairs "
    "are too long or held out",
    "valid, without noise and outside of the guarantee: the scores, which chose configuration, step and decoding",
    "test, without noise and outside of the guarantee: the scores",
)
"""What else has seen the data."""
KEY_BYTES = 32
INTERVAL = 1e-3
"""Privacy losses are rounded to multiples of this, so that epsilon comes out too large rather than too small."""
TOLERANCE = 1e-4
LEAST_NOISE, MOST_NOISE = 0.25, 1024.0
FEWEST_ROWS, MOST_ROWS, PART = 32, 1024, 16
"""Pairs of a step where a document names none: one in `PART`, within these."""
FEWEST_STEPS, MOST_STEPS, PASSES = 500, 20_000, 100
"""Steps of a search where a document names none: so many passes over train, within these."""
PACKAGES = ("dp_accounting", "jax_privacy")


@dataclass(frozen=True)
class Terms:
    """What a private search promises, and by which mechanism.

    Attributes:
        epsilon: Of the whole search.
        delta: Likewise.
        rows: Pairs of train.
        batch: Pairs of a step, in the mean.
        steps: Of all trials together, at most.
        noise_multiplier: Standard deviation of the noise, for each unit of the norm that gradients are clipped to.
        secret: Whether batches and noise follow from a key that nobody else has.
        charged: Steps that were taken or may have been, up to now.
        epsilon_spent: Of these steps, once the search has ended.
    """

    epsilon: float
    delta: float
    rows: int
    batch: int
    steps: int
    noise_multiplier: float
    secret: bool = True
    charged: int = 0
    epsilon_spent: float | None = None

    @property
    def rate(self) -> float:
        """Chance of a pair to be in the batch of a step."""
        return self.batch / self.rows

    def settled(self) -> "Terms":
        """Return the terms with the epsilon of the steps up to now."""
        return replace(self, epsilon_spent=epsilon_of(self.rate, self.noise_multiplier, self.charged, self.delta))

    @staticmethod
    def of(values: Mapping[str, Any]) -> "Terms":
        """Return what `to_mapping` has written."""
        return Terms(**{field.name: values[field.name] for field in fields(Terms)})

    def to_mapping(self) -> dict[str, Any]:
        """Return the terms as plain JSON values."""
        return asdict(self)

    def account(self) -> dict[str, Any]:
        """Return what a report says."""
        return {**self.to_mapping(), "sampling_rate": self.rate, "unit": UNIT, "saw": list(SAW)}


def terms(epsilon: float, delta: float | None, rows: int, batch: int | None, steps: int | None) -> Terms:
    """Return the terms of a search that begins; what a document leaves open follows from the number of pairs alone.

    Raises:
        InputError: Delta is too large to promise anything, or a step has more pairs than there are.
    """
    if delta is None:
        delta = 1 / rows**1.1
    if delta >= 1 / rows:
        raise InputError(
            f"[privacy] delta: {delta:g} is not below one in the {rows:,} pairs of train; give a smaller one"
        )
    if batch is not None and batch > rows:
        raise InputError(f"[privacy] batch: {batch:,} pairs a step, and train has {rows:,}; give fewer")
    batch = batch or min(max(rows // PART, FEWEST_ROWS), MOST_ROWS, rows)
    steps = steps or min(max(ceil(PASSES * rows / batch), FEWEST_STEPS), MOST_STEPS)
    return Terms(epsilon, delta, rows, batch, steps, noise_multiplier(epsilon, delta, batch / rows, steps))


@lru_cache
def epsilon_of(rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Return the epsilon of some steps: an upper bound, by privacy loss distributions."""
    if steps == 0:
        return 0.0
    with np.errstate(over="ignore"):  # an epsilon beyond all numbers is infinite
        return float(_accountant().compose(_event(rate, steps, noise_multiplier)).get_epsilon(delta))


def noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the least noise, from `LEAST_NOISE` on, with which some steps cost no more than epsilon at delta.

    Raises:
        InputError: No noise up to `MOST_NOISE` is enough.
    """
    from dp_accounting import ExplicitBracketInterval, calibrate_dp_mechanism

    enough = LEAST_NOISE
    while epsilon_of(rate, enough, steps, delta) > epsilon:
        enough *= 2
        if enough > MOST_NOISE:
            raise InputError(
                f"[privacy] epsilon: no noise keeps {steps:,} steps within {epsilon:g}; "
                "give a larger epsilon, or fewer steps"
            )
    if enough == LEAST_NOISE:
        return enough
    bracket, tolerance = ExplicitBracketInterval(enough / 2, enough), TOLERANCE
    event, accountant = partial(_event, rate, steps), _accountant
    with np.errstate(over="ignore"):
        return float(calibrate_dp_mechanism(accountant, event, epsilon, delta, bracket, tol=tolerance))


def _accountant() -> Any:
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import PLDAccountant

    return PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=INTERVAL)


def _event(rate: float, steps: int, noise_multiplier: float) -> Any:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent

    return SelfComposedDpEvent(PoissonSampledDpEvent(rate, GaussianDpEvent(noise_multiplier)), steps)


def check_installed() -> None:
    """Make sure that the packages of the extra are there, without loading them.

    Raises:
        InputError: One is missing.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise InputError(
                f"[privacy] needs {package.replace('_', '-')}; install it with pip install 'automl-seq2seq[privacy]'"
            )


def public_key(seed: int) -> bytes:
    """Return the key of a search whose every number follows from its seed: who knows that can take the noise off."""
    return hashlib.sha256(f"automl privacy {seed}".encode()).digest()


def secret_key(folder: Path, search: str) -> bytes:
    """Return the key of a search, drawn the first time, from a file that only its owner can read.

    It lies neither in the database nor with the checkpoints, which it would take the noise off. Where it was lost, as
    with the cache, another one is drawn: the steps that follow are no less private, but not those that a lost
    attempt would have taken.

    Args:
        folder: A private folder, made where it is missing.
        search: What no other search is called, not even a later one of the same name.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = key_file(folder, search)
    with suppress(FileExistsError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(handle)
    key = path.read_bytes()
    if len(key) == KEY_BYTES:
        return key
    path.unlink()  # it was being written when the machine stopped
    return secret_key(folder, search)


def key_file(folder: Path, search: str) -> Path:
    """Return where the key of a search lies."""
    return folder / f"{hashlib.sha256(search.encode()).hexdigest()}.key"


def drop_key(folder: Path, search: "SearchRow") -> None:
    """Delete the key of a search that is over, if it has one here; should it go on after all, it draws another one."""
    key_file(folder, key_name(search)).unlink(missing_ok=True)


def key_name(row: "SearchRow") -> str:
    """Return what no other search is called: an id is not given twice, and a database not copied to another moment."""
    return f"{row.id} {row.created.isoformat()} {row.name}"

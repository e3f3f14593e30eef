"""Passes: how often the first trial sees train within a budget, as counts and a rough speed foretell it."""

from automl.constraints import Constraints
from automl.data.batching import BATCH_TOKENS, rows_of
from automl.data.table import TokenTable
from automl.finishes import kept_for
from automl.pretraining import SHARE
from automl.tasks.document import TaskDocument
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space

FRESH, STALE = 4.0, 40.0
"""Passes up to which data seen again are about as good as new, and after which they teach nothing more.

Muennighoff et al., 2023, sections 5 and 6.
"""
TRAINED = 0.75
"""Share of the time in which the first trial is trained: the rest is for compiling, scoring and the end."""
SPEED, ACCELERATED = 3e10, 3e11
"""Operations of training a second, of a small model on a processor core and on an accelerator."""
LEAST_SECONDS = 600.0
"""Seconds of training that a trial on several cores has, at least."""
ROWS_A_CORE = 16
"""Rows of a batch for which a further core pays better than a process of its own."""
USED = 0.75
"""Share of the cores that are used, at least, where trials have several."""


def expected_passes(
    document: TaskDocument, space: Space, table: TokenTable, *, accelerated: bool = False
) -> float | None:
    """Return how often the first trial sees train, on one core or an accelerator; none where time is no limit."""
    seconds = _seconds(document)
    if seconds is None:
        return None
    constraints = Constraints(document.most, table)
    operations = constraints.operations_a_token(first_default(space, constraints))
    speed = ACCELERATED if accelerated else SPEED
    return seconds * speed / operations / max(table.said_tokens("train"), 1)


def first_passes(
    document: TaskDocument, space: Space, table: TokenTable, *, cores: int = 1, accelerated: bool = False
) -> float | None:
    """Return how often the first trial sees train on all that it is trained on; none where time is no limit.

    Args:
        cores: Of this machine, among which the search divides its trials; 1 where it does not.
        accelerated: Whether trials are trained on accelerators.
    """
    passes = expected_passes(document, space, table, accelerated=accelerated)
    if passes is None or accelerated:
        return passes
    return passes * cores_a_trial(document, space, table, cores)


def first_default(space: Space, constraints: Constraints) -> Seq2Seq:
    """Return the first default that is within the limits."""
    return next(filter(constraints.admit, space.defaults()), space.default())


def cores_a_trial(document: TaskDocument, space: Space, table: TokenTable, cores: int) -> int:
    """Return on how many of the cores one trial is trained.

    One, where time is short or no limit: several processes compile for each other, and look around beside the leader.
    Else up to as many as bring the first trial to the passes after which more are worth nothing: what learns from every
    further look gains more by them than by other trials beside it. They are a power of two, as the rows of a batch are,
    of which each has enough. Private steps are taken on one core, and device time is that of processes.
    """
    passes = expected_passes(document, space, table)
    if passes is None or (_seconds(document) or 0.0) < LEAST_SECONDS:
        return 1
    if document.privacy is not None or document.limits.device_time is not None:
        return 1
    rows = rows_of(table.split("train"), BATCH_TOKENS)
    sizes = (2**power for power in range(1, cores.bit_length()))
    wanted = [n for n in sizes if n // 2 * passes < STALE and n * ROWS_A_CORE <= rows]
    return max((n for n in wanted if n * (cores // n) >= USED * cores), default=1)


def _seconds(document: TaskDocument) -> float | None:
    """Return for how long the first trial is trained at most; none where time is no limit."""
    limits = document.limits
    if limits.time is None:
        return None
    time = max(limits.time - (kept_for(document) or 0.0), 0.0)
    wish = document.pretraining
    begun = 0.0 if wish is None or wish.unlabelled is None else wish.share or SHARE
    return TRAINED * (1 - begun) * (time if limits.device_time is None else min(time, limits.device_time))

"""How much of a score is the seed's: the finalists of a search trained again, as a search of its own.

The scores that made a trial win are the best of many, so its own is left out of mean and deviation.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from automl.control import history
from automl.control.history import Trial
from automl.control.noise import APART
from automl.control.repetition import Finalist, Repetition
from automl.errors import InputError
from automl.planning import LEASE_SECONDS, space_of
from automl.pretraining import LONGEST_NAME, Ground, begun_space, starts_of
from automl.records import Record, open_existing, read_record
from automl.searches import Options, run_search
from automl.settings import Settings, checkpoint_folder
from automl.submissions import document_at_hand
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.winners import Search
from storage.database import Database
from storage.leases import current_owner
from storage.searches import claim, get_search, release, update_search
from storage.segments import SegmentRow

LEFT_OUT = ("budget", "constraints")
"""What does not bind a repetition: its finalists are within the limits."""
ALIKE = 0.1
"""Relative difference in tokens within which a trial counts as trained as long as its finalist."""


@dataclass(frozen=True)
class Spread:
    """What a finalist scores on valid: as it was found, and under other seeds.

    Attributes:
        checkpoint: Sha256 of what was found.
    """

    trial: int
    families: str
    checkpoint: str
    metric: str
    score: float
    others: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean under the other seeds, of which there is one at least."""
        return mean(self.others)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of one seed's score; nothing where one other seed was tried."""
        return stdev(self.others) if len(self.others) > 1 else None

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**vars(self), "others": list(self.others), "mean": self.mean, "deviation": self.deviation}


@dataclass(frozen=True)
class Repeated:
    """How the search that repeats another stands, and what is known by it."""

    search: Search
    spreads: tuple[Spread, ...]

    @property
    def warning(self) -> str:
        """Say in one sentence that seeds alone could have put the first finalist before the second."""
        if len(self.spreads) < 2 or any(each.deviation is None for each in self.spreads[:2]):
            return ""
        first, second = self.spreads[:2]
        error = sqrt(sum((each.deviation or 0.0) ** 2 / len(each.others) for each in (first, second)))
        if abs(first.mean - second.mean) > APART * error:
            return ""
        return f"under other seeds, trials {first.trial} and {second.trial} are within noise of each other"


def repeat(name: str, seeds: int, finalists: int, options: Options) -> Repeated:
    """Train the best trials of a search again under other seeds, each as long as it was.

    What is found is kept with the search, for its card. The same call again goes on; more seeds add to those there are.

    Raises:
        InputError: There is no such search, it runs or has no result, or what was repeated are no finalists any more.
        StorageError: The database cannot be used, or another process repeats this search.
    """
    settings = Settings()
    url = options.storage or settings.storage
    checkpoints = options.checkpoints or checkpoint_folder(url, settings)
    with closing(open_existing(url)) as database:
        record = read_record(database, name)
        if record.row.held:
            raise InputError(f"search {name!r} is running; repeat it when it has ended")
        if record.row.document.get("privacy"):
            raise InputError(f"search {name!r} is private: its trials, trained again, would spend beyond its epsilon")
        found = best_trials(record, finalists)
        repetition = Repetition(tuple(finalist_of(record.trials, segment) for segment in found))
        document = document_at_hand(record.row, checkpoints, settings.cache)
        wanted = repeated_document(document, seeds * len(found))
        if not options.new:
            _check_alike(database, wanted.name, name, repetition)
        starts = starts_of(document, database)
        space = begun_space(space_of(document), repetition.finalists[0].configuration) if starts else None
        ground = Ground(starts=starts, space=space, repetition=repetition)
        search = run_search(wanted, replace(options, export=False), ground)
        spreads = spreads_of(record, found, read_record(database, wanted.name))
        _keep(database, name, spreads)
    return Repeated(search, spreads)


def best_trials(record: Record, count: int) -> list[SegmentRow]:
    """Return the best segment of each of the best trials of a search, their branches included, the best first.

    Raises:
        InputError: No trial has a result.
    """
    bests = history.bests(record.trials.values(), record.criteria)
    found = [segment for _, segment in bests if record.criteria.is_measured(segment.scores)]
    if not found:
        raise InputError(f"search {record.row.name!r} has no result to repeat yet; let the search go on")
    return found[:count]


def finalist_of(trials: Mapping[int, Trial], segment: SegmentRow) -> Finalist:
    """Return a trial up to one of its segments, or those of its branch, as what is repeated."""
    trial = trials[segment.trial]
    own = [*history.trunk(trial, trials), *trial.segments]
    before = [each for each in own if each.to_step <= segment.from_step]
    turn = before[-1].tokens if segment.cooldown and before else None
    return Finalist(trial.row.number, trial.configuration, turn, segment.tokens)


def repeated_document(document: TaskDocument, trials: int) -> TaskDocument:
    """Return the document of the search that repeats another: with as many trials, and seeds that it has not had."""
    mapping = {key: value for key, value in document.to_mapping().items() if key not in LEFT_OUT}
    mapping |= {"name": f"{document.name[:LONGEST_NAME]}.seeds", "budget": {"trials": trials}}
    mapping["seed"] = {"value": document.seed.value + 1}
    return document_from_mapping(mapping, Path(), f"search {document.name!r}")


def spreads_of(record: Record, found: Sequence[SegmentRow], repeated: Record) -> tuple[Spread, ...]:
    """Return what is known of each finalist under other seeds; nothing of those that no seed was tried of."""
    metric = record.criteria.metric.name
    ended = [trial for trial in repeated.trials.values() if trial.state in ("finished", "paused") and trial.segments]
    spreads = []
    for place, segment in enumerate(found):
        own = [trial.segments[-1] for trial in ended if trial.row.number % len(found) == place]
        others = tuple(each.scores[metric] for each in own if each.tokens >= (1 - ALIKE) * segment.tokens)
        if others:
            families = record.trials[segment.trial].families
            score = segment.scores[metric]
            spreads.append(Spread(segment.trial, families, segment.checkpoint, metric, score, others))
    return tuple(spreads)


def _check_alike(database: Database, name: str, of: str, repetition: Repetition) -> None:
    """Refuse to go on with a repetition of other finalists, as where the search has gone on since."""
    if get_search(database, name) is None:
        return
    for number, trial in read_record(database, name).trials.items():
        finalist = repetition.of(number)
        longer = trial.segments and trial.segments[-1].tokens > (1 + ALIKE) * finalist.tokens
        shorter = trial.state == "finished" and trial.segments[-1].tokens < (1 - ALIKE) * finalist.tokens
        if trial.configuration != finalist.configuration or longer or shorter:
            raise InputError(
                f"search {name!r} repeats other finalists than {of!r} has now; begin it anew (--new), "
                "or ask for as many --finalists as before"
            )


def _keep(database: Database, name: str, spreads: Sequence[Spread]) -> None:
    """Note with a search what is known of its finalists."""
    row = get_search(database, name)
    assert row is not None
    lease = claim(database, name, current_owner(), LEASE_SECONDS)
    summary: Mapping[str, Any] = {**(row.summary or {}), "spread": [each.to_mapping() for each in spreads]}
    try:
        update_search(database, lease, state=row.state, message=row.message, summary=summary)
    finally:
        release(database, lease)

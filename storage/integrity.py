"""Whether a database and its checkpoints are what they must be: one pass over the rows of a search and its files."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from storage import objects
from storage.attempts import AttemptRow, list_attempts
from storage.buckets import Bucket, Unreachable
from storage.checkpoints import named, sizes
from storage.database import Database
from storage.searches import SearchRow, as_it_is
from storage.segments import SegmentRow, list_segments
from storage.trials import TrialRow, list_trials

R = TypeVar("R", AttemptRow, SegmentRow)

MOST_FAILURES = 3
TERMINAL = ("COMPLETE", "FAILED")


def violations(database: Database, search: SearchRow, folder: objects.Place) -> list[str]:
    """What is wrong with a search, one line each; nothing is wrong with one whose process was killed.

    Checked are: every checkpoint that a trial, a segment or the winner points to is there with its size and its sha256;
    one outcome for each trial; each segment brought by one attempt, in order, under an epoch that was; no attempt open
    where none can run; at most so many failures; at most so many trials as the budget has; and what the database itself
    can check.

    Raises:
        Unreachable: The place of the checkpoints is not there or does not answer.
    """
    found = list(_of_database(database))
    with database.still() as still:
        search = as_it_is(still, search)
        trials = list_trials(still, search.id)
        attempts = _by_trial(list_attempts(still, search.id))
        segments = _by_trial(list_segments(still, search.id))
        known = sizes(still)
    found += _of_search(search, trials)
    found += _of_branches(trials)
    for trial in trials:
        name = f"trial {trial.number}"
        ours, tried = segments.get(trial.number, []), attempts.get(trial.number, [])
        found += [f"{name}: {what}" for what in _of_trial(search, trial, ours, tried)]
    return found + list(_of_files(folder, trials, segments, known, named(search.summary)))


def _of_database(database: Database) -> Iterator[str]:
    if database.reading.dialect.name == "sqlite":
        with database.read() as session:
            connection = session.connection()
            for row in connection.exec_driver_sql("PRAGMA integrity_check(10)").all():
                if row[0] != "ok":
                    yield f"database: {row[0]}"
            for row in connection.exec_driver_sql("PRAGMA foreign_key_check").all():
                yield f"database: a row of {row[0]} points to a row of {row[2]} that is not there"


def _of_search(search: SearchRow, trials: Sequence[TrialRow]) -> Iterator[str]:
    numbers = [trial.number for trial in trials]
    if numbers != list(range(len(numbers))):
        yield "search: its trials are not numbered from 0 without gaps"
    most, begun = _most_trials(search), sum(trial.parent is None for trial in trials)
    if most is not None and begun > most:
        yield f"search: it has {begun} trials, {begun - most} more than its budget"
    if search.seconds < 0:
        yield "search: it has consumed less than nothing"


def _most_trials(search: SearchRow) -> int | None:
    """The trials that a search may have: by the run that began last, else by what it was made or queued with."""
    summary = search.summary or {}
    given = [summary.get("limits"), summary.get("budget"), (search.options or {}).get("budget")]
    budget = next(filter(None, given), search.document.get("budget"))
    most = budget.get("trials") if isinstance(budget, Mapping) else None
    return most if isinstance(most, int) else None


def _of_branches(trials: Sequence[TrialRow]) -> Iterator[str]:
    stems = {trial.number for trial in trials if not trial.is_branch}
    for trial in trials:
        if trial.parent is not None and (trial.parent not in stems or trial.parent >= trial.number):
            yield f"trial {trial.number}: is {trial.origin}, which is no earlier trial, or is a branch itself"


def _of_trial(
    search: SearchRow, trial: TrialRow, segments: Sequence[SegmentRow], attempts: Sequence[AttemptRow]
) -> Iterator[str]:
    yield from _of_outcome(trial, segments)
    yield from _of_attempts(search, trial, attempts)
    yield from _of_segments(trial, segments, attempts)


def _of_outcome(trial: TrialRow, segments: Sequence[SegmentRow]) -> Iterator[str]:
    if trial.state in ("PAUSED", "COMPLETE") and trial.checkpoint is None:
        yield f"is {trial.state} without a checkpoint"
    if (trial.state == "FAILED") != (trial.reason is not None):
        yield f"is {trial.state} and has {'a' if trial.reason else 'no'} reason"
    if trial.failures > MOST_FAILURES and trial.state != "FAILED":
        yield f"has failed {trial.failures} times in a row and is not FAILED"
    last = segments[-1] if segments else None
    if trial.state == "COMPLETE" and (last is None or last.checkpoint != trial.checkpoint):
        yield "is COMPLETE at a checkpoint that no segment brought"
    if last is not None and trial.step < last.to_step and trial.state in TERMINAL:
        yield f"ended at step {trial.step}, before its last segment at {last.to_step}"


def _of_attempts(search: SearchRow, trial: TrialRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    if [attempt.number for attempt in attempts] != list(range(1, trial.attempts + 1)):
        yield f"counts {trial.attempts} attempts and has others"
    unended = [attempt.number for attempt in attempts if attempt.ended is None]
    if any(number != trial.attempts for number in unended):
        yield f"has an attempt open behind its newest: {unended}"
    if unended and trial.state != "RUNNING":
        yield f"is {trial.state} with an attempt open"
    if unended and search.state in ("finished", "failed", "queued") and not search.held:
        yield f"has an attempt open in a search that is {search.state}"
    if any(attempt.seconds is not None and attempt.seconds < 0 for attempt in attempts):
        yield "has an attempt that took less than no time"
    epochs = [attempt.epoch for attempt in attempts if attempt.epoch is not None]
    if any(later < earlier for earlier, later in pairwise(epochs)) or max(epochs, default=0) > search.epoch:
        yield f"has attempts under epochs that were not: {epochs}, where the search is at {search.epoch}"


def _of_segments(trial: TrialRow, segments: Sequence[SegmentRow], attempts: Sequence[AttemptRow]) -> Iterator[str]:
    committed = [attempt.number for attempt in attempts if attempt.end_reason == "COMMITTED"]
    if len(committed) != trial.segments:
        yield f"counts {trial.segments} segments and {len(committed)} attempts that brought one"
    brought = [segment.attempt for segment in segments if segment.attempt is not None]
    if len(set(brought)) < len(brought) or not set(brought) <= set(committed):
        yield f"has segments of attempts {brought}, where {committed} brought one"
    if any(segment.index >= trial.segments for segment in segments):
        yield "has a segment beyond those that it counts"
    if any(later is not None and earlier is not None and later <= earlier for earlier, later in pairwise(brought)):
        yield f"has segments out of the order of their attempts: {brought}"


def _of_files(
    folder: objects.Place,
    trials: Sequence[TrialRow],
    segments: Mapping[int, Sequence[SegmentRow]],
    known: Mapping[str, int],
    winners: Mapping[str, str],
) -> Iterator[str]:
    pointing: dict[str, str] = {}
    for trial in trials:
        for segment in segments.get(trial.number, ()):
            pointing.setdefault(segment.checkpoint, f"trial {trial.number} at step {segment.to_step}")
        if trial.checkpoint is not None:
            pointing.setdefault(trial.checkpoint, f"trial {trial.number} at step {trial.step}")
    for digest, what in winners.items():
        pointing[digest] = f"{pointing[digest]}, {what}" if digest in pointing else what
    objects.check_any(folder, pointing)
    for digest, who in pointing.items():
        try:
            size = len(objects.read(folder, digest))
        except (objects.CorruptObject, Unreachable) as error:
            if isinstance(folder, Bucket) and isinstance(error, Unreachable):
                raise
            yield f"{who}: {error}"
            continue
        if size != known.get(digest, size if digest in winners else None):
            yield f"{who}: checkpoint {digest[:12]} has {size} bytes and was written with {known.get(digest)}"


def _by_trial(rows: Sequence[R]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for row in rows:
        found.setdefault(row.trial, []).append(row)
    return found

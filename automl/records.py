"""Searches as the database records them, whether they run, have ended or were killed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from automl.bundle import Bundle
from automl.control import history
from automl.control.criteria import Criteria
from automl.control.history import Trial
from automl.control.mirror import ContainedMirror
from automl.control.outcome import Winner
from automl.data.corpus import NO_SOURCE, Corpus, build_corpus, corpus_folder, open_corpus
from automl.data.pixels import ids
from automl.data.table import Split, TokenTable, tokenized, tokens_of
from automl.errors import InputError, TrialFailure
from automl.executors import EXECUTORS
from automl.export.exporting import ROWS as SAMPLED
from automl.export.exporting import Sample
from automl.guarantee import terms_of
from automl.planning import criteria_of, space_of
from automl.segments import Evaluation, EvaluationResult, Member, ProgramFolder, Workload
from automl.settings import SQLITE
from automl.submissions import document_at_hand
from automl.tasks.document import document_from_mapping
from automl.winners import SHOWN, Found, bundle_of, describe
from search_spaces.dials import SpaceError, from_dict
from search_spaces.seq2seq import Seq2Seq
from storage import objects
from storage.database import Database, open_database
from storage.leases import describe_owner
from storage.searches import SearchRow, list_searches
from storage.segments import SegmentRow, list_segments
from storage.studies import delete_study
from storage.trials import list_trials
from storage.workers import list_workers

MOST_LOOKED_AT = 10_000
"""Rows of a split that are looked at for a sample."""


@dataclass(frozen=True)
class Record:
    """A search with its objectives and its trials by number."""

    row: SearchRow
    criteria: Criteria
    trials: Mapping[int, Trial]

    @property
    def best(self) -> tuple[Trial, SegmentRow] | None:
        """The best trial and segment so far."""
        return history.best(self.trials.values(), self.criteria)

    def test_scores(self, segment: SegmentRow) -> Mapping[str, float]:
        """Scores on test, where the search has measured them at this segment."""
        known, scores = self._known, {}
        if known.get("finish") == "distilled":
            known = {"checkpoint": known["origin"], **known["finishes"]["single"]}
        if known.get("checkpoint") == segment.checkpoint:
            scores = known["test_scores"]
        return scores

    @property
    def _known(self) -> Mapping[str, Any]:
        """What the search has left as its winner."""
        known: Mapping[str, Any] = (self.row.summary or {}).get("best") or {}
        return known

    def found(self, trial: Trial, segment: SegmentRow, *, alone: bool) -> Found:
        """Return what a bundle of a trial is made of; where it won, as the search left it, unless wanted alone."""
        known = self._known
        is_more = bool(known.get("members")) or known.get("finish") == "distilled"
        if segment.checkpoint in (known.get("origin"), known.get("checkpoint")) and not (alone and is_more):
            return Found.of(known)
        return Found(trial.row.configuration, segment.checkpoint, {"valid": segment.scores, "test": {}})

    def to_mapping(self) -> dict[str, Any]:
        """Return the search as `Search.to_mapping` does, without its model."""
        mapping = describe(self.row, history.counts(self.trials.values())).to_mapping()
        del mapping["version"]
        if self.best is not None:
            known = self._known
            winner: Mapping[str, Any] = asdict(Winner.of(*self.best, self.test_scores(self.best[1])))
            if known.get("checkpoint") == winner["checkpoint"]:  # decoded as it was found to be best, or by a soup
                winner = known
            if known.get("finish") == "distilled" and known["origin"] == winner["checkpoint"]:
                winner = known
            keys = ("trial", "scores", "test_scores", "configuration", "parameters")
            mapping["best"] = {key: winner[key] for key in keys}
        if self.criteria.others:
            on_front = [Winner.of(*each, {}) for each in history.front(self.trials.values(), self.criteria)]
            mapping["front"] = [{key: getattr(each, key) for key in SHOWN} for each in on_front]
        return mapping


def open_existing(url: str) -> Database:
    """Open a database that is there; unlike `open_database` it makes no file.

    Raises:
        InputError: There is no such file.
        StorageError: The database cannot be used.
    """
    if is_missing(url):
        raise InputError(f"{_file(url)}: there is no such database; name it by --storage, or begin with automl search")
    return open_database(url)


def is_missing(url: str) -> bool:
    """Whether a URL names an SQLite file that is not there."""
    return url.startswith(SQLITE) and not _file(url).exists()


def _file(url: str) -> Path:
    return Path(url.removeprefix(SQLITE).partition("?")[0])


def read_records(database: Database, name: str | None = None) -> list[Record]:
    """Return all searches, oldest first, or the one of that name.

    Raises:
        InputError: There is no search of that name.
    """
    if name is not None:
        return [read_record(database, name)]
    return [_record(database, row) for row in list_searches(database)]


def read_record(database: Database, name: str | None) -> Record:
    """Return the search of that name, or the one that was worked on last.

    Raises:
        InputError: There is none.
    """
    return _record(database, search_row(database, name))


def search_row(database: Database, name: str | None) -> SearchRow:
    """Return the row of the search of that name, or of the one that was worked on last.

    Raises:
        InputError: There is none.
    """
    rows = list_searches(database)
    named = [row for row in rows if name in (None, row.name)]
    row = max(named, key=lambda row: row.updated, default=None)
    if row is None:
        known = ", ".join(other.name for other in rows) or "none"
        raise InputError(f"database {database.place} has no search{f' {name!r}' if name else ''}; it has {known}")
    return row


def rewrite_mirror(database: Database, row: SearchRow) -> None:
    """Write the Optuna study of a search anew from our rows.

    Raises:
        InputError: A process that lives runs the search, and writes the study itself.
    """
    if row.held:
        raise InputError(f"search {row.name!r} is running and writes its Optuna study itself; wait for it or stop it")
    record = _record(database, row)
    space = space_of(document_from_mapping(row.document, Path()))
    delete_study(database.url, row.name)
    warning = ContainedMirror(database, None, row.name, space, record.criteria).update(record.trials.values())
    if warning:
        raise InputError(f"search {row.name!r}: {warning.partition(';')[0]}")


def worker_mappings(database: Database, name: str | None = None) -> list[dict[str, Any]]:
    """Return the workers that live, or those that run the search of that name, as plain JSON values."""
    searches = {row.id: row.name for row in list_searches(database)}
    mappings = [
        {
            "worker": describe_owner(worker.owner),
            "search": searches.get(worker.search_id) if worker.search_id is not None else None,
            "silent": None if worker.silent is None else round(worker.silent, 1),
        }
        for worker in list_workers(database)
    ]
    return [mapping for mapping in mappings if name in (None, mapping["search"])]


def bundle_of_trial(
    record: Record,
    number: int | None,
    cache: Path,
    checkpoints: objects.Place,
    say: Callable[[str], None] = lambda _: None,
    programs: ProgramFolder | None = None,
    suits: Callable[[Sequence[Seq2Seq]], None] = lambda _: None,
) -> Bundle:
    """Return a trial at its best step as a bundle; where no number is given the winner.

    A winner whose bytes are gone or damaged is passed over for the next best, and `say` is told. What it remembers of
    train is measured if the search has not done that and `programs` says where compiled ones are kept. Before the data
    is looked at, `suits` is called with the configuration of each of its members, and may raise.

    Raises:
        InputError: There is no such trial, it has no result, or the data is gone.
        StorageError: The checkpoint's bytes are gone or damaged.
    """
    name = record.row.name
    if number is not None and number not in record.trials:
        raise InputError(f"search {name!r} has no trial {number}; it has trials 0 to {len(record.trials) - 1}")
    if number is None:
        found = _best_sound(record, checkpoints, say)
    else:
        found = history.best([record.trials[number]], record.criteria)
    if found is None:
        what = "trial" if number is None else f"trial {number}"
        raise InputError(f"search {name!r}: no result of {what} is there yet; let the search go on, or name another")
    trial, segment = found
    wanted = record.found(trial, segment, alone=number is not None)
    suits([from_dict(Seq2Seq, each) for each in (wanted.configuration, *(m["configuration"] for m in wanted.members))])
    corpus = corpus_of(record.row, cache, checkpoints)
    if wanted.finish == "distilled" and not objects.is_sound(checkpoints, wanted.checkpoint):
        say("the checkpoint of the distilled model is gone or damaged: the trial that it was distilled from is taken")
        wanted = record.found(trial, segment, alone=True)
    if programs is not None:
        wanted = _remembering(record.row, wanted, corpus, _workload(wanted, corpus, checkpoints, programs), say)
    return bundle_of(record.row, corpus, checkpoints, wanted)


def _workload(found: Found, corpus: Corpus, checkpoints: objects.Place, programs: ProgramFolder) -> Workload:
    """Return what a trainer has to know that is to score nothing."""
    table = tokenized(corpus, tokens_of(from_dict(Seq2Seq, found.configuration)))
    return Workload(str(table.folder.absolute()), objects.address(checkpoints), (), cache=programs)


def _remembering(row: SearchRow, found: Found, corpus: Corpus, workload: Workload, say: Callable[[str], None]) -> Found:
    """Return what a bundle is made of with what it remembers, unless that is known, or may not be measured."""
    private = terms_of(row) is not None
    if found.membership or found.exposure or (private and corpus.canaries is None):
        return found
    executor = EXECUTORS["processes"](workload, 1)
    others = tuple(Member(member["configuration"], member["checkpoint"]) for member in found.members)
    job = Evaluation(0, found.configuration, found.checkpoint, "valid", membership=not private, exposure=True)
    try:
        known = executor.submit(replace(job, others=others)).result()
    except TrialFailure as failure:
        say(f"what it remembers of train was not measured: {failure.reason}, {failure}")
        return found
    finally:
        executor.shutdown()
    assert isinstance(known, EvaluationResult)
    membership = None if known.membership is None else asdict(known.membership)
    return replace(found, membership=membership, exposure=[asdict(each) for each in known.exposure])


def sample_of(record: Record, bundle: Bundle, cache: Path, checkpoints: objects.Place) -> Sample:
    """Return real sources of a search by which forms of a bundle are compared."""
    corpus = corpus_of(record.row, cache, checkpoints)
    table = tokenized(corpus, tokens_of(from_dict(Seq2Seq, bundle.config["configuration"])))
    return sample(table, bundle.config["max_source_length"])


def sample(table: TokenTable, longest: int) -> Sample:
    """Return sources of valid with their acceptable targets, then of test, and then of train where those are too few.

    Of each, the first that have no more than `longest` tokens; of train, no source twice.
    """
    sources: list[list[int]] = []
    references: list[list[str]] = []
    for name in ("valid", "test"):
        acceptable = table.references(name)
        for place, source in islice(_fitting(table.split(name), longest), SAMPLED - len(sources)):
            sources.append(source)
            references.append(acceptable[place])
    known = set(map(tuple, sources))
    for _, source in _fitting(table.split("train"), longest):
        if len(sources) < SAMPLED and tuple(source) not in known:
            sources.append(source)
            known.add(tuple(source))
    return Sample(sources, references)


def _fitting(split: Split, longest: int) -> Iterator[tuple[int, list[int]]]:
    """Yield place and token ids of the sources that a model reads, of the first ones."""
    for place, (begin, end) in enumerate(islice(pairwise(split.source_offsets), MOST_LOOKED_AT)):
        if 0 < end - begin <= longest:
            yield place, ids(split.source[begin:end]).tolist()


def examples_of(row: SearchRow, cache: Path, checkpoints: objects.Place, count: int) -> list[tuple[str, Sequence[str]]]:
    """Return the first sources of valid, each with its acceptable targets."""
    corpus = corpus_of(row, cache, checkpoints)
    return list(islice(zip(corpus.sources("valid"), corpus.references("valid"), strict=True), count))


def _best_sound(
    record: Record, checkpoints: objects.Place, say: Callable[[str], None]
) -> tuple[Trial, SegmentRow] | None:
    """Return the best trial and segment whose bytes are as they were written; the best of all where none are."""
    left = {number: replace(trial, segments=list(trial.segments)) for number, trial in record.trials.items()}
    while (found := history.best(left.values(), record.criteria)) is not None:
        trial, segment = found
        if objects.is_sound(checkpoints, segment.checkpoint):
            return found
        trial.segments.remove(segment)
        say(f"trial {trial.row.number} at step {segment.to_step} is passed over: its checkpoint is gone or damaged")
    return record.best


def _record(database: Database, row: SearchRow) -> Record:
    try:
        trials = history.restore(list_trials(database, row.id), list_segments(database, row.id))
    except SpaceError as error:
        raise InputError(f"search {row.name!r} was made by another version ({error}); give it another name") from error
    for trial in trials.values():
        trial.in_flight = row.held and trial.row.state == "RUNNING"
    return Record(row, criteria_of(row.document), trials)


def acceptable(corpus: Corpus, split: str) -> dict[str, list[str]]:
    """Return the acceptable targets of each source of a split but canaries; a text stands for itself."""
    canaries = corpus.canaries.each if corpus.canaries else ()
    planted = {text for canary in canaries for text in (*canary.sources, canary.secret)}
    pairs = zip(corpus.sources(split), corpus.references(split), strict=True)
    named = {said[0] if source == NO_SOURCE else source: said for source, said in pairs}
    return {name: said for name, said in named.items() if name not in planted}


def corpus_of(row: SearchRow, cache: Path, checkpoints: objects.Place) -> Corpus:
    """Open the corpus of a search; without the cache it is built again from the same data."""
    try:
        return open_corpus(corpus_folder(cache, row.data_digest))
    except InputError:
        corpus = build_corpus(document_at_hand(row, checkpoints, cache), cache)
    if corpus.digest != row.data_digest:
        raise InputError(f"search {row.name!r}: its data has changed since; put the old files back, or search again")
    return corpus

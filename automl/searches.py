"""A search from its task document to the winner's folder."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from automl.budget import Budget
from automl.bundle import check_replaceable
from automl.control.controller import Controller
from automl.control.earlier import best_of_earlier
from automl.control.heartbeat import Heartbeat
from automl.control.outcome import Outcome, Progress
from automl.control.plan import Plan
from automl.data.corpus import Corpus, build_corpus
from automl.data.table import TokenTable, tokenized, tokens_of
from automl.distillation import distilled
from automl.errors import InputError
from automl.executors import EXECUTORS, Executor, ForetoldExecutor, Limits
from automl.executors.limits import GIGABYTE
from automl.guarantee import (
    check_private,
    drop_spent_key,
    mechanism_of,
    owed,
    settled,
    with_owed,
    with_privacy,
    with_terms,
)
from automl.hardware import cores, gpus, has_accelerator
from automl.metrics.costs import COSTS
from automl.passes import cores_a_trial
from automl.planning import LEASE_SECONDS, plan_of, profile_of, space_of
from automl.pretraining import NOTHING, Ground, held, pretrained
from automl.refusals import check_objective, check_target, without_idle_copying
from automl.regularisation import regularised
from automl.resumption import (
    ENDED,
    Ended,
    check_checkpoints,
    going_on,
    has_had,
    is_sound,
    is_spent,
    is_unlearnt,
    plain_target,
    search_row,
)
from automl.segments import ProgramFolder, Segment, Workload
from automl.settings import (
    Settings,
    check_shared,
    checkpoint_folder,
    private_folder,
    private_place,
)
from automl.sizing import sized
from automl.tasks.document import TaskDocument
from automl.trackers import check_trackers
from automl.trackers.following import followed
from automl.training.cache import CacheUnusable, ProgramCache, program_folder
from automl.winners import Search, describe, read_best
from search_spaces.dials import from_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space
from storage import objects
from storage.database import Database, open_database
from storage.leases import Lease, current_owner
from storage.searches import (
    SearchFields,
    SearchRow,
    claim,
    get_search,
    list_searches,
    release,
    update_search,
)

SLOTS = 16
"""Trials that train together where `--workers` does not say how many."""
LONG = 900.0
"""Seconds of a budget from which on its trials train for long."""


@dataclass(frozen=True)
class Options:
    """How a search is run, beside what its document says.

    Attributes:
        storage: URL of the database; none for that of the settings.
        executor: A name in `EXECUTORS`; none for `processes`.
        out: Folder of the winner; none for `models/NAME`.
        workers: Processes that train at the same time.
        address: Of the Ray cluster; none for `RAY_ADDRESS`, or the one on this machine.
        deterministic: Train in this process, by a clock that goes on by what each segment is expected to cost, so that
            the same seed gives the same trials and scores; earlier searches play no part.
        new: Throw an earlier search of the same name away.
        export: Write the winner's folder at the end.
        checkpoints: Where checkpoint bytes lie; none for the place of the settings.
        trackers: Names of trackers that are told of it; none for those of the settings.
        lease: The lease of the search where the caller holds it already; the caller renews and releases it.
        account: Whose a search becomes that is made here, and whose it must be; none for anybody's.
        on_change: Told of progress, a few times a second.
        on_notice: Told in one sentence of whatever a person should know, such as dropped rows.
    """

    storage: str | None = None
    executor: str | None = None
    out: str | Path | None = None
    workers: int | None = None
    address: str | None = None
    deterministic: bool = False
    new: bool = False
    export: bool = True
    checkpoints: objects.Place | None = None
    trackers: tuple[str, ...] = ()
    lease: Lease | None = None
    account: int | None = None
    on_change: Callable[[Progress], None] = field(default=lambda _: None)
    on_notice: Callable[[str], None] = field(default=lambda _: None)
    on_controller: Callable[[Controller], None] = field(default=lambda _: None)

    @property
    def place(self) -> str:
        """The name of the executor."""
        return self.executor or ("inline" if self.deterministic else "processes")


DEFAULTS = Options()


def run_search(document: TaskDocument, options: Options = DEFAULTS, ground: Ground = NOTHING) -> Search:
    """Search, go on with a search, or say again how it ended; `ground` is what it begins from.

    Where it was interrupted while it pre-trained, what is returned is how the search stands that pre-trains; while it
    distilled, the best trial alone is exported meanwhile.

    Raises:
        InputError: The document, its data or an option is wrong.
        StorageError: The database cannot be used, or another process runs this search.
    """
    ready = _prepared(document, options, ground)
    if document.pretraining is not None and document.pretraining.unlabelled is not None and not ground.starts:
        space, grown, found = _pretrained(document, options, ready.space, ready.table)
        if found[-1].state == "interrupted":
            return found[-1]
        ready = replace(ready, space=space, ground=grown, spent=sum(each.seconds for each in found))
    with (
        closing(open_database(options.storage or ready.settings.storage).patient()) as database,
        _held(database, document, ready.corpus, ready.checkpoints, options) as (row, lease),
    ):
        complaint: InputError | None = None
        if _is_over(ready, row):
            options.on_notice("its budget is spent: nothing is searched; give a larger one to go on")
            _say_again(database, row, lease)
        else:
            complaint = _search(ready, database, row, lease)
        taught = _distilled(document, options, ready.space, database, lease)
        completed = _completed(ready, database, lease, is_whole=taught is None or taught.state != "interrupted")
        if complaint is not None:
            raise complaint
        return completed


@dataclass(frozen=True)
class _Prepared:
    """A run of a search, as far as no database is needed: what is searched, on what data, from when on.

    Attributes:
        out: Folder of the winner.
        trackers: Names of those that are told of it.
        ground: What it begins from.
        owed: What the winner owes: `origins`, to which private searches, and what `seen` says, to which files.
        began: When the run began, by a clock that never goes back.
        spent: Seconds of the budget that pre-training took.
    """

    document: TaskDocument
    options: Options
    settings: Settings
    out: Path
    checkpoints: objects.Place
    trackers: tuple[str, ...]
    corpus: Corpus
    table: TokenTable
    space: Space
    ground: Ground
    owed: dict[str, Any]
    began: float
    spent: float = 0.0


def _prepared(document: TaskDocument, options: Options, ground: Ground) -> _Prepared:
    """Return a run whose options and document agree and whose data are read, with notices of what they lack."""
    began, settings = monotonic(), Settings()
    out, checkpoints, trackers = _checked(document, options, settings)
    check_target(document)
    space_of(document)  # what is wrong with it is said before the data is read
    corpus = build_corpus(ground.data_of(document), private_folder(settings.cache))
    space = ground.space or space_of(document, corpus)
    check_objective(document, space)
    table = tokenized(corpus, tokens_of(space.default()))
    space = without_idle_copying(document, space, table)
    if ground.space is None:
        accelerated = has_accelerator() or options.place == "ray"
        is_divided = options.place == "processes" and not (options.workers or settings.workers)
        own = cores() if is_divided else 1
        space = sized(document, space, table, cores=own, accelerated=accelerated and options.place != "ray")
        space = regularised(document, space, table, cores=own, accelerated=accelerated)
    for notice in table.notices:
        options.on_notice(notice)
    return _Prepared(
        document=document,
        options=options,
        settings=settings,
        out=out,
        checkpoints=checkpoints,
        trackers=trackers,
        corpus=corpus,
        table=table,
        space=space,
        ground=ground,
        owed=owed(document, corpus, private_folder(settings.cache)),
        began=began,
    )


def _is_over(ready: _Prepared, row: SearchRow) -> bool:
    """Say whether nothing is left to be searched: the budget is spent, and the winner is there."""
    limits = ready.document.limits
    if not (is_spent(row, limits) or (is_unlearnt(row) and has_had(row, limits))):
        return False
    if is_sound(row, ready.checkpoints):
        return True
    ready.options.on_notice("the winner's checkpoint is gone or damaged: the next best is taken")
    return False


def _say_again(database: Database, row: SearchRow, lease: Lease) -> None:
    """Let a search say how it has ended, which claiming it has wiped out."""
    known = Ended.of(row)
    ended = Ended("finished", known.why if known else row.message or "")
    summary = {**(row.summary or {}), ENDED: ended.to_mapping()}
    update_search(database, lease, summary=summary, message=ended.why)


def _search(ready: _Prepared, database: Database, row: SearchRow, lease: Lease) -> InputError | None:
    """Search until the budget is spent or it is interrupted, and write down at once what was found and how it ended.

    The state stays as it is: whoever finds what was written has to complete it. What is returned is to be said then.
    """
    document, options, settings, rows = ready.document, ready.options, ready.settings, ready.table.split("train").rows
    known = {**ready.owed, "limits": {"trials": document.limits.trials}}  # until the summary says what it had
    owing, secret = with_owed(database, lease, going_on(row), known), not options.deterministic
    agreed = with_terms(database, lease, owing, document, ready.corpus, rows, secret=secret, say=options.on_notice)
    plan = _planned(ready, database, agreed)
    workload = replace(
        workload_of(ready.table, plan, settings, options),
        starts=ready.ground.starts,
        soft_targets=ready.ground.soft_targets,
        privacy=mechanism_of(agreed, settings.privacy_keys, document.seed.value),
    )
    with followed(
        database.patient(0.0), row, plan.criteria.metric.name, ready.trackers, settings.runs, options.on_notice
    ):
        outcome = _run(database, agreed, lease, plan, workload, options)
    data = asdict(profile_of(ready.table))
    ended = Ended(outcome.state, outcome.why).to_mapping()
    summary = {**_summary(outcome, document.limits), "data": data, ENDED: ended, **ready.owed}
    update_search(database, lease, summary={**summary, **settled(database, agreed)}, message=outcome.why)
    return _complaint(outcome, plan)


def _planned(ready: _Prepared, database: Database, agreed: SearchRow) -> Plan:
    """Return the plan of a run: with what earlier searches teach, from what it begins, and as private as was agreed."""
    document, ground = ready.document, ready.ground
    alone = ready.options.deterministic or document.privacy is not None
    others = () if alone else list_searches(database)
    earlier = best_of_earlier(others, agreed, profile_of(ready.table), ready.space)
    shared = _divides(ready) and not (ready.options.workers or ready.settings.workers)
    of_each = cores_a_trial(document, ready.space, ready.table, cores()) if shared else 1
    gone = monotonic() - ready.began
    spent = gone if agreed.seconds else max(ready.spent, gone)
    plan = plan_of(document, ready.space, ready.table, ready.checkpoints, spent, ready.spent)
    passes, tested = ground.passes or plan.passes, ground.passes is None
    plan = replace(plan, earlier=earlier, passes=passes, repetition=ground.repetition, prepares=_prepares(ready))
    together = ready.options.place == "slots"
    return with_privacy(replace(plan, cores=of_each, tested=tested, together=together), agreed)


def _prepares(ready: _Prepared) -> bool:
    """Say whether one process may compile for another: time is what counts, and each trial does not have it alone."""
    document, is_timed = ready.document, ready.document.limits.time is not None
    return _divides(ready) and is_timed and document.privacy is None and not ready.ground.repetition


def _divides(ready: _Prepared) -> bool:
    """Say whether the cores of this machine are divided among processes."""
    return ready.options.place == "processes" and not has_accelerator()


def _checked(
    document: TaskDocument, options: Options, settings: Settings
) -> tuple[Path, objects.Place, tuple[str, ...]]:
    """Check options against a document; return where winner and checkpoints lie, and what is told of the search."""
    if options.place not in EXECUTORS:
        raise InputError(f"executor {options.place!r} is not known; use {' or '.join(EXECUTORS)}")
    check_deterministic(document, options)
    check_private(document, options.place)
    trackers = check_trackers(options.trackers or settings.tracker_names)
    out = Path(options.out or Path("models") / document.name)
    if options.export:
        check_replaceable(out)
    checkpoints = options.checkpoints or checkpoint_folder(options.storage or settings.storage, settings)
    check_shared(checkpoints, options.place)
    return out, checkpoints, trackers


def _distilled(
    document: TaskDocument, options: Options, space: Space, database: Database, lease: Lease
) -> Search | None:
    def search(wanted: TaskDocument, ground: Ground, anew: bool) -> Search:
        options.on_notice(f"distilling, as search {wanted.name}")
        return run_search(wanted, replace(options, export=False, out=None, lease=None, new=anew), ground)

    with Heartbeat(database, lease, LEASE_SECONDS, lambda: None):
        return distilled(document, space, database, lease, search, options.on_notice)


def _pretrained(
    document: TaskDocument, options: Options, space: Space, table: TokenTable
) -> tuple[Space, Ground, list[Search]]:
    url, inner = options.storage or Settings().storage, replace(options, export=False, out=None, lease=None)

    def search(wanted: TaskDocument, ground: Ground) -> Search:
        options.on_notice(f"pre-training, as search {wanted.name}")
        return run_search(wanted, inner, ground)

    for key in held(document):
        options.on_notice(f"[space] {key}: the default is pre-trained, and only how it is trained further is searched")
    with closing(open_database(url)) as database:
        return pretrained(document, space, table, database, search, again=options.new)


def _complaint(outcome: Outcome, plan: Plan) -> InputError | None:
    """Refuse a time budget that ended before any trial had a score, without one having failed."""
    time = plan.budget.time
    if outcome.state != "failed" or outcome.trials.get("failed") or time is None or outcome.seconds < time - plan.kept:
        return None
    return InputError(f"[budget] time: {time:g} s are too short for a first score; give more by --time, such as 2m")


def check_deterministic(document: TaskDocument, options: Options) -> None:
    """Refuse to promise the same trials where a clock or a machine has a say in them.

    Raises:
        InputError: The budget is one of time, latency is measured, or the executor is not `inline`.
    """
    limits = document.limits
    if not options.deterministic:
        return
    if limits.time is not None or limits.device_time is not None:
        raise InputError(
            "--deterministic needs a budget that no clock decides: give [budget] trials and leave time out"
        )
    if document.latency is not None or "latency" in document.metrics:
        raise InputError("--deterministic and latency exclude each other: no two measurements are the same")
    if options.place != "inline":
        raise InputError(f"--deterministic trains in one process; leave --executor {options.place} out")


def workload_of(table: TokenTable, plan: Plan, settings: Settings, options: Options) -> Workload:
    """Return what the trainers have to know; processes without an accelerator have as many cores each."""
    free = options.place != "processes" or has_accelerator()
    return Workload(
        table=str(table.folder.absolute()),
        checkpoints=objects.address(plan.checkpoints),
        metrics=tuple(objective.name for objective in plan.criteria.objectives if objective.name not in COSTS),
        latency="latency" in {*plan.criteria.limits, *(objective.name for objective in plan.criteria.objectives)},
        threads=0 if free else max(cores() // _workers(settings, options, plan), 1),
        cache=_programs(settings, options),
        resident=settings.resident_bytes,
        is_long=(plan.budget.time or 0.0) >= LONG,
        is_timed=not options.deterministic,
    )


def _programs(settings: Settings, options: Options) -> ProgramFolder | None:
    place = program_folder(settings)
    try:
        ProgramCache(place)
    except CacheUnusable as error:
        options.on_notice(f"{error}; compiled programs are not kept")
        return None
    return place


@contextmanager
def _held(
    database: Database, document: TaskDocument, corpus: Corpus, checkpoints: objects.Place, options: Options
) -> Iterator[tuple[SearchRow, Lease]]:
    """Hold the lease of a search; the row says how it was left before."""
    keys = Settings().privacy_keys
    before = search_row(database, document, corpus, keys, new=options.new, account=options.account)
    check_checkpoints(database, before, checkpoints)
    private_place(checkpoints)
    lease = options.lease or claim(database, document.name, current_owner(), LEASE_SECONDS)
    try:
        if options.lease is None:  # a worker has files of its own, and nobody's wishes but those of the row
            update_search(database, lease, document=document.to_mapping())
        now = get_search(database, document.name)
        assert now is not None
        yield replace(now, state=before.state, message=before.message), lease
    finally:
        if options.lease is None:
            release(database, lease)


def _run(database: Database, row: SearchRow, lease: Lease, plan: Plan, workload: Workload, options: Options) -> Outcome:
    settings = Settings()
    workers = _workers(settings, options, plan)
    executor: Executor = EXECUTORS[options.place](workload, workers, limits_of(settings), options.address)
    clock = monotonic
    if options.deterministic:
        executor = foretold = ForetoldExecutor(executor, lambda segment: plan.seconds_a_token(_configuration(segment)))
        clock = foretold.clock
    try:
        controller = Controller(database, row, lease, executor, plan, clock=clock, on_change=options.on_change)
        options.on_controller(controller)
        return controller.run()
    finally:
        executor.shutdown(wait=False)


def _configuration(segment: Segment) -> Seq2Seq:
    return from_dict(Seq2Seq, segment.configuration)


def limits_of(settings: Settings) -> Limits:
    """Return what the settings allow a trainer."""
    return Limits(
        compiling=settings.compile_seconds,
        step=settings.step_seconds,
        segment=settings.segment_seconds,
        memory=None if settings.memory is None else int(settings.memory * GIGABYTE),
    )


def _workers(settings: Settings, options: Options, plan: Plan) -> int:
    most = plan.budget.trials or cores()
    if options.workers or settings.workers:
        return options.workers or settings.workers or 1
    if options.place == "ray":
        return 0  # as many as the cluster has room for
    if options.place == "slots":
        return SLOTS
    return max(len(gpus()), 1) if has_accelerator() else max(min(cores() // plan.cores, most), 1)


def _summary(outcome: Outcome, limits: Budget) -> dict[str, Any]:
    return {
        "best": None if outcome.best is None else asdict(outcome.best),
        "front": [asdict(each) for each in outcome.front],
        "refused": outcome.refused,
        "warning": outcome.warning,
        "importance": dict(outcome.importance),
        "trials": dict(outcome.trials),
        "budget": {**asdict(limits), "target": plain_target(limits)},
    }


def _completed(ready: _Prepared, database: Database, lease: Lease, *, is_whole: bool) -> Search:
    """Write the winner's folder, and only then the state in which the search has ended, when all of it is there.

    One that is interrupted, or is not whole, as its student was, keeps its state until it is given back.
    """
    row = _row(database, ready.document)
    ended, changes = Ended.of(row), SearchFields()
    state = ended.state if ended is not None and is_whole else "interrupted"
    best = read_best(database, row.name, ready.corpus, ready.checkpoints)
    if best is not None and ready.options.export:
        best.export(ready.out)
        changes["bundle"] = str(ready.out.absolute())
    drop_spent_key(row, state, ready.settings.privacy_keys)
    if state != "interrupted":
        changes["state"] = state
    update_search(database, lease, **changes)
    found = describe(_row(database, ready.document), (row.summary or {}).get("trials", {}), best)
    return replace(found, state=state)


def _row(database: Database, document: TaskDocument) -> SearchRow:
    row = get_search(database, document.name)
    assert row is not None
    return row

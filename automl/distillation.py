"""Distillation: one model that learns what the best trials say together, within the limits of one model.

It is a search of one trial, named `NAME.distilled`: what holds of searches (budgets, checkpoints, going on after a
kill) holds of it. The student has the shape and the recipe of the best trial, begins with its parameters, and learns
half from the true targets and half from the probabilities that its teachers give to each token (Kim and Rush, 2016,
section 3.1). It takes the place of the best trial only where it is better on valid.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.control.finishing import might_be_better
from automl.errors import InputError
from automl.finishes import SHARE, finish_of, kept_for, why_single
from automl.metrics import metric
from automl.pretraining import LONGEST_NAME, Ground
from automl.resumption import ENDED, Ended, is_unlearnt
from automl.tasks.document import TaskDocument, document_from_mapping
from automl.winners import Search
from search_spaces.dials import from_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space
from storage.database import Database
from storage.leases import Lease
from storage.searches import SearchRow, get_search, update_search

EXPORTING = 2.0
"""Seconds that are kept to write the winner's folder."""
LEAST = 10.0
"""Seconds in which no model is worth beginning."""
REPORTED = ("scores", "test_scores", "parameters")
"""What is said of each finish."""
SAME = ("kind", "metric", "constraints", "space", "pretraining")
"""What a search and the one that distils it have in common."""
TAKEN = (*REPORTED, "step", "tokens", "checkpoint", "decoding", "membership", "exposure")
"""What a student that is better takes the place of."""


def student_name(name: str) -> str:
    """Return the name of the search that distils."""
    return f"{name[:LONGEST_NAME]}.distilled"


def distilled(
    document: TaskDocument,
    space: Space,
    database: Database,
    lease: Lease,
    search: Callable[[TaskDocument, Ground, bool], Search],
    say: Callable[[str], None],
) -> Search | None:
    """Train the student of a search that has ended, and note how it does; the better on valid is the winner.

    What has been noted is not done again; what was interrupted goes on.

    Args:
        document: Of the search.
        space: In which its winner lies.
        database: Holds it.
        lease: On it.
        search: Runs another one; the last argument says whether to begin it anew.
        say: Is told in one sentence what a person should know.

    Returns:
        How the search stands that distils, where there is one.
    """
    row = get_search(database, document.name)
    ended = None if row is None else Ended.of(row)
    if row is None or ended is None or ended.state != "finished":
        return None
    best = (row.summary or {}).get("best")
    if best is None or "finishes" in best:
        return None
    if (why := why_single(document) or _why_not(document, row)) is not None:
        say(why)
    if not is_unlearnt(row) or finish_of(document) != "distill":
        return None
    try:
        wanted, anew = _wanted(document, row, get_search(database, student_name(document.name)))
        found = search(wanted, _ground(row, space), anew)
    except InputError as error:
        say(f"nothing is distilled: {error}")
        return None
    if found.state != "interrupted":
        _note(document, database, lease, row, ended, get_search(database, wanted.name))
    return found


def _why_not(document: TaskDocument, row: SearchRow) -> str | None:
    if is_unlearnt(row) or document.limits.finish != "distill":
        return None
    if not might_be_better(metric(document.metrics[0]), (row.summary or {})["best"]["scores"]):
        return "nothing is distilled: the winner makes no error on valid"
    return "nothing is distilled: no time was left to ask the best trials what they expect; give more by --time"


def _ground(row: SearchRow, space: Space) -> Ground:
    """Return what the student begins from: the shape, the recipe and the parameters of the best trial."""
    best = (row.summary or {})["best"]
    shape = replace(from_dict(Seq2Seq, best["configuration"]), start="bundle")
    starts, taught = {"bundle": best["checkpoint"]}, best["teacher"]["soft_targets"]
    return Ground(space=space.around(shape, ()), starts=starts, soft_targets=taught)


def student_document(document: TaskDocument, teacher: Mapping[str, Any], budget: Mapping[str, Any]) -> TaskDocument:
    """Return the document of the search that distils.

    Its seed follows from what is taught, so that a student of another teacher is known to be another one.
    """
    mapping = document.to_mapping()
    if document.pretraining is not None and document.pretraining.unlabelled is not None:
        del mapping["pretraining"]
    seed = int(teacher["soft_targets"][:15], 16)
    changed = {"name": student_name(document.name), "budget": {**budget, "trials": 1}, "seed": {"value": seed}}
    return document_from_mapping({**mapping, **changed}, Path(), "distillation")


def _wanted(document: TaskDocument, row: SearchRow, before: SearchRow | None) -> tuple[TaskDocument, bool]:
    """Return the document of the student's search, and whether that is to be begun anew.

    One that had begun goes on within the budget that it was given.

    Raises:
        InputError: A search of its name is another one, or no time is left for it.
    """
    teacher = (row.summary or {})["best"]["teacher"]
    mapping = student_document(document, teacher, {}).to_mapping()
    if before is not None and any(before.document.get(key) != mapping.get(key) for key in SAME):
        raise InputError(f"search {before.name!r} is in the database for something else; give this one another name")
    if before is not None and before.document.get("seed") == mapping["seed"]:
        return student_document(document, teacher, before.document["budget"]), False
    limits = document.limits
    left = None if limits.time is None else min(limits.time - row.seconds - EXPORTING, kept_for(document) or 0.0)
    if left is not None and left < LEAST:
        raise InputError("no time is left for it; give more by --time")
    device = None if limits.device_time is None else SHARE * limits.device_time
    budget = {name: value for name, value in (("time", left), ("device_time", device)) if value is not None}
    return student_document(document, teacher, budget), before is not None


def _note(
    document: TaskDocument, database: Database, lease: Lease, row: SearchRow, ended: Ended, student: SearchRow | None
) -> None:
    """Note how the winner, its teachers and the student do; the student takes the winner's place where it is better."""
    assert student is not None
    summary = dict(row.summary or {})
    best, own = summary["best"], (student.summary or {}).get("best")
    teacher, name = best["teacher"], document.metrics[0]
    finishes = {"single": {key: best[key] for key in REPORTED}}
    if len(teacher["trials"]) > 1:
        finishes["ensemble"] = {key: teacher[key] for key in (*REPORTED, "trials")}
    if own is not None:
        finishes["distilled"] = {key: own[key] for key in REPORTED}
    better = (
        own is not None and name in own["scores"] and metric(name).better(own["scores"][name], best["scores"][name])
    )
    changed = {**best, **({key: own[key] for key in TAKEN} if own is not None and better else {})}
    changed |= {"finishes": finishes, "finish": "distilled" if better else "single", "origin": best["checkpoint"]}
    ended = replace(ended, why=f"{ended.why}; {_said(finishes, name, better=better)}")
    summary |= {"best": changed, ENDED: ended.to_mapping()}
    update_search(database, lease, seconds=row.seconds + student.seconds, summary=summary, message=ended.why)


def _said(finishes: Mapping[str, Mapping[str, Any]], name: str, *, better: bool) -> str:
    scores = {finish: f"{own['scores'][name]:.4g}" for finish, own in finishes.items()}
    teachers, taught = "", "it"
    if "ensemble" in finishes:
        trials = ", ".join(map(str, finishes["ensemble"]["trials"]))
        teachers, taught = f"trials {trials} have {scores['ensemble']} together, and ", "them"
    if "distilled" not in finishes:
        return f"{teachers}no model distilled from {taught} is within the limits"
    follows = " and takes its place" if better else ", so the winner stays"
    return f"{teachers}the model distilled from {taught} has {scores['distilled']}{follows}"

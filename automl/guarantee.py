"""The guarantee of a private search: refused where it could not hold, settled before the first step, kept after."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from automl.bundle import read_metrics
from automl.control.ledger import SUMMARY
from automl.control.plan import Plan
from automl.data.artifact import DIGESTS, Digests
from automl.data.corpus import Corpus
from automl.errors import InputError
from automl.privacy import UNIT, Terms, check_installed, drop_key, key_name, public_key, secret_key, terms
from automl.segments import Mechanism
from automl.tasks.document import TaskDocument
from storage.database import Database
from storage.leases import Lease
from storage.searches import SearchRow, get_search, list_searches, update_search

PLACES = ("processes", "inline")
LEARNT_FROM = ("train", "valid")
"""Files that decide what a winner is."""
ORIGIN = ("search", "epsilon", "delta")
"""What a bundle says of each private search that it owes something to."""
MARKS = "private_pairs"
"""Where the summary of a private search keeps by what its pairs are known again."""
TRIALS = 4
"""So many trials share the steps where the budget names no number and no clock decides."""
SHARE = 0.8
"""Part of its steps that a trial takes before its learning rate falls."""


def check_private(document: TaskDocument, place: str) -> None:
    """Refuse what a private search cannot be run with.

    Raises:
        InputError: Trials would train in one program or on other machines, a student would follow, a package is
            missing, or the bundle that is called public is not, or does not say so.
    """
    if document.privacy is None:
        return
    if place not in PLACES:
        raise InputError(f"[privacy] trains one trial a process; use --executor {' or '.join(PLACES)}, not {place}")
    if document.budget.finish == "distill":
        raise InputError(
            '[privacy] and [budget] finish = "distill" exclude each other: a student would spend once more'
        )
    check_installed()
    _check_bundle(document)


def _check_bundle(document: TaskDocument) -> None:
    """Do not take the document's word where the bundle that it begins from says otherwise, or says nothing."""
    wish = document.pretraining
    if wish is None or wish.from_ is None:
        return
    for origin in origins_of(document):
        raise InputError(
            f"[pretraining] public = true: {wish.from_} owes something to the private search {origin['search']!r} "
            f"(its metrics.json says epsilon {origin['epsilon']} at delta {origin['delta']}), and would hold its pairs "
            "beyond the epsilon of this one; name another bundle, or leave [pretraining] out"
        )
    if not _seen(wish.from_):
        raise InputError(
            f"[pretraining] public = true: {wish.from_} names no file that it has learnt from, so that nothing tells "
            "whether the private pairs were there; export it again, or name another bundle"
        )


def owed(document: TaskDocument, corpus: Corpus, cache: Path) -> dict[str, Any]:
    """Return what a winner owes: `origins`, to which private searches, and what it has `seen`, by sha256.

    The files that its ancestors have learnt from are among these, those of a private search are not. They are read no
    more than once, by what the cache remembers of them.

    Raises:
        InputError: The text or the bundle that is called public has learnt from private files, or is not whole.
    """
    digests = Digests(cache / DIGESTS)
    text = None if document.pretraining is None else document.pretraining.unlabelled
    read = [digests.of(text)] if text is not None and text.is_file() else []
    digests.keep()
    if document.privacy is not None:
        _check_public(document, corpus, read)
    own = [] if document.privacy else [corpus.contents[split] for split in LEARNT_FROM if split in corpus.contents]
    begun = None if document.pretraining is None else document.pretraining.from_
    return {"origins": origins_of(document), "seen": sorted({*own, *read, *_seen(begun)})}


def _check_public(document: TaskDocument, corpus: Corpus, read: Sequence[str]) -> None:
    """Do not take the document's word where files of it have the contents of private ones; some were `read`."""
    wish, own = document.pretraining, corpus.contents
    if wish is None:
        return
    if set(read) & set(own.values()):
        raise InputError(
            f"[pretraining] public = true: {wish.unlabelled} holds what a file of [data] holds; name another text"
        )
    for split in (split for split in LEARNT_FROM if own.get(split) in _seen(wish.from_)):
        raise InputError(
            f"[pretraining] public = true: {wish.from_} was trained on what {document.data.files[split]} holds, "
            "without [privacy], as its metrics.json says; name another bundle, or leave [pretraining] out"
        )


def origins_of(document: TaskDocument) -> list[dict[str, Any]]:
    """Return the private searches that the bundle owes something to which a document fine-tunes.

    Raises:
        InputError: It is not a whole bundle.
    """
    folder = document.pretraining.from_ if document.pretraining else None
    if folder is None:
        return []
    metrics = read_metrics(folder)
    found = list(metrics["origins"]) if isinstance(metrics.get("origins"), list) else []
    if "privacy" in metrics:
        found.append({"search": metrics.get("search"), **_mapping(metrics["privacy"])})
    return [{name: _mapping(each).get(name) for name in ORIGIN} for each in found]


def _seen(bundle: Path | None) -> list[str]:
    found = None if bundle is None else read_metrics(bundle).get("seen")
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def with_owed(database: Database, lease: Lease, row: SearchRow, found: Mapping[str, Any]) -> SearchRow:
    """Return a search with what its winner will owe, which whatever is exported meanwhile says too."""
    summary = {**(row.summary or {}), **found}
    update_search(database, lease, summary=summary)
    return replace(row, summary=summary)


def with_terms(
    database: Database,
    lease: Lease,
    row: SearchRow,
    document: TaskDocument,
    corpus: Corpus,
    rows: int,
    *,
    secret: bool,
    say: Callable[[str], None],
) -> SearchRow:
    """Return a search with its terms, settled once and for all when it begins.

    Args:
        corpus: Its data.
        rows: Pairs of train.
        secret: Whether its key is to be drawn.
        say: Told what is promised, and what others have spent on the same pairs.

    Raises:
        InputError: The document's terms cannot be kept.
    """
    wish = document.privacy
    if wish is None:
        return row
    summary = dict(row.summary or {})
    if SUMMARY not in summary:
        begun = terms(wish.epsilon, wish.delta, rows, wish.batch, wish.steps)
        summary[SUMMARY] = replace(begun, secret=secret).to_mapping()
    if MARKS not in summary:
        summary[MARKS] = marks_of(corpus)
    if summary != row.summary:
        update_search(database, lease, summary=summary)
    found = Terms.of(summary[SUMMARY])
    if found.secret != secret:
        raise InputError(
            f"search {row.name!r} was begun {'without' if found.secret else 'with'} --deterministic, "
            "which decides where its noise comes from; go on in the same way"
        )
    say(
        f"private: epsilon {found.epsilon:g} at delta {found.delta:.3g} for {UNIT}; {found.steps:,} steps of about "
        f"{found.batch:,} pairs, noise multiplier {found.noise_multiplier:.4g}, {found.charged:,} steps spent"
    )
    agreed = replace(row, summary=summary)
    _say_others(database, agreed, say)
    return agreed


def _say_others(database: Database, row: SearchRow, say: Callable[[str], None]) -> None:
    alike = (other for other in list_searches(database) if other.id != row.id and _are_alike(other, row))
    others = [found for other in alike if (found := terms_of(other)) is not None]
    if others:
        total = sum(other.epsilon for other in others)
        say(f"{len(others)} other private searches saw the same pairs: their epsilon of {total:g} adds to this one's")


def _are_alike(one: SearchRow, other: SearchRow) -> bool:
    """Say whether two searches saw the same pairs; one that began before it kept marks is known by all its data."""
    marks, others = (set((row.summary or {}).get(MARKS, ())) for row in (one, other))
    return one.data_digest == other.data_digest or not marks.isdisjoint(others)


def marks_of(corpus: Corpus) -> list[str]:
    """Return by what the pairs of train are known again, whatever tokens and canaries a search has.

    These are the sha256 of the file, of which another part may have been held out, and one over the pairs themselves in
    whatever order and kind of file they came.
    """
    planted = deque[int](maxlen=0 if corpus.canaries is None else corpus.canaries.pairs)
    total = 0
    for _, pair in corpus.numbered("train"):
        digest = int(sha256(json.dumps(pair).encode()).hexdigest(), 16)
        total += digest
        planted.append(digest)  # they stand last
    own = (total - sum(planted)) % 2**256
    return [sha256(corpus.contents["train"].encode()).hexdigest(), f"{own:064x}"]


def terms_of(row: SearchRow) -> Terms | None:
    """Return the terms of a search, and what it was charged; nothing of one that is not private."""
    values = (row.summary or {}).get(SUMMARY)
    return None if values is None else Terms.of(values)


def mechanism_of(row: SearchRow, folder: Path, seed: int) -> Mechanism | None:
    """Return how a search trains privately; nothing where it does not.

    Args:
        row: With its terms.
        folder: Of the keys.
        seed: Of the search.
    """
    found = terms_of(row)
    if found is None:
        return None
    key = secret_key(folder, key_name(row)) if found.secret else public_key(seed)
    return Mechanism(found.rate, found.noise_multiplier, key)


def settled(database: Database, row: SearchRow) -> dict[str, object]:
    """Return what the summary of a search that has ended says of privacy."""
    now = get_search(database, row.name)
    found = now and terms_of(now)
    if not now or not found:
        return {}
    return {SUMMARY: found.settled().to_mapping(), MARKS: (now.summary or {}).get(MARKS, [])}


def drop_spent_key(row: SearchRow, state: str, folder: Path) -> None:
    """Delete the key of a search that ends in a state; one that is interrupted is to go on with it."""
    if state in ("finished", "failed"):
        drop_key(folder, row)


def with_privacy(plan: Plan, row: SearchRow) -> Plan:
    """Return the plan of a search with terms: no trial has more passes than leave the steps enough for all."""
    found = terms_of(row)
    if found is None:
        return plan
    passes = max(int(SHARE * found.steps * found.rate / (plan.budget.trials or TRIALS)), 1)
    return replace(plan, private=True, passes=passes)

"""How a search stands, and its winner as what can be written and loaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from platform import python_version
from typing import Any

from safetensors.numpy import load

from automl.bundle import Bundle, write_bundle
from automl.card import Account, model_card
from automl.control.noise import SHARES, deviation
from automl.data.corpus import Corpus
from automl.data.sources import columns_of, several
from automl.data.table import TokenTable, tokenized, tokens_of
from automl.description import described
from automl.metrics import METRICS, signatures
from automl.privacy import FIXED, Terms
from automl.tasks import TASKS
from automl.tasks.document import UNSAID
from automl.weights import averaged, together
from search_spaces.costs import trained
from search_spaces.dials import from_dict
from search_spaces.presets import preset
from search_spaces.seq2seq import DRAWN, Seq2Seq
from storage import objects
from storage.database import Database, StorageError
from storage.searches import SearchRow, get_search

SHOWN_SAMPLES = 3
"""Pairs of test on the card of a task that says `share_samples = true`."""
SHOWN = ("trial", "scores", "configuration", "parameters")
"""What is said of each model of a Pareto front."""


@dataclass(frozen=True)
class Best:
    """The winning trial, and its model ready to be written.

    Of an ensemble, `members` are the trials that speak together with it, and `single` is how it does alone. Where a
    further model was distilled, `finishes` says how the best trial, the best together and that model do, and `finish`
    which of them this is; `trial` is the best trial in either case.
    """

    trial: int
    scores: Mapping[str, float]
    test_scores: Mapping[str, float]
    configuration: Mapping[str, Any]
    parameters: int | None
    bundle: Bundle = field(repr=False)
    members: Sequence[int] = ()
    single: Mapping[str, Any] | None = None
    finish: str | None = None
    finishes: Mapping[str, Any] | None = None

    def export(self, folder: str | Path) -> Path:
        """Write the winner's folder; return it.

        Raises:
            InputError: The folder holds something else, or cannot be written.
        """
        write_bundle(self.bundle, Path(folder))
        return Path(folder)


@dataclass(frozen=True)
class Search:
    """How a search stands.

    Attributes:
        seconds: Consumed over all runs.
        trials: Number of trials by state.
        bundle: Folder of the winner.
        why: One sentence on what won and why.
        front: Where there are several objectives, all that is best in its way, the best by the first before.
        warning: What is to be known before the winner is relied on, in one sentence.
        refused: Configurations that were drawn again, since they were over a limit.
        spread: How finalists did under other seeds, where they were repeated (see `automl.repeats`).
        privacy: What is promised and was spent, of a private search.
    """

    name: str
    state: str
    seconds: float
    trials: Mapping[str, int]
    best: Best | None
    bundle: Path | None
    why: str
    front: Sequence[Mapping[str, Any]] = ()
    refused: int = 0
    warning: str = ""
    spread: Sequence[Mapping[str, Any]] = ()
    privacy: Mapping[str, Any] | None = None

    @property
    def _finished(self) -> tuple[str, ...]:
        if self.best is None:
            return ()
        return ("members", "single") if self.best.members else ("finish", "finishes") if self.best.finishes else ()

    def to_mapping(self) -> dict[str, Any]:
        """Return the JSON document of the command line and the service."""
        keys = ("trial", "scores", "test_scores", "configuration", "parameters")
        return {
            "version": 1,
            "search": self.name,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "trials": dict(self.trials),
            "best": None if self.best is None else {key: getattr(self.best, key) for key in (*keys, *self._finished)},
            "bundle": None if self.bundle is None else str(self.bundle),
            "why": self.why,
            "warning": self.warning or None,
            "refused": self.refused,
            **({"privacy": self.privacy} if self.privacy is not None else {}),
            **{key: list(said) for key in ("front", "spread") if (said := getattr(self, key))},
        }


def read_best(database: Database, name: str, corpus: Corpus, checkpoints: objects.Place) -> Best | None:
    """Return the winner of a search as its summary names it."""
    row = get_search(database, name)
    best = ((row and row.summary) or {}).get("best")
    if row is None or best is None:
        return None
    found = Found.of(best)
    fields = ("trial", "scores", "test_scores", "configuration", "parameters")
    return Best(
        **{name: best[name] for name in fields},
        bundle=bundle_of(row, corpus, checkpoints, found),
        members=[member["trial"] for member in found.members],
        single=found.single,
        finish=best.get("finish"),
        finishes=found.finishes,
    )


@dataclass(frozen=True)
class Found:
    """What a bundle is made of.

    Attributes:
        checkpoint: Sha256 of the weights.
        scores: By split.
        decoding: How it decodes; greedily where it says nothing.
        membership: How much it remembers of its training rows.
        exposure: How much of each canary (see `automl.segments.Exposure`).
        members: The further models of an ensemble: `configuration`, `checkpoint`, `trial`.
        single: How the best trial does alone, of an ensemble.
        finish: What it is of `finishes`: the best trial, or what was distilled from it.
        finishes: How the best trial, the best together, and what was distilled from them do, where that was done.
    """

    configuration: Mapping[str, Any]
    checkpoint: str
    scores: Mapping[str, Mapping[str, float]]
    decoding: Mapping[str, Any] | None = None
    membership: Mapping[str, float] | None = None
    exposure: Sequence[Mapping[str, Any]] = ()
    members: Sequence[Mapping[str, Any]] = ()
    single: Mapping[str, Any] | None = None
    finish: str | None = None
    finishes: Mapping[str, Any] | None = None

    @staticmethod
    def of(best: Mapping[str, Any]) -> "Found":
        """Return what the summary of a search says of its winner."""
        scores = {"valid": best["scores"], "test": best["test_scores"]}
        parts: dict[str, Any] = {
            name: best.get(name) for name in ("decoding", "membership", "single", "finish", "finishes")
        }
        several: dict[str, Any] = {name: best.get(name) or () for name in ("members", "exposure")}
        return Found(best["configuration"], best["checkpoint"], scores, **several, **parts)


def bundle_of(row: SearchRow, corpus: Corpus, checkpoints: objects.Place, found: Found) -> Bundle:
    """Return a checkpoint of a search as a bundle: its averaged parameters with all that predicting needs.

    Raises:
        StorageError: The checkpoint's bytes are gone or damaged.
    """
    table = tokenized(corpus, tokens_of(from_dict(Seq2Seq, found.configuration)))
    config = _config_of(row, table, found)
    digests = [found.checkpoint, *(member["checkpoint"] for member in found.members)]
    return Bundle(
        config=config,
        weights=together([_weights(checkpoints, digest) for digest in digests]),
        source_tokenizer=table.source_tokenizer.to_json(),
        target_tokenizer=table.target_tokenizer.to_json(),
        metrics=_metrics_of(row, corpus, config["metrics"], found),
        card=model_card(account_of(row, corpus, config, found)),
    )


def _config_of(row: SearchRow, table: TokenTable, found: Found) -> dict[str, Any]:
    """Return all but the weights and the tokenizers that predicting needs."""
    limits = table.limits(from_dict(Seq2Seq, found.configuration).length_slack)
    columns = row.document["data"]
    names = row.document.get("metric", {}).get("name", TASKS[row.document["kind"]].metrics[0])
    named = [names] if isinstance(names, str) else list(names)
    return {
        "kind": row.document["kind"],
        "configuration": found.configuration,
        **({"members": [member["configuration"] for member in found.members]} if found.members else {}),
        "vocabulary": table.meta["vocabulary"],
        "decoding": {
            **(found.decoding or {"method": "greedy"}),
            "max_length": limits.usual,
            "lengths": limits.to_mapping(),
        },
        "max_source_length": table.meta["max_source_length"],
        "data": {
            "source": columns.get("source"),
            "target": None if columns.get("target") is None else [*several(columns["target"])],
            **({} if columns_of(columns).further else {"further": False}),
            **({"weight": columns["weight"]} if columns.get("weight") is not None else {}),
        },
        "metrics": [name for name in named if name in METRICS],
    }


def _metrics_of(row: SearchRow, corpus: Corpus, names: Sequence[str], found: Found) -> dict[str, Any]:
    """Return how a model does, how that was measured, and what else is known of it."""
    known = {name: getattr(found, name) or None for name in ("membership", "exposure", "single", "finish", "finishes")}
    summary = row.summary or {}
    known |= {name: summary.get(name) or None for name in ("origins", "seen", "importance")}
    known |= {"spread": _spread_of(row, found) or None, "privacy": _privacy(summary)}
    return {
        "search": row.name,
        "scores": found.scores,
        "signatures": signatures(names, corpus.references("test")),
        "seconds": round(row.seconds, 1),
        **{name: said for name, said in known.items() if said is not None},
    }


def _weights(checkpoints: objects.Place, digest: str) -> dict[str, Any]:
    try:
        tensors = load(objects.read(checkpoints, digest))
    except objects.CorruptObject as error:
        raise StorageError(f"{error}; export another trial") from error
    return averaged(tensors)


def account_of(
    row: SearchRow,
    corpus: Corpus,
    config: Mapping[str, Any],
    found: Found,
) -> Account:
    """Return what the card of a winner says."""
    configuration, scores = from_dict(Seq2Seq, config["configuration"]), found.scores
    table, summary = tokenized(corpus, tokens_of(configuration)), row.summary or {}
    meta = table.meta
    rows = {split: table.split(split).effective_rows for split in scores if split in meta["splits"]}
    vocabulary = meta["vocabulary"]
    return Account(
        name=row.name,
        config=config,
        scores=_named(scores, config["metrics"]),
        deviations={split: _deviations(config["metrics"], scores, split, rows) for split in rows},
        signatures=signatures(config["metrics"], corpus.references("test")),
        splits=meta["splits"],
        dropped=meta["dropped"],
        digest="" if "privacy" in summary else corpus.digest,
        tokens={side: (meta["tokens"][side], vocabulary[side]) for side in ("source", "target")},
        parameters=described(config).parameters,
        trained=None if configuration.tuned == "whole" else trained(configuration, *vocabulary.values()),
        seconds=row.seconds,
        budget=row.document.get("budget", {}),
        trials=summary.get("trials", {}),
        space=list(_searched(row.document, corpus)),
        versions=_versions(),
        licence=row.document.get("license"),
        membership=found.membership,
        exposure=found.exposure,
        says_texts=row.document["data"].get("target_tokens") not in UNSAID,
        single=found.single,
        finish=found.finish,
        finishes=found.finishes,
        members=[_families(each) for each in config.get("members", ())],
        spread=_spread_of(row, found),
        privacy=_privacy(summary),
        is_begun_elsewhere=configuration.start != DRAWN,
        seen=summary.get("seen", ()),
        origins=summary.get("origins", ()),
        warning=summary.get("warning", ""),
        reads=TASKS[row.document["kind"]].form.has_sources,
        samples=corpus.pairs("test")[:SHOWN_SAMPLES] if row.document.get("share_samples") else (),
    )


def _spread_of(row: SearchRow, found: Found) -> Mapping[str, Any] | None:
    """Return how a trial did under other seeds, where it was repeated."""
    known: Sequence[Mapping[str, Any]] = (row.summary or {}).get("spread", ())
    return next((each for each in known if each["checkpoint"] == found.checkpoint), None)


def _families(configuration: Mapping[str, Any]) -> str:
    return f"{configuration['encoder']['kind']} → {configuration['decoder']['kind']}"


def _named(scores: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    return {split: {name: by_name[name] for name in names if name in by_name} for split, by_name in scores.items()}


def _deviations(
    names: Sequence[str], scores: Mapping[str, Mapping[str, float]], split: str, rows: Mapping[str, int]
) -> dict[str, float]:
    """Return how far the scores of a split are off by chance; what was resampled on valid is scaled to its rows."""
    found = {}
    for name in names:
        if name in SHARES and name in scores[split]:
            found[name] = deviation(name, scores[split], rows[split])
        elif name == names[0] and "deviation" in scores.get("valid", {}) and name in scores[split]:
            found[name] = scores["valid"]["deviation"] * sqrt(rows.get("valid", 1) / max(rows[split], 1))
    return {name: value for name, value in found.items() if value is not None}


def _searched(document: Mapping[str, Any], corpus: Corpus) -> Iterator[str]:
    task = TASKS[document["kind"]]
    fixed = {} if document.get("privacy") is None else FIXED
    narrowing = {**corpus.narrowing, **task.narrowed_space, **document.get("space", {}), **fixed}
    name = str(narrowing.pop("preset", "small"))
    space = preset(name, narrowing, sources=task.form.has_sources)
    for part in ("encoder", "decoder", "output"):
        yield f"{part}: {', '.join(space.kinds(part))}"
    free = sorted({path.rsplit(".", 1)[-1] for part in fields(Seq2Seq) for path in space.free(part.name)})
    yield f"preset `{name}`; dials that were free: {', '.join(free)}"
    for dial, value in document.get("space", {}).items():
        if dial != "preset":
            yield f"`{dial}` narrowed to `{value}`"
    limits = document.get("constraints", {})
    if limits:
        yield "limits: " + ", ".join(f"{limit} {value}" for limit, value in limits.items())


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("automl-seq2seq", "jax", "flax", "optax", "optuna", "numpy")}
    return {"Python": python_version(), **packages}


def describe(row: SearchRow, trials: Mapping[str, int], best: Best | None = None) -> Search:
    """Return how a search stands by its row; the summary stands in where the model itself is not at hand."""
    summary = row.summary or {}
    return Search(
        name=row.name,
        state=row.standing,
        seconds=row.seconds,
        trials=trials,
        best=best,
        bundle=None if row.bundle is None else Path(row.bundle),
        why=row.message or "",
        front=[{key: each[key] for key in SHOWN} for each in summary.get("front", ())],
        refused=summary.get("refused", 0),
        warning=summary.get("warning", ""),
        spread=summary.get("spread", ()),
        privacy=_privacy(summary),
    )


def _privacy(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    values = summary.get("privacy")
    return None if values is None else Terms.of(values).account()

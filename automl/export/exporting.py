"""Exporting: a bundle in several forms, each loaded back by a fresh process and compared with the model itself."""

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl.boxes import lie_alike, read_text
from automl.bundle import Bundle, check_replaceable, parents_of, put_in_place, write_bundle
from automl.data.boxes import Boxes
from automl.data.pixels import ids
from automl.data.tokenizers import Said, Tokenizer
from automl.description import described, members_of
from automl.errors import InputError
from automl.export.forms import FORMS
from automl.export.runtimes import Form
from automl.metrics import METRICS, TextMetric
from search_spaces.seq2seq import Seq2Seq

ROWS = 200
OWN = "automl.load"
MOST_SECONDS = 1800.0
"""That writing a form may take, or running it."""
EXTRAS = {"onnx": "onnx", "ctranslate2": "ctranslate2", "ctranslate2-int8": "ctranslate2"}


@dataclass(frozen=True)
class Sample:
    """Real sources by which forms are compared.

    Attributes:
        sources: Their tokens.
        references: The acceptable targets of the first of them. The others are of train: scores of these say little.
    """

    sources: Sequence[Sequence[int]]
    references: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Compared:
    """How a form compares with the model itself, on so many sources.

    Attributes:
        same: Share of sources with the same tokens, or of boxes the same sure ones.
        apart: Largest difference of log-probabilities where the tokens are the same.
        speed: How many times as fast it decoded them.
        jax: Whether JAX was imported for it.
        scores: The objective of the model and of the form, where they can differ.
    """

    rows: int
    same: float
    apart: float
    speed: float
    jax: bool
    scores: tuple[float, float] | None = None


def export(
    bundle: Bundle, folder: Path, names: Sequence[str], sample: Sample, say: Callable[[str], None] = lambda _: None
) -> dict[str, Compared]:
    """Write a bundle, and each form but `bundle` into a folder of its name inside; all of it or nothing.

    A fresh process loads each of them, the bundle too, and decodes the sample.

    Raises:
        InputError: The folder holds something else, a model cannot have a form, a package is missing, or a form does
            not say what the model says.
    """
    check_replaceable(folder)
    check_forms(names, members_of(bundle.config))
    forms = {name: FORMS[name] for name in names if name != "bundle"}
    try:
        return _export(bundle, folder, forms, sample, say)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name a folder that can") from error


def _export(
    bundle: Bundle, folder: Path, forms: Mapping[str, Form], sample: Sample, say: Callable[[str], None]
) -> dict[str, Compared]:
    folder = folder.resolve()
    with parents_of(folder), tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        whole = Path(scratch) / "model"
        write_bundle(bundle, whole)
        found: dict[str, Compared] = {}
        own, short = _own(bundle, whole, Path(scratch) / "short", forms, sample)
        for name, form in forms.items():
            inside = whole / name
            inside.mkdir()
            _child("write", name, inside, whole)
            for file in ("tokenizer.source.json", "tokenizer.target.json"):
                shutil.copyfile(whole / file, inside / file)
            its = own if form.grows else short
            found[name] = _compared(bundle, form, its, _run(name, inside, sample), sample)
            _judge(name, form, found[name])
            say(_told(name, found[name]))
            if name == "int8":
                _record(bundle, inside, found[name], len(sample.references))
        put_in_place(whole, folder)
    if found:
        say(_fastest(members_of(bundle.config), found))
    return found


def check_forms(names: Sequence[str], members: Sequence[Seq2Seq]) -> None:
    """Make sure that a model, given as the configuration of each of its members, can have forms here.

    Raises:
        InputError: It cannot, or a package is missing.
    """
    for name in names:
        why = FORMS[name].refusal(members)
        if why is not None:
            raise InputError(f"--format {name}: cannot hold this model ({why}); {', '.join(_holding(members))} can")
        missing = [package for package in FORMS[name].packages if find_spec(package) is None]
        if missing:
            extra = EXTRAS.get(name)
            remedy = f"pip install 'automl-seq2seq[{extra}]'" if extra else f"pip install {missing[0]}"
            raise InputError(f"--format {name}: {missing[0]} is not installed; {remedy}")


def _holding(members: Sequence[Seq2Seq]) -> list[str]:
    """Return the forms that can hold a model."""
    return [name for name, form in FORMS.items() if form.refusal(members) is None]


def _own(bundle: Bundle, whole: Path, scratch: Path, forms: Mapping[str, Form], sample: Sample) -> tuple[Any, Any]:
    """Return what the bundle says as a fresh process loads it, and what it says without longer targets than train's.

    Raises:
        InputError: It cannot be loaded, or what it says has no probability.
    """
    own = _run("bundle", whole, sample)
    if not all(map(math.isfinite, own["scores"])):
        raise InputError("--format bundle: what the model says has no probability; export another --trial")
    limits = described(bundle.config).limits
    beyond = limits.grows and any(len(ids(source)) > limits.sources[-1] for source in sample.sources)
    if not beyond or all(form.grows for form in forms.values()):
        return own, own
    decoding = {**bundle.config["decoding"], "lengths": replace(limits, grows=False).to_mapping()}
    write_bundle(replace(bundle, config={**bundle.config, "decoding": decoding}), scratch)
    return own, _run("bundle", scratch, sample)


def _child(task: str, name: str, folder: Path, *rest: object, text: str = "") -> Any:
    command = [sys.executable, "-m", "automl.export.child", task, name, str(folder), *map(str, rest)]
    what = f"--format {name}: this model could not be {'written' if task == 'write' else 'run'}"
    try:
        done = subprocess.run(  # noqa: S603
            command, input=text, capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{what} within {MOST_SECONDS:,g} s; use a faster machine, or a smaller --trial") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"{what} ({last})")
    return json.loads(done.stdout)


def _run(name: str, folder: Path, sample: Sample) -> Any:
    return _child(
        "run", name, folder, "timed", text=json.dumps([list(map(int, ids(source))) for source in sample.sources])
    )


def _compared(bundle: Bundle, form: Form, own: Any, other: Any, sample: Sample) -> Compared:
    rows = len(sample.sources)
    same = _alike(Tokenizer.from_json(bundle.target_tokenizer), own, other)
    pairs = zip(own["scores"], other["scores"], own["tokens"], other["tokens"], strict=True)
    differences = [abs(mine - its) for mine, its, these, those in pairs if these == those]
    apart = max((each if math.isfinite(each) else math.inf for each in differences), default=0.0)
    scores = None if form.agreement == 1 else (_score(bundle, own, sample), _score(bundle, other, sample))
    speed = own["seconds"] / max(other["seconds"], 1e-9)
    return Compared(rows, sum(same) / max(rows, 1), apart, speed, other["jax"], scores)


def _alike(target: Tokenizer, own: Any, other: Any) -> list[bool]:
    """Say on which sources two say the same; of boxes, whose unlikely ones are chance, whether the sure ones do."""
    if not isinstance(target, Boxes) or not (own.get("told") and other.get("told")):
        return [these == those for these, those in zip(own["tokens"], other["tokens"], strict=True)]
    texts = zip(_texts(target, own), _texts(target, other), strict=True)
    return [lie_alike(read_text(mine), read_text(its)) for mine, its in texts]


def _texts(target: Tokenizer, said: Any) -> list[str]:
    """Return what was said as texts, with all that was told of it."""
    return target.said(Said(*told) for told in said.get("told") or ((tokens,) for tokens in said["tokens"]))


def _score(bundle: Bundle, said: Any, sample: Sample) -> float:
    """Return the objective of what was said where there are references; of exact matches where it scores no texts."""
    metric = METRICS[bundle.config["metrics"][0]]
    if not isinstance(metric, TextMetric):
        metric = METRICS["exact_match"]
    assert isinstance(metric, TextMetric)
    target, references = Tokenizer.from_json(bundle.target_tokenizer), list(map(list, sample.references))
    outputs = _texts(target, said)[: len(references)]
    return float(metric.function(outputs, references, target.tokens))


def _judge(name: str, form: Form, found: Compared) -> None:
    if found.same < form.agreement:
        differing = round((1 - found.same) * found.rows)
        raise InputError(f"--format {name}: says something else than the model on {differing} of {found.rows} sources")
    if found.apart > form.tolerance:
        raise InputError(f"--format {name}: log-probabilities are up to {found.apart:.2g} apart from the model's")
    if found.jax and "jax" not in form.packages:
        raise InputError(f"--format {name}: running it imports JAX, which it has to do without; leave this form out")


def _told(name: str, found: Compared) -> str:
    told = f"{name}: {found.same:.1%} of {found.rows} sources as the model says them, {found.speed:.2g} times as fast"
    return told if found.scores is None else f"{told}; score {found.scores[1]:.4g} instead of {found.scores[0]:.4g}"


def _fastest(members: Sequence[Seq2Seq], found: Mapping[str, Compared]) -> str:
    """Say which of what was compared decodes fastest, and what was not compared."""
    speeds = {OWN: 1.0} | {name: each.speed for name, each in found.items()}
    best = max(speeds, key=lambda name: speeds[name])
    times = "" if best == OWN else f", {speeds[best]:.2g} times as fast as {OWN}"
    others = [name for name in _holding(members) if name not in ("bundle", *found)]
    left = f"; not compared: {', '.join(others)}" if others else ""
    return f"of {', '.join(speeds)}, {best} decodes fastest here{times}{left}"


def _record(bundle: Bundle, folder: Path, found: Compared, scored: int) -> None:
    """Let a quantised bundle say what it costs, by the share of `rows` and by the objective of those `scored`."""
    assert found.scores is not None
    cost = {
        "rows": found.rows,
        "scored": scored,
        "same": found.same,
        "float32": found.scores[0],
        "int8": found.scores[1],
    }
    config = {**bundle.config, "weights": "int8"}
    write_bundle(replace(bundle, config=config, metrics={**bundle.metrics, "int8": cost}), folder)

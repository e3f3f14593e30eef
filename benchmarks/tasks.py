"""Each kind of task on real data: a document with data, metric and budget only, searched and scored on test.

A row is a job that goes on where it was left (its database is kept under `--work`), and ends as one line of
`benchmarks/results/tasks.jsonl`; a row with a line there is not run again unless it is named.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.jobs import Jobs
from benchmarks.measurement import load
from benchmarks.peers.ngrams import KneserNey
from benchmarks.searches import automl, commit, keep, toml

RESULTS = Path(__file__).parent / "results" / "tasks.jsonl"
LANGUAGES = {
    "arm": 17.56,
    "fre": 11.11,
    "geo": 36.44,
    "gre": 22.67,
    "hin": 14.22,
    "ice": 18.89,
    "jpn": 15.11,
    "lit": 24.00,
    "rum": 11.56,
    "vie": 11.11,
}
"""Languages of SIGMORPHON 2020 → sequence error of Phonetisaurus in percent."""


@dataclass(frozen=True)
class Row:
    """One data set: how it is searched, what it is scored by, and what others reach.

    Attributes:
        folder: Below the folder of data sets; train, valid and test lie in it.
        minutes: Budget.
        metrics: Scored on test; the first is the objective.
        others: What is known of other systems, in words.
        data: Further fields of `[data]`.
        unlabelled: File of texts that trials are pre-trained on; none where they begin by themselves.
    """

    name: str
    folder: str
    kind: str
    minutes: int
    metrics: tuple[str, ...]
    others: str
    suffix: str = ".tsv"
    data: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: str | None = None

    def document(self, data: Path, minutes: float) -> dict[str, Any]:
        """Return the task document."""
        files = {split: str((data / self.folder / f"{split}{self.suffix}").absolute()) for split in SPLITS}
        document = {
            "name": self.name,
            "kind": self.kind,
            "data": {**files, **self.data},
            "metric": {"name": self.metrics[0]},
            "budget": {"time": minutes * 60.0},
        }
        if self.unlabelled is not None:
            document["pretraining"] = {"unlabelled": str((data / self.unlabelled).absolute())}
        return document

    @property
    def read(self) -> dict[str, Any]:
        """What is read, without the place of the data sets."""
        return {"folder": self.folder, **self.data, **({"unlabelled": self.unlabelled} if self.unlabelled else {})}


SPLITS = ("train", "valid", "test")
PLACES = ("data", "pretraining")
"""Sections of a document that say where files lie."""
PHONES = {"source_tokens": "characters", "target_tokens": "whitespace"}
SYMBOLS = {"source_tokens": "whitespace", "target_tokens": "whitespace"}
CHARACTERS = {"source_tokens": "characters", "target_tokens": "characters"}
ERROR = ("sequence_error_rate", "token_error_rate")
LIKELY = ("bits_per_character",)
FIVE_GRAMS = "a Kneser-Ney character 5-gram"


def _rows() -> Iterator[Row]:
    pairs = "sequence_to_sequence"
    for language, error in LANGUAGES.items():
        known = f"Phonetisaurus {error} % sequence error"
        yield Row(f"g2p_{language}", f"g2p_sigmorphon2020/{language}", pairs, 5, ERROR, known, data=PHONES)
    known = "Phonetisaurus 26.58 % sequence error"
    yield Row("g2p_cmudict", "g2p_cmudict", pairs, 60, ERROR, known, data=PHONES)
    yield Row("scan_simple", "algo_scan-simple", pairs, 20, ("accuracy",), "99.8 % accuracy", data=SYMBOLS)
    yield Row("scan_length", "algo_scan-length", pairs, 20, ("accuracy",), "above 0 %", data=SYMBOLS)
    known = "nearest neighbour: BLEU 10.5, chrF 31.3"
    yield Row("mt_debian", "mt_debian_en_de", "translation", 60, ("chrf", "bleu", "ter"), known)
    rouge, known = ("rougeL", "rouge1", "rouge2"), "lead words: ROUGE-1/2/L 32.6/17.1/30.0"
    yield Row("sum_debian", "sum_debian", "summarization", 20, rouge, known)
    text = "lm_debian/train.txt"
    yield Row("sum_debian_pretrained", "sum_debian", "summarization", 20, rouge, known, unlabelled=text)
    yield Row("dialog_plays", "dialog_plays", "dialogue", 20, LIKELY, FIVE_GRAMS)
    yield Row("lm_debian", "lm_debian", "generation", 20, LIKELY, FIVE_GRAMS, ".txt")
    known = "nearest neighbours 83.7 % accuracy"
    arrays = {"source": "x", "target": "y"}
    yield Row("img_fashion", "img_fashion", "image_classification", 20, ("accuracy", "macro_f1"), known, ".npz", arrays)
    precisions = ("mean_average_precision_50", "mean_average_precision")
    yield Row("det_fashion", "det_fashion", "object_detection", 20, precisions, "–", "/annotations.json")
    yield Row("number_words", "number_words", pairs, 10, ERROR, "0.75 % sequence error", data=CHARACTERS)
    yield Row("dates", "dates", pairs, 10, ERROR, "0.0 % sequence error", data=CHARACTERS)


ROWS: Mapping[str, Row] = {row.name: row for row in _rows()}
JOBS = Jobs("tasks", "row", tuple(ROWS), RESULTS, quick=0.5)


def main() -> None:
    """Run the rows that have no line yet, or those that are named."""
    options = JOBS.wanted(__doc__, table)
    found = [run(ROWS[name], options) for name in options.names if _is_there(ROWS[name], options.data)]
    if options.json:
        print(JOBS.told(found, {}))


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of `docs/results.md`: the last line of each row, and a dash where there is none."""
    last = {line["row"]: line for line in lines}
    rows = ["| data | budget | test | known of others | searched | commit |", "|---|---|---|---|---|---|"]
    for name, row in ROWS.items():
        line = last.get(name)
        others = row.others
        if line and line["peer"]:
            others += ": " + ", ".join(f"`{metric}` {score:.3f}" for metric, score in line["peer"].items())
        scores = ", ".join(f"`{metric}` {score:.4g}" for metric, score in line["test"].items()) if line else "–"
        ran = f"{line['minutes']:.1f} min, load {line['load'][0]}" if line else "–"
        commit = line["commit"] if line else "–"
        rows.append(f"| `{name}` | {row.minutes} min | {scores} | {others} | {ran} | {commit} |")
    return "\n".join(rows)


def _is_there(row: Row, data: Path) -> bool:
    needed = [data / row.folder / f"train{row.suffix}", *([data / row.unlabelled] if row.unlabelled else [])]
    absent = [file.parent for file in needed if not file.is_file()]
    if absent:
        print(f"{row.name}: {absent[0]} is absent; the row is left out", file=sys.stderr)
    return not absent


def run(row: Row, options: Namespace) -> dict[str, Any]:
    """Search a row, score its winner on test, and write its line."""
    minutes = options.minutes or row.minutes
    work = options.work / row.name
    work.mkdir(parents=True, exist_ok=True)
    document = work / "task.toml"
    document.write_text(toml(row.document(options.data, minutes)), encoding="utf-8")
    before, began = load(), time.monotonic()
    command = ["automl", "search", "task.toml", "--storage", "sqlite:///automl.db", "--out", "winner", "--json"]
    search = automl(work, *command[1:])
    named = [argument for name in row.metrics for argument in ("--metric", name)]
    test = str((options.data / row.folder / f"test{row.suffix}").absolute())
    scored = automl(work, "evaluate", "winner", test, *named, "--json")
    line = {
        "row": row.name,
        "document": {key: value for key, value in row.document(Path(), minutes).items() if key not in PLACES},
        "data": row.read,
        "test": scored["metrics"],
        "signatures": scored["signatures"],
        "valid": search["best"]["scores"],
        "others": row.others,
        "peer": _peer(row, options.data),
        "minutes": round(search["seconds"] / 60, 2),
        "wall_minutes_of_this_run": round((time.monotonic() - began) / 60, 2),
        "trials": search["trials"],
        "parameters": search["best"]["parameters"],
        "command": " ".join(command),
        "commit": commit(),
        "load": [before, load()],
    }
    print(f"{row.name}: {line['test']} after {line['minutes']} minutes (known: {row.others})", file=sys.stderr)
    if not options.quick:
        keep(line, RESULTS)
    return line


def _peer(row: Row, data: Path) -> dict[str, float]:
    """Return what the peer that this benchmark builds itself reaches on the same test texts."""
    if row.others != FIVE_GRAMS:
        return {}
    texts = {split: (data / row.folder / f"{split}{row.suffix}").read_text().splitlines() for split in SPLITS}
    said = {split: [line.split("\t")[-1] for line in lines] for split, lines in texts.items()}
    return {"bits_per_character": KneserNey(said["train"]).bits_per_character(said["test"])}


if __name__ == "__main__":
    main()

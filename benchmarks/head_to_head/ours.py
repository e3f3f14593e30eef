"""This search on one set, by its command line; then test for each model that was the best so far."""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RUN = "import sys; from automl.cli import run; sys.exit(run(sys.argv[1:]))"


def run(folder: Path, tokens: tuple[str, str], seconds: float, seed: int) -> dict[str, Any]:
    """Search with a cold cache; return the curve of (seconds, valid, test), and how many trials there were."""
    with tempfile.TemporaryDirectory() as scratch:
        task = Path(scratch) / "task.toml"
        files = "".join(f'{name} = "{(folder / name).absolute()}.tsv"\n' for name in ("train", "valid", "test"))
        task.write_text(
            f'[data]\n{files}source_tokens = "{tokens[0]}"\ntarget_tokens = "{tokens[1]}"\n'
            f'[metric]\nname = "sequence_error_rate"\n[seed]\nvalue = {seed}\n'
        )
        own = {"AUTOML_CACHE": f"{scratch}/cache", "AUTOML_CHECKPOINTS": f"{scratch}/checkpoints"}
        began, moment = time.monotonic(), datetime.now(UTC)
        command = [sys.executable, "-c", RUN, "search", str(task), "--time", f"{seconds:g}s", "--json"]
        places = ["--storage", f"sqlite:///{scratch}/automl.db", "--out", f"{scratch}/model"]
        done = subprocess.run([*command, *places], env=os.environ | own, stdout=subprocess.PIPE, check=True)
        took = time.monotonic() - began
        found = json.loads(done.stdout)
        steps = found["learnt"]["best_so_far"]
        tests, scores = _tests(scratch, steps), [step["score"] for step in steps]
        after = [round((each - moment).total_seconds(), 2) for each, _ in tests]
        curve = [(*each, test) for *each, (_, test) in zip(after, scores, tests, strict=True)]
    test = found["best"]["test_scores"].get("sequence_error_rate")
    curve.append((round(took, 2), found["best"]["scores"]["sequence_error_rate"], test))
    return {"curve": curve, "trials": sum(found["trials"].values())}


def _tests(scratch: str, steps: list[dict[str, Any]]) -> list[tuple[datetime, float]]:
    """Return when each step was in the database, and score test with its checkpoint.

    It is that of the segment of that trial with that score on valid.
    """
    from automl.data.corpus import corpus_folder, open_corpus
    from automl.data.table import tokenized, tokens_of
    from automl.records import read_record
    from automl.segments import Evaluation, Workload
    from automl.training.trainer import Trainer
    from search_spaces.dials import from_dict
    from search_spaces.seq2seq import Seq2Seq
    from storage.database import open_database

    database = open_database(f"sqlite:///{scratch}/automl.db")
    record = read_record(database, "task")
    corpus = open_corpus(corpus_folder(Path(scratch) / "cache", record.row.data_digest))
    table = tokenized(corpus, tokens_of(from_dict(Seq2Seq, record.trials[0].row.configuration)))
    trainer = Trainer(Workload(str(table.folder), f"{scratch}/checkpoints", ("sequence_error_rate",)))
    found = []
    for step in steps:
        trial = record.trials[step["trial"]]
        segment = next(s for s in trial.segments if s.scores["sequence_error_rate"] == step["score"])
        job = Evaluation(trial.row.number, trial.row.configuration, segment.checkpoint)
        scores = trainer.run(job, lambda _: None, lambda: False).scores
        found.append((segment.created, scores["sequence_error_rate"]))
    database.close()
    return found

"""A database with one search to queue, and a trainer that only pretends."""

from contextlib import closing
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from automl.metrics import METRICS
from automl.searches import Options
from automl.segments import Evaluation, EvaluationResult, Job, SegmentResult
from automl.submissions import submit
from automl.tasks.document import document_from_mapping
from automl.worker import WorkerOptions, work
from storage import objects
from storage.database import open_database
from storage.searches import get_search

WORDS = "".join(f"{number:03d}\t{number:03d}\n" for number in range(40))


class PretendedTrainer:
    """Takes ten steps a segment, at once, after whatever the test does first."""

    def __init__(self, place: "Place") -> None:
        self.place = place

    def run(self, job, report, stop):
        self.place.jobs.append(job)
        if isinstance(job, Evaluation):
            return EvaluationResult(job.trial, dict.fromkeys(METRICS, 0.5), rows=4)
        self.place.meanwhile(job)
        step, tokens = job.from_step + 10, job.to_tokens or 500
        digest = objects.write(
            self.place.checkpoints, save({"average/w": np.full(2, 100 * job.trial + step, np.float32)})
        )
        scores = {"loss": 1 / step, "token_accuracy": 0.5} | dict.fromkeys(METRICS, 1 / step)
        seconds = dict.fromkeys(("training", "compiling", "evaluating", "writing"), 0.01)
        return SegmentResult(job.trial, job.from_step, step, tokens, scores, digest, 2, seconds)


class Place:
    """A database and its checkpoints, with one search to queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'automl.db'}"
        self.checkpoints = folder / "automl.checkpoints"
        self.said: list[str] = []
        self.jobs: list[Job] = []
        self.controller = None
        self.meanwhile = lambda job: None
        (folder / "train.tsv").write_text(WORDS)

    def document(self, name="numbers", trials=2):
        fields = {"name": name, "data": {"train": "train.tsv"}, "budget": {"trials": trials}}
        return document_from_mapping(fields, self.folder)

    def queue(self, name="numbers", trials=2, **options):
        return submit(self.document(name, trials), Options(storage=self.url, **options))

    def work(self, **options):
        defaults = {"executor": "inline", "once": True, "say": self.said.append, "watch": self.watch}
        work(WorkerOptions(storage=self.url, **{"wait": self.waited, **defaults, **options}))

    def watch(self, controller):
        self.controller = controller or self.controller

    def waited(self, seconds):
        raise KeyboardInterrupt

    def search(self, name="numbers"):
        with closing(open_database(self.url)) as database:
            return get_search(database, name)

    def read(self, query, *arguments):
        with closing(open_database(self.url)) as database:
            return query(database, *arguments)

"""A service on a database of its own, with people, and searches that a trainer only pretends to run."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from safetensors.numpy import save
from sqlalchemy import update

from automl.errors import FailureReason, TrialFailure
from automl.metrics import METRICS
from automl.segments import Evaluation, EvaluationResult, SegmentResult
from automl.server.app import create_app, guarded
from automl.server.options import Limits, ServerOptions
from automl.server.pages.visitors import COOKIE
from automl.server.predictors import Predictors
from automl.worker import WorkerOptions, work
from storage import objects
from storage.accounts import add_account, find_account
from storage.database import open_database
from storage.keys import add_key
from storage.searches import SEARCHES

WORDS = "".join(f"{number:03d}\t{number:03d}\n" for number in range(40))

SHOUTING = """
import json, sys
from pathlib import Path
from automl.data.images import size_of
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "look" in asked:
        said = list(asked["look"].upper())
        rows = [[0.9 if at == row else 0.1 / len(said) for at in range(len(said))] for row in range(len(said) + 1)]
        looked = {"source": list(asked["look"]), "target": [*said, "<eos>"], "weights": rows}
        print(json.dumps({"looked": looked}), flush=True)
        continue
    if "images" in asked:
        sizes = [size_of(Path(image)) for image in asked["images"]]
        seen = json.dumps([{"class": "cat", "box": [1, 2, 3, 4], "score": 0.9}])
        print(json.dumps({"outputs": [seen] * len(sizes), "sizes": sizes}), flush=True)
        continue
    sources = asked["sources"]
    if "die" in sources:
        sys.exit(1)
    answer = {"wrong": "a source has 9 tokens"} if "long" in sources else {"outputs": [s.upper() for s in sources]}
    print(json.dumps(answer), flush=True)
"""
"""An oracle that needs no model."""


class PretendedTrainer:
    """Takes ten steps a segment, at once; the second trial fails."""

    def __init__(self, checkpoints: Path) -> None:
        self.checkpoints = checkpoints

    def run(self, job, report, stop):
        if isinstance(job, Evaluation):
            return EvaluationResult(job.trial, dict.fromkeys(METRICS, 0.5), rows=4)
        if job.trial == 1:
            raise TrialFailure(FailureReason.NAN_LOSS, "the loss is not finite")
        step, tokens = job.from_step + 10, job.to_tokens or 500
        weights = {"average/w": np.full(2, 100 * job.trial + step, np.float32)}
        digest = objects.write(self.checkpoints, save(weights))
        scores = {"loss": 1 / step, "token_accuracy": 0.5} | dict.fromkeys(METRICS, 1 / (step + job.trial))
        seconds = dict.fromkeys(("training", "compiling", "evaluating", "writing"), 0.01)
        return SegmentResult(job.trial, job.from_step, step, tokens, scores, digest, 2, seconds)


class Place:
    """A service, and ways to call it as somebody."""

    def __init__(self, folder: Path, limits: Limits | None = None, url: str | None = None) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'automl.db'}"
        self.options = ServerOptions(
            storage=self.url,
            cache=folder / "cache",
            checkpoints=folder / "automl.checkpoints",
            hosts=("testserver", "127.0.0.1"),
            limits=limits or Limits(rate=1e6, burst=10**6),
        )
        self.database = open_database(self.url)
        self.predictors = Predictors((sys.executable, "-c", SHOUTING))
        self.app = create_app(self.options, self.database, self.predictors)

    def limited(self, **limits: object) -> "Place":
        """Put other limits in force."""
        options = replace(self.options, limits=replace(self.options.limits, **limits))
        self.app = create_app(options, self.database, self.predictors)
        return self

    def client(self) -> TestClient:
        return TestClient(guarded(self.app), raise_server_exceptions=False)

    def token(self, name: str = "ada", scope: str = "run", days: float | None = None, *, session: bool = False) -> str:
        account = find_account(self.database, name) or add_account(self.database, name)
        lifetime = None if days is None else timedelta(days=days)
        return add_key(self.database, account.id, scope, lifetime=lifetime, session=session)[1]

    def person(self, name: str = "ada", scope: str = "run") -> TestClient:
        client = self.client()
        client.headers["Authorization"] = f"Bearer {self.token(name, scope)}"
        return client

    def browser(self, name: str = "ada", scope: str = "run") -> TestClient:
        """Somebody who has signed in."""
        client = self.client()
        client.follow_redirects = False
        assert client.post("/login", data={"token": self.token(name, scope)}).status_code == 303
        return client

    def form_token(self, browser: TestClient) -> str:
        return hashlib.sha256(b"form\x00" + browser.cookies[COOKIE].encode()).hexdigest()

    def upload(self, person: TestClient, text: str | bytes = WORDS, name: str = "words.tsv") -> str:
        answer = person.post("/v1/uploads", files={"file": (name, text)})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def task(self, upload: str, name: str = "words", trials: int = 4) -> dict:
        return {"name": name, "data": {"train": upload}, "budget": {"trials": trials}}

    def submit(self, person: TestClient, name: str = "words", trials: int = 4, **headers: str):
        task = self.task(self.upload(person), name, trials)
        answer = person.post("/v1/searches", json={"task": task}, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer

    def work(self) -> None:
        work(WorkerOptions(storage=self.url, executor="inline", once=True))

    def share_samples(self) -> None:
        """Let the tasks of all searches share samples."""
        with self.database.write() as transaction:
            for row in transaction.connection.execute(SEARCHES.select()).all():
                shared = {**row.document, "share_samples": True}
                changed = update(SEARCHES).where(SEARCHES.c.id == row.id).values(document=shared)
                transaction.connection.execute(changed)

    def close(self) -> None:
        self.predictors.close()
        self.database.close()


@contextmanager
def opened(place: Place) -> Iterator[Place]:
    with closing(place):
        yield place

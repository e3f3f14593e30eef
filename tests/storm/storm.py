"""A storm of SIGKILL over workers that run queued searches, and the damage that it leaves."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.data.corpus import build_corpus
from automl.resumption import search_row
from automl.searches import Options
from automl.submissions import submit
from automl.tasks.document import document_from_mapping
from storage import objects
from storage.attempts import list_attempts
from storage.database import Database, open_database
from storage.leases import current_owner
from storage.searches import SearchRow, claim, get_search, release, update_search
from storage.segments import SegmentRow, list_segments
from storage.trials import list_trials

WORKERS = 2
RUNG_TOKENS = 700
"""Target tokens of the first segment of a trial: two steps, so that most of a search is beginning, ending and saving."""
SECONDS_WITHOUT_PROGRESS = 600.0
TICK_SECONDS = 0.2

DELAYS = {"training": 0.03, "evaluating": 0.02, "writing": 0.006, "committing": 0.002, "compiling": 0.2, "loading": 0.5}
"""Phases in which a trap may be set, and the seconds within which SIGKILL follows their beginning."""
WEIGHTS = {"training": 5, "writing": 4, "committing": 5, "evaluating": 2, "compiling": 1, "loading": 1, "any worker": 2}
AIMED = ("training", "writing", "committing")
"""The phases in which a result could be lost, doubled or torn."""

TASK: dict[str, Any] = {
    "data": {"source_tokens": "characters", "target_tokens": "characters"},
    "space": {
        "preset": "tiny",
        "encoder": "Recurrent",
        "decoder": "Recurrent",
        "cell": "gru",
        "hidden_size": 64,
        "num_layers": 1,
        "bidirectional": False,
        "decoder.Recurrent.attention": "Additive",
    },
}


@dataclass
class Storm:
    """Workers on one database, under fire.

    Attributes:
        trials: Number of trials of each search.
        hits: SIGKILLs by the phase in which they met a process.
    """

    folder: Path
    url: str
    trials: int = 24
    seed: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    workers: set[int] = field(default_factory=set)
    exits: list[tuple[int, int]] = field(default_factory=list)

    def __enter__(self) -> "Storm":
        self.random = random.Random(self.seed)
        self.database = open_database(self.url)
        (self.folder / "train.tsv").write_text("".join(f"{word}\t{word}\n" for word in words(self.random)))
        self.variables = {
            "AUTOML_STORM": str(self.folder),
            "AUTOML_CACHE": os.environ.get("AUTOML_STORM_CACHE", str(self.folder / "cache")),
            "AUTOML_CHECKPOINTS": str(self.folder / "checkpoints"),
        }
        os.environ.update(self.variables)
        self.nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.storm.nursery"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.workers:
            os.kill(process, signal.SIGKILL)
        self.nursery.terminate()
        with self.nursery:
            pass
        self.database.close()
        for name in self.variables:
            os.environ.pop(name, None)

    def search(self, name: str, kills: int) -> int:
        """Queue a search, kill so many times while it runs, and let it end; return how many kills it took."""
        self.submit(name)
        return self.follow(name, kills)

    def follow(self, name: str, kills: int = 0) -> int:
        """Let a search end; after each commit kill once, so often; return how many kills it took."""
        done, committed, moved = 0, -1, time.monotonic()
        while (state := self.state(name)) in ("queued", "running"):
            self.tend()
            now = self.committed(name)
            if now > committed:
                committed, moved = now, time.monotonic()
                if done < kills:
                    done += self.kill()
            assert time.monotonic() - moved < SECONDS_WITHOUT_PROGRESS, f"{name} is {state} and does not get on"
            time.sleep(TICK_SECONDS)
        assert state == "finished", f"{name} is {state}: {self.message(name)}"
        return done

    def submit(self, name: str) -> None:
        """Queue a search whose segments are short."""
        data = {**TASK["data"], "train": "train.tsv"}
        fields = {"name": name, **TASK, "data": data, "budget": {"trials": self.trials}}
        document = document_from_mapping(fields, self.folder)
        corpus = build_corpus(document, Path(os.environ["AUTOML_CACHE"]))
        search_row(self.database, document, corpus, self.folder / "keys", new=False)
        lease = claim(self.database, name, current_owner(), 60.0)
        update_search(self.database, lease, rung_tokens=RUNG_TOKENS)
        release(self.database, lease)
        submit(document, Options(storage=self.url, out=self.folder / "winners" / name))

    def kill(self) -> bool:
        """Kill one process in a phase drawn at random; False if none has come there in time."""
        phase = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if phase == "any worker":
            self.tend()
            process = self.random.choice(sorted(self.workers))
            time.sleep(self.random.uniform(0, 0.3))
            os.kill(process, signal.SIGKILL)
            self.hits[phase] += 1
            return True
        before = self.sprung()
        trap = self.folder / f"trap.{phase}"
        partial = self.folder / "trap"
        partial.write_text(str(self.random.uniform(0, DELAYS[phase])))
        partial.rename(trap)
        until = time.monotonic() + 30
        while len(self.sprung()) == len(before) and time.monotonic() < until:
            self.tend()
            time.sleep(TICK_SECONDS)
        trap.unlink(missing_ok=True)
        for line in self.sprung()[len(before) :]:
            self.hits[line.split()[1]] += 1
        return len(self.sprung()) > len(before)

    def sprung(self) -> list[str]:
        hits = self.folder / "hits"
        return hits.read_text().splitlines() if hits.exists() else []

    def tend(self) -> None:
        """Take note of the dead, and let there be as many workers as before."""
        while select.select([self.nursery.stdout], [], [], 0)[0]:
            self.hear()
        for _ in range(WORKERS - len(self.workers)):
            self.bear()

    def bear(self) -> None:
        known = len(self.workers)
        self.nursery.stdin.write(f"worker {self.url}\n")
        self.nursery.stdin.flush()
        while len(self.workers) <= known:
            self.hear()

    def hear(self) -> None:
        what, process, *code = self.nursery.stdout.readline().split()
        if what == "born":
            self.workers.add(int(process))
        else:
            self.workers.discard(int(process))
            self.exits.append((int(process), int(code[0])))

    def state(self, name: str) -> str:
        search = get_search(self.database, name)
        return search.state

    def message(self, name: str) -> str:
        return str(get_search(self.database, name).message)

    def committed(self, name: str) -> int:
        return len(list_segments(self.database, get_search(self.database, name).id))


def words(generator: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < 100:
        found["".join(generator.choices("abcdef", k=generator.randint(3, 5)))] = None
    return list(found)


def damage(database: Database, name: str, count: int, checkpoints: Path) -> list[str]:
    """Everything about a finished search that is not as if nothing had happened."""
    search = get_search(database, name)
    trials, segments = list_trials(database, search.id), list_segments(database, search.id)
    found = [] if search.state == "finished" else [f"the search is {search.state}"]
    if [trial.number for trial in trials] != list(range(count)):
        found.append(f"{len(trials)} trials instead of {count}")
    found += [
        f"trial {t.number} is lost: {t.state}, {t.reason}" for t in trials if t.state not in ("PAUSED", "COMPLETE")
    ]
    found += [
        f"checkpoint {s.checkpoint[:12]} is bad" for s in segments if not objects.is_sound(checkpoints, s.checkpoint)
    ]
    for trial in trials:
        chain = [segment for segment in segments if segment.trial == trial.number]
        found += [f"trial {trial.number}: {line}" for line in torn(chain)]
        if chain and (trial.step, trial.checkpoint) != (chain[-1].to_step, chain[-1].checkpoint):
            found.append(f"trial {trial.number} does not point to its last segment")
    found += incomplete(search)
    attempts = list_attempts(database, search.id)
    if sum(attempt.end_reason == "COMMITTED" for attempt in attempts) != len(segments):
        found.append("attempts that were committed and segments differ in number")
    return found + [f"attempt {a.number} of trial {a.trial} is open" for a in attempts if a.ended is None]


def incomplete(search: SearchRow) -> list[str]:
    """What a search that has ended does not say of its winner, and what its folder lacks."""
    best = (search.summary or {}).get("best") or {}
    found = [] if best.get("test_scores") else ["the winner was not scored on test"]
    is_there = search.bundle is not None and (Path(search.bundle) / "MANIFEST.json").exists()
    return found if is_there else [*found, "the winner's folder is not there"]


def torn(chain: list[SegmentRow]) -> list[str]:
    """Where the segments of a trial do not follow each other."""
    ends = [0, *(segment.to_step for segment in chain)]
    begins = [segment.from_step for segment in chain]
    found = [
        f"a segment begins at {begin} instead of {end}"
        for begin, end in zip(begins, ends, strict=False)
        if begin != end
    ]
    return found + (["a segment is doubled"] if len(set(ends)) != len(ends) else [])

"""The first step of a second search in a new process: with the programs that the first one left, and without.

The second search has another alphabet, other words and other numbers of them; vocabulary and lengths fall into the same
shapes. Both sides run the trainer as a search does, up to the first optimizer step of a trial.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measurement import Result, arguments, interleaved, load, median

FIRST = {"letters": "abcdefghijklmnopqrst", "train": 3000, "valid": 400, "seed": 1}
SECOND = {"letters": "ABCDEFGHIJKLMNOPQRST", "train": 2600, "valid": 350, "seed": 2}
RUNS, QUICK_RUNS = 5, 1
PARTS = ("first_step", "cpu", "segment", "process")


@dataclass(frozen=True)
class Start:
    """How a process came to its first step.

    Attributes:
        first_step: Seconds from when the training program was wanted until one step was done and its loss read.
        segment: Seconds from the beginning of the trial until then: start values, data on the device and so on.
        process: Seconds from the start of the process until then, imports included.
        cpu: Processor seconds of what `first_step` is the time of; other work on the machine changes it less.
        compiled: Compile events of the process until the trial was trained, evaluated and decoded.
        loaded: Programs loaded from the cache in the same time.
    """

    first_step: float
    segment: float
    process: float
    cpu: float
    compiled: int
    loaded: int


def main() -> None:
    """Measure, or be one of the measured processes."""
    if len(sys.argv) > 1 and sys.argv[1] == "--start":
        print(json.dumps(asdict(start(*sys.argv[2:]))))
        return
    options = arguments(__doc__ or "")
    before = load()
    with tempfile.TemporaryDirectory(prefix="warm-") as scratch:
        found = measure(Path(scratch), "tiny" if options.quick else "small", QUICK_RUNS if options.quick else RUNS)
    cold, warm = found["without"], found["with"]
    seconds = {
        f"{part}_{side}_seconds": median(getattr(run, part) for run in runs)
        for part in PARTS
        for side, runs in (("without", cold), ("with", warm))
    }
    Result(
        name="warm",
        ratios={part: seconds[f"{part}_without_seconds"] / seconds[f"{part}_with_seconds"] for part in PARTS},
        measured={
            **seconds,
            "compile_events_without": max(run.compiled for run in cold),
            "compile_events_with": max(run.compiled for run in warm),
            "loaded_with": min(run.loaded for run in warm),
            "runs": len(cold),
        },
        goals={"first_step": ">= 30", "compile_events_with": "0"},
        load=(before, load()),
    ).show(as_json=options.json)


def measure(scratch: Path, preset: str, runs: int) -> dict[str, list[Start]]:
    """Let a first search fill a cache; then start second ones with copies of it and with none, in turn."""
    tables = [table_of(scratch / name, **values) for name, values in (("first", FIRST), ("second", SECOND))]
    kept = scratch / "kept"
    run(tables[0], kept, preset)

    def second(prepare: Any) -> Start:
        shutil.rmtree(scratch / "cache", ignore_errors=True)
        prepare()
        return run(tables[1], scratch / "cache", preset)

    copy = partial(shutil.copytree, kept, scratch / "cache")
    return interleaved({"without": partial(second, lambda: None), "with": partial(second, copy)}, runs)


def run(table: Path, cache: Path, preset: str) -> Start:
    """Start a process and return how it came to its first step."""
    command = [sys.executable, "-m", "benchmarks.warm", "--start", str(table), str(cache), preset, str(time.time())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "NPROC": "1"})
    return Start(**json.loads(done.stdout))


def start(table: str, cache: str, preset_name: str, spawned: str) -> Start:
    """Train one trial for one step, evaluate it and decode with it."""
    from automl.segments import Beat, ProgramFolder, Segment, Workload
    from automl.training.compilations import compilations

    counted = compilations()
    from automl.training.trainer import Trainer
    from search_spaces.dials import to_dict
    from search_spaces.presets import preset

    key = str(Path(cache).parent / "programs.key")
    scratch = str(Path(cache).parent / "checkpoints")
    trainer = Trainer(Workload(table, scratch, ("token_error_rate",), cache=ProgramFolder(cache, key)))
    configuration = preset(preset_name).default()
    in_single_batches(trainer.dataset(configuration))
    moments: dict[str, tuple[float, float]] = {}

    def report(beat: Beat) -> None:
        event = "stepped" if beat.phase == "training" and beat.step > 0 else beat.phase
        moments.setdefault(event, (time.time(), time.process_time()))

    begun = time.time()
    trainer.run(Segment(0, to_dict(configuration), seed=0), report, lambda: "stepped" in moments)
    counts = trainer.programs.counts
    (wanted, wanted_cpu), (stepped, stepped_cpu) = moments["compiling"], moments["stepped"]
    return Start(
        first_step=stepped - wanted,
        cpu=stepped_cpu - wanted_cpu,
        segment=stepped - begun,
        process=stepped - float(spawned),
        compiled=counted.count,
        loaded=counts.loaded,
    )


def in_single_batches(dataset: Any) -> None:
    """Let every chunk of a trainer's data be one batch."""
    from automl.data.batching import plan

    dataset.plan = plan(dataset.table.split("train"), dataset.plan.batch_size, 1)


def table_of(folder: Path, letters: str, train: int, valid: int, seed: int, lengths: tuple[int, int] = (5, 8)) -> Path:
    """Write words of so many letters, each with itself backwards, and return the folder of their token table."""
    from automl.data.table import build_table
    from automl.tasks.document import document_from_mapping

    folder.mkdir()
    generator = random.Random(seed)
    for name, rows in (("train", train), ("valid", valid), ("test", 50)):
        words = ["".join(generator.choices(letters, k=generator.randint(*lengths))) for _ in range(rows)]
        lines = [f"{word}\t{word[::-1]}\n" for word in words]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    data = {name: f"{name}.tsv" for name in ("train", "valid", "test")}
    tokens = {"source_tokens": "characters", "target_tokens": "characters"}
    return build_table(document_from_mapping({"name": folder.name, "data": {**data, **tokens}}, folder), folder).folder


if __name__ == "__main__":
    main()

"""Many different architectures for a few steps each: by the programs of hulls, and by a program of its own for each.

The 64 configurations of `configurations/heterogeneous.jsonl` were drawn from preset `base` by a seed; each takes the
same 40 steps of the same batches on both sides, on the tokens of dates, from a cold cache. A side is two processes of
one thread, which take every second configuration. `theirs` is what Optuna with Flax comes to: a model at its true
size, and one `jax.jit` a trial; both sides have the same losses.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.measurement import Result, arguments, load
from search_spaces.costs import Extent, step_operations
from search_spaces.dials import from_dict, to_dict
from search_spaces.presets import preset
from search_spaces.seq2seq import Seq2Seq

LIST = Path(__file__).parent / "configurations" / "heterogeneous.jsonl"
COUNT, SEED = 64, 0
STEPS, QUICK_STEPS, QUICK_COUNT = 40, 8, 4
ROWS, PROCESSES = 64, 2
DATES = Path(__file__).parents[1] / "examples" / "dates"
EXTENT = Extent(source_vocabulary=67, target_vocabulary=15, rows=ROWS, source=40, target=12)
"""The largest shape of a batch of dates, and their numbers of tokens."""


def main() -> None:
    """Measure, write the list, or be a process of one side."""
    if len(sys.argv) > 1 and sys.argv[1] == "--side":
        side(sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:]))
        return
    options = arguments(__doc__ or "")
    before = load()
    if not (DATES / "train.tsv").exists():
        subprocess.run([sys.executable, str(DATES / "generate.py")], check=True)
    count, steps = (QUICK_COUNT, QUICK_STEPS) if options.quick else (COUNT, STEPS)
    with tempfile.TemporaryDirectory(prefix="heterogeneous-") as scratch:
        found = {name: measured(name, Path(scratch), count, steps) for name in ("ours", "theirs")}
    ours, theirs = found["ours"], found["theirs"]
    differences = [
        max(abs(a - b) for a, b in zip(ours["losses"][place], theirs["losses"][place], strict=True))
        for place in ours["losses"]
    ]
    listed = configurations()[:count]
    Result(
        name="heterogeneous",
        ratios={
            "elapsed": theirs["seconds"] / ours["seconds"],
            "processor": theirs["processor_seconds"] / ours["processor_seconds"],
            "compiling": theirs["compile_seconds"] / ours["compile_seconds"],
        },
        measured={
            "configurations": count,
            "steps": steps,
            "hulls": len(set(hulls(listed))),
            "padding_waste": padding_waste(listed),
            "largest_difference_of_a_loss": max(differences),
            **{
                f"{name}_{key}": round(value, 1)
                for name, own in found.items()
                for key, value in own.items()
                if key != "losses"
            },
        },
        goals={"elapsed": ">= 8", "padding_waste": "< 1.6", "largest_difference_of_a_loss": "<= 0.001"},
        load=(before, load()),
    ).show(as_json=options.json)


def drawn() -> Iterator[Seq2Seq]:
    """Draw the configurations that the list holds; every step takes one batch."""
    from automl.control.draws import Evenly

    space, draw = preset("base"), Random(SEED)
    for _ in range(COUNT):
        yield replace(space.sample(Evenly(draw)), batch_tokens=512)


def configurations() -> list[Seq2Seq]:
    """Read the list."""
    return [from_dict(Seq2Seq, json.loads(line)) for line in LIST.read_text(encoding="utf-8").splitlines()]


def hulls(listed: list[Seq2Seq]) -> list[Any]:
    """Return the hull that each configuration trains in."""
    from automl.training.hulls import Hull

    return [Hull.of(own, EXTENT.source_vocabulary, EXTENT.target_vocabulary) for own in listed]


def padding_waste(listed: list[Seq2Seq]) -> float:
    """Return operations at the sizes of the hulls, divided by those at the true sizes, over all steps."""
    true = sum(step_operations(own, EXTENT) for own in listed)
    return sum(step_operations(hull.members[-1], EXTENT) for hull in hulls(listed)) / true


def measured(name: str, scratch: Path, count: int, steps: int) -> dict[str, Any]:
    """Run the processes of one side from a cold cache; return their times and losses."""
    environment = {**os.environ, "NPROC": "1", "PJRT_NPROC": "1", "OMP_NUM_THREADS": "1"}
    places = [
        [sys.executable, "-m", "benchmarks.heterogeneous", "--side", name, str(scratch)] for _ in range(PROCESSES)
    ]
    begun = time.monotonic()
    running = [
        subprocess.Popen([*place, *map(str, (first, count, steps))], stdout=subprocess.PIPE, text=True, env=environment)
        for first, place in enumerate(places)
    ]
    answers = [json.loads(process.communicate()[0]) for process in running]
    sums = {key: sum(answer[key] for answer in answers) for key in ("processor_seconds", "compile_seconds")}
    losses = {place: own for answer in answers for place, own in answer["losses"].items()}
    return {"seconds": time.monotonic() - begun, **sums, "losses": losses}


def side(name: str, scratch: Path, first: int, count: int, steps: int) -> None:
    """Train every second configuration; print losses by place, processor seconds and those of compiling."""
    import jax

    from automl.data.table import build_table
    from automl.segments import ProgramFolder, Workload
    from automl.tasks.document import read_document
    from automl.training.compilations import compilations
    from automl.training.population_trainer import PopulationTrainer

    folder = scratch / f"{name}-{first}"
    table = build_table(read_document(DATES / "task.toml"), folder).folder
    cache = ProgramFolder(str(scratch / "programs"), str(scratch / "key")) if name == "ours" else None
    trainer = PopulationTrainer(Workload(str(table), str(folder), ("token_error_rate",), cache=cache, slots=2))
    counted, losses = compilations(), dict[int, list[float]]()
    for place, configuration in list(enumerate(configurations()[:count]))[first::PROCESSES]:
        losses[place] = taken(name == "ours", trainer, configuration, place, steps)
        if name == "theirs":
            jax.clear_caches()
    print(json.dumps({"losses": losses, "processor_seconds": time.process_time(), "compile_seconds": counted.seconds}))


def taken(in_hull: bool, trainer: Any, configuration: Seq2Seq, seed: int, steps: int) -> list[float]:
    """Return the losses of a configuration's first steps, by the program of its hull or by one of its own."""
    import numpy as np

    from automl.data.batching import plan
    from automl.models.parameters import initialise
    from automl.segments import Segment
    from automl.training.course import Course
    from automl.training.dataset import CHUNK
    from automl.training.executables import model_of, train_program
    from automl.training.hulls import Hull
    from automl.training.signature import signature
    from automl.training.slots import Kind
    from automl.training.steps import new_state
    from search_spaces.optimizers import alike

    dataset = trainer.dataset(configuration)
    vocabularies = tuple(dataset.table.meta["vocabulary"].values())
    order = plan(dataset.table.split("train"), ROWS, CHUNK).of_tokens(1)
    static, kinds = signature(configuration, *vocabularies, ROWS), alike(configuration.optimizer)
    state, own = new_state(initialise(model_of(static), seed)), list[float]()
    course = Course(Segment(0, to_dict(configuration), seed=seed), configuration, order, 0)
    kind = Kind(Hull.of(static.configuration, *vocabularies), order.largest, kinds)
    population, program = trainer.population(kind, ""), train_program(static, order.largest, kinds)
    with population.lane(state, static.configuration) as lane:
        for run in order.runs(seed, 0):
            if in_hull:
                found = population.train(lane, dataset.data, course.chunk(run))
            else:
                state, found = program(state, dataset.data, course.chunk(run))
            own += np.asarray(found)[: len(run.rows)].tolist()
            if len(own) >= steps:
                return own[:steps]
    raise AssertionError("the runs have no end")


if __name__ == "__main__":
    main()

"""How much training notices that another architecture is compiled: by another process, by a thread, and by itself.

One trial trains all the time, a step a chunk; in turn it is left alone, and another architecture is compiled beside it.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measurement import Result, arguments, load, median
from benchmarks.warm import FIRST, in_single_batches, table_of

ALONE_SECONDS, QUICK_SECONDS = 8.0, 2.0
RUNS, QUICK_RUNS = 3, 1
MODES = ("process", "thread")


def main() -> None:
    """Measure."""
    options = arguments(__doc__ or "")
    before = load()
    with tempfile.TemporaryDirectory(prefix="stall-") as scratch:
        runs, seconds = (QUICK_RUNS, QUICK_SECONDS) if options.quick else (RUNS, ALONE_SECONDS)
        phases = measure(Path(scratch), "tiny" if options.quick else "small", runs, seconds)
    del phases["starting"]
    alone = phases["alone"]
    longest = {mode: median(max(gaps) for gaps in found) for mode, found in phases.items()}
    speed = {mode: median(len(gaps) / sum(gaps) for gaps in found) for mode, found in phases.items()}
    Result(
        name="stall",
        ratios={f"steps_per_second_{mode}": speed[mode] / speed["alone"] for mode in MODES},
        measured={
            **{f"added_pause_{mode}_milliseconds": 1000 * (longest[mode] - longest["alone"]) for mode in MODES},
            **{f"longest_step_{mode}_milliseconds": 1000 * value for mode, value in longest.items()},
            **{f"median_step_{mode}_milliseconds": 1000 * median(map(median, found)) for mode, found in phases.items()},
            **{f"compiled_in_{mode}_seconds": median(sum(gaps) for gaps in phases[mode]) for mode in MODES},
            "phases": len(alone),
        },
        goals={"steps_per_second_process": ">= 0.7", "added_pause_process_milliseconds": "<= 20"},
        load=(before, load()),
    ).show(as_json=options.json)


def measure(scratch: Path, preset_name: str, runs: int, seconds: float) -> dict[str, list[list[float]]]:
    """Return the seconds between the ends of steps, by what was going on, of each time that it was."""
    from automl.segments import ProgramFolder, Segment, Workload
    from automl.training.compiler import BackgroundCompiler
    from automl.training.programs import Programs
    from automl.training.trainer import Trainer
    from search_spaces.dials import to_dict
    from search_spaces.presets import preset

    table = table_of(scratch / "data", **FIRST)
    folder = ProgramFolder(str(scratch / "programs"), str(scratch / "programs.key"))
    trainer = Trainer(Workload(str(table), str(scratch / "checkpoints"), ("token_error_rate",), cache=folder))
    configuration = preset(preset_name).default()
    in_single_batches(trainer.dataset(configuration))
    compilers = {
        "process": BackgroundCompiler(trainer.programs, folder),
        "thread": BackgroundCompiler(Programs(), None),
    }
    others = orders(trainer, configuration)

    def warm() -> bool:
        return len(trainer.compiled) == len(trainer.dataset(configuration).plan.buckets)

    clock = Clock(script(runs, seconds, compilers, others, warm))
    trainer.run(Segment(0, to_dict(configuration), seed=0), lambda _: None, clock)
    for compiler in compilers.values():
        compiler.close()
    return clock.phases


def script(
    runs: int, seconds: float, compilers: dict[str, Any], others: Iterator[Any], warm: Callable[[], bool]
) -> Iterator[Any]:
    """Yield what goes on from now on, and what says that it is over."""
    yield "starting", warm
    for _ in range(runs):
        for mode, compiler in compilers.items():
            yield "alone", after(seconds)
            yield mode, compiler.submit(*next(others)).done


def after(seconds: float) -> Callable[[], bool]:
    """Return what says whether so many seconds have passed from now on."""
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline


class Clock:
    """Is asked by the trainer after each step whether to stop, and notes when."""

    def __init__(self, phases: Iterator[tuple[str, Callable[[], bool]]]) -> None:
        self.phases: dict[str, list[list[float]]] = {}
        self._script = phases
        self._mode, self._over = next(phases)
        self._gaps: list[float] = []
        self._last = 0.0

    def __call__(self) -> bool:
        self._gaps.append(time.monotonic() - self._last)
        if self._over():
            self.phases.setdefault(self._mode, []).append(self._gaps[1:])
            self._mode, self._over = next(self._script, ("end", lambda: True))
            self._gaps = []
        self._last = time.monotonic()
        return self._mode == "end"


def orders(trainer: Any, configuration: Any) -> Iterator[Any]:
    """Yield what a compiler is told about ever another architecture."""
    from automl.models.parameters import initialise
    from automl.segments import Segment
    from automl.training.compiler import Source
    from automl.training.course import Course
    from automl.training.executables import model_of
    from automl.training.signature import signature
    from automl.training.steps import new_state
    from search_spaces.dials import to_dict
    from search_spaces.optimizers import alike

    dataset = trainer.dataset(configuration)
    sizes, order = dataset.table.meta["vocabulary"], dataset.plan.of_tokens(configuration.batch_tokens)
    run = next(order.runs(0, 0))
    chunk = Course(Segment(0, to_dict(configuration), seed=0), configuration, order, 0).chunk(run)
    prepared = []
    for size in range(40, 136, 8):
        other = replace(configuration, encoder=replace(configuration.encoder, hidden_size=size))
        static = signature(other, sizes["source"], sizes["target"], dataset.plan.batch_size)
        inputs = (new_state(initialise(model_of(static), 0)), dataset.data, chunk)
        key = (static, run.bucket, alike(configuration.optimizer))
        source = Source("automl.training.executables:train_program", key)
        prepared.append((repr(("train", *key)), source, inputs))
    return iter(prepared)


if __name__ == "__main__":
    main()

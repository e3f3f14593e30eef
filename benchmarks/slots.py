"""Trials of like models together in one program, against the same ones after another, for ever more of them.

Models of the width named, on the tokens of dates; each trial has a recipe and a seed of its own. `steps_per_second` are
those of all trials together. On a GPU, cores and memory of its kind bound what can be won; a CPU has little to share.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.heterogeneous.handover import DATES
from benchmarks.measurement import Result, arguments, load, median

COUNTS, QUICK_COUNTS = (1, 4, 16, 64, 256), (1, 4)
WIDTHS, QUICK_WIDTHS = (64, 128), (64,)
RUNS = 5
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Operations a second of a GPU's matrix units in bfloat16, by a part of its name, as its maker gives them."""


def main() -> None:
    """Measure."""
    options = arguments(__doc__ or "")
    before = load()
    if not (DATES / "train.tsv").exists():
        subprocess.run([sys.executable, str(DATES / "generate.py")], check=True)
    import jax

    counts, widths = (QUICK_COUNTS, QUICK_WIDTHS) if options.quick else (COUNTS, WIDTHS)
    rates: dict[str, float] = {}
    shares: dict[str, float] = {}
    kind = jax.devices()[0].device_kind
    peak = next((value for name, value in PEAK.items() if name in kind), None)
    with tempfile.TemporaryDirectory(prefix="slots-") as scratch:
        population = Population(Path(scratch), max(counts))
        for width in widths:
            for count, rate, operations in population.measured(width, counts):
                print(f"{kind}, width {width}, {count} slots: {rate:.1f} steps/s", file=sys.stderr, flush=True)
                rates[f"width_{width}_slots_{count}"] = rate
                if peak is not None:
                    shares[f"share_of_peak_width_{width}_slots_{count}"] = rate * operations / peak
    ratios = {
        f"width_{width}_slots_{count}": rates[f"width_{width}_slots_{count}"] / rates[f"width_{width}_slots_1"]
        for width in widths
        for count in counts[1:]
        if f"width_{width}_slots_{count}" in rates
    }
    Result(
        name="slots",
        ratios=ratios,
        measured={
            "device": kind,
            **{f"steps_per_second_{name}": round(rate, 1) for name, rate in rates.items()},
            **{name: round(share, 5) for name, share in shares.items()},
        },
        goals={"width_128_slots_64": ">= 20 on an H200", "width_64_slots_64": ">= 100 on an H200"},
        load=(before, load()),
    ).show(as_json=options.json)


def configured(width: int) -> Any:
    """Return the default of preset `small` at another width."""
    from search_spaces.presets import preset

    default = preset("small").default()
    encoder = replace(default.encoder, hidden_size=width // 2)
    return replace(default, encoder=encoder, decoder=replace(default.decoder, hidden_size=width))


class Population:
    """What is trained: the tokens of dates, by programs that are compiled at the same time, once for all widths."""

    def __init__(self, scratch: Path, most: int) -> None:
        from automl.data.table import build_table
        from automl.segments import Workload
        from automl.tasks.document import read_document
        from automl.training.population_trainer import PopulationTrainer

        table = build_table(read_document(DATES / "task.toml"), scratch).folder
        self.trainer = PopulationTrainer(Workload(str(table), str(scratch), ("token_error_rate",), slots=most))

    def measured(self, width: int, counts: tuple[int, ...]) -> Iterator[tuple[int, float, float]]:
        """Yield (slots, steps a second of all together, operations of a step) until memory is too small."""
        import jax

        from search_spaces.costs import Extent, step_operations

        configuration = configured(width)
        dataset = self.trainer.dataset(configuration)
        order, vocabularies = dataset.plan.of_tokens(1), dataset.table.meta["vocabulary"].values()
        extent = Extent(*vocabularies, rows=order.batch_size, source=order.hull.source, target=order.hull.target)
        operations = step_operations(configuration, extent)
        with ThreadPoolExecutor(len(counts)) as threads:  # of these the programs stay, nothing else
            for count in counts:
                threads.submit(self._laid, configuration, count)
        for count in counts:
            try:
                slots, chunks = self._laid(configuration, count)
                seconds = []
                for _ in range(RUNS):
                    begun = time.monotonic()
                    slots.train(dataset.data, chunks)
                    seconds.append(time.monotonic() - begun)
            except jax.errors.JaxRuntimeError as error:
                print(f"{count} slots of width {width}: {str(error)[:200]}", file=sys.stderr)
                return
            yield count, sum(int(chunk.steps) for chunk in chunks.values()) / median(seconds), operations

    def _laid(self, configuration: Any, count: int) -> tuple[Any, dict[int, Any]]:
        """Return slots that are full, and a chunk of steps for each; they have trained for one."""
        from automl.models.parameters import initialise
        from automl.segments import Segment
        from automl.training.course import Course
        from automl.training.hulls import Hull
        from automl.training.slots import Kind, Slots
        from automl.training.steps import new_state
        from search_spaces.dials import to_dict
        from search_spaces.optimizers import alike

        dataset = self.trainer.dataset(configuration)
        order, chunks = dataset.plan.of_tokens(1), dict[int, Any]()
        hull, run = Hull.of(configuration, *dataset.table.meta["vocabulary"].values()), next(order.runs(0, 0))
        slots = Slots(self.trainer.programs, Kind(hull, order.hull, alike(configuration.optimizer)), count)
        for slot in range(count):
            own = replace(configuration, dropout=0.1 + 0.3 * slot / count)
            slots.put(slot, new_state(initialise(hull.true(own), slot)), own)
            chunks[slot] = Course(Segment(0, to_dict(own), seed=slot), own, order, 0).chunk(run)
        slots.train(dataset.data, chunks)
        return slots, chunks


if __name__ == "__main__":
    main()

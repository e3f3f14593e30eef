"""Trials of like models together in one program, against the same ones after another, for ever more of them.

Models of the width named, on the tokens of dates; each trial has a recipe and a seed of its own. `steps_per_second` are
those of all trials together. On a GPU, cores and memory of its kind bound what can be won; a CPU has little to share.
"""

import subprocess
import sys
import tempfile
import time
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
        for width in widths:
            for count, rate, operations in measured(Path(scratch), width, counts):
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


def measured(scratch: Path, width: int, counts: tuple[int, ...]) -> Any:
    """Yield (slots, steps a second of all together, operations of a step) until memory is too small."""
    import jax

    from automl.data.table import build_table
    from automl.models.parameters import initialise
    from automl.segments import Segment, Workload
    from automl.tasks.document import read_document
    from automl.training.course import Course
    from automl.training.hulls import Hull
    from automl.training.population_trainer import PopulationTrainer
    from automl.training.slots import Kind, Slots
    from automl.training.steps import new_state
    from search_spaces.costs import Extent, step_operations
    from search_spaces.dials import to_dict
    from search_spaces.optimizers import alike

    table = build_table(read_document(DATES / "task.toml"), scratch).folder
    trainer = PopulationTrainer(Workload(str(table), str(scratch), ("token_error_rate",), slots=max(counts)))
    configuration = configured(width)
    dataset = trainer.dataset(configuration)
    vocabularies = tuple(dataset.table.meta["vocabulary"].values())
    order = dataset.plan.of_tokens(1)
    bucket, run = order.hull, next(order.runs(0, 0))
    kind = Kind(Hull.of(configuration, *vocabularies), bucket, alike(configuration.optimizer))
    operations = step_operations(
        configuration, Extent(*vocabularies, rows=order.batch_size, source=bucket.source, target=bucket.target)
    )
    for count in counts:
        try:
            slots = Slots(trainer.programs, kind, count)
            chunks = {}
            for slot in range(count):
                own = replace(configuration, dropout=0.1 + 0.3 * slot / count)
                slots.put(slot, new_state(initialise(kind.hull.true(own), slot)), own)
                chunks[slot] = Course(Segment(0, to_dict(own), seed=slot), own, order, 0).chunk(run)
            slots.train(dataset.data, chunks)
            seconds = []
            for _ in range(RUNS):
                begun = time.monotonic()
                slots.train(dataset.data, chunks)
                seconds.append(time.monotonic() - begun)
        except jax.errors.JaxRuntimeError as error:
            print(f"{count} slots of width {width}: {str(error)[:200]}", file=sys.stderr)
            return
        yield count, count * len(run.rows) / median(seconds), operations


if __name__ == "__main__":
    main()

"""What every side is handed: for each configuration its JSON, start values, and the same batches, as files of a folder.

table            folder of the base table
3.json           the configuration, with `sizes` for what it has on the data
3.weights.npz    start values by the dotted paths of the model's parameters
3.batches.npz    `[steps, rows, length]` of source, copies, inputs and targets, padded to the largest shape
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.batching import BatchPlan, plan
from benchmarks.heterogeneous.configurations import ROWS, Drawn
from search_spaces.costs import Extent
from search_spaces.dials import from_dict, to_dict
from search_spaces.seq2seq import Seq2Seq

DATES = Path(__file__).parents[2] / "examples" / "dates"


def table_of_dates(folder: Path) -> Path:
    """Build the base table of the dates example; return its folder."""
    from automl.data.table import build_table
    from automl.tasks.document import read_document

    if not (DATES / "train.tsv").exists():
        subprocess.run([sys.executable, str(DATES / "generate.py")], check=True)
    return Path(build_table(read_document(DATES / "task.toml"), folder / "data").folder)


def hand_over(folder: Path, table: Path, places: Iterable[tuple[int, Seq2Seq]], steps: int) -> list[Drawn]:
    """Write what is handed over of configurations, each under its place, which is its seed too."""
    from automl.segments import Workload
    from automl.training.trainer import Trainer

    (folder / "table").write_text(str(table), encoding="utf-8")
    trainer = Trainer(Workload(str(table), str(folder), ("token_error_rate",), threads=1))
    return [_handed(folder, trainer.dataset(each), place, each, steps) for place, each in places]


def _handed(folder: Path, dataset: Any, place: int, configuration: Seq2Seq, steps: int) -> Drawn:
    import jax

    from automl.models.parameters import initialise
    from automl.training.arrays import gather
    from automl.training.executables import model_of
    from automl.training.signature import signature

    vocabularies, order = tuple(dataset.table.meta["vocabulary"].values()), order_of(dataset)
    values = initialise(model_of(signature(configuration, *vocabularies, ROWS)), place)
    rows = np.concatenate([run.rows[:, 0] for run in runs_of(order, place, steps)])
    batches = jax.vmap(lambda own: gather(dataset.data, own, order.hull))(rows)
    sides = {side: np.asarray(getattr(batches, side)) for side in SIDES}
    extent = Extent(*vocabularies, ROWS, order.hull.source, order.hull.target)
    np.savez(folder / f"{place}.weights.npz", **values)
    np.savez(folder / f"{place}.batches.npz", **sides)
    document = {**to_dict(configuration), "sizes": asdict(extent)}
    (folder / f"{place}.json").write_text(json.dumps(document), encoding="utf-8")
    return Drawn(configuration, extent)


SIDES = ("source", "copies", "inputs", "targets")


def handed(folder: Path, place: int) -> tuple[Drawn, dict[str, Any]]:
    """Read a configuration with its start values."""
    document = json.loads((folder / f"{place}.json").read_text(encoding="utf-8"))
    extent = Extent(**document.pop("sizes"))
    return Drawn(from_dict(Seq2Seq, document), extent), dict(np.load(folder / f"{place}.weights.npz"))


def order_of(dataset: Any) -> BatchPlan:
    """Return the order of batches, one a step."""
    from automl.training.dataset import CHUNK

    return plan(dataset.table.split("train"), ROWS, CHUNK).of_tokens(1)


def runs_of(order: BatchPlan, seed: int, steps: int) -> Iterable[Any]:
    """Yield runs until so many steps are taken."""
    for run in order.runs(seed, 0):
        yield run.upto(steps)
        if run.first_step + len(run.rows) >= steps:
            return

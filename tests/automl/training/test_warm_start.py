"""A later process, another data set, and the programs of the first one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl.data.table import TokenTable, build_table
from automl.segments import ProgramFolder, Workload
from automl.training.trainer import Trainer
from tests.automl.training.trials import segment, trained
from tests.conftest import written_pairs

METRICS = ("token_error_rate", "exact_match")


def workload(table: TokenTable, folder: Path) -> Workload:
    cache = ProgramFolder(str(folder / "programs"), str(folder / "key"))
    return Workload(str(table.folder), str(folder / "checkpoints"), METRICS, cache=cache)


def start(table_folder: str, folder: str) -> None:
    """Train and evaluate one trial, and print what was compiled for it."""
    from automl.data.table import open_table

    result = trained(Trainer(workload(open_table(Path(table_folder)), Path(folder))), segment(to_tokens=600))
    counts = result.programs
    print(json.dumps([counts.compiled, counts.loaded, counts.rejected, result.step > 0, sorted(result.scores)]))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TokenTable:
    """Another task: other words, and other numbers of them, of the same letters."""
    folder = tmp_path_factory.mktemp("other")
    rows = {"train": 700, "valid": 130, "test": 10}
    return build_table(written_pairs(folder, lambda word: word[1:] + word[0], rows), folder / "cache")


def test_another_data_set_in_a_new_process_compiles_nothing(
    reversals: TokenTable, other: TokenTable, tmp_path: Path
) -> None:
    first = trained(Trainer(workload(reversals, tmp_path)), segment(to_tokens=600)).programs
    assert (first.loaded, first.rejected) == (0, 0)
    code = f"from tests.automl.training.test_warm_start import start; start({str(other.folder)!r}, {str(tmp_path)!r})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    scores = ["exact_match", "loss", "token_accuracy", "token_error_rate"]
    assert json.loads(done.stdout) == [0, 3, 0, True, scores]

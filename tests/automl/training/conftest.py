"""A trainer on the reversals."""

from pathlib import Path

import pytest

from automl.data.table import TokenTable
from automl.segments import ProgramFolder, Workload
from automl.training.trainer import Trainer
from tests.automl.command_line import CACHE, KEY
from tests.automl.training.trials import new_trainer

METRICS = ("sequence_error_rate", "exact_match")


@pytest.fixture(scope="session")
def workload(reversals: TokenTable, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    cache = ProgramFolder(str(CACHE / "programs"), KEY)
    return Workload(str(reversals.folder), str(checkpoints), METRICS, threads=1, cache=cache)


@pytest.fixture(scope="session")
def trainer(workload: Workload) -> Trainer:
    return new_trainer(workload)


@pytest.fixture
def checkpoints(workload: Workload) -> Path:
    return Path(workload.checkpoints)

"""A trainer on the reversals, in short chunks so that a trial can be left in the middle of an epoch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from automl.data.table import TokenTable
from automl.segments import Workload
from automl.training.trainer import Trainer

METRICS = ("sequence_error_rate", "exact_match")


@pytest.fixture(scope="session")
def workload(reversals: TokenTable, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    return Workload(table=str(reversals.folder), checkpoints=str(checkpoints), metrics=METRICS, threads=1)


@pytest.fixture(scope="session")
def trainer(workload: Workload) -> Iterator[Trainer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("automl.training.trainer.CHUNK", 4)
        trainer = Trainer(workload)
        assert trainer.plan.run_length == 4
        yield trainer


@pytest.fixture
def checkpoints(workload: Workload) -> Path:
    return Path(workload.checkpoints)

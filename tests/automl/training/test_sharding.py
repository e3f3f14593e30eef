"""A trial on two cores of one process: what one core would have trained, and to the bit again when it goes on."""

from pathlib import Path

import pytest

from automl.segments import Workload
from automl.training.trainer import Trainer
from tests.automl.training.devices import on_devices
from tests.automl.training.trials import After, segment, trained

ON_TWO = """
import sys
from automl.segments import Workload
from tests.automl.training.trials import After, new_trainer, onward, segment, trained
trainer = new_trainer(Workload(*sys.argv[1:], ("sequence_error_rate",), threads=2))
whole = trained(trainer, segment(), stop=After(4))
begun = trained(trainer, segment(), stop=After(2))
resumed = trained(trainer, onward(begun), stop=After(2))
assert whole.execution["cores"] == 2, whole.execution
assert (resumed.step, resumed.checkpoint) == (whole.step, whole.checkpoint)
print(whole.step, whole.scores["loss"])
"""


def test_a_trial_on_two_cores_is_the_trial_on_one(workload: Workload, trainer: Trainer, tmp_path: Path) -> None:
    step, loss = on_devices(2, ON_TWO, workload.table, str(tmp_path)).split()
    alone = trained(trainer, segment(), stop=After(4))
    assert alone.step == int(step)
    assert alone.scores["loss"] == pytest.approx(float(loss), abs=1e-4)

"""A trial on two cores of one process: what one core would have trained, and to the bit again when it goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl.segments import Workload
from automl.training.trainer import Trainer
from tests.automl.training.trials import After, segment, trained

ON_TWO = """
import sys, jax
from automl.segments import Workload
from tests.automl.training.trials import After, new_trainer, onward, segment, trained
assert len(jax.devices()) == 2
trainer = new_trainer(Workload(*sys.argv[1:], ("sequence_error_rate",), threads=2))
whole = trained(trainer, segment(), stop=After(4))
begun = trained(trainer, segment(), stop=After(2))
resumed = trained(trainer, onward(begun), stop=After(2))
assert whole.execution["cores"] == 2, whole.execution
assert (resumed.step, resumed.checkpoint) == (whole.step, whole.checkpoint)
print(whole.step, whole.scores["loss"])
"""


def test_a_trial_on_two_cores_is_the_trial_on_one(workload: Workload, trainer: Trainer, tmp_path: Path) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO, workload.table, str(tmp_path)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    step, loss = done.stdout.split()
    alone = trained(trainer, segment(), stop=After(4))
    assert alone.step == int(step)
    assert alone.scores["loss"] == pytest.approx(float(loss), abs=1e-4)

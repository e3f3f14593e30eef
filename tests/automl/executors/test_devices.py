"""Each worker has a GPU of its own, or a share of one."""

import pytest

from automl.executors.devices import share
from automl.hardware import gpus


@pytest.fixture
def system(tmp_path):
    for name in ("nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


def test_all_gpus_of_the_machine_are_used(system):
    assert gpus({}, system) == ("0", "2", "10")


def test_the_environment_narrows_them(system):
    assert gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-8f1e"}, system) == ("2", "GPU-8f1e")
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}, system) == ()
    assert gpus({"JAX_PLATFORMS": "cpu"}, system) == ()


def test_a_machine_without_gpus_has_none_whatever_the_environment_says(tmp_path):
    assert gpus({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path) == ()


def test_each_of_as_many_workers_as_gpus_has_one():
    shares = [share(worker, 2, ("0", "3"), {}) for worker in range(2)]
    assert shares == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "3"}]


def test_workers_on_one_gpu_share_its_memory_unless_the_user_has_said_how():
    assert share(3, 4, ("0", "1"), {}) == {"CUDA_VISIBLE_DEVICES": "1", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"}
    assert share(0, 2, ("0",), {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.2"}) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_a_single_worker_has_all_and_a_machine_without_gpus_changes_nothing():
    assert share(0, 1, ("0", "1"), {}) == {}
    assert share(1, 2, (), {}) == {}

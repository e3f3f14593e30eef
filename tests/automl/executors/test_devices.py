"""Each worker has a GPU of its own, or a share of one."""

import pytest
from jax._src import hardware_utils

from automl.executors.devices import share
from automl.hardware import TPU_CHIPS, gpus, has_accelerator, idle_accelerator

NOWHERE = "nowhere"


def installed(*names):
    return lambda name: name in names


CUDA = installed("jax_cuda13_plugin")


@pytest.fixture
def system(tmp_path):
    for name in ("nvidia10", "nvidia2", "nvidia4", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def chip(tmp_path):
    def lay(vendor, device):
        (tmp_path / "pci/0000:00:04.0").mkdir(parents=True)
        (tmp_path / "pci/0000:00:04.0/vendor").write_text(f"{vendor}\n")
        (tmp_path / "pci/0000:00:04.0/device").write_text(f"{device}\n")
        return tmp_path / "pci"

    return lay


def test_all_gpus_of_the_machine_are_counted_from_0_as_cuda_does_whatever_their_files_are_called(system):
    assert gpus({}, system, CUDA) == ("0", "1", "2")


def test_the_environment_narrows_them(system):
    assert gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-8f1e"}, system, CUDA) == ("2", "GPU-8f1e")
    assert gpus({"JAX_PLATFORMS": "cpu"}, system, CUDA) == ()
    assert gpus({"JAX_PLATFORMS": "tpu,cpu"}, system, CUDA) == ()
    assert gpus({"JAX_PLATFORMS": "cuda,cpu", "CUDA_VISIBLE_DEVICES": "1"}, system, CUDA) == ("1",)


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles", "3", "-1,0"])
def test_a_name_that_is_none_hides_all_gpus(system, visible):
    assert gpus({"CUDA_VISIBLE_DEVICES": visible}, system, CUDA) == ()
    assert not has_accelerator({"CUDA_VISIBLE_DEVICES": visible}, system, system / NOWHERE, CUDA)


def test_names_behind_one_that_is_none_do_not_count(system):
    assert gpus({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, system, CUDA) == ("1",)


def test_a_machine_without_gpus_has_none_whatever_the_environment_says(tmp_path):
    assert gpus({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path, CUDA) == ()


def test_under_wsl_one_gpu_is_counted_and_the_environment_is_believed(tmp_path):
    (tmp_path / "dxg").touch()
    assert gpus({}, tmp_path, CUDA) == ("0",)
    assert gpus({"CUDA_VISIBLE_DEVICES": "1"}, tmp_path, CUDA) == ("1",)
    assert gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path, CUDA) == ()
    assert has_accelerator({}, tmp_path, tmp_path / NOWHERE, CUDA)


def test_a_gpu_that_jax_has_no_plugin_for_is_none_and_the_extra_that_it_lacks_is_named(system):
    assert gpus({}, system, installed()) == ()
    assert idle_accelerator({}, system, system / NOWHERE, installed()) == "cuda"
    assert idle_accelerator({}, system, system / NOWHERE, CUDA) is None
    for forbidding in ({"JAX_PLATFORMS": "cpu"}, {"CUDA_VISIBLE_DEVICES": "-1"}):
        assert idle_accelerator(forbidding, system, system / NOWHERE, installed()) is None


def test_a_tpu_is_one_of_the_chips_that_jax_counts_where_its_library_is_installed(tmp_path, chip):
    pci = chip("0x1ae0", "0x0063")
    assert has_accelerator({}, tmp_path, pci, installed("libtpu"))
    assert has_accelerator({"TPU_LIBRARY_PATH": "/lib/libtpu.so"}, tmp_path, pci, installed())
    assert not has_accelerator({"JAX_PLATFORMS": "cpu"}, tmp_path, pci, installed("libtpu"))
    assert not has_accelerator({}, tmp_path, pci, installed())
    assert idle_accelerator({}, tmp_path, pci, installed()) == "tpu"


@pytest.mark.parametrize(("vendor", "device"), [("0x1ae0", "0x0042"), ("0x10de", "0x0063")])
def test_another_device_is_no_tpu(tmp_path, chip, vendor, device):
    assert not has_accelerator({}, tmp_path, chip(vendor, device), installed("libtpu"))


def test_the_chips_are_those_of_the_installed_jax():
    assert set(hardware_utils._TPU_PCI_DEVICE_IDS) <= set(TPU_CHIPS)


def test_each_of_as_many_workers_as_gpus_has_one():
    shares = [share(worker, 2, ("0", "3"), {}) for worker in range(2)]
    assert shares == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "3"}]


def test_workers_on_one_gpu_share_its_memory_unless_the_user_has_said_how():
    assert share(3, 4, ("0", "1"), {}) == {"CUDA_VISIBLE_DEVICES": "1", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.450"}
    assert share(0, 2, ("0",), {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.2"}) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_a_single_worker_has_all_and_a_machine_without_gpus_changes_nothing():
    assert share(0, 1, ("0", "1"), {}) == {}
    assert share(1, 2, (), {}) == {}

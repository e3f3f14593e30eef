import errno
from pathlib import Path
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.errors import FailureReason, TrialFailure
from automl.training.checkpoints import Checkpoint, read, read_tensors, write
from automl.training.steps import TrainState, new_state
from storage import objects
from tests.automl.models.cases import random


def state(*shape: int) -> TrainState:
    filled = new_state({"a.kernel": random(*shape), "b.bias": random(3)})
    moved: TrainState = jax.tree.map(lambda leaf: leaf + jnp.ones((), leaf.dtype) * 7, filled)
    return moved


def fresh(*shape: int) -> TrainState:
    return new_state({"a.kernel": np.zeros(shape, np.float32), "b.bias": np.zeros(3, np.float32)})


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    digest = write(tmp_path, Checkpoint(state(4, 3), 12))
    found = read(tmp_path, digest, fresh(4, 3))
    assert found.tokens == 12
    jax.tree.map(np.testing.assert_array_equal, found.state, state(4, 3))


def test_equal_states_have_one_digest_and_others_another(tmp_path: Path) -> None:
    digests = [write(tmp_path, Checkpoint(state(4, 3), tokens)) for tokens in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_the_optimizers_state_is_kept_too(tmp_path: Path) -> None:
    tensors = read_tensors(tmp_path, write(tmp_path, Checkpoint(state(4, 3), 1)))
    assert len([name for name in tensors if name.startswith("optimizer/")]) == 2 * 2
    assert {name.split("/")[0] for name in tensors} == {"parameters", "optimizer", "average", "step", "tokens"}


@pytest.mark.parametrize(
    "like", [fresh(3, 4), fresh(4, 3)._replace(average={}), fresh(4, 3)._replace(step=jnp.zeros(()))]
)
def test_another_form_is_refused(tmp_path: Path, like: TrainState) -> None:
    digest = write(tmp_path, Checkpoint(state(4, 3), 1))
    with pytest.raises(TrialFailure, match=f"checkpoint {digest[:12]} is of another model"):
        read(tmp_path, digest, like)


def test_none_of_a_thousand_damaged_ones_is_read(tmp_path: Path) -> None:
    chance = Random(0)
    digests = [write(tmp_path, Checkpoint(state(4, 3), tokens)) for tokens in range(8)]
    for number in range(1_000):
        digest = chance.choice(digests)
        file = objects.path(tmp_path, digest)
        data, place = file.read_bytes(), chance.randrange(file.stat().st_size)
        match number % 4:
            case 0:
                file.write_bytes(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
            case 1:
                file.write_bytes(data[:place])
            case 2:
                other = chance.choice([name for name in digests if name != digest])
                file.write_bytes(objects.path(tmp_path, other).read_bytes())
            case _:
                file.unlink()
        with pytest.raises(TrialFailure) as failed:
            read(tmp_path, digest, fresh(4, 3))
        assert failed.value.reason is FailureReason.CORRUPT_CHECKPOINT
        file.write_bytes(data)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN, errno.EMFILE])
def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    digest = write(tmp_path, Checkpoint(state(4, 3), 1))
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(number, "as the test wants it")))
    with pytest.raises(TrialFailure, match=f"{digest[:12]} cannot be read") as failed:
        read(tmp_path, digest, fresh(4, 3))
    assert failed.value.reason is FailureReason.STORAGE


def test_a_folder_of_checkpoints_that_is_gone_is_named(tmp_path: Path) -> None:
    digest = write(tmp_path / "folder", Checkpoint(state(4, 3), 1))
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    with pytest.raises(
        TrialFailure, match="folder: the folder that checkpoints were written to is not there"
    ) as failed:
        read(tmp_path / "folder", digest, fresh(4, 3))
    assert failed.value.reason is FailureReason.STORAGE


def test_a_folder_that_cannot_be_written_fails_the_trial(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrialFailure, match="a checkpoint cannot be written: ") as failed:
        write(tmp_path / "file", Checkpoint(state(4, 3), 1))
    assert failed.value.reason is FailureReason.STORAGE

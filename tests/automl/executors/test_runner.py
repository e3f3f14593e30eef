"""Every way in which a job can fail is one reason."""

import errno
from pathlib import Path

import pytest

from automl.data import artifact
from automl.errors import FailureReason, InputError, TrialFailure
from automl.executors.runner import outcome
from storage.buckets import Unreachable


def refused(number: int) -> TrialFailure:
    def read() -> None:
        raise OSError(number, "as the test wants it", "a checkpoint")

    failed = outcome(read)
    assert isinstance(failed, TrialFailure)
    return failed


REFUSALS = [
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.EACCES,
    errno.EPERM, errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT,
]  # fmt: skip


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_disk_that_is_full_broken_gone_or_closed_is_no_trials_fault(number: int) -> None:
    failed = refused(number)
    assert (failed.reason, "a checkpoint" in str(failed)) == (FailureReason.STORAGE, True)


def test_a_place_that_is_out_of_reach_is_no_trials_fault() -> None:
    def read() -> None:
        raise Unreachable(errno.ENOENT, "the folder is not there")

    failed = outcome(read)
    assert isinstance(failed, TrialFailure)
    assert (failed.reason, str(failed)) == (FailureReason.STORAGE, "the folder is not there")


def test_a_token_table_that_the_disk_does_not_take_is_no_trials_fault(tmp_path: Path) -> None:
    def write(scratch: Path) -> artifact.Meta:
        raise OSError(errno.ENOSPC, "No space left on device")

    failed = outcome(lambda: artifact.build(tmp_path / "table", 1, write, tmp_path))
    assert isinstance(failed, TrialFailure)
    assert (failed.reason, "cannot be written" in str(failed)) == (FailureReason.STORAGE, True)


def test_data_that_are_wrong_are_the_trials() -> None:
    def read() -> None:
        raise InputError("table: not a whole token table") from ValueError("no JSON")

    failed = outcome(read)
    assert isinstance(failed, TrialFailure)
    assert failed.reason is FailureReason.BAD_DATA


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.EPIPE])
def test_other_errors_of_the_system_are_errors(number: int) -> None:
    assert refused(number).reason is FailureReason.ERROR

"""The runner inside a worker: found by name, and every way it can fail turned into a `TrialFailure`."""

import errno
import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from automl.errors import FailureReason, InputError, TrialFailure
from automl.segments import Runner, Workload
from storage.buckets import Unreachable

T = TypeVar("T")

TRAINER = "automl.training.trainer:Trainer"
"""The runner of a search, by name, so that nobody above imports JAX."""
POPULATION = "automl.training.population_trainer:PopulationTrainer"
"""The runner of a search that trains several trials in one process."""

STORAGE_NAMES = (
    "ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "ENODEV", "ENXIO", "ENOMEDIUM", "EUCLEAN", "EACCES", "EPERM",
    "ENOENT", "ENOTDIR", "EMFILE", "ENFILE", "ESTALE", "EREMOTEIO", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN",
    "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH",
)  # fmt: skip
STORAGE_ERRORS = {getattr(errno, name) for name in STORAGE_NAMES if hasattr(errno, name)}  # some are Linux's alone
"""What the system says when a disk, near or far, is full, broken, gone or closed to us: no trial is to blame."""


def load_runner(name: str, workload: Workload) -> Runner:
    """Import `module:Class` and build it from the workload."""
    module, _, attribute = name.partition(":")
    return cast("Runner", getattr(importlib.import_module(module), attribute)(workload))


def outcome(run: Callable[[], T]) -> T | TrialFailure:
    """Run and return the value, or the reason why there is none."""
    try:
        return run()
    except TrialFailure as failure:
        return failure
    except MemoryError:
        return TrialFailure(FailureReason.OUT_OF_MEMORY, "the process ran out of memory")
    except InputError as error:
        reason = FailureReason.STORAGE if _is_of_storage(error.__cause__) else FailureReason.BAD_DATA
        return TrialFailure(reason, str(error))
    except OSError as error:
        reason = FailureReason.STORAGE if _is_of_storage(error) else FailureReason.ERROR
        return TrialFailure(reason, _described(error))
    except Exception as error:
        return TrialFailure(FailureReason.ERROR, _described(error))


def _is_of_storage(error: BaseException | None) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, OSError) and error.errno in STORAGE_ERRORS)


def _described(error: Exception) -> str:
    """Say what went wrong in one line; only errors of the system speak for themselves, others may quote data."""
    name = type(error).__name__
    if isinstance(error, Unreachable):
        return str(error)
    if isinstance(error, OSError | ImportError | RuntimeError):
        return f"{name}: {next(iter(str(error).splitlines()), '')[:200]}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} at {Path(last.filename).name}:{last.lineno}"

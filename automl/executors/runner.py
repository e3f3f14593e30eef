"""The runner inside a worker: found by name, and every way it can fail turned into a `TrialFailure`."""

import errno
import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from automl.errors import FailureReason, InputError, TrialFailure
from automl.segments import Runner, Workload

T = TypeVar("T")

TRAINER = "automl.training.trainer:Trainer"
"""The runner of a search, by name, so that nobody above imports JAX."""
POPULATION = "automl.training.population_trainer:PopulationTrainer"
"""The runner of a search that trains several trials in one process."""

STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE)
"""What the system says when a disk is full, broken or gone."""


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
        return TrialFailure(FailureReason.BAD_DATA, str(error))
    except OSError as error:
        reason = FailureReason.STORAGE if error.errno in STORAGE_ERRORS else FailureReason.ERROR
        return TrialFailure(reason, _described(error))
    except Exception as error:
        return TrialFailure(FailureReason.ERROR, _described(error))


def _described(error: Exception) -> str:
    """Say what went wrong in one line; only errors of the system speak for themselves, others may quote data."""
    name = type(error).__name__
    if isinstance(error, OSError | ImportError | RuntimeError):
        return f"{name}: {next(iter(str(error).splitlines()), '')[:200]}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} at {Path(last.filename).name}:{last.lineno}"

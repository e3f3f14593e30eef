"""The runner inside a worker: found by name, and every way it can fail turned into a `TrialFailure`."""

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from automl.errors import FailureReason, TrialFailure
from automl.segments import Runner, Workload

T = TypeVar("T")

TRAINER = "automl.training.trainer:Trainer"
"""The runner of a search, by name, so that nobody above imports JAX."""


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
    except Exception as error:
        return TrialFailure(FailureReason.ERROR, _described(error))


def _described(error: Exception) -> str:
    """Say what went wrong in one line; only errors of the system speak for themselves, others may quote data."""
    name = type(error).__name__
    if isinstance(error, OSError | ImportError | RuntimeError):
        return f"{name}: {next(iter(str(error).splitlines()), '')[:200]}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} at {Path(last.filename).name}:{last.lineno}"

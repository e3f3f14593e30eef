"""The runner inside a worker: found by name, and every way it can fail turned into a `TrialFailure`."""

import importlib
from collections.abc import Callable
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
        line = next(iter(str(error).splitlines()), "")[:200]
        return TrialFailure(FailureReason.ERROR, f"{type(error).__name__}: {line}")

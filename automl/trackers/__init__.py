"""Trackers: other tools that are told of a search while it runs, where somebody asks for them by name.

They are told numbers and dials: scores, steps, tokens, seconds, the configuration, how a trial ended. No text of the
data, no path and no weights go out. What a tracker does wrong harms no search: it is said once, and the tracker is
told no more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from automl.errors import InputError

Dials = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Told:
    """The search that a tracker is told of.

    Attributes:
        folder: Where trackers that write files write them.
    """

    search: str
    kind: str
    metric: str
    folder: Path


class Tracker(Protocol):
    """Something that keeps what it is told; called from one thread."""

    def knows(self) -> bool:
        """Whether it has been told of this search before, so that it is told only what is new."""
        ...

    def begin(self, trial: int, dials: Dials) -> None:
        """A trial has begun."""
        ...

    def scores(self, trial: int, step: int, scores: Mapping[str, float]) -> None:
        """A trial was measured after so many steps of the optimizer."""
        ...

    def end(self, trial: int, state: str) -> None:
        """A trial has ended: `COMPLETE` or `FAILED`."""
        ...

    def close(self) -> None:
        """Nothing more is told in this run."""
        ...


PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""Trackers by name, and the package that each one needs; the extra has the tracker's name."""


def check_trackers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of trackers, each known and installed.

    Raises:
        InputError: There is one.
    """
    for name in names:
        if name not in PACKAGES:
            raise InputError(f"tracker {name!r} is not known; use {', '.join(PACKAGES)}")
        if find_spec(PACKAGES[name]) is None:
            raise InputError(f"tracker {name!r} needs {PACKAGES[name]}; install automl-seq2seq[{name}]")
    return names


def tracker(name: str, told: Told) -> Tracker:
    """Return a tracker by its name; its package is imported now."""
    make: Callable[[Told], Tracker] = import_module(f"automl.trackers.{name}").tracker
    return make(told)

"""How long one source takes: greedy decoding, a row at a time, on one thread."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from statistics import median
from threading import Lock
from typing import Any

import numpy as np

DECODES = 50
THREADS = Path("/proc/self/task")
ALONE = Lock()
"""Held while decoding is timed: of several threads that keep all on one core, the last would leave them there."""


def of_median_length(lengths: Sequence[int], most: int) -> list[int]:
    """Return the places of as many sources as are decoded: those nearest to the median length, at most `most` long.

    Where there are few they come again.
    """
    readable = [place for place, length in enumerate(lengths) if length <= most]
    middle = float(np.median([lengths[place] for place in readable]))
    nearest = sorted(readable, key=lambda place: abs(lengths[place] - middle))[:DECODES]
    return [nearest[number % len(nearest)] for number in range(DECODES)]


def median_seconds(decode: Callable[[Any], Any], sources: Sequence[Any], *, pin: bool) -> float:
    """Return the median of the seconds that each source takes; what has to be compiled for one is no part of it.

    Args:
        decode: Returns once the tokens of one source are there.
        sources: Their tokens.
        pin: Keep all threads of this process on one processor core meanwhile.
    """
    for first in {len(source): source for source in sources}.values():
        decode(first)
    seconds = []
    with ALONE, one_core() if pin else nullcontext():
        for source in sources:
            begun = time.perf_counter()
            decode(source)
            seconds.append(time.perf_counter() - begun)
    return median(seconds)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep all threads of this process on one processor core, where the system can."""
    if not THREADS.is_dir() or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    _put(min(allowed))
    try:
        yield
    finally:
        _put(*allowed)


def _put(*cores: int) -> None:
    for thread in THREADS.iterdir():
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)

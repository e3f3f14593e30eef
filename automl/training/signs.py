"""Signs of life between beats: what is decoded, scored or taught in parts gets on with each of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from time import monotonic

from automl.data.advance import heard
from automl.segments import Beat, Report

EVERY = 1.0
"""Seconds between two parts that are told of."""


@contextmanager
def in_parts(report: Report, clock: Callable[[], float] = monotonic) -> Iterator[Report]:
    """Report beats, and between them each part that `advance.tell` hears of, at most one a second."""
    last, told, parts = Beat("starting"), clock(), count(1)

    def noted(beat: Beat) -> None:
        nonlocal last, told
        last, told = beat, clock()
        report(beat)

    def part(what: str, share: float) -> None:
        del what, share
        if clock() - told >= EVERY:
            noted(replace(last, part=next(parts)))

    with heard(part):
        yield noted

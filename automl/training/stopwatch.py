"""Where the seconds of a segment go."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("tokenizing", "training", "compiling", "evaluating", "writing")


class Stopwatch:
    """Seconds by part of a segment."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside towards a part."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - begun

    def move(self, seconds: float, part: str, other: str) -> None:
        """Count seconds of one part towards another."""
        self.seconds[part] -= seconds
        self.seconds[other] += seconds

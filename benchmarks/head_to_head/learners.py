"""What a peer's search asks of a model: the same of PyTorch and of Flax."""

from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.head_to_head.pairs import Pairs


class Dials(NamedTuple):
    """A configuration of a peer; the defaults are the sensible model that every search begins with."""

    kind: str = "lstm"
    size: int = 256
    layers: int = 2
    dropout: float = 0.3
    rate: float = 1e-3
    decay: float = 1e-2
    smoothing: float = 0.1


class Scores(NamedTuple):
    """Share of sequences with an error, and of tokens, each given the true target before it.

    Greedy output equals a reference exactly where this argmax does at every position.
    """

    sequences: float
    tokens: float


class Learner(Protocol):
    """A model in training."""

    def train(self, draw: np.random.Generator, until: float, course: "Course") -> None:
        """Train until a moment of the clock, at least by one step."""
        ...

    def scores(self, split: str) -> Scores:
        """Score a split."""
        ...


class Maker(Protocol):
    """Makes learners."""

    def __call__(self, pairs: Pairs, dials: Dials, seed: int) -> Learner:
        """Make one from the beginning."""
        ...


class Course(NamedTuple):
    """The rate over a trial's time: it warms up over a twentieth and falls as a cosine."""

    began: float
    seconds: float

    def factor(self, now: float) -> float:
        """Return the share of the highest rate."""
        share = min(max((now - self.began) / self.seconds, 0.0), 1.0)
        return min(share * 20, 1.0) * (0.5 * (1 + np.cos(np.pi * share)) * 0.99 + 0.01)

"""What a metric is: of texts, or of the likelihood that a model gives to the right ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]
Tokenize = Callable[[str], Sequence[str]]
References = Sequence[Sequence[str]]
Weights = Sequence[float]
Score = Callable[..., float]


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of the first reference of each source, ends included, without label smoothing.

    Attributes:
        nats: Negative logarithm of the likelihood of all of them.
        tokens: Their tokens.
        characters: Their Unicode characters; the end counts as one.

    Where rows count differently, all three are sums by their weights.
    """

    nats: float
    tokens: float
    characters: float


@dataclass(frozen=True)
class Metric:
    """A metric by its full name.

    Attributes:
        direction: Whether lower or higher is better.
        worst: Score of a useless model; none where there is no bound.
        perfect: Score of a model without error; none where there is none.
    """

    name: str
    direction: Direction
    worst: float | None
    perfect: float | None

    def better(self, score: float, than: float) -> bool:
        """Whether a score beats another."""
        return score < than if self.direction == "minimize" else score > than


@dataclass(frozen=True)
class TextMetric(Metric):
    """A metric of outputs.

    Attributes:
        function: Takes outputs, the acceptable targets of each, and what splits a target into tokens; where it is
            `weighted`, then how much each source counts.
        signature: Says of references how the package behind it has scored them, to be published with a score.
        weighted: Whether sources can count differently; else each counts the same.
    """

    function: Score
    signature: Callable[[References], str] | None = None
    weighted: bool = False

    def score(
        self, outputs: Sequence[str], references: References, tokenize: Tokenize, weights: Weights | None = None
    ) -> float:
        """Return the score of outputs; sources count by their weights where there are any and the metric can."""
        given = (outputs, references, tokenize)
        return self.function(*given) if weights is None or not self.weighted else self.function(*given, weights)


@dataclass(frozen=True)
class LikelihoodMetric(Metric):
    """A metric of likelihoods, which needs no output."""

    function: Callable[[Likelihood], float]

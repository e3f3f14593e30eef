"""By what trials are judged: one objective or several, of which the first decides, and limits on what is measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from automl.metrics import Metric


@dataclass(frozen=True)
class Criteria:
    """What makes one measurement better than another.

    Attributes:
        metric: The objective that decides.
        others: Further objectives.
        limits: The most that a score may be, by name.
    """

    metric: Metric
    others: tuple[Metric, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """All objectives, the one that decides first."""
        return (self.metric, *self.others)

    def allows(self, scores: Mapping[str, float]) -> bool:
        """Say whether nothing that was measured is over its limit."""
        return self.excess(scores) == 0

    def excess(self, scores: Mapping[str, float]) -> float:
        """Return by which share the worst score is over its limit; 0 where none is."""
        over = (scores[name] / limit - 1 for name, limit in self.limits.items() if name in scores)
        return max(0.0, *over) if self.limits else 0.0

    def losses(self, scores: Mapping[str, float]) -> tuple[float, ...]:
        """Return each objective turned so that lower is better, infinite where there is none."""
        return tuple(_turned(scores, objective) for objective in self.objectives)

    def assumed(self, scores: Mapping[str, float]) -> tuple[float, ...]:
        """Return the same, each that was not measured at its worst."""
        return tuple(
            _turned({objective.name: objective.worst or 0.0, **scores}, objective) for objective in self.objectives
        )

    def is_measured(self, scores: Mapping[str, float]) -> bool:
        """Say whether every objective was measured."""
        return all(objective.name in scores for objective in self.objectives)

    def is_sound(self, scores: Mapping[str, float], *, is_whole: bool) -> bool:
        """Say whether the loss and every objective are finite, those that were not measured left out unless all are."""
        names = ["loss", *(each.name for each in self.objectives if is_whole or each.name in scores)]
        return all(math.isfinite(scores.get(name, math.nan)) for name in names)

    def standing(self, scores: Mapping[str, float]) -> tuple[float, ...]:
        """Return what sorts measurements: the objectives in their order, then the loss; lower is better."""
        return (*self.losses(scores), loss_of(scores))


def loss_of(scores: Mapping[str, float]) -> float:
    """Return the loss, infinite where there is none."""
    loss = scores.get("loss", math.nan)
    return loss if math.isfinite(loss) else math.inf


def _turned(scores: Mapping[str, float], metric: Metric) -> float:
    score = scores.get(metric.name, math.nan)
    if not math.isfinite(score):
        return math.inf
    return score if metric.direction == "minimize" else -score

"""The leaderboard: the trials of a search by their best score."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from automl.control import history
from automl.control.history import Trial
from automl.metrics import Metric

if TYPE_CHECKING:
    from rich.table import Table

TOP = 10


@dataclass(frozen=True)
class Row:
    """A trial on the leaderboard.

    Attributes:
        tokens: Target tokens seen in all.
        seconds: What it has cost in all: training, compiling, evaluating and writing.
        scores: On valid, at its best step; none where it has no result.
        reason: Why it failed.
        winner: Whether it is the best of all.
    """

    trial: int
    state: str
    encoder: str
    decoder: str
    parameters: int | None
    tokens: int
    seconds: float
    scores: Mapping[str, float]
    reason: str | None
    winner: bool

    def to_mapping(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def leaderboard(trials: Iterable[Trial], metric: Metric) -> list[Row]:
    """Return the trials, best first; those without a result at the end."""
    everything = list(trials)
    best = history.best(everything, metric)
    ranked = sorted(everything, key=lambda trial: (_standing(trial, metric), trial.row.number))
    return [_row(trial, metric, winner=best is not None and trial is best[0]) for trial in ranked]


def table(rows: Iterable[Row], metric: Metric, top: int | None = None) -> "Table":
    """Return the first rows as a table for people to read."""
    from rich import box
    from rich.table import Table

    shown = list(rows)
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    drawn.add_column("")
    drawn.add_column("trial", justify="right")
    drawn.add_column("encoder → decoder", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    for name in ("parameters", "tokens", "seconds", "loss", metric.name):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in shown[:top]:
        drawn.add_row(*_cells(row, metric), style="bold" if row.winner else None)
    hidden = len(shown[top:]) if top is not None else 0
    drawn.caption = f"and {hidden} more: automl leaderboard shows all" if hidden else None
    drawn.caption_justify = "left"
    return drawn


def _cells(row: Row, metric: Metric) -> tuple[str, ...]:
    return (
        "*" if row.winner else "",
        str(row.trial),
        f"{row.encoder} → {row.decoder}",
        f"{row.state} {row.reason}" if row.reason else row.state,
        "" if row.parameters is None else f"{row.parameters:,}",
        f"{row.tokens:,}",
        f"{row.seconds:,.1f}",
        _score(row.scores.get("loss")),
        _score(row.scores.get(metric.name)),
    )


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _standing(trial: Trial, metric: Metric) -> tuple[float, float]:
    scores = [history.loss_of(segment.scores, metric) for segment in trial.segments]
    return min(scores, default=(float("inf"), float("inf")))


def _row(trial: Trial, metric: Metric, *, winner: bool) -> Row:
    best = history.best([trial], metric)
    return Row(
        trial=trial.row.number,
        state=trial.state,
        encoder=type(trial.configuration.encoder).__name__,
        decoder=type(trial.configuration.decoder).__name__,
        parameters=trial.row.parameters,
        tokens=trial.row.tokens,
        seconds=sum(sum(segment.seconds.values()) for segment in trial.segments),
        scores=best[1].scores if best else {},
        reason=trial.row.reason,
        winner=winner,
    )

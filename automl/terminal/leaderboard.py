"""The leaderboard: the trials of a search by their best score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from automl.control import history
from automl.control.criteria import Criteria
from automl.control.history import Trial

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
        front: Whether it is on the Pareto front, where there are several objectives.
        parent: The trial at whose checkpoint it began: as a copy that was cooled down early, or to go on in its place.
        continued: Whether it goes on in its place.
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
    front: bool = False
    parent: int | None = None
    continued: bool = False

    @property
    def condition(self) -> str:
        """Its state in words: why it failed, and what it is a copy of."""
        state = f"{self.state} {self.reason}" if self.reason else self.state
        if self.parent is None:
            return state
        return f"{state}, {'goes on from' if self.continued else 'copy of'} {self.parent}"

    def to_mapping(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def leaderboard(trials: Iterable[Trial], criteria: Criteria) -> list[Row]:
    """Return the trials, best first; those without a result at the end."""
    everything = list(trials)
    best = history.best(everything, criteria)
    front = {t.row.number for t, _ in history.front(everything, criteria)} if criteria.others else set()
    ranked = sorted(everything, key=lambda trial: (_standing(trial, criteria), trial.row.number))
    rows = [_row(trial, criteria, winner=best is not None and trial is best[0]) for trial in ranked]
    return [replace(row, front=row.trial in front) for row in rows]


def table(rows: Iterable[Row], criteria: Criteria, top: int | None = None) -> "Table":
    """Return the first rows as a table for people to read."""
    from rich import box
    from rich.table import Table

    shown = list(rows)
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    drawn.add_column("")
    drawn.add_column("trial", justify="right")
    drawn.add_column("encoder → decoder", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    names = _shown(criteria)
    for name in ("parameters", "tokens", "seconds", "loss", *names):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in shown[:top]:
        drawn.add_row(*_cells(row, names), style="bold" if row.winner else None)
    hidden = len(shown[top:]) if top is not None else 0
    drawn.caption = f"and {hidden} more: automl leaderboard shows all" if hidden else None
    drawn.caption_justify = "left"
    return drawn


def _cells(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return (
        "*" if row.winner else "+" if row.front else "",
        str(row.trial),
        f"{row.encoder} → {row.decoder}",
        row.condition,
        "" if row.parameters is None else f"{row.parameters:,}",
        f"{row.tokens:,}",
        f"{row.seconds:,.1f}",
        _score(row.scores.get("loss")),
        *(_score(row.scores.get(name)) for name in names),
    )


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}" if abs(score) < 1e5 else f"{score:,.0f}"


def _shown(criteria: Criteria) -> list[str]:
    """Return the columns of scores; parameters have theirs already."""
    named = [*(objective.name for objective in criteria.objectives), *criteria.limits]
    return [name for name in dict.fromkeys(named) if name != "parameters"]


def _standing(trial: Trial, criteria: Criteria) -> tuple[float, ...]:
    ranks = [(criteria.excess(s.scores), *criteria.standing(s.scores)) for s in trial.segments]
    return min(ranks, default=(float("inf"),))


def _row(trial: Trial, criteria: Criteria, *, winner: bool) -> Row:
    best = history.best([trial], criteria) or history.nearest([trial], criteria)
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
        parent=trial.parent,
        continued=trial.row.is_continued,
    )

"""The recorded models as spaces that can be searched (Zhang and Duh, TACL 2020; AMTA 2024)."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import log
from pathlib import Path

from automl.control.encoding import encoder
from search_spaces.dials import Choice, Trial, Value

DIALS = ("initial_lr", "model_size", "ff_num_hidden", "num_layers")
FINISHED_DIALS = (
    "bpe_symbols",
    "num_layers",
    "embed_size",
    "feed_forward_size",
    "num_heads",
    "initial_learning_rate",
)
REPEAT = "repeat"
"""Several models of a table may have the same recorded dials; this one tells them apart."""


@dataclass(frozen=True)
class Row:
    """A configuration of the table: values by `Table.names`."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Table:
    """Models trained on one language pair, and all that a search needs to know of their space.

    Attributes:
        curves: Of each row the loss in nats a token after each checkpoint, the best so far; the worst first.
        scores: Of each row the final score, lower is better; none where curves are searched.
    """

    name: str
    names: tuple[str, ...]
    curves: dict[Row, tuple[float, ...]]
    scores: dict[Row, float]

    @cached_property
    def ranges(self) -> dict[str, Choice]:
        """The dials' values, as they occur."""
        columns = zip(*(row.values for row in self.curves), strict=True)
        return {name: Choice(tuple(sorted(set(column)))) for name, column in zip(self.names, columns, strict=True)}

    @cached_property
    def goal(self) -> float:
        """Perplexity within 1 % of the best, in nats."""
        return min(curve[-1] for curve in self.curves.values()) + log(1.01)

    @cached_property
    def default(self) -> Row:
        """The middle of each range, the smaller value of two: what every search begins with, whatever its way."""
        middle = Row(tuple(dial.values[(len(dial.values) - 1) // 2] for dial in self.ranges.values()))
        return self.nearest(middle, list(self.curves))

    def defaults(self) -> list[Row]:
        """Return what a search begins with."""
        return [self.default]

    def around(self, configuration: Row, free: Sequence[str]) -> "Table":
        """Return the same space: here every dial is trained from the start."""
        del configuration, free
        return self

    def wider(self, configuration: Row) -> None:
        """Return nothing: which dials are widths is not told."""
        del configuration

    def sample(self, trial: Trial) -> Row:
        """Ask a trial for every dial."""
        return Row(tuple(trial.suggest_categorical(name, dial.values) for name, dial in self.ranges.items()))

    def parameters(self, configuration: Row) -> dict[str, Value]:
        """Return the values by dial."""
        return dict(zip(self.names, configuration.values, strict=True))

    def distributions(self, configuration: Row) -> dict[str, Choice]:
        """Return the ranges by dial."""
        del configuration
        return self.ranges

    def nearest(self, wanted: Row, among: Sequence[Row]) -> Row:
        """Return the row that is nearest to `wanted`, each range counted as 1 and on a logarithmic scale."""
        target = self._point(wanted)
        return min(among, key=lambda row: math.dist(self._point(row), target))

    def best(self) -> Row:
        """Return the configuration with the best score, or the best end of its curve."""
        return min(self.curves, key=lambda row: self.scores[row] if self.scores else self.curves[row][-1])

    @cached_property
    def _point(self) -> Callable[[Row], tuple[float, ...]]:
        encode = encoder(self.ranges)
        return lambda row: encode(self.parameters(row))


def curve_tables(folder: Path) -> list[Table]:
    """Read the learning curves, a table for each pair and vocabulary size: perplexities compare only within these."""
    tables = []
    for path in sorted(folder.glob("*.json")):
        groups = defaultdict(list)
        for model in json.loads(path.read_text())["learning_curves"]:
            groups[model["hyperparameters"]["bpe"]].append(model)
        for size, models in sorted(groups.items()):
            losses = [tuple(accumulate(map(log, m["dev_perplexity"]), min)) for m in models]
            rows = _rows([tuple(m["hyperparameters"][name] for name in DIALS) for m in models])
            curves = dict(zip(rows, losses, strict=True))
            tables.append(Table(f"{path.stem} {size}k", (*DIALS, REPEAT), curves, {}))
    return tables


def finished_tables(folder: Path) -> list[Table]:
    """Read the finished models: final perplexity and BLEU."""
    tables = []
    for path in sorted(folder.glob("*.json")):
        models = json.loads(path.read_text())["evaluations"]
        rows = _rows([tuple(m[name] for name in FINISHED_DIALS) for m in models])
        curves = {row: (log(m["dev_perplexity"]),) for row, m in zip(rows, models, strict=True)}
        scores = {row: -m["dev_bleu"] for row, m in zip(rows, models, strict=True)}
        tables.append(Table(path.stem, (*FINISHED_DIALS, REPEAT), curves, scores))
    return tables


def _rows(recorded: Sequence[tuple[Value, ...]]) -> list[Row]:
    seen: Counter[tuple[Value, ...]] = Counter()
    rows = []
    for values in recorded:
        rows.append(Row((*values, seen[values])))
        seen[values] += 1
    return rows

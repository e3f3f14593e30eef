"""Constraints: what every model of a search must keep to, measured on the search's data before anything is trained."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from automl.data.table import TokenTable, tokenized, tokens_of
from search_spaces import costs, tokenizers
from search_spaces.costs import Extent
from search_spaces.seq2seq import Seq2Seq

Limits = Mapping[str, int]
"""Most of each cost in `COSTS` that a model may have."""

COSTS: Mapping[str, tuple[str, Callable[[Seq2Seq, Extent], int]]] = {
    "parameters": (
        "parameters",
        lambda configuration, typical: costs.parameters(
            configuration, typical.source_vocabulary, typical.target_vocabulary
        ),
    ),
    "operations": ("floating-point operations a forward pass", costs.forward_operations),
}
"""Costs that can be limited: what they are called, and how they are counted for one row of typical lengths."""


class Constraints:
    """The limits of a search; also knows which of the configurations it was asked about came nearest to them."""

    def __init__(self, limits: Limits, table: TokenTable) -> None:
        self._limits = limits
        self._typical = cache(lambda tokens: typical(tokenized(table.corpus, tokens)))
        self._nearest: tuple[float, str] | None = None

    def admit(self, configuration: Seq2Seq) -> bool:
        """Say whether a configuration keeps to all limits."""
        return all(self._within(name, limit, configuration) for name, limit in self._limits.items())

    def explain(self) -> str:
        """Say in one sentence that nothing keeps to the limits, and what comes nearest."""
        said = "no configuration is within the constraints"
        return said if self._nearest is None else f"{said}; the nearest that was found, {self._nearest[1]}"

    def _within(self, name: str, limit: int, configuration: Seq2Seq) -> bool:
        tokens = tokens_of(configuration)
        most = tokenizers.most(*tokens)
        if name == "parameters" and most is not None and costs.parameters(configuration, *most) <= limit:
            return True  # whatever the vocabulary is, so that no table is built
        called, count = COSTS[name]
        found = count(configuration, self._typical(tokens))
        if found > limit and (self._nearest is None or found / limit < self._nearest[0]):
            families = " → ".join(type(kind).__name__ for kind in (configuration.encoder, configuration.decoder))
            self._nearest = found / limit, f"{families}, has {found:,} {called}, and {limit:,} are allowed"
        return found <= limit


def typical(table: TokenTable) -> Extent:
    """Return one row of the median lengths of train, its vocabularies being those of the table."""
    split, sizes = table.split("train"), table.meta["vocabulary"]
    source, target = (int(np.median(np.diff(offsets))) for offsets in (split.source_offsets, split.target_offsets))
    return Extent(sizes["source"], sizes["target"], 1, max(source, 1), target + 1)

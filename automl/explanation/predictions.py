"""Predictions: what a model says of each source, token by token, as lines of JSON from which all else follows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from automl.data.tokenizers import SPECIAL_TOKENS, UNK
from automl.metrics.edits import edit_distances

if TYPE_CHECKING:
    from automl.decoding.explained import Explained
    from automl.inference import Model

DIGITS = 8


@dataclass(frozen=True)
class Expected:
    """What the model makes of the first reference, token by token, the end last.

    Attributes:
        confidence: What it gives to each token after those before it.
        likeliest: What it finds likeliest there, and `highest` how likely.
    """

    tokens: Sequence[str]
    confidence: Sequence[float]
    likeliest: Sequence[str]
    highest: Sequence[float]


@dataclass(frozen=True)
class Prediction:
    """What a model says of a source.

    Attributes:
        source_tokens: As the model reads them; none for a model that reads no source.
        source_symbols: The same as they are written, whether the model knows them or not.
        output_tokens: What it says, the end last.
        confidence: Probability of each of them after those before it.
        copied: Share of that which is from copying.
        weights: Where it looked for each of them; none where there is no source, or nobody will look at it.
        references: Acceptable outputs, where they are known.
        right: Whether the output equals one of them, token by token.
        edits: Tokens to be changed for the nearest of them.
        expected: What it makes of the first of them.
    """

    source: str
    output: str
    source_tokens: Sequence[str]
    source_symbols: Sequence[str]
    output_tokens: Sequence[str]
    confidence: Sequence[float]
    copied: Sequence[float]
    weights: Sequence[Sequence[float]] | None = None
    references: Sequence[str] | None = None
    right: bool | None = None
    edits: int | None = None
    expected: Expected | None = None

    @property
    def probability(self) -> float:
        """Probability of the whole output, its end included."""
        return prod(self.confidence)

    @property
    def labels(self) -> list[str]:
        """The source tokens, those that the model does not know as they are written."""
        pairs = zip(self.source_tokens, self.source_symbols, strict=False)
        return [written if token == SPECIAL_TOKENS[UNK] else token for token, written in pairs]

    def to_json(self) -> str:
        """Return the prediction as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Prediction":
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(line)
        expected = fields.pop("expected")
        return cls(**fields, expected=None if expected is None else Expected(**expected))


def predicted(
    model: "Model", sources: Sequence[str], references: Mapping[str, Sequence[str]] | None = None, *, maps: int = 0
) -> list[Prediction]:
    """Return what a model says of sources.

    Args:
        references: The acceptable outputs of each source, where they are known.
        maps: Of so many predictions, the first ones, it is kept where the model looked.
    """
    found = [
        _prediction(model, source, explained, with_weights=index < maps)
        for index, (source, explained) in enumerate(zip(sources, model.explained(sources), strict=True))
    ]
    if references is None:
        return found
    acceptable = [references[source] for source in sources]
    expected = map(_expected, model.explained(sources, [targets[0] for targets in acceptable]))
    edits = _edits(model, found, acceptable)
    return [
        replace(each, references=list(targets), right=not away, edits=away, expected=of)
        for each, targets, away, of in zip(found, acceptable, edits, expected, strict=True)
    ]


def _prediction(model: "Model", source: str, explained: "Explained", *, with_weights: bool) -> Prediction:
    return Prediction(
        source=source,
        output=explained.output,
        source_tokens=list(explained.source),
        source_symbols=model.source_tokens(source) if model.has_source else [],
        output_tokens=list(explained.target),
        confidence=_rounded(explained.confidence),
        copied=_rounded(explained.copied),
        weights=[_rounded(row) for row in explained.weights] if with_weights and explained.source else None,
    )


def _expected(explained: "Explained") -> Expected:
    confidence, highest = _rounded(explained.confidence), _rounded(explained.highest)
    return Expected(list(explained.target), confidence, list(explained.likeliest), highest)


def _edits(model: "Model", found: Sequence[Prediction], acceptable: Sequence[Sequence[str]]) -> list[int]:
    """Return how many tokens of each output have to be changed for the nearest acceptable one."""
    pairs = [(index, target) for index, targets in enumerate(acceptable) for target in targets]
    said = [model.target_tokens(each.output) for each in found]
    away = edit_distances([said[index] for index, _ in pairs], [model.target_tokens(target) for _, target in pairs])
    nearest: dict[int, int] = {}
    for (index, _), distance in zip(pairs, away.tolist(), strict=True):
        nearest[index] = min(nearest.get(index, distance), distance)
    return [nearest[index] for index in range(len(found))]


def _rounded(values: Iterable[Any]) -> list[float]:
    return [round(float(value), DIGITS) for value in values]

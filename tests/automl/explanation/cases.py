"""Explanations that are made up."""

from collections.abc import Sequence

from automl.explanation.breakdown import breakdown
from automl.explanation.calibration import of_outputs, of_tokens
from automl.explanation.explanation import Explanation, Labelled
from automl.explanation.neighbours import Neighbour
from automl.explanation.predictions import Expected, Prediction
from tests.automl.bundles import SMALL

END = "<eos >"


def prediction(source: str, said: Sequence[str], right: Sequence[str], copied: float = 0.0) -> Prediction:
    """A prediction of four source tokens, whose texts are what they are told to be."""
    output, expected = [*said, END], [*right, END]
    return Prediction(
        source=source,
        output=" ".join(said),
        source_tokens=[source] * 4,
        source_symbols=[source] * 4,
        output_tokens=output,
        confidence=[0.9] * len(output),
        copied=[copied] * len(output),
        weights=[[0.7, 0.1, 0.1, 0.1]] * len(output),
        references=[" ".join(right)],
        right=list(said) == list(right),
        edits=sum(a != b for a, b in zip(said, right, strict=True)),
        expected=Expected(expected, [0.8] * len(expected), output, [0.8] * len(expected)),
    )


def explanation(text: str, *others: str) -> Explanation:
    """An explanation in which a text stands wherever texts do."""
    predictions = [prediction(text, [text, other], [text, text], 0.9) for other in others]
    labelled = Labelled(of_outputs(predictions), of_tokens(predictions), breakdown(predictions))
    near = [[Neighbour(text, [text, *others], 0.5, 2)]]
    return Explanation(text, SMALL, predictions, labelled, near, {text: 0.75, "dropout": 0.25})

"""Metrics of classes."""

from collections import Counter
from collections.abc import Sequence

from automl.metrics.scores import Tokenize


def macro_f1(outputs: Sequence[str], references: Sequence[Sequence[str]], tokenize: Tokenize) -> float:
    """Return the mean over classes of the harmonic mean of precision and recall (0 to 1), as scikit-learn does.

    Each class that is an output or a reference counts the same, however rare. Of several references the one that
    was said counts, else the first.
    """
    said = [tuple(tokenize(output)) for output in outputs]
    true = [
        next((tokens for tokens in acceptable if tokens == output), acceptable[0])
        for output, texts in zip(said, references, strict=True)
        for acceptable in [[tuple(tokenize(text)) for text in texts]]
    ]
    right = Counter(output for output, label in zip(said, true, strict=True) if output == label)
    counts = Counter(said) + Counter(true)
    return sum(2 * right[label] / count for label, count in counts.items()) / max(len(counts), 1)

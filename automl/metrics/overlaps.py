"""Metrics of shared words and characters, by the field's own packages: sacreBLEU and rouge-score."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from automl.metrics.scores import References, Tokenize

SacrebleuMetric = Literal["bleu", "chrf", "ter"]
RougeMetric = Literal["rouge1", "rouge2", "rougeL"]

# Letters and digits of any script; characters of scripts without spaces one by one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def _sacrebleu(name: SacrebleuMetric) -> Any:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    return {"bleu": BLEU, "chrf": CHRF, "ter": TER}[name]()


def corpus_score(name: SacrebleuMetric, outputs: Sequence[str], references: References, _: Tokenize) -> float:
    """Score of sacreBLEU with its default settings: BLEU and chrF from 0 to 100, TER from 0, edits a hundred words."""
    if len(outputs) != len(references):
        raise ValueError("outputs and references differ in length")
    if not outputs:
        return 0.0
    score = float(_sacrebleu(name).corpus_score(list(outputs), _streams(references)).score)
    return score if name == "ter" else min(score, 100.0)  # rounding carries a perfect score a little above


def _streams(references: References) -> list[list[str | None]]:
    """One list for the first references, one for the second, and so on; none where a source has fewer."""
    rows = [list(acceptable) for acceptable in references]
    return [[row[index] if index < len(row) else None for row in rows] for index in range(max(map(len, rows)))]


def sacrebleu_signature(name: SacrebleuMetric, references: References) -> str:
    """What sacreBLEU calls the signature of a score over these references."""
    scorer = _sacrebleu(name)
    scorer.corpus_score([acceptable[0] for acceptable in references], _streams(references))
    return str(scorer.get_signature())


class _Words:
    """Words as rouge-score finds them in English, and in any other script."""

    def tokenize(self, text: str) -> list[str]:
        """Split a text into words in lower case."""
        return _WORD.findall(text.lower())


@cache
def _rouge(name: RougeMetric) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([name], tokenizer=_Words())


def rouge_score(name: RougeMetric, outputs: Sequence[str], references: References, _: Tokenize) -> float:
    """Mean F1 (0 to 100) of rouge-score (Lin, 2004): of words, of pairs of words, or of the longest common sequence.

    The best reference of each source counts.
    """
    scorer = _rouge(name)
    scores: list[float] = [
        max(scorer.score(reference, output)[name].fmeasure for reference in acceptable)
        for output, acceptable in zip(outputs, references, strict=True)
    ]
    return 100 * sum(scores) / max(len(scores), 1)


def rouge_signature(name: RougeMetric, references: References) -> str:
    """What was done for a score over these references, in the manner of sacreBLEU."""
    counts = {len(acceptable) for acceptable in references}
    several = str(counts.pop()) if len(counts) == 1 else "var"
    package = f"rouge-score:{version('rouge-score')}"
    return f"nrefs:{several}|refs:best|case:lc|stem:no|tok:unicode-words|score:f1|mean:sources|{name}|{package}"

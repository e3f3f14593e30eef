"""The winner itself: the bundle, in float32 or with int8 weights, as `automl.load` runs it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from automl.bundle import Bundle, write_bundle
from automl.export.runtimes import Form, Runtime, Spoken
from search_spaces.seq2seq import Seq2Seq


def write_int8(bundle: Bundle, folder: Path) -> None:
    """Write the bundle with matrices in int8, a scale for each column."""
    write_bundle(replace(bundle, config={**bundle.config, "weights": "int8"}), folder)


def open_folder(folder: Path) -> Runtime:
    """Return the model of a bundle, which decodes greedily here whatever the bundle says."""
    from automl.loading import load
    from search_spaces.decoding import Greedy

    model = load(folder)

    def run(sources: Sequence[Sequence[int]]) -> Spoken:
        answers = [best for best, *_ in model.answers(sources, Greedy())]
        told = [tuple(answer.said) for answer in answers]
        return Spoken([answer.tokens for answer in answers], [answer.score for answer in answers], told)

    return run


def refusal(_: Sequence[Seq2Seq]) -> str | None:
    """Every model can have this form."""
    return None


BUNDLE = Form(("jax",), refusal, write_bundle, open_folder, grows=True)
INT8 = Form(("jax",), refusal, write_int8, open_folder, agreement=0.8, tolerance=10.0, grows=True)

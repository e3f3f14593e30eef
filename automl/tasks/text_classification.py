"""A text in, one of a few classes out."""

from collections.abc import Mapping
from typing import Any, ClassVar

from automl.data.forms import Form
from automl.tasks.classes import inspect_classes
from automl.tasks.profile import Profile
from automl.tasks.task import Task


class TextClassification(Task):
    """Classification as sequence-to-sequence: a class is a target of one token, said by a shallow decoder."""

    kind: ClassVar[str] = "text_classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    form: ClassVar[Form] = Form("classes", inspect=inspect_classes)
    tokens: ClassVar[Mapping[str, str]] = {"target_tokens": "whole"}
    narrowed_space: ClassVar[Mapping[str, Any]] = {
        "output": "Softmax",
        "decoder.Recurrent.num_layers": 1,
        "decoder.Transformer.num_layers": 1,
        "decoder.SimpleRecurrent.num_layers": 1,
        "tied_embeddings": False,
    }

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say that the target has few values that recur."""
        if profile.source is None or not profile.classes:
            return None
        return f"{len(profile.classes):,} different targets, each in {_rows_of_class(profile):,.0f} rows on average"


def _rows_of_class(profile: Profile) -> float:
    """Return the mean number of rows of a class."""
    return sum(count for _, count in profile.classes) / len(profile.classes)

"""A long text in, a short one of the same language out."""

from collections.abc import Mapping
from typing import ClassVar

from automl.tasks.profile import Profile
from automl.tasks.task import Task
from automl.tasks.translation import DIFFERENT
from search_spaces.dials import Value

SHORTER, LEAST_WORDS = 0.5, 20


class Summarization(Task):
    """Summarization, scored by the longest common subsequence of words (Lin, 2004).

    It begins with copying (See et al., 2017): most words of a summary are those of its source.
    """

    kind: ClassVar[str] = "summarization"
    metrics: ClassVar[tuple[str, ...]] = ("rougeL", "rouge1", "rouge2")
    preferred: ClassVar[Mapping[str, Value]] = {"output": "PointerGenerator"}

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say that targets are much shorter than sources and share their frequent words."""
        source, target = profile.source, profile.target
        if source is None or source.words.mean < LEAST_WORDS or target.words.mean < 2 or profile.classes:
            return None
        ratio = target.words.mean / source.words.mean
        if ratio > SHORTER or profile.common_words < DIFFERENT:
            return None
        return f"targets have {ratio:.0%} of the words of their sources, in the same language"

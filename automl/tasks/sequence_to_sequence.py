"""A text in, a text out: pronunciation, normalisation and the like."""

from typing import ClassVar

from automl.tasks.profile import Profile
from automl.tasks.task import Task


class SequenceToSequence(Task):
    """What holds for every task of (source, target) texts."""

    kind: ClassVar[str] = "sequence_to_sequence"
    metrics: ClassVar[tuple[str, ...]] = ("sequence_error_rate", "token_error_rate")

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say that it suits any pairs."""
        return None if profile.source is None else "pairs of texts that look like no kind of their own"

"""What a kind of task says of itself."""

from collections.abc import Mapping
from typing import Any, ClassVar

from automl.tasks.profile import Profile


class Task:
    """A kind of task: what it is scored by, what of the space it leaves, and which data look like it."""

    kind: ClassVar[str]
    default_metric: ClassVar[str]
    narrowed_space: ClassVar[Mapping[str, Any]] = {}
    """Dials that this kind of task pins; a document's `[space]` goes on top of them."""

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say why data look like this kind of task; nothing where they do not."""
        raise NotImplementedError

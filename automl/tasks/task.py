"""What a kind of task says of itself."""

from collections.abc import Mapping
from typing import Any, ClassVar

from automl.data.forms import PAIRS, Form
from automl.tasks.profile import Profile
from search_spaces.dials import Value


class Task:
    """A kind of task: how its files are read, what it is scored by, what of the space it leaves, which data suit it."""

    kind: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    """What results of this kind are published with; the first is the objective unless a document names another."""
    form: ClassVar[Form] = PAIRS
    tokens: ClassVar[Mapping[str, str]] = {}
    """What `auto` means: `source_tokens` or `target_tokens` → a key of `search_spaces.tokenizers.KINDS`."""
    narrowed_space: ClassVar[Mapping[str, Any]] = {}
    """Dials that this kind of task pins; a document's `[space]` goes on top of them."""
    preferred: ClassVar[Mapping[str, Value]] = {}
    """Full path of dials → their defaults, where those of the space do not suit this kind."""

    @classmethod
    def suits(cls, profile: Profile) -> str | None:
        """Say why data look like this kind of task; nothing where they do not."""
        raise NotImplementedError

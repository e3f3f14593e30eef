"""A text in, a text out: pronunciation, translation, normalisation and the like."""

from collections.abc import Mapping
from typing import Any, ClassVar


class SequenceToSequence:
    """What holds for every task of (source, target) texts."""

    kind: ClassVar[str] = "sequence_to_sequence"
    default_metric: ClassVar[str] = "sequence_error_rate"
    narrowed_space: ClassVar[Mapping[str, Any]] = {}
    """Dials that this kind of task pins; a document's `[space]` goes on top of them."""

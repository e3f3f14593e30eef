"""Footprint: about what a row of a batch takes while it is decoded or scored, and how much that may be."""

from dataclasses import dataclass

from automl.errors import InputError
from search_spaces.costs import Extent, decoding_memory, scoring_memory
from search_spaces.seq2seq import Seq2Seq

MOST_ROW_BYTES = 2**32
"""What one row may take; batches of several are held to `answers.MOST_BATCH_BYTES`."""


@dataclass(frozen=True)
class Footprint:
    """What rows take of a model, or of all members of an ensemble, beyond the parameters.

    It refuses a row that takes more than `MOST_ROW_BYTES`, unless somebody watches over what the process takes.
    """

    models: tuple[Seq2Seq, ...]
    source_vocabulary: int
    target_vocabulary: int
    refuses: bool = True

    def decoding(self, source: int, target: int, beam: int = 1) -> int:
        """Return the bytes of decoding a source of so many tokens.

        Raises:
            InputError: They are too many.
        """
        extent = self._extent(source, target)
        return self._checked(sum(decoding_memory(each, extent, beam) for each in self.models), source, target, beam)

    def scoring(self, source: int, target: int) -> int:
        """Return the bytes of scoring a target of so many tokens.

        Raises:
            InputError: They are too many.
        """
        extent = self._extent(source, target)
        return self._checked(sum(scoring_memory(each, extent) for each in self.models), source, target)

    def _extent(self, source: int, target: int) -> Extent:
        return Extent(self.source_vocabulary, self.target_vocabulary, 1, source, target)

    def _checked(self, taken: int, source: int, target: int, beam: int = 1) -> int:
        if self.refuses and taken > MOST_ROW_BYTES:
            asked = f"a source of {source:,} and a target of {target:,} tokens" + (
                f" by a beam of {beam}" if beam > 1 else ""
            )
            less = "fewer tokens or a smaller beam" if beam > 1 else "fewer tokens"
            raise InputError(
                f"{asked} would take {taken / 2**30:.1f} GiB; {MOST_ROW_BYTES / 2**30:g} at most: ask for {less}"
            )
        return taken

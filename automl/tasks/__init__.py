"""The kinds of task, one file each."""

from collections.abc import Mapping

from automl.tasks.sequence_to_sequence import SequenceToSequence

TASKS: Mapping[str, type[SequenceToSequence]] = {SequenceToSequence.kind: SequenceToSequence}

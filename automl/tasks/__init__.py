"""The kinds of task, one file each."""

from collections.abc import Mapping

from automl.tasks.dialogue import Dialogue
from automl.tasks.generation import Generation
from automl.tasks.image_classification import ImageClassification
from automl.tasks.object_detection import ObjectDetection
from automl.tasks.sequence_to_sequence import SequenceToSequence
from automl.tasks.summarization import Summarization
from automl.tasks.task import Task
from automl.tasks.text_classification import TextClassification
from automl.tasks.translation import Translation

TASKS: Mapping[str, type[Task]] = {
    task.kind: task
    for task in (
        ImageClassification,
        ObjectDetection,
        Generation,
        Dialogue,
        TextClassification,
        Summarization,
        Translation,
        SequenceToSequence,
    )
}
"""Kinds of task by name; those that data can be told by come before those that suit more."""

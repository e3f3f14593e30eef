"""Mean average precision of boxes, by pycocotools (Lin et al., 2014)."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from automl.boxes import Box, read_text
from automl.errors import InputError
from automl.metrics.scores import References, Tokenize

OVERALL, AT_HALF = 0, 1


def mean_average_precision(outputs: Sequence[str], references: References, tokenize: Tokenize) -> float:
    """Return the mean over classes, and overlaps of .5 to .95, of the average precision (0 to 1)."""
    del tokenize
    return _score(outputs, references, OVERALL)


def mean_average_precision_50(outputs: Sequence[str], references: References, tokenize: Tokenize) -> float:
    """Return the mean over classes of the average precision of boxes that overlap by half at least (0 to 1)."""
    del tokenize
    return _score(outputs, references, AT_HALF)


def signature(references: References) -> str:
    """Return by which version it was computed."""
    del references
    try:
        return f"pycocotools:{version('pycocotools')}"
    except PackageNotFoundError:
        return "pycocotools"


def _score(outputs: Sequence[str], references: References, place: int) -> float:
    if len(outputs) != len(references):
        raise ValueError(f"outputs and references differ in length: {len(outputs)} and {len(references)}")
    true = [read_text(acceptable[0]) for acceptable in references]
    said = [read_text(output) for output in outputs]
    if not any(true) or not any(said):
        return float(not any(true) and not any(said))
    said = [[each for box in boxes for each in _of_each_class(box)] for boxes in said]
    labels = sorted({box.label for boxes in (*true, *said) for box in boxes})
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    coco, evaluation = _packages()
    with redirect_stdout(io.StringIO()):
        known = coco()
        known.dataset = {
            "images": [{"id": index} for index in range(len(true))],
            "categories": [{"id": number} for number in numbers.values()],
            "annotations": _entries(true, numbers),
        }
        known.createIndex()
        found = evaluation(known, known.loadRes(_entries(said, numbers)), "bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    return max(round(float(found.stats[place]), 9), 0.0)


def _of_each_class(box: Box) -> list[Box]:
    """Return a box once for each class that it may be of, as detections are ranked within a class."""
    return [
        box._replace(others=()),
        *(box._replace(label=label, score=score, others=()) for label, score in box.others),
    ]


def _packages() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise InputError("mean average precision needs pycocotools; pip install 'automl-seq2seq[images]'") from None
    return COCO, COCOeval


def _entries(rows: Sequence[Sequence[Box]], numbers: dict[str, int]) -> list[dict[str, Any]]:
    placed = ((index, box) for index, boxes in enumerate(rows) for box in boxes)
    return [
        {
            "id": number,
            "image_id": index,
            "category_id": numbers[box.label],
            "bbox": list(box[1:5]),
            "area": box.width * box.height,
            "iscrowd": 0,
            "score": 1.0 if box.score is None else box.score,
        }
        for number, (index, box) in enumerate(placed, start=1)
    ]

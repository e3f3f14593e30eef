"""Explanation: everything that is said of a winner and some predictions of it, and its files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl.errors import InputError
from automl.explanation.breakdown import Breakdown
from automl.explanation.calibration import Calibration
from automl.explanation.neighbours import Neighbour
from automl.explanation.predictions import Prediction
from search_spaces.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Labelled:
    """What is known where the right outputs are: calibration of whole outputs and of tokens, and where errors are.

    Attributes:
        outputs: None for a model that reads no source, whose outputs answer nothing.
    """

    outputs: Calibration | None
    tokens: Calibration
    errors: Breakdown


@dataclass(frozen=True)
class Explanation:
    """What is said of a winner.

    Attributes:
        name: What the page calls it.
        predictions: Those that are shown come first.
        neighbours: Training examples near each of the first predictions, where a file of them was named.
    """

    name: str
    configuration: Seq2Seq
    predictions: Sequence[Prediction]
    labelled: Labelled | None = None
    neighbours: Sequence[Sequence[Neighbour]] = ()

    @property
    def shown(self) -> list[Prediction]:
        """The predictions of which it is known where the model looked."""
        return [each for each in self.predictions if each.weights is not None]

    def to_mapping(self) -> dict[str, Any]:
        """Return what was counted as plain JSON values, without any text of the data but single symbols."""
        if self.labelled is None:
            return {"predictions": len(self.predictions)}
        return {"predictions": len(self.predictions), **asdict(self.labelled)}


def write(explanation: Explanation, folder: Path, pictures: Mapping[str, bytes]) -> Path:
    """Write the page, the predictions that it is drawn from, what was counted, and pictures; return the page's path.

    Raises:
        InputError: The folder cannot be written.
    """
    from automl.explanation.page import page

    lines = "".join(f"{each.to_json()}\n" for each in explanation.predictions)
    files = {
        "predictions.jsonl": lines.encode(),
        "explanation.json": (json.dumps(explanation.to_mapping(), indent=2, ensure_ascii=False) + "\n").encode(),
        "explanation.html": page(explanation).encode(),
        **pictures,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name a folder that can") from error
    return folder / "explanation.html"


def read_predictions(file: Path) -> Iterator[Prediction]:
    """Yield the predictions of a file that `write` wrote."""
    with file.open(encoding="utf-8") as lines:
        yield from map(Prediction.from_json, lines)

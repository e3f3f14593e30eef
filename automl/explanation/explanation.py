"""Explanation: everything that is said of a winner and some predictions of it, and its files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
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
        importance: Path of each dial that mattered in the search → its share, the largest first; empty where its bundle
            does not say.
    """

    name: str
    configuration: Seq2Seq
    predictions: Sequence[Prediction]
    labelled: Labelled | None = None
    neighbours: Sequence[Sequence[Neighbour]] = ()
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def shown(self) -> list[Prediction]:
        """The predictions of which it is known where the model looked."""
        return [each for each in self.predictions if each.weights is not None]

    def to_mapping(self) -> dict[str, Any]:
        """Return what was counted as plain JSON values, without any text of the data but single symbols."""
        counted = {} if self.labelled is None else asdict(self.labelled)
        return {"predictions": len(self.predictions), "importance": dict(self.importance), **counted}


def importance_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return which dials mattered in the search of a bundle, as its `metrics.json` says; older ones say nothing.

    Raises:
        InputError: What it says is no shares.
    """
    said = metrics.get("importance", {})
    if not isinstance(said, dict) or not all(map(_is_share, said.values())):
        raise InputError("metrics.json: importance is no share for each dial; export the model again")
    return {path: float(share) for path, share in sorted(said.items(), key=lambda each: -each[1])}


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value) and 0 <= value <= 1


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

"""What the Python client of a service does by itself."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from automl.client import RemoteSearch
from automl.errors import InputError


class Sending:
    """Stands for a connection: sends a ZIP file of some files to whoever asks."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def request(self, *_: Any, **others: Any) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in self._names:
                archive.writestr(f"words-0/{name}", name)
        return buffer.getvalue()


def export(folder: Path, *names: str) -> Path:
    return RemoteSearch(Sending(*names), "words", {}).export(folder)  # type: ignore[arg-type]


def test_a_model_that_is_taken_home_lies_in_its_folder_alone(tmp_path: Path) -> None:
    folder = export(tmp_path / "models" / "words", "config.json", "onnx/model.onnx")
    assert {path.read_text() for path in folder.rglob("*") if path.is_file()} == {"config.json", "onnx/model.onnx"}
    assert list(folder.parent.iterdir()) == [folder]


def test_what_cannot_be_written_to_its_end_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"words: cannot be written .*; name a folder that can"):
        export(tmp_path / "words", "first", "first/inside of a file")
    assert list(tmp_path.iterdir()) == []

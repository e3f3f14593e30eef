import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from automl.errors import InputError
from automl.tasks.document import document_from_mapping
from automl.tasks.draft import draft

DRAW = np.random.default_rng(0)


def image() -> Any:
    return DRAW.integers(0, 256, (6, 5), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folders of classes of each split, an image of train in test, and a broken one."""
    for split, count in {"train": 12, "val": 3, "test": 3}.items():
        for index in range(count):
            path = tmp_path / split / ("cat" if index % 2 else "dog") / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(image()).save(path)
    (tmp_path / "test" / "cat" / "leak.png").write_bytes((tmp_path / "train" / "dog" / "0.png").read_bytes())
    (tmp_path / "train" / "cat" / "broken.png").write_bytes(b"broken")
    return tmp_path


def test_folders_of_classes_are_proposed_with_what_was_seen(folder: Path) -> None:
    proposed = draft(folder)
    text = proposed.to_toml(folder)
    document = document_from_mapping({"name": "pets", **tomllib.loads(text)}, folder)
    assert (document.kind, proposed.why) == ("image_classification", "images of 2 classes")
    assert document.data.files == {"train": folder / "train", "valid": folder / "val", "test": folder / "test"}
    for seen in (
        "12 images",
        "6 × 5",
        '"cat": 6 (50.0%)',
        "broken image (the first is cat/broken.png)",
        "test: images that are also in train",
    ):
        assert seen in text
    assert proposed.seen.to_mapping()["canvas"] == {"height": 6, "width": 5, "channels": 1}


def test_one_folder_or_one_file_of_arrays_is_train(folder: Path, tmp_path: Path) -> None:
    assert draft(folder / "train").files == {"train": folder / "train"}
    np.savez(folder / "all.npz", images=[image() for _ in range(20)], labels=["a", "b"] * 10)
    assert draft(folder / "all.npz").files == {"train": folder / "all.npz"}


def test_several_files_of_arrays_of_which_none_is_train_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", images=[image()], labels=["a"])
    with pytest.raises(InputError, match="no file is called train"):
        draft(tmp_path)

"""Json files as COCO's: where their images lie, and what is said of those that are nowhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from automl.data.coco import Document, files_of
from automl.data.scenes import read_scenes
from automl.data.sources import Columns
from automl.errors import InputError

DRAW = np.random.default_rng(0)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(DRAW.integers(0, 256, (6, 8), np.uint8)).save(path)
    return path


def described(path: Path, *images: Any, **lists: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [{"id": 7 + index, "file_name": image} for index, image in enumerate(images)]
    box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2]}
    whole = {"images": entries, "annotations": [box], "categories": [{"id": 3, "name": "cat"}]}
    path.write_text(json.dumps(whole | lists))
    return path


@pytest.mark.parametrize(
    ("document", "name", "image"),
    [
        ("train.json", "a.png", "a.png"),
        ("train.json", "a.png", "images/a.png"),
        ("train.json", "a.png", "train/a.png"),
        ("train.json", "deep/a#1.png", "images/deep/a#1.png"),
        ("annotations/instances_train.json", "a.png", "images/a.png"),
        ("annotations/instances_train.json", "a.png", "train/a.png"),
        ("annotations/instances_train2017.json", "a.png", "train2017/a.png"),
        ("annotations/instances_train2017.json", "a.png", "images/train2017/a.png"),
        ("annotations/instances_train2017.json", "a.png", "images/train/a.png"),
        ("annotations/instances_train2017.json", "train2017/a.png", "train2017/a.png"),
        ("annotations/instances_train2017.json", "../train2017/a.png", "train2017/a.png"),
        ("annotations/instances_default.json", "a.png", "images/default/a.png"),
        ("annotations/train.json", "a.png", "annotations/a.png"),
    ],
)
def test_images_are_found_wherever_such_folders_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: str, name: str, image: str
) -> None:
    wanted, path = picture(tmp_path / image), described(tmp_path / document, name)
    assert files_of(path) == [wanted]
    assert len(read_scenes(path, Columns()).images) == 1
    monkeypatch.chdir(path.parent)
    assert [found.resolve() for found in files_of(Path(path.name))] == [wanted.resolve()]


def test_the_folder_of_a_files_own_name_comes_before_what_all_share(tmp_path: Path) -> None:
    for folder in ("images", "train2017", "val2017"):
        picture(tmp_path / folder / "a.png")
    for split in ("train2017", "val2017"):
        path = described(tmp_path / "annotations" / f"instances_{split}.json", "a.png")
        assert files_of(path) == [tmp_path / split / "a.png"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("b.png", "there is no such image as b.png; it was looked for in annotations/, train/, images/train/, images/"),
        ("../../a.png", "lies outside of its folder"),
        ("/etc/hostname", "lies outside of its folder"),
        ("a\x00.png", "cannot be the name of a file"),
        ("a" * 5000, "cannot be the name of a file"),
        (f"a.npz#{'9' * 5000}", "cannot be the name of a file"),
        ("", "has no file_name, and there is no instances_train.npz"),
    ],
)
def test_an_image_that_is_nowhere_is_said_by_file_and_entry(tmp_path: Path, name: str, said: str) -> None:
    picture(tmp_path / "data" / "images" / "a.png")
    path = described(tmp_path / "data" / "annotations" / "instances_train.json", "a.png", name)
    for read in (files_of, lambda path: read_scenes(path, Columns())):
        with pytest.raises(InputError, match="image 8") as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"annotations": [{"id": 1, "image_id": 99, "category_id": 3, "bbox": [0, 0, 1, 1]}]}, "annotation 1 is of im"),
        ({"annotations": [{"id": 1, "image_id": [7], "category_id": 3, "bbox": [0, 0, 1, 1]}]}, "of image [7], which"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": {}, "bbox": [0, 0, 1, 1]}]}, "of category {}, which"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 10**400]}]}, "1 has no bbox of"),
        ({"images": [{"file_name": "a.png"}]}, "images[0] has no id"),
        ({"images": [{"file_name": "a.png", "id": [1]}]}, "images[0] has no id"),
        ({"categories": [{"id": 3}, {"id": 3}]}, "categories[1] has the id 3 of another"),
        ({"categories": [{"name": "cat"}]}, "categories[0] has no id"),
    ],
)
def test_a_reference_to_nothing_is_said_by_file_and_entry(tmp_path: Path, lists: dict[str, Any], said: str) -> None:
    picture(tmp_path / "images" / "a.png")
    path = described(tmp_path / "annotations" / "instances_train.json", "a.png", **lists)
    with pytest.raises(InputError) as caught:
        read_scenes(path, Columns())
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_an_array_that_is_nowhere_is_said_by_file_and_entry(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=DRAW.integers(0, 256, (2, 6, 8), np.uint8))
    document = Document(described(tmp_path / "train.json", "a.npz", "a.npz#2"))
    assert document.image(0)[0].shape == (6, 8, 1)
    with pytest.raises(InputError, match=r"train\.json: image 8: there is no image 2 in a\.npz; it has 2"):
        document.image(1)

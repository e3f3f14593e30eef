import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from automl.errors import InputError
from automl.tasks.document import document_from_mapping
from automl.tasks.draft import draft
from automl.tasks.image_draft import find_albums

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


def test_pictures_beside_texts_to_train_on_are_no_classes(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    Pillow.fromarray(image()).save(tmp_path / "figures" / "a.png")
    assert find_albums(tmp_path) == {"train": tmp_path}
    (tmp_path / "train.tsv").write_text("a\tb\n")
    assert find_albums(tmp_path) is None


def test_several_files_of_arrays_of_which_none_is_train_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", images=[image()], labels=["a"])
    with pytest.raises(InputError, match="no file is called train"):
        draft(tmp_path)


def scenes(folder: Path, document: str, images: str, count: int = 4) -> Path:
    """A json file as COCO's with images of a box each."""
    for index in range(count):
        path = folder / images / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(image()).save(path)
    entries = [{"id": index, "file_name": f"{index}.png"} for index in range(count)]
    boxes = [{"id": index, "image_id": index, "category_id": 1, "bbox": [1, 1, 3, 2]} for index in range(count)]
    path = folder / document
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}))
    return path


@pytest.mark.parametrize(
    ("train", "images", "val"),
    [
        ("annotations/instances_train2017.json", "train2017", "annotations/instances_val2017.json"),
        ("annotations/instances_train.json", "images", "annotations/instances_val.json"),
        ("annotations/train.json", "images/train", "annotations/val.json"),
        ("instances_train2017.json", "images/train2017", "instances_val2017.json"),
        ("train/_annotations.coco.json", "train", "valid/_annotations.coco.json"),
        ("train.json", "images", "val.json"),
    ],
)
def test_a_folder_as_cocos_is_proposed_as_one(tmp_path: Path, train: str, images: str, val: str) -> None:
    shown = {"train": scenes(tmp_path, train, images)}
    shown["valid"] = scenes(tmp_path, val, images.replace("train", "valid" if "valid" in val else "val"))
    for other in ("captions_train2017", "person_keypoints_train2017", "image_info_test2017"):
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{other}.json").write_text("[]")
    proposed = draft(tmp_path)
    document = document_from_mapping({"name": "pets", **tomllib.loads(proposed.to_toml(tmp_path))}, tmp_path)
    assert document.kind == "object_detection"
    assert document.data.files == shown


def test_one_file_of_annotations_is_train_whatever_it_is_called(tmp_path: Path) -> None:
    path = scenes(tmp_path, "annotations/instances_default.json", "images/default")
    assert draft(tmp_path).files == {"train": path}
    path.write_text("[")
    with pytest.raises(InputError, match=r"instances_default\.json: this is not JSON"):
        draft(tmp_path)


def test_files_of_annotations_of_which_none_or_two_are_train_are_refused(tmp_path: Path) -> None:
    for year in (2014, 2017):
        scenes(tmp_path, f"annotations/instances_val{year}.json", "images")
    with pytest.raises(InputError, match=r"called train \(it has instances_val2014\.json, instances_val2017\.json\)"):
        draft(tmp_path)
    for year in (2014, 2017):
        scenes(tmp_path, f"annotations/instances_train{year}.json", "images")
    with pytest.raises(InputError, match=r"train2014\.json and annotations/instances_train2017\.json are both called"):
        draft(tmp_path)

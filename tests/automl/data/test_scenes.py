import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from automl.boxes import Box, read_text, scaled, to_text
from automl.data.boxes import Boxes
from automl.data.coco import files_of
from automl.data.images import ORIENTATION, UNLIKE
from automl.data.pixels import Canvas
from automl.data.scenes import read_scenes
from automl.data.sources import Columns
from automl.data.tokenizers import UNK, Said, Tokenizer
from automl.errors import InputError
from automl.tasks.object_detection import inspect_scenes
from search_spaces import tokenizers as kinds

CANVAS = Canvas(20, 40, 1)
DRAW = np.random.default_rng(0)


def annotation(number: int, image: int, bbox: Any, category: int = 1, **others: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **others}


def written(folder: Path, annotations: list[Any], count: int = 4, name: str = "train", **images: Any) -> Path:
    document = {
        "images": [{"id": 10 + index, **images} for index in range(count)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "big dog"}],
    }
    np.savez(folder / f"{name}.npz", x=DRAW.integers(0, 256, (count, 20, 40), np.uint8))
    (folder / f"{name}.json").write_text(json.dumps(document))
    return folder / f"{name}.json"


def test_a_file_as_cocos_is_read_with_the_images_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, [annotation(1, 10, [0, 1, 10, 5]), annotation(2, 12, [3, 4, 5, 6], 2)])
    pairs = read_scenes(path, Columns())
    assert [read_text(target) for [target] in pairs.targets] == [
        [Box("cat", 0, 1, 10, 5)],
        [],
        [Box("big dog", 3, 4, 5, 6)],
        [],
    ]
    assert files_of(path) == [tmp_path / "train.npz"]


def test_images_are_found_by_name_and_nothing_outside_of_the_folder_is(tmp_path: Path) -> None:
    path = written(tmp_path, [annotation(1, 10, [0, 1, 400, 200])], 1, file_name="a.png")
    (tmp_path / "images").mkdir()
    Pillow.fromarray(DRAW.integers(0, 256, (224, 448), np.uint8)).save(tmp_path / "images" / "a.png")
    [[target]] = read_scenes(path, Columns()).targets
    assert read_text(target) == [Box("cat", 0, 0.5, 200, 100)]
    for name, said in {
        "../a.png": "outside of its folder",
        "gone.png": "no such image",
        "train.npz#7": "no image 7",
    }.items():
        with pytest.raises(InputError, match=said):
            read_scenes(written(tmp_path, [], 1, file_name=name), Columns())


@pytest.mark.parametrize(
    ("said", "box"),
    [
        ((40, 20), Box("cat", 4, 2, 10, 5)),  # as it is read
        ((80, 40), Box("cat", 2, 1, 5, 2.5)),  # of a larger image
        ((None, 7), Box("cat", 4, 2, 10, 5)),
    ],
)
def test_boxes_are_those_of_the_size_that_is_said(tmp_path: Path, said: Any, box: Box) -> None:
    path = written(tmp_path, [annotation(1, 10, [4, 2, 10, 5])], 1, width=said[0], height=said[1])
    [[target]] = read_scenes(path, Columns()).targets
    assert read_text(target) == [box]


@pytest.mark.parametrize(("width", "height", "shape"), [(40, 20, (40, 20)), (20, 40, (20, 40)), (10, 20, (20, 40))])
def test_an_image_that_was_held_upright_is_read_as_it_is_said(
    tmp_path: Path, width: int, height: int, shape: tuple[int, int]
) -> None:
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6
    path = written(tmp_path, [], 1, file_name="a.png", width=width, height=height)
    Pillow.fromarray(DRAW.integers(0, 256, (20, 40), np.uint8)).save(tmp_path / "a.png", exif=exif)
    [image] = read_scenes(path, Columns()).images.values()
    assert image.shape[1::-1] == shape


def test_images_of_another_ratio_than_is_said_are_left_out_and_most_of_them_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [annotation(1, 11, [4, 2, 10, 5])])
    document = json.loads(path.read_text())
    document["images"][1] |= {"width": 40, "height": 40}
    path.write_text(json.dumps(document))
    pairs = read_scenes(path, Columns())
    assert (pairs.dropped, pairs.first_dropped, len(pairs.images)) == ({UNLIKE: 1}, {UNLIKE: 2}, 3)
    with pytest.raises(InputError, match=r"4 of its 4 images are of another ratio than their .*, image 10 the first"):
        read_scenes(written(tmp_path, [], width=40, height=40), Columns())


def test_boxes_that_cannot_be_are_left_out_counted_and_named(tmp_path: Path) -> None:
    wrong = [
        annotation(5, 10, [50, 0, 5, 5]),
        annotation(6, 10, [1, 1, 0, 5]),
        annotation(7, 10, [1, 1, 5, 5], iscrowd=1),
    ]
    right = [annotation(number, 11, [30, 10, 20, 5]) for number in range(20, 26)]
    pairs = read_scenes(written(tmp_path, wrong + right), Columns())
    assert read_text(pairs.targets[0][0]) == []
    assert read_text(pairs.targets[1][0])[0] == Box("cat", 30, 10, 10, 5)
    said = " ".join(inspect_scenes({"train": pairs}))
    for part in ("1 outside of its image (the first is annotation 5)", "1 of no area (the first is annotation 6)"):
        assert part in said
    assert "6 reaching over the edge, cut there (the first is annotation 20)" in said
    with pytest.raises(InputError, match="most of its 3 boxes cannot be"):
        read_scenes(written(tmp_path, wrong), Columns())


def test_a_file_of_broken_images_is_refused_by_the_first_and_so_is_one_of_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="4 of its 4 images are broken, image 10 the first"):
        read_scenes(written(tmp_path, [], file_name="a.png"), Columns())
    with pytest.raises(InputError, match="lists no image"):
        read_scenes(written(tmp_path, [], count=0), Columns())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (annotation(1, 99, [0, 0, 1, 1]), "of image 99"),
        (annotation(1, 10, [0, 0, 1, 1], 9), "of category 9"),
        (annotation(1, 10, [0, 0, 1]), "four numbers"),
        (annotation(1, 10, [0, 0, 1, float("nan")]), "four numbers"),
    ],
)
def test_annotations_of_nothing_are_refused_by_their_id(tmp_path: Path, wrong: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"annotation 1.*{said}"):
        read_scenes(written(tmp_path, [wrong]), Columns())


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"images": []}', '{"images": [1], "annotations": [], "categories": []}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=r"a\.json"):
            read_scenes(tmp_path / "a.json", Columns())


def test_a_class_in_test_alone_is_said_and_refused_where_most_are(tmp_path: Path) -> None:
    cats = [annotation(1, 10, [0, 0, 5, 5]), annotation(2, 11, [0, 0, 5, 5])]
    train = read_scenes(written(tmp_path, cats), Columns())
    dogs = [annotation(3 + index, 12, [0, 0, 5, 5], 2) for index in range(3)]
    some, most = (read_scenes(written(tmp_path, cats + dogs[:count], name="test"), Columns()) for count in (1, 3))
    said = " ".join(inspect_scenes({"train": train, "test": some}))
    assert "test: 1 of 3 boxes are of classes that train lacks (the first on image 12)" in said
    with pytest.raises(InputError, match="most of its boxes"):
        inspect_scenes({"train": train, "test": most})


def test_boxes_become_tokens_and_come_back_to_within_a_step() -> None:
    boxes = [Box("cat", 4, 2, 10, 5), Box("dog", 0, 0, 40, 20)]
    tokens = Boxes.learnt(kinds.Boxes(64), CANVAS, [to_text(boxes)])
    copy = Tokenizer.from_json(tokens.to_json())
    [row] = copy.encode_batch([to_text(boxes)])
    assert len(row) == 10
    assert row[5:] == [4, 4, 67, 67, 69]
    [text] = copy.said([Said(row, [-0.5] * 10)])
    for found, box in zip(read_text(text), boxes, strict=True):
        assert found.label == box.label
        np.testing.assert_allclose(found[1:5], box[1:5], atol=40 / 63)
        assert found.score == pytest.approx(np.exp(-0.5), abs=1e-3)
    assert copy.encode_batch([to_text([Box("bird", 0, 0, 5, 5)])])[0][-1] == UNK


@given(st.floats(0, 39), st.floats(0, 19), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_box_however_small_comes_back(left: float, upper: float, width: float, height: float) -> None:
    boxes = Boxes(CANVAS, 32, ["cat"])
    [text] = boxes.decode_batch(boxes.encode_batch([to_text([Box("cat", left, upper, width, height)])]))
    [found] = read_text(text)
    assert abs(found.left - left) <= 40 / 31
    assert abs(found.upper - upper) <= 20 / 31


def test_classes_in_two_spellings_or_scripts_are_said_and_unwritable_ones_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [annotation(index, 10, [0, 0, 5, 5], index) for index in (1, 2, 3)], 1)
    document = json.loads(path.read_text())
    for name, said in (("Big-Dog", "another by case, spaces or hyphens alone: 1"), ("кот", "Latin and Cyrillic")):
        path.write_text(json.dumps(document | {"categories": [*document["categories"], {"id": 3, "name": name}]}))
        assert any(said in notice for notice in inspect_scenes({"train": read_scenes(path, Columns())}))
    for name, said in ((" ", "category 3 has an empty name"), ("\ud800", "half of a surrogate")):
        path.write_text(json.dumps(document | {"categories": [*document["categories"], {"id": 3, "name": name}]}))
        with pytest.raises(InputError, match=said):
            read_scenes(path, Columns())
    path.write_bytes('{"images": "é"}'.encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 at byte 12"):
        read_scenes(path, Columns())


def test_the_other_classes_that_an_object_may_be_of_are_named_with_their_scores() -> None:
    boxes = Boxes(CANVAS, 8, ["bird", "cat", "dog"])
    row = [4, 4, 8, 8, 13]
    instead = [[4, 5, 6, 7]] * 4 + [[13, 14, 11, 12]], [[-0.1, -2.0, -3.0, -4.0]] * 4 + [[-0.7, -1.4, -2.0, -9.0]]
    [text] = boxes.said([Said(row, [-0.1] * 4 + [-0.7], instead)])
    [found] = read_text(text)
    assert (found.label, found.others) == ("cat", (("dog", pytest.approx(np.exp(-1.4), abs=1e-3)),))
    assert read_text(scaled(text, 2.0))[0].others == found.others


def test_what_is_no_whole_box_is_left_out() -> None:
    tokens = Boxes(CANVAS, 8, ["cat"])
    whole, flat, torn = [4, 4, 8, 8, 12], [8, 4, 8, 8, 12], [4, 4, 12]
    said = [read_text(text) for text in tokens.decode_batch([whole, flat, torn, [*torn, *whole], [12, *whole, 4, 4]])]
    assert [len(boxes) for boxes in said] == [1, 0, 0, 1, 1]


def test_documents_of_other_boxes_are_refused() -> None:
    document = json.loads(Boxes(CANVAS, 8, ["cat"]).to_json())
    for wrong in ({"bins": 1}, {"bins": 10**9}, {"classes": [1]}, {"height": -1}):
        with pytest.raises(InputError, match="damaged"):
            Tokenizer.from_json(json.dumps({"model": {**document["model"], **wrong}}))


def test_boxes_are_scaled_with_their_image_and_other_texts_hold_none() -> None:
    assert read_text(scaled(to_text([Box("cat", 4, 2, 10, 5, 0.5)]), 0.5)) == [Box("cat", 2, 1, 5, 2.5, 0.5)]
    for text in ("", "no list", "{}", "[1]", '[{"class": "cat"}]', '[{"class": "cat", "box": [1, 2]}]'):
        assert read_text(text) == []

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from automl.data.albums import read_album
from automl.data.images import ORIENTATION, canvas_of, checked, digest, fitted, read_image, said_of, size_of
from automl.data.pixels import Canvas, Pixels, ids
from automl.data.sources import Columns
from automl.data.tokenizers import Tokenizer
from automl.errors import InputError

DRAW = np.random.default_rng(0)


def image(height: int = 6, width: int = 5, channels: int = 1) -> Any:
    return DRAW.integers(0, 256, (height, width, channels), np.uint8)


def written(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_read_to_the_pixels_that_were_written(tmp_path: Path, channels: int) -> None:
    pixels = image(channels=channels)
    assert (read_image(written(tmp_path / "a.png", pixels)) == pixels).all()
    assert read_image(written(tmp_path / "a.jpg", pixels)).shape == pixels.shape


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_file_is_turned_upright_as_its_exif_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif, path = Pillow.Exif(), tmp_path / f"a.{suffix}"
    exif[ORIENTATION] = orientation
    Pillow.fromarray(image(6, 5, 3)).save(path, exif=exif)
    with Pillow.open(path) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    assert (read_image(path) == upright).all()
    assert size_of(path) == upright.shape[1::-1]


def test_a_file_whose_exif_is_broken_is_as_it_is_stored(tmp_path: Path) -> None:
    Pillow.fromarray(image(6, 5, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0nonsense", dpi=(72, 72))
    assert read_image(tmp_path / "a.jpg").shape == (6, 5, 3)


def test_large_images_are_made_smaller_in_their_ratio() -> None:
    assert read_image(image(448, 112, 3)).shape == (224, 56, 3)


def test_what_is_no_image_is_refused_in_one_line_that_names_it(tmp_path: Path) -> None:
    good = written(tmp_path / "good.png", image(40, 40)).read_bytes()
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.png").write_text("no image")
    Pillow.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    for name, said in {"cut": "broken", "text": "broken", "deep": "8 bits", "gone": "no such image"}.items():
        with pytest.raises(InputError, match=said) as error:
            read_image(tmp_path / f"{name}.png")
        assert f"{name}.png" in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="uint8"):
        checked(np.zeros((4, 4), np.float32), "an array")
    with pytest.raises(InputError, match="1 or 3 channels"):
        checked(np.zeros((4, 4, 2), np.uint8), "an array")


def test_an_image_is_laid_on_a_canvas_in_its_ratio_and_its_channels() -> None:
    canvas = Canvas(8, 8, 3)
    found, scale = fitted(np.full((4, 2, 1), 200, np.uint8), canvas)
    assert (found.shape, scale) == ((8, 8, 3), 2.0)
    assert (found[:, :4] == 200).all()
    assert (found[:, 4:] == 0).all()
    assert (fitted(np.full((8, 8, 3), 90, np.uint8), Canvas(8, 8, 1))[0] == 90).all()


def test_the_canvas_is_the_usual_size_and_has_colours_where_some_image_has() -> None:
    usual = [image(6, 5) for _ in range(3)]
    assert canvas_of([*usual, image(9, 9)]) == (6, 5, 1)
    assert canvas_of([*usual, image(9, 9, 3)]) == (6, 5, 3)
    assert canvas_of([np.repeat(each, 3, axis=2) for each in usual]) == (6, 5, 1)
    assert canvas_of([image(side, side) for side in (5, 7, 30)]) == (7, 7, 1)


def test_images_of_other_sizes_and_channels_are_counted_and_too_small_ones_refused() -> None:
    canvas = Canvas(40, 40, 3)
    few = {str(i): image(40, 40, 3) for i in range(4)} | {"a": image(20, 20), "b": image(2, 2, 3)}
    said = " ".join(said_of(few, canvas, "train"))
    assert all(
        part in said for part in ("scaled to fit: 2 of 6", "show nothing", "grey among those of colours: 1 of 6")
    )
    with pytest.raises(InputError, match="not an eighth"):
        list(said_of({str(i): image(2, 2) for i in range(3)}, canvas, "train"))


def test_pixels_are_a_tokenizer_whose_document_is_read_again_and_nothing_else_is(tmp_path: Path) -> None:
    pixels = Pixels(Canvas(6, 5, 1))
    copy = Tokenizer.from_json(pixels.to_json())
    assert isinstance(copy, Pixels)
    assert (copy.canvas, copy.size, copy.vocabulary) == (pixels.canvas, 260, {})
    one = image()
    rows = copy.encode_batch([one, str(written(tmp_path / "a.png", one))])
    assert all((row == one.reshape(-1)).all() for row in rows)
    assert (ids(rows[0]) == one.reshape(-1).astype(int) + 4).all()
    for wrong in ({"height": 0}, {"width": 4096}, {"channels": 2}, {"height": "6"}):
        document = json.loads(pixels.to_json())
        document["model"] |= wrong
        with pytest.raises(InputError, match="damaged"):
            Tokenizer.from_json(json.dumps(document))


def test_a_folder_of_classes_is_read_and_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    for index in range(3):
        written(tmp_path / "cat" / f"{index}.png", image())
        written(tmp_path / "dog" / "puppies" / f"{index}.jpg", image(channels=3))
    (tmp_path / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    written(tmp_path / "lost.png", image())
    pairs = read_album(tmp_path, Columns())
    assert sorted(label for [label] in pairs.targets) == ["cat"] * 3 + ["dog"] * 3
    assert pairs.rows_in == 9
    assert set(pairs.dropped.values()) == {1}
    assert pairs.where(pairs.first_dropped["broken image"]) == "cat/broken.png"
    assert pairs.sources[0] == digest(pairs.images[pairs.sources[0]])


def test_a_class_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    written(folder / "0.png", image())
    with pytest.raises(InputError, match=r"a folder, 'caf\\\\udce9' has .* half of a surrogate pair"):
        read_album(tmp_path, Columns())


def test_a_folder_of_broken_images_is_refused(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{index}.png").write_bytes(b"broken")
    written(tmp_path / "cat" / "good.png", image())
    with pytest.raises(InputError, match=r"3 of its images are broken, cat/0\.png the first"):
        read_album(tmp_path, Columns())


def test_arrays_are_read_by_their_usual_names_or_by_those_given(tmp_path: Path) -> None:
    images, labels = DRAW.integers(0, 256, (4, 6, 5), np.uint8), np.array([3, 1, 3, 1])
    for names in (("images", "labels"), ("x", "y")):
        np.savez(tmp_path / "a.npz", **dict(zip(names, (images, labels), strict=True)))
        assert read_album(tmp_path / "a.npz", Columns()).targets == [["3"], ["1"], ["3"], ["1"]]
    np.savez(tmp_path / "a.npz", photos=images, kinds=labels)
    assert len(read_album(tmp_path / "a.npz", Columns("photos", ("kinds",))).images) == 4
    with pytest.raises(InputError, match="it has kinds, photos"):
        read_album(tmp_path / "a.npz", Columns())


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": np.zeros((4, 6, 5)), "labels": np.arange(4)}, "uint8"),
        ({"images": np.zeros((4, 6, 5), np.uint8), "labels": np.arange(3)}, "for 4 images"),
        ({"images": np.zeros((4, 6, 5), np.uint8), "labels": np.zeros(4)}, "type float64"),
        ({"images": np.zeros((4, 30), np.uint8), "labels": np.arange(4)}, "height, width, channels"),
        ({"images": np.zeros((4, 6, 5), np.uint8), "labels": np.array([{}] * 4)}, "plain arrays"),
    ],
)
def test_arrays_of_another_kind_are_refused_and_none_is_unpickled(tmp_path: Path, arrays: Any, said: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=said):
        read_album(tmp_path / "a.npz", Columns())


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="plain arrays"):
        read_album(tmp_path / "a.npz", Columns())


def test_images_have_one_source_and_no_weights(tmp_path: Path) -> None:
    for columns in (Columns(("a", "b"), ("c",)), Columns(weight="w")):
        with pytest.raises(InputError, match="images have one source and no weights"):
            read_album(tmp_path, columns)

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.bundle import (
    FILES,
    FORM_FOLDERS,
    MANIFEST,
    check_replaceable,
    put_in_place,
    read_bundle,
    write_bundle,
)
from automl.errors import InputError
from automl.export.forms import FORMS
from tests.automl.bundles import Drawn

BUNDLE = Drawn().bundle()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(BUNDLE, tmp_path / "model")
    return tmp_path / "model"


def test_a_bundle_is_read_as_it_was_written(folder: Path) -> None:
    found = read_bundle(folder)
    assert found.config == {"version": 1, **BUNDLE.config}
    assert found.metrics["scores"] == BUNDLE.metrics["scores"]
    assert (found.source_tokenizer, found.target_tokenizer) == (BUNDLE.source_tokenizer, BUNDLE.target_tokenizer)
    assert found.weights.keys() == BUNDLE.weights.keys()
    for name, value in found.weights.items():
        np.testing.assert_array_equal(value, BUNDLE.weights[name])


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_by_the_name_of_the_file(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name}: is not what the manifest says"):
        read_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_its_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        read_bundle(folder)


@pytest.mark.parametrize(
    "manifest", ["[]", "{", '{"version": 1}', '{"version": 1, "files": {"config.json": 3}}', "[" * 9999]
)
def test_a_manifest_that_is_none_is_refused(folder: Path, manifest: str) -> None:
    (folder / MANIFEST).write_text(manifest)
    with pytest.raises(InputError, match=r"MANIFEST\.json"):
        read_bundle(folder)


def test_a_newer_version_is_refused_by_its_number(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"version": 2, "files": {}}))
    with pytest.raises(InputError, match="version 2; this program reads 1"):
        read_bundle(folder)


def test_an_older_bundle_is_replaced(folder: Path) -> None:
    write_bundle(replace(BUNDLE, card="# newer\n"), folder)
    assert (folder / "README.md").read_text() == "# newer\n"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something that is not a bundle"):
        write_bundle(BUNDLE, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("manifest", ["", "[]", '{"name": "my extension", "files": []}'])
def test_a_folder_whose_manifest_is_another_programs_is_left_alone(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(InputError, match="holds something that is not a bundle"):
        write_bundle(BUNDLE, tmp_path)
    assert (tmp_path / MANIFEST).read_text() == manifest


def test_a_folder_whose_manifest_only_names_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"version": 1, "name": "other", "files": {"thesis.tex": {}, "data": {}}}')
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="holds something that is not a bundle"):
        write_bundle(BUNDLE, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("place", ["onnx/notes.txt", "int8/notes.txt", "onnx/more/model.onnx"])
def test_what_somebody_has_put_beside_a_form_is_left_alone(folder: Path, place: str) -> None:
    write_bundle(BUNDLE, folder / "int8")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").touch()
    check_replaceable(folder)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("years of work")
    with pytest.raises(InputError, match="holds something that is not a bundle"):
        check_replaceable(folder)


def test_neither_the_folder_that_one_is_in_nor_a_link_to_itself_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "int8").mkdir()
    for inside in (folder, folder / "int8"):
        monkeypatch.chdir(inside)
        with pytest.raises(InputError, match="is the folder that you are in"):
            check_replaceable(folder)
    monkeypatch.chdir(folder.parent)
    Path("loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"loop: is a link that leads to itself|cannot be written"):
        write_bundle(BUNDLE, Path("loop"))


def test_what_somebody_has_put_into_a_bundle_is_left_alone_and_forms_are_not(folder: Path) -> None:
    (folder / "onnx").mkdir()
    check_replaceable(folder)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something that is not a bundle"):
        write_bundle(BUNDLE, folder)


def test_forms_lie_in_folders_of_their_names() -> None:
    assert {*FORM_FOLDERS} == {*FORMS} - {"bundle"}


def test_a_bundle_whose_place_cannot_be_taken_stays(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "nothing", folder)
    assert read_bundle(folder).config == {"version": 1, **BUNDLE.config}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_file_in_the_way_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        check_replaceable(tmp_path / "taken")
    with pytest.raises(InputError, match="cannot be written"):
        check_replaceable(tmp_path / "taken" / "model")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_bundle(BUNDLE, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []

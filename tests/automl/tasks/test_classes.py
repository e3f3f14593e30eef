from pathlib import Path

import pytest

from automl.data.sources import Columns, Pairs, read_pairs
from automl.errors import InputError
from automl.tasks.classes import alike, inspect_classes, scripts_of


def pairs(folder: Path, name: str, labels: list[str]) -> Pairs:
    path = folder / f"{name}.tsv"
    path.write_text("".join(f"text {i}\t{label}\n" for i, label in enumerate(labels)), encoding="utf-8")
    return read_pairs(path, Columns())


def inspected(folder: Path, train: list[str], **others: list[str]) -> list[str]:
    files = {name: pairs(folder, name, labels) for name, labels in {"train": train, **others}.items()}
    return list(inspect_classes(files))


def test_sound_classes_are_counted_and_no_more(tmp_path: Path) -> None:
    assert inspected(tmp_path, ["a"] * 3 + ["b"] * 5) == ["train: 2 classes of 3 to 5 rows"]


def test_classes_of_a_split_that_train_lacks_are_counted_and_named_by_line(tmp_path: Path) -> None:
    said = inspected(tmp_path, ["a", "b"] * 3, test=["a", "b", "a", "c", "c"])
    assert said[1:] == [
        "test: 2 of 5 rows are of classes that train lacks (the first on line 4); no model can say them"
    ]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a"] * 5, ["a"], r"train\.tsv: every row is of the same class"),
        ([f"text {i}" for i in range(9)], ["a"], r"9 classes in 9 rows hardly recur; .*sequence_to_sequence"),
        (["a", "b"] * 3, ["c", "d", "a"], r"test\.tsv: 2 of 3 rows .* \(the first on line 1\); a score would say"),
    ],
)
def test_what_would_mislead_is_refused(tmp_path: Path, train: list[str], test: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        inspected(tmp_path, train, test=test)


def test_labels_that_look_like_one_class_twice_are_said(tmp_path: Path) -> None:
    assert alike(["Sport", "sport", "s-port", "politics", "class 1", "class 2"]) == 2
    said = inspected(tmp_path, ["Sport", "sport", "news", "новости"] * 3)
    assert any("by case, spaces or hyphens alone: 1; make them one" in line for line in said)
    assert any("written in Latin, those of 3 rows in Cyrillic (the first on line 4): are" in line for line in said)
    assert scripts_of(["1", "2"]) == []
    assert scripts_of(["日本", "ひらがな", "カナ", "ﾊﾝｶｸ", "々"]) == ["Cjk"]

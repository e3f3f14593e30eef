from pathlib import Path

import pytest

from automl.data.headers import is_header
from automl.data.raw import find_files, read_raw
from automl.errors import InputError

REVIEWS = [[f"a film of {i} hours", ("pos", "neg")[i % 2]] for i in range(20)]


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("first", "rows", "expected"),
    [
        (["source", "target"], [["a", "b"]], True),
        (["id", "text", "label"], [["1", "some text", "good"]], True),
        (["Word", "IPA"], [["cat", "k a t"]], True),
        (["cat", "k a t"], [["dog", "d o g"]], False),
        (["text", "label"], [["text", "c"]], False),  # a value of its column
        (["text", "text"], [["a", "b"]], False),
        (["text"], [["a"]], False),
        (["nr", "en", "de"], [[str(i), f"a{i}", f"b{i}"] for i in range(5)], True),  # over numbers
        (["nr", "en", "de"], [[str(i), f"a{i}", f"b{i}"] for i in range(4)], False),  # too few to tell
        (["", "en", "de"], [[str(i), f"a{i}", f"b{i}"] for i in range(5)], True),  # as pandas writes it
        (["one", "un", ""], [["two", "deux", "2"]] * 5 + [["six", "six", ""]], False),  # a row without its number
        (["", "en", "de"], [[str(i), f"a{i}", f"b{i}"] for i in range(5)] + [[]], True),
        (["half of one", "1/2"], [[f"a{i}", str(i)] for i in range(5)], False),  # what else may be among numbers
        (["1e5", "a"], [[str(i), f"n{i}"] for i in range(9)], False),
        (["n/a", "a"], [[str(i), f"n{i}"] for i in range(9)], False),  # no number, as some rows have
        (["7", "seven"], [[str(i), f"n{i}"] for i in range(5)], False),
        (["id", "en", "de"], [[f"u{i}", f"a{i}", f"b{i}"] for i in range(60)], True),  # over labels
        (["Review", "Polarity"], REVIEWS, True),
        (["Good film", "pos"], REVIEWS, False),
        (["A film to see twice", "best"], REVIEWS, False),
        (["cat", "best"], [[f"dog{i}", ("pos", "neg")[i % 2]] for i in range(20)], False),  # words are like names
    ],
)
def test_a_header_is_told_by_usual_names_or_by_what_follows(
    first: list[str], rows: list[list[str]], expected: bool
) -> None:
    assert is_header(first, rows) is expected


def test_every_format_of_texts_gives_the_same_rows(tmp_path: Path) -> None:
    import polars

    polars.DataFrame({"source": ["a", "b"], "target": ["x", None]}).write_parquet(tmp_path / "t.parquet")
    paths = [
        written(tmp_path, "t.tsv", "source\ttarget\na\tx\nb\n"),
        written(tmp_path, "t.csv", 'source,target\n"a",x\nb\n'),
        written(tmp_path, "t.jsonl", '{"source": "a", "target": ["x", "y"]}\n{"source": "b", "target": null}\n'),
        tmp_path / "t.parquet",
    ]
    for table in map(read_raw, paths):
        assert (table.header, table.width) == (("source", "target"), 2)
        assert [table.column(0), table.column(1)] == [["a", "b"], ["x", ""]]


def test_only_so_many_rows_are_read(tmp_path: Path) -> None:
    table = read_raw(written(tmp_path, "t.tsv", "a\tb\n" * 5), most=3)
    assert (len(table.rows), table.whole) == (3, False)
    assert read_raw(tmp_path / "t.tsv", most=5).whole


@pytest.mark.parametrize("name", ["valid", "dev", "val"])
def test_files_of_a_folder_are_found_by_their_names(tmp_path: Path, name: str) -> None:
    for file in ("train.tsv", f"{name}.tsv", "test.csv", "README.md"):
        written(tmp_path, file, "a\tb\n")
    assert find_files(tmp_path) == {
        "train": tmp_path / "train.tsv",
        "valid": tmp_path / f"{name}.tsv",
        "test": tmp_path / "test.csv",
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train.tsv", "train.txt"), r"train\.tsv and train\.txt are both called train; leave one of them there"),
        (("train.tsv", "valid.tsv", "dev.tsv"), r"dev\.tsv and valid\.tsv are both called valid"),
    ],
)
def test_two_files_of_one_split_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        written(tmp_path, name, "a\tb\n")
    with pytest.raises(InputError, match=message):
        find_files(tmp_path)


def test_what_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.xls is not looked at; use \.tsv"):
        read_raw(written(tmp_path, "t.xls", "a"))
    with pytest.raises(InputError, match="the file has no rows"):
        read_raw(written(tmp_path, "t.tsv", ""))
    with pytest.raises(InputError, match="there is no such file"):
        read_raw(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="there is no such file or folder"):
        find_files(tmp_path / "none")
    (tmp_path / "several").mkdir()
    for name in ("a.tsv", "b.tsv"):
        written(tmp_path / "several", name, "a\tb\n")
    with pytest.raises(InputError, match=r"no file is called train \(it has a\.tsv, b\.tsv\)"):
        find_files(tmp_path / "several")

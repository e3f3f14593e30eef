import random
from pathlib import Path

import pytest

from automl.data.raw import RawTable
from automl.tasks.profile import Profile, profile


def table(*rows: tuple[str, ...], header: tuple[str, ...] | None = None) -> RawTable:
    return RawTable(Path("t.tsv"), header, rows)


def seen(*rows: tuple[str, ...], header: tuple[str, ...] | None = None, **others: RawTable) -> Profile:
    return profile({"train": table(*rows, header=header), **others})


def labelled(count: int) -> list[tuple[str, str]]:
    generator = random.Random(0)
    return [(f"text number {generator.random()}", ("good", "bad")[i % 2]) for i in range(count)]


def test_lengths_alphabets_and_scripts_are_counted() -> None:
    column = seen(("ab ü", "x"), ("я", "x")).source
    assert column is not None
    assert (column.characters.least, column.characters.mean, column.characters.most) == (1, 2.5, 4)
    assert (column.distinct, column.empty, column.alphabet) == (2, 0, 5)
    assert dict(column.scripts) == {"Latin": 0.75, "Cyrillic": 0.25}


@pytest.mark.parametrize(
    ("rows", "header", "expected"),
    [
        ([("a", "b", "c")], ("id", "text", "label"), ("text", "label")),
        ([("a", "b", "c")], ("summary", "note", "article"), ("article", "summary")),
        ([("1", "b", "c"), ("2", "d", "e")], None, (1, 2)),  # the first column numbers the rows
        ([("7", "seven"), ("2", "two")], None, (0, 1)),  # or is what there is to read
        ([("seven", "7"), ("two", "2")], ("word", "number"), ("word", "number")),
        ([("b", "c")], None, (0, 1)),
        ([(label, text) for text, label in labelled(60)], None, (1, 0)),  # classes stand first
        ([(f"u{i}", "b", "c") for i in range(6)], ("id", "en", "de"), ("en", "de")),
        ([(f"u{i}", "b", "c") for i in range(6)], None, (1, 2)),  # labels, whatever they are called
        ([("key", "en", "de"), *((f"u{i}", f"b{i} b", f"c{i} c") for i in range(6))], None, (1, 2)),
        (
            [(f"u{i}", f"text {i}", str(i % 2)) for i in range(6)],
            ("commentId", "comment", "toxic"),
            ("comment", "toxic"),
        ),
        ([("a text", "a line", f"u{i}") for i in range(6)], ("article", "headline", "doc_id"), ("article", "headline")),
        ([("a", f"u{i}", "b", "train") for i in range(6)], ("en", "uid", "de", "split"), ("en", "de")),
        ([(f"u{i}", "b") for i in range(6)], ("id", "en"), ("id", "en")),  # what there is to read
    ],
)
def test_source_and_target_are_chosen_by_name_or_by_what_they_hold(rows: list, header: tuple, expected: tuple) -> None:
    found = seen(*rows, header=header)
    assert found.source is not None
    assert (found.source.column, found.target.column) == expected


def test_one_column_has_no_source() -> None:
    assert seen(("a",), ("b",)).source is None
    assert seen(("1", "a"), ("2", "b"), header=("id", "text")).source is None


def test_repeats_and_several_targets_are_counted() -> None:
    found = seen(("a", "x"), ("a", "x"), ("a", "y"), ("b", "z"))
    assert (found.repeated, found.ambiguous) == (1, 1)


def test_sources_shared_between_splits_are_counted_nearly_and_exactly() -> None:
    test = table(("Größe 12", "x"), ("grosse 34", "x"), ("GRÖßE: 99", "x"), ("new", "x"))
    found = seen(("Größe 12", "x"), ("other", "y"), test=test)
    assert (found.leaks, found.near_leaks) == ({"test": 1}, {"test": 3})


def test_targets_longer_than_any_of_train_are_counted() -> None:
    assert seen(("a", "xx"), test=table(("b", "xxx"), ("c", "x"))).longer == {"test": 1}


def test_classes_are_counted_with_what_would_mislead() -> None:
    rows = [*labelled(100), *[(f"w{i}", "Good") for i in range(10)], *[(f"v{i}", "да") for i in range(10)]]
    found = seen(*rows, test=table(("a", "good"), ("b", "fair")))
    assert dict(found.classes) == {"good": 50, "bad": 50, "Good": 10, "да": 10}
    assert found.alike_classes == 1
    assert set(found.class_scripts) == {"Latin", "Cyrillic"}
    assert found.unseen_classes == {"test": 1}


def test_texts_that_seldom_recur_are_no_classes() -> None:
    assert seen(*((f"a{i}", f"b{i}") for i in range(100))).classes == ()


def test_the_profile_as_json_holds_no_text_but_class_names() -> None:
    mapping = seen(*labelled(60)).to_mapping()
    assert "text number" not in str(mapping)
    assert "common" not in mapping["target"]


@pytest.mark.parametrize(
    ("text", "running"),
    [
        ("the old man, who sees the sea", True),
        ("слово за слово и так далее", True),
        ("今日はとても良い天気ですね", True),
        ("k ae t s ih t", False),
        ("I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK", False),
        ("12 31 7 99 5", False),
        ("a word", False),
    ],
)
def test_sentences_are_told_from_symbols(text: str, running: bool) -> None:
    assert seen(("x", text), ("y", text)).target.is_running_text is running

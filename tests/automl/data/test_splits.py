from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.sources import Pairs
from automl.data.splits import Splits, group, split
from automl.errors import InputError


def pairs(name: str, rows: list[tuple[str, str]]) -> Pairs:
    return Pairs(Path(f"{name}.tsv"), [source for source, _ in rows], [[target] for _, target in rows], len(rows), {})


def numbered(start: int, stop: int) -> list[tuple[str, str]]:
    return [(f"s{number}", f"t{number}") for number in range(start, stop)]


def sources(splits: Splits, name: str) -> set[str]:
    return set(splits.parts[name].references)


ROWS = st.lists(st.tuples(st.integers(0, 40).map(str), st.sampled_from("xyz")), max_size=60)
TRAIN = ROWS.map(lambda rows: [*rows, *((f"own {number}", "x") for number in range(10))])


@settings(deadline=None)
@given(TRAIN, st.none() | ROWS, st.none() | ROWS)
def test_no_source_of_train_is_in_valid_or_test(train: list, valid: list | None, test: list | None) -> None:
    files = {name: pairs(name, rows) for name, rows in (("valid", valid), ("test", test)) if rows is not None}
    splits = split(pairs("train", train), **files)
    assert not sources(splits, "train") & (sources(splits, "valid") | sources(splits, "test"))
    if len(files) < 2:
        assert not sources(splits, "valid") & sources(splits, "test")


@settings(deadline=None)
@given(TRAIN, ROWS)
def test_rows_in_are_rows_out_plus_rows_dropped(train: list, test: list) -> None:
    splits = split(pairs("train", train), test=pairs("test", test))
    rows = {name: splits.parts[name].rows for name in ("train", "valid", "test")}
    assert rows["train"] + rows["valid"] + sum(splits.dropped["train"].values()) == len(train)
    assert rows["test"] + sum(splits.dropped["test"].values()) == len(test)


@settings(deadline=None)
@given(st.permutations(numbered(0, 40)))
def test_held_out_sources_do_not_depend_on_the_order_of_rows(rows: list) -> None:
    ordered, shuffled = split(pairs("train", numbered(0, 40))), split(pairs("train", rows))
    for name in ("train", "valid", "test"):
        assert sources(ordered, name) == sources(shuffled, name)


@pytest.mark.parametrize(("count", "held_out"), [(10, 1), (250, 25), (25_000, 2_000)])
def test_a_tenth_is_held_out_within_limits(count: int, held_out: int) -> None:
    splits = split(pairs("train", numbered(0, count)))
    assert len(sources(splits, "valid")) == len(sources(splits, "test")) == held_out
    assert len(sources(splits, "train")) == count - 2 * held_out


def test_given_files_are_not_held_out(tmp_path: Path) -> None:
    splits = split(pairs("train", numbered(0, 20)), test=pairs("test", numbered(30, 35)))
    assert sources(splits, "test") == {f"s{number}" for number in range(30, 35)}
    assert len(sources(splits, "valid")) == 2
    assert splits.notices == ("train.tsv: 2 of 20 sources held out as valid",)


def test_duplicates_and_shared_sources_are_said() -> None:
    train = [*numbered(0, 14), *numbered(0, 3)]
    splits = split(pairs("train", train), pairs("valid", numbered(10, 12)), pairs("test", numbered(9, 12)))
    assert splits.dropped["train"] == {"duplicate": 3, "source also in valid or test": 3}
    assert splits.notices == (
        "train.tsv: 3 rows dropped: duplicate",
        "train.tsv: 3 rows dropped: source also in valid or test",
        "valid.tsv and test.tsv: 2 sources are in both; test scores may flatter",
    )


def test_targets_of_one_source_come_together() -> None:
    splits = split(pairs("train", numbered(0, 20)), test=pairs("test", [("a", "x"), ("a", "y"), ("a", "x")]))
    assert splits.parts["test"].references == {"a": ["x", "y"]}
    assert splits.dropped["test"] == {"duplicate": 1}


def test_too_few_sources_are_refused() -> None:
    with pytest.raises(InputError, match=r"train.tsv: 9 different sources are too few .* at least 10"):
        split(pairs("train", [*numbered(0, 9), *numbered(0, 9)]))
    with pytest.raises(InputError, match="only 0 of its 50 sources are not in valid or test; train needs 10"):
        split(pairs("train", numbered(0, 50)), valid=pairs("valid", numbered(0, 50)))


def test_weights_follow_their_rows_and_of_duplicates_the_largest_counts() -> None:
    rows = [*numbered(0, 12), ("s0", "t0"), ("s0", "other")]
    weighted = replace(pairs("train", rows), weights=[*map(float, range(12)), 5.0, 2.0])
    parts = split(weighted).parts
    found = {source: counts for part in parts.values() for source, counts in part.weights.items()}
    assert found == {"s0": [5.0, 2.0], **{f"s{number}": [float(number)] for number in range(1, 12)}}
    assert all(part.weights.keys() == part.references.keys() for part in parts.values())


def test_empty_columns_are_said_by_file_and_line() -> None:
    files = replace(pairs("train", numbered(0, 12)), missing={"context": (3, 2_000)})
    garbled = replace(pairs("train", numbered(0, 12)), garbled=(1, 4))
    assert any("1 row looks as if UTF-8 had been read" in said and "line 4" in said for said in split(garbled).notices)
    assert "train.tsv: 3 rows have no 'context' (the first on line 2,000); it is read as empty" in split(files).notices


WEIGHTED = st.lists(
    st.tuples(st.integers(0, 9).map(str), st.lists(st.sampled_from("xyz"), min_size=1, unique=True), st.integers(1, 3)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(WEIGHTED)
def test_targets_gather_in_the_order_of_the_file_whatever_its_order_is(rows: list) -> None:
    sources, targets, weights = ([*column] for column in zip(*rows, strict=True))
    part, duplicates = group(Pairs(Path("a.tsv"), sources, targets, len(rows), {}, weights=[*map(float, weights)]))
    expected: dict[str, dict[str, float]] = {}
    new = 0
    for source, said, weight in rows:
        known = expected.setdefault(source, {})
        new += bool({*said} - known.keys())
        known.update({target: float(max(weight, known.get(target, 0))) for target in said})
    assert [*part.references.items()] == [(source, [*known]) for source, known in expected.items()]
    assert [*part.weights.values()] == [[*known.values()] for known in expected.values()]
    assert (part.rows, duplicates) == (new, len(rows) - new)


def test_sources_of_one_unit_are_held_out_together_and_those_of_several_stay() -> None:
    rows = [("hello", f"answer {number}") for number in range(20)] + numbered(0, 40)
    units = [*(f"unit {number}" for number in range(20)), *(f"unit {number // 2}" for number in range(40))]
    splits = split(replace(pairs("train", rows), units=units), recurring=True)
    assert "hello" in sources(splits, "train")
    for name in ("valid", "test"):
        numbers = {int(source[1:]) for source in sources(splits, name)}
        assert numbers
        assert numbers == {number ^ 1 for number in numbers}

import json
from pathlib import Path

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data import sources
from automl.data.fields import joined
from automl.data.lines import LINE_LIMIT
from automl.data.raw import read_raw
from automl.data.sources import Columns, Pairs, columns_of, read_pairs
from automl.data.splits import split
from automl.errors import InputError

NAMED = Columns("word", ("phones",))


def read(folder: Path, name: str, content: bytes | str, columns: Columns | None = None) -> Pairs:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_pairs(path, columns or Columns())


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", '"one\tun\ntwo"\tdeux\n')
    assert pairs.sources == ['"one', 'two"']
    assert pairs.targets == [["un"], ["deux"]]


def test_columns_after_the_target_are_further_targets(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "a\tx\ty\tz\nb\tx\nc\tx\tx\n")
    assert pairs.targets == [["x", "y", "z"], ["x"], ["x"]]


def test_indices_choose_columns_without_a_header(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "1\tx\ta\ty\n2\tz\tb\tz\n", Columns(2, (1,)))
    assert (pairs.sources, pairs.targets) == (["a", "b"], [["x", "y"], ["z"]])


def test_a_list_of_one_target_has_no_further_ones(tmp_path: Path) -> None:
    listed = columns_of({"source": 0, "target": [1]})
    assert read(tmp_path, "a.tsv", "a\tx\tCC-BY\n", listed).targets == [["x"]]
    assert read(tmp_path, "a.tsv", "a\tx\tCC-BY\n", columns_of({"source": 0, "target": 1})).targets == [["x", "CC-BY"]]


def test_rows_wider_than_the_header_are_counted(tmp_path: Path) -> None:
    rows = "text,label\nwell,no\nwell, yes,a\n" + "".join(f"w{n},no,\n" for n in range(12))
    pairs = read(tmp_path, "a.csv", rows, Columns("text", ("label",)))
    assert (pairs.wide, read(tmp_path, "a.tsv", "a\tx\ty\n").wide) == ((1, 3), None)
    assert (
        "a.csv: 1 row has more fields than the header, which are not read (the first on row 3); "
        "put quotes around a text with commas"
    ) in split(pairs).notices


def test_whole_numbers_are_texts(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.jsonl", '{"source": "good", "target": 1}\n{"source": 7, "target": [true, "no"]}\n')
    assert (list(pairs.sources), list(pairs.targets)) == (["good", "7"], [["1"], ["true", "no"]])


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_whole_numbers_beside_gaps_are_read_and_looked_at_as_texts(tmp_path: Path, name: str) -> None:
    rows = {"source": ["good", "bad", "none"], "target": [1.0, -2.0, float("nan")]}
    if name == "a.parquet":
        polars.DataFrame(rows).write_parquet(tmp_path / name)
    else:
        lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
    pairs = read_pairs(tmp_path / name, Columns())
    assert (list(pairs.targets), pairs.dropped) == ([["1"], ["-2"]], {"no target": 1})
    assert read_raw(tmp_path / name).column(1) == ["1", "-2", ""]


def test_fractions_are_no_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'target' is not a text; write it as a string"):
        read(tmp_path, "a.jsonl", '{"source": "good", "target": 1.5}\n')


def test_several_indices_are_several_targets_and_no_more(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "a\tx\ty\tz\n", Columns(0, (1, 3)))
    assert pairs.targets == [["x", "z"]]


@pytest.mark.parametrize(("name", "divider"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_names_choose_columns_of_a_header(tmp_path: Path, name: str, divider: str) -> None:
    rows = [["id", "phones", "word"], ["1", "k a t", "cat"]]
    pairs = read(tmp_path, name, "\n".join(divider.join(row) for row in rows), NAMED)
    assert (pairs.sources, pairs.targets, pairs.rows_in) == (["cat"], [["k a t"]], 1)


@pytest.mark.parametrize(("name", "divider"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_header_of_source_and_target_needs_no_mention(tmp_path: Path, name: str, divider: str) -> None:
    pairs = read(tmp_path, name, f"\ufefftarget{divider}source\nx{divider}a\n")
    assert (pairs.sources, pairs.targets) == (["a"], [["x"]])


def test_a_first_row_over_numbers_is_no_pair_unless_it_is_said(tmp_path: Path) -> None:
    rows = "id\ten\tde\n" + "".join(f"{i}\tdog\tHund\n" for i in range(60))
    with pytest.raises(InputError, match=r"a\.tsv: its first row looks like names of columns \(id, en, de\)"):
        read(tmp_path, "a.tsv", rows)
    assert read(tmp_path, "a.tsv", rows, Columns(0, (1,))).rows_in == 61


def test_a_header_that_nothing_says_is_one_is_no_pair(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: its first row looks like names of columns \(word, phones\)"):
        read(tmp_path, "a.csv", "word,phones\ncat,k a t\n")


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("word,translation\ncat,chat\n", Columns(0, (1,))),
        ("word,mot\ncat,chat\n", None),
        ("word,text\ncat,text\n", None),
    ],
)
def test_a_pair_of_usual_names_of_columns_is_one(tmp_path: Path, content: str, columns: Columns | None) -> None:
    assert read(tmp_path, "a.csv", content, columns).rows_in == 2


@pytest.mark.parametrize("divider", [",", ";", "\t"])
def test_the_divider_of_a_csv_file_is_found(tmp_path: Path, divider: str) -> None:
    rows = (
        f'word{divider}phones\n"one, or a"{divider}"w, a"\n\n"two{divider}\nor"{divider}t u\n'
        + f"x{divider}y\n" * 1_200
    )
    pairs = read(tmp_path, "a.csv", rows, NAMED)
    assert list(pairs.sources[:3]) == ["one, or a", f"two{divider}\nor", "x"]
    assert list(pairs.targets[:2]) == [["w, a"], ["t u"]]
    assert read_raw(tmp_path / "a.csv").header == ("word", "phones")


def test_uneven_rows_are_divided_by_commas(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "a,x\nb,y,z; or\n").targets == [["x"], ["y", "z; or"]]
    assert read(tmp_path, "a.csv", "a;b,x\nc;d,y\n").sources == ["a;b", "c;d"]


def test_a_quoted_row_may_go_on_behind_what_tells_the_divider(tmp_path: Path) -> None:
    rows = "word;phones\n" + "x;y\n" * 998 + '"a\nb\nc";z\n'
    assert read(tmp_path, "a.csv", rows, NAMED).sources[-1] == "a\nb\nc"


def test_long_cells_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "a" * 200_000 + ",x\n").rows_in == 1


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_lines_that_end_by_carriage_returns_alone_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="its lines end by a carriage return alone, as on old Macs; save it with line"):
        read(tmp_path, name, "a,\tx\rb,\ty\r" * 100_000)


def test_a_carriage_return_within_a_line_is_a_part_of_its_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a.tsv", "a\tb\rc\nd\te\n").targets == [["b\rc"], ["e"]]


def test_csv_fields_may_hold_commas_and_lines(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.csv", '"a, b","x\ny"\n')
    assert (pairs.sources, pairs.targets) == (["a, b"], [["x\ny"]])


def test_jsonl_targets_may_be_lists(tmp_path: Path) -> None:
    lines = [{"source": "a", "target": ["x", "y"]}, {"source": "b", "target": "z"}, {"source": "c"}]
    pairs = read(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert pairs.targets == [["x", "y"], ["z"]]
    assert pairs.dropped == {"no target": 1, "no source": 1}


def test_parquet_targets_may_be_lists(tmp_path: Path) -> None:
    frame = polars.DataFrame({"word": ["a", "b", None], "phones": [["x", "y"], ["z"], ["q"]]})
    frame.write_parquet(tmp_path / "a.parquet")
    pairs = read_pairs(tmp_path / "a.parquet", NAMED)
    assert pairs.targets == [["x", "y"], ["z"]]
    assert pairs.dropped == {"no source": 1}


def test_several_named_columns_are_several_targets(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "s\tt\tu\na\tx\ty\n", Columns("s", ("t", "u")))
    assert pairs.targets == [["x", "y"]]


def test_texts_come_in_nfc_without_white_space_around(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", " e\u0301 \tu\u0308\r\n")
    assert (pairs.sources, pairs.targets) == (["é"], [["ü"]])


def test_dropped_rows_are_counted_by_reason(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "a\tx\n\tx\nb\t \nalone\n\n")
    assert pairs.rows_in == 5
    assert pairs.dropped == {"no source": 2, "no target": 1, "one column only": 1}


CELL = st.text(alphabet="ab \té", max_size=3)


@settings(deadline=None)
@given(st.lists(st.lists(CELL, max_size=4).map("\t".join), min_size=1, max_size=20))
def test_rows_in_are_rows_kept_plus_rows_dropped(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    content = "\n".join(["a\tx", *lines]) + "\n"
    pairs = read(tmp_path_factory.mktemp("rows"), "a.tsv", content)
    assert pairs.rows_in == len(lines) + 1
    assert pairs.rows_in == len(pairs.sources) + sum(pairs.dropped.values())
    assert len(pairs.sources) == len(pairs.targets)


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.tsv", b"", None, "file is empty"),
        ("a.tsv", b"one\ntwo\n", None, "every row has one column; put a tab"),
        ("a.csv", b"one\ntwo\n", None, "every row has one column; put a comma"),
        ("a.tsv", b"a\tx\nb\t\xff\n", None, r"line 2 is not UTF-8 \(at byte 6\)"),
        ("a.tsv", b"a\tx\nb\0\ty\n", None, r"line 2 has a NUL byte \(at byte 5\)"),
        ("a.tsv", b"a\t" + b"x" * LINE_LIMIT, None, "line 1 is longer than 1,000,000 bytes"),
        ("a.csv", b'a,x\n"b"c,y\n', None, "line 2 is not well-formed CSV"),
        ("a.tsv", b"a\t\n\tx\n", None, r"none of the 2 rows .* \(1 no source, 1 no target\)"),
        ("a.tsv", b"id\tword\n1\tcat\n", NAMED, "none of the 2 columns of its first row is 'phones'"),
        ("a.tsv", b"a\tx\n", Columns(0, (5,)), "no column 5; line 1 has columns 0 to 1"),
        ("a.tsv", b"word\tx\n", Columns("word", (1,)), "must both be names"),
        ("a.jsonl", b'{"source": "a", "target": "x"}\nnonsense\n', None, "line 2 is not a JSON object"),
        ("a.jsonl", b'{"source": "a"}\n', None, "line 1 has no key 'target'; its keys are 'source'"),
        ("a.jsonl", b'{"source": 1.5, "target": "x"}\n', None, "line 1, 'source' is not a text"),
        ("a.jsonl", b'{"source": "a", "target": "\\u0000"}\n', None, "line 1, 'target' has a NUL"),
        ("a.jsonl", b'{"source": "\\ud83d", "target": "x"}\n', None, "half of a surrogate pair"),
        ("a.jsonl", b'{"source": "a", "target": "x"}\n', Columns(0, (1,)), "must both be names"),
        ("a.parquet", b"PAR1 and no more", None, "cannot be read as Parquet"),
        ("a.txt", b"a\tx\n", None, ".txt file holds no targets"),
        ("a.xlsx", b"a\tx\n", None, r".xlsx is not known for this kind of task; use .tsv, .csv, .jsonl, .parquet"),
        ("a.npz", b"a", None, r".npz is not known for this kind of task; use .tsv"),
        ("pairs", b"a\tx\n", None, "a file without suffix is not known"),
    ],
)
def test_bad_input_is_named_in_one_line(
    tmp_path: Path, name: str, content: bytes, columns: Columns | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, name, content, columns)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_parquet_column_is_refused_by_its_name(tmp_path: Path) -> None:
    polars.DataFrame({"id": ["1"], "word": ["a"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="none of the 2 columns of its first row is 'phones'"):
        read_pairs(tmp_path / "a.parquet", NAMED)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    polars.DataFrame({"source": ["a"] * 99, "target": ["x"] * 99}).write_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(40) + content[44:])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_pairs(path, Columns())


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(InputError, match=r"nothing\.tsv: there is no such file"):
        read_pairs(tmp_path / "nothing.tsv", Columns())
    with pytest.raises(InputError, match="this is a folder; name a file"):
        read_pairs(tmp_path / "folder.tsv", Columns())
    with pytest.raises(InputError, match="this is not a regular file"):
        read_pairs(Path("/dev/zero"), Columns())
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\)"):
        read_pairs(tmp_path / ("x" * 1000), Columns())


def test_a_long_line_is_never_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    with path.open("wb") as file:
        file.truncate(50 * LINE_LIMIT)  # a sparse file: one line of NUL bytes
    with pytest.raises(InputError, match="line 1 is longer"):
        read_pairs(path, Columns())


FIELDS = Columns(("question", "context"), ("answer",), "weight")


def test_several_columns_become_one_source_and_empty_ones_are_counted(tmp_path: Path) -> None:
    text = "answer\tcontext\tquestion\tweight\na\tc\tq\t2\nb\t\tq2\t.5\nc\t\tq3\t1\nd\t\t\t1\n"
    pairs = read(tmp_path, "a.tsv", text, FIELDS)
    assert pairs.sources == [joined(["q", "c"]), joined(["q2", ""]), joined(["q3", ""])]
    assert (pairs.targets, pairs.weights) == ([["a"], ["b"], ["c"]], [2, 0.5, 1])
    assert (pairs.missing, pairs.dropped) == ({"context": (2, 3)}, {"no source": 1})


def test_every_format_has_columns_and_weights(tmp_path: Path) -> None:
    record = {"question": "q", "context": "c", "answer": "a", "weight": 2.0}
    polars.DataFrame([record]).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    (tmp_path / "a.csv").write_text("question,context,answer,weight\nq,c,a,2\n")
    found = [read_pairs(tmp_path / f"a.{suffix}", FIELDS) for suffix in ("parquet", "jsonl", "csv")]
    assert {(*pairs.sources, *pairs.targets[0], *pairs.weights) for pairs in found} == {(joined(["q", "c"]), "a", 2.0)}


def test_without_a_header_no_column_is_source_target_and_weight_at_once(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "q\tc\t3\ta\tb\n", Columns((0, 1), None, 2))
    assert (pairs.sources, pairs.targets, pairs.weights) == ([joined(["q", "c"])], [["a", "b"]], [3])


@pytest.mark.parametrize(
    ("weight", "shown"), [("-1", "'-1'"), ("nan", "'nan'"), ("inf", "'inf'"), ("much", "'much'"), ("", "missing")]
)
def test_a_weight_that_is_none_is_refused_by_line(tmp_path: Path, weight: str, shown: str) -> None:
    with pytest.raises(InputError, match=rf"a\.tsv: line 2, the weight is {shown}; write a number from 0 on"):
        read(tmp_path, "a.tsv", f"a\tx\t1\nb\ty\t{weight}\n", Columns(0, (1,), 2))


def test_rows_of_weight_nought_are_dropped_and_counted(tmp_path: Path) -> None:
    pairs = read(tmp_path, "a.tsv", "a\tx\t0\nb\ty\t1\n", Columns(0, (1,), 2))
    assert (pairs.sources, pairs.dropped, pairs.first_dropped) == (["b"], {"weight 0": 1}, {"weight 0": 1})
    with pytest.raises(InputError, match="none of the 1 rows"):
        read(tmp_path, "a.tsv", "a\tx\t0\n", Columns(0, (1,), 2))


def test_mixed_encodings_are_counted_by_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2 is not UTF-8 \(at byte 6\), as are 2 other lines; save"):
        read(tmp_path, "a.tsv", b"a\tx\nb\t\xe9\nc\tx\nd\t\xe8\n\xe9\te\n")
    pairs = read(tmp_path, "a.tsv", "a\tx\ncafÃ©\tx\nb\tdonâ€™t\nÂ\tÃ\n")
    assert pairs.garbled == (2, 2)
    assert read(tmp_path, "b.tsv", "é\tA Ã B\n").garbled is None


def test_parquet_is_read_a_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 3)
    rows = {"source": [f"s{number}" for number in range(10)], "target": [f"t{number}" for number in range(10)]}
    polars.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    pairs = read_pairs(tmp_path / "a.parquet", Columns())
    assert (pairs.sources, list(pairs.numbers)) == (rows["source"], [*range(1, 11)])

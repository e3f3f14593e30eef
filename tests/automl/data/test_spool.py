from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data import spool
from automl.data.sources import read_pairs
from automl.data.spool import Column, Spool
from automl.errors import InputError
from tests.conftest import Columns

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)


def spooled(rows: list[list[str]]) -> Spool:
    found = Spool()
    for row in rows:
        found.append(row)
    found.write()
    return found


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=30), st.data())
def test_rows_are_had_back_in_any_order(rows: list[list[str]], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", 4)
        patch.setattr(spool, "NEAR", 2)
        found = spooled(rows)
        assert [*found.rows()] == rows
        numbers = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
        assert [*found.rows(np.array(numbers, np.int64))] == [rows[number] for number in numbers]


def test_a_column_is_a_sequence_of_a_part_of_each_row() -> None:
    column = Column(spooled([["a", "x"], ["b", "y", "z"], ["c", "x"]]), lambda row: row[1:])
    assert column == [["x"], ["y", "z"], ["x"]]
    assert column[1] == column[-2] == ["y", "z"]
    assert column[1:] == [["y", "z"], ["x"]]
    assert len(column) == 3
    assert column != [["x"]]


def test_texts_that_find_no_room_are_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Spool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "write", full)
    (tmp_path / "a.tsv").write_text("a\tb\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.tsv: .* \(No space left on device\); TMPDIR names a folder with room$"):
        read_pairs(tmp_path / "a.tsv", Columns())

"""The lines of searches with planted secrets, and the table that is made of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import canaries
from benchmarks.searches import read_lines


def line(epsilon: float | None, *bits: tuple[int, float, bool], **changes: Any) -> dict[str, Any]:
    found = [{"copies": copies, "bits": each, "most": 13.3, "said": said} for copies, each, said in bits]
    privacy = None if epsilon is None else {"epsilon": epsilon}
    ran = {"seconds": 85.2, "load": ["0.5 on 2 cores", "1.0 on 2 cores"], "commit": "abc"}
    return {"set": "fre", "rows": 400, "privacy": privacy, "canaries": found, **ran, **changes}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of its own; each search has found the same, at once."""
    monkeypatch.setattr(canaries, "RESULTS", tmp_path / "canaries.jsonl")
    monkeypatch.setattr(canaries, "measured", lambda *of: line(of[4], (0, 1.5, False), (4, 13.3, True)))
    return tmp_path / "canaries.jsonl"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["canaries", *arguments])
    canaries.main()


def test_each_search_is_kept_as_a_line(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--data", "sets", "--epsilon", "8")
    assert [json.loads(each)["privacy"] for each in results.read_text().splitlines()] == [None, {"epsilon": 8.0}]


def test_a_quick_search_is_shown_and_not_kept(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--data", "sets", "--quick")
    assert not results.exists()
    assert "| 4 | 1 | 13.3 of 13.3 | 13.3 | 13.3 | 1 of 1 |" in capsys.readouterr().out


def test_nothing_is_run_without_data(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch)
    assert not results.exists()
    assert "nothing is run" in capsys.readouterr().err


def test_the_table_shows_the_last_search_of_each_kind_beside_the_others(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [
        line(None, (1, 3.0, False)),
        line(8.0, (0, 1.0, False), (1, 0.25, False)),
        line(None, (0, 2.0, False), (1, 13.0, True), (1, 12.0, False)),
    ]
    results.write_text("".join(json.dumps(each) + "\n" for each in kept))
    run(monkeypatch, "--table")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["rows that say it", "fre, 400 rows, without privacy", "fre, 400 rows, epsilon 8"],
        ["---"] * 3,
        ["none", "2.0 (2.0 to 2.0) of 13.3; said 0 of 1", "1.0 (1.0 to 1.0) of 13.3; said 0 of 1"],
        ["1", "12.5 (12.0 to 13.0) of 13.3; said 1 of 2", "0.2 (0.2 to 0.2) of 13.3; said 0 of 1"],
        ["searched", *["85 s, load 0.5 on 2 cores, abc"] * 2],
    ]


def test_the_page_of_privacy_shows_the_lines_that_are_kept() -> None:
    shown = (canaries.RESULTS.parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert canaries.table(read_lines(canaries.RESULTS)) in shown

import json
import sys
from pathlib import Path

import pytest

from benchmarks.jobs import Jobs


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    results = tmp_path / "results.jsonl"
    results.write_text('{"cell": "a"}\n{"cell": "c"}\n')
    return Jobs("sets", "cell", ("a", "b", "c"), results, quick=0.5, minutes=4.0)


def wanted(jobs: Jobs, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[str], float]:
    monkeypatch.setattr(sys, "argv", ["sets", *arguments])
    options = jobs.wanted("", lambda lines: f"{len(lines)} lines")
    return options.names, options.minutes


def test_jobs_without_a_line_are_run_unless_some_are_named(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted(jobs, monkeypatch, "--data", "sets") == (["b"], 4.0)
    assert wanted(jobs, monkeypatch, "a", "b", "--data", "sets", "--minutes", "3") == (["a", "b"], 3.0)
    assert wanted(jobs, monkeypatch, "--data", "sets", "--quick") == (["b"], 0.5)


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (("--table",), 0, "2 lines", ""),
        ((), 0, "", "nothing is run without it"),
        (("d", "--data", "sets"), 2, "", "no cell d; there are a, b, c"),
    ],
)
def test_nothing_is_run_for_a_table_or_without_data_or_for_a_name_that_is_none(
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    out: str,
    err: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        wanted(jobs, monkeypatch, *arguments)
    said = capsys.readouterr()
    assert (ended.value.code, out in said.out, err in said.err) == (code, True, True)


def test_what_was_found_is_told_by_name(jobs: Jobs) -> None:
    told = json.loads(jobs.told([{"cell": "a", "won": True}], {"a": 1.5}))
    assert told == {"version": 1, "name": "sets", "ratios": {"a": 1.5}, "measured": {"a": {"cell": "a", "won": True}}}

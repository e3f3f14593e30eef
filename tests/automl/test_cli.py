import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import automl as automl_package
from automl import searches
from automl.bundle import write_bundle
from automl.cli import run
from automl.errors import FailureReason, InputError, TrialFailure
from automl.executors import EXECUTORS, InlineExecutor
from automl.segments import Job, Report, Result, Stop
from search_spaces.presets import preset
from tests.automl.bundles import Drawn
from tests.automl.command_line import DOCUMENT, automl, here, write_task


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_task(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path_factory.mktemp("cache")))
    return tmp_path


class FailingRunner:
    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        raise TrialFailure(FailureReason.OUT_OF_MEMORY, "the device ran out of memory")


class InterruptedRunner(FailingRunner):
    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        return super().run(job, report, stop)


@pytest.mark.parametrize("arguments", [("--help",), ("status",), ("spaces",), ("leaderboard",)])
def test_what_computes_nothing_imports_no_jax(folder: Path, arguments: tuple[str, ...]) -> None:
    finished = automl(folder, *arguments)
    assert finished.code in (0, 2)
    assert not finished.computes


def test_help_imports_no_library_but_that_of_the_command_line(folder: Path) -> None:
    heavy = ["sqlalchemy", "optuna", "polars", "numpy", "pydantic", "rich.live"]
    code = f"import sys; from automl.cli import run; run(['--help']); sys.exit(any(map(sys.modules.get, {heavy})))"
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


WRONG_DOCUMENTS = {
    DOCUMENT + "[budgets]\n": "did you mean 'budget'?",
    DOCUMENT + "[metric]\nname = 'bleus'\n": "did you mean 'bleu'?",
    DOCUMENT + "[budget]\ntime = 'soon'\n": "[budget] time",
    DOCUMENT.replace("tiny", "huge"): "no preset 'huge'",
    DOCUMENT.replace("num_layers", "num_layer"): "did you mean 'num_layers'?",
    DOCUMENT.replace(
        "hidden_size = 32", "hidden_size = 48"
    ): "hidden_size: 48 is outside its range 32, 64, 128, 256, 512",
    DOCUMENT.replace('"gru"', '"rnn"'): "space.encoder.Recurrent.cell: 'rnn' is outside its range lstm, gru, mingru",
    DOCUMENT.replace(
        '"Additive"', '"Additve"'
    ): "'Additve' is not among its kinds Additive, Dot, General, Concat, MultiH",
    DOCUMENT + "model_size = 64\n": "space.model_size and space.encoder exclude each other",
    DOCUMENT + 'source_tokens = "Bytes"\n': 'source_tokens and [data] source_tokens = "characters" exclude each other',
    DOCUMENT.replace("train.tsv", "trian.tsv"): "there is no such file",
    "[data": "not TOML",
}


@pytest.mark.parametrize(("document", "expected"), WRONG_DOCUMENTS.items(), ids=WRONG_DOCUMENTS.values())
def test_a_wrong_document_is_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], document: str, expected: str
) -> None:
    (folder / "copy.toml").write_text(document)
    before = sorted(folder.rglob("*"))
    assert run(["search", "copy.toml", "--trials", "1"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("automl: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err
    assert sorted(folder.rglob("*")) == before


WRONG_DATA = {
    b"": "empty",
    b"one\ntwo\n": "one column",
    b"a\tb\n\xff\tb\n": "line 2",
    b"a\tb\nc\x00\td\n": "line 2",
    b"a\tb\n" + b"x" * 1_500_000: "line 2",
}


@pytest.mark.parametrize(("data", "expected"), WRONG_DATA.items(), ids=["empty", "column", "utf8", "nul", "long"])
def test_wrong_data_is_one_line_that_names_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str], data: bytes, expected: str
) -> None:
    (folder / "train.tsv").write_bytes(data)
    assert run(["search", "copy.toml", "--trials", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "train.tsv" in error
    assert expected in error


WRONG_ARGUMENTS = {
    (): "Missing command",
    ("serach",): "No such command",
    ("search",): "Missing argument",
    ("search", "absent.toml"): "absent.toml",
    ("search", "copy.toml", "--executor", "clouds"): "--executor",
    ("search", "copy.toml", "--trials", "0"): "--trials",
    ("search", "copy.toml", "--time", "soon"): "duration 'soon'",
    ("search", "copy.toml", "--name", "a/b"): "a name is",
    ("search", "copy.toml", "--trials", "1", "--out", "."): "not a bundle",
    ("search", "copy.toml", "--trials", "1", "--out", "train.tsv/models"): "cannot be written",
    ("search", "copy.toml", "--trials", "1", "--storage", "sqlite:///absent/a.db"): "its folder must exist",
    ("search", "copy.toml", "--trials", "1", "--storage", "sqlite:///train.tsv"): "not a SQLite database",
    ("leaderboard",): "no such database",
    ("export", "copy", "there"): "no such database",
    ("predict", "absent"): "absent",
    ("predict", "absent", "--input", "absent.txt"): "absent",
    ("evaluate", "absent", "test.tsv"): "absent",
    ("evaluate", "absent", "test.tsv", "--metric", "bleus"): "did you mean 'bleu'?",
    ("spaces", "--preset", "huge"): "no preset 'huge'",
}


@pytest.mark.parametrize(("arguments", "expected"), WRONG_ARGUMENTS.items(), ids=map(" ".join, WRONG_ARGUMENTS))
def test_wrong_arguments_are_one_line_and_leave_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("automl: ")
    assert expected in printed.err.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


def test_what_cannot_be_predicted_is_named_by_its_file_and_line(folder: Path) -> None:
    write_bundle(Drawn().bundle(), folder / "winner")
    (folder / "lines.txt").write_text("a\nb\n" + "a" * 31 + "\n")
    said = here(folder, "predict", "winner", "--input", "lines.txt")
    assert (said.code, said.out) == (2, "")
    assert said.err == "automl: lines.txt, line 3: has 31 tokens; this model reads 30 at most; split it\n"
    assert "is a folder; name a file of lines" in here(folder, "predict", "winner", "--input", ".").err


def test_a_wrong_setting_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOML_WORKERS", "many")
    assert run(["status"]) == 2
    assert "AUTOML_WORKERS" in capsys.readouterr().err


def test_a_password_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("postgresql+psycopg://user:s3cret@localhost:1/x", "mssql://user:s3cret@localhost/x", "user:s3cret"):
        assert run(["leaderboard", "--storage", url]) == 2
        printed = capsys.readouterr()
        assert "s3cret" not in printed.out + printed.err


def test_the_storage_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOML_STORAGE", "sqlite:///elsewhere.db")
    assert run(["leaderboard"]) == 2
    assert "elsewhere.db" in capsys.readouterr().err


def test_status_of_no_database_is_an_empty_list_and_makes_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": 1, "searches": [], "workers": []}
    assert not (folder / "automl.db").exists()


def test_a_search_without_any_result_ends_with_1_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(FailingRunner))
    assert run(["search", "copy.toml", "--executor", "inline", "--trials", "9", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["best"], found["bundle"]) == ("failed", None, None)
    assert "OUT_OF_MEMORY" in found["why"]


def test_a_search_that_is_interrupted_ends_with_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(InterruptedRunner))
    assert run(["search", "copy.toml", "--executor", "inline", "--trials", "9"]) == 130
    error = capsys.readouterr().err
    assert "stopping: " in error
    assert error.endswith("the same command goes on\n")
    assert run(["status"]) == 0
    assert capsys.readouterr().out.startswith("copy: interrupted")


def test_without_any_budget_ten_minutes_are_taken_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(FailingRunner))
    run(["search", "copy.toml", "--executor", "inline"])
    assert "no budget is given, so it is 10m" in capsys.readouterr().err


def test_what_nobody_expected_is_one_line_without_the_text_of_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(searches, "run_search", lambda *_: {}["private text"])
    assert run(["search", "copy.toml"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("automl: unexpected KeyError at test_cli.py:")
    assert "private text" not in error


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AUTOML_DEBUG", "1")
    monkeypatch.setattr(searches, "run_search", lambda *_: {}["text"])
    assert run(["search", "copy.toml"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "from automl.cli import main; main()"
    finished = subprocess.run(
        [sys.executable, "-c", code, "spaces"], check=False, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (141, b"")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("automl-seq2seq ")


def test_spaces_says_every_dial_and_what_its_kinds_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spaces"]) == 0
    printed = capsys.readouterr().out
    assert f"preset small: {preset('small').size():,} configurations" in printed
    assert "\n62,820 to " in printed
    assert printed.count("Transformer: Self-attention and feed-forward blocks") == 1
    assert printed.count("MultiHead: Scaled dot products") == 1
    assert "Sinusoidal, NoPositions, Learned: as above" in printed
    assert "learning_rate = 0.002  (0.0002 to 0.008, logarithmic)" in printed
    assert (
        "without a source: encoder = Identity\n    Identity: No encoder: the decoder is a language model (Beng"
        in printed
    )


def test_spaces_as_json_leaves_out_what_a_preset_rules_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spaces", "--preset", "transformer", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    dials = {entry["dial"]: entry for entry in found["dials"]}
    assert dials["encoder"]["kinds"] == ["Transformer"]
    assert dials["encoder.Transformer.num_layers"]["values"] == [1, 2, 3, 4, 6]
    assert not any("Recurrent" in name for name in dials)
    assert {entry["kind"] for entry in found["kinds"]} >= {"encoder.Transformer", "optimizer.AdamW"}


def test_a_time_too_short_for_a_score_is_wrong_input_and_says_what_would_be_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["search", "copy.toml", "--executor", "inline", "--time", "2s"]) == 2
    assert capsys.readouterr().err.endswith(
        "[budget] time: 2 s are too short for a first score; give more by --time, such as 2m\n"
    )


def test_python_is_told_of_an_unknown_executor_and_may_name_a_folder_by_text() -> None:
    with pytest.raises(InputError, match="executor 'slurm' is not known; use"):
        automl_package.search("copy.toml", executor="slurm")
    with pytest.raises(InputError, match="too short for a first score"):
        automl_package.search("copy.toml", budget="2s", executor="inline", out="found")


def test_python_without_any_limit_searches_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "run_search", lambda document, options: document.limits.time)
    assert automl_package.search("copy.toml") == 600
    assert automl_package.search("copy.toml", budget={"trials": 2}) is None

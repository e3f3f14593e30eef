import json
from pathlib import Path

import pytest

from tests.automl.command_line import here

SPACE = '[space]\npreset = "tiny"\nencoder = "{encoder}"\ndecoder = "Recurrent"\ncell = "gru"\n'


def winner(folder: Path, kind: str, name: str, encoder: str) -> Path:
    document = f'kind = "{kind}"\n[data]\ntrain = "{name}"\ntarget_tokens = "characters"\n'
    (folder / "task.toml").write_text(document + SPACE.format(encoder=encoder))
    found = here(folder, "search", "task.toml", "--trials", "1", "--time", "10s", "--executor", "inline")
    assert found.code == 0, found.err
    return folder


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "train.txt").write_text("".join(f"note {a}{b}\n" for a in "abcdef" for b in "abcdef"))
    return winner(folder, "generation", "train.txt", "Identity")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk")
    turns = ([f"a{i}", f"b{i}", f"c{i}", f"d{i}"] for i in range(30))
    (folder / "train.jsonl").write_text("".join(json.dumps({"turns": each}) + "\n" for each in turns))
    return winner(folder, "dialogue", "train.jsonl", "Recurrent")


def test_a_prompt_is_gone_on_with_as_the_seed_says(notes: Path) -> None:
    prompted = ("generate", "models/task", "note a", "--tokens", "9", "--seed")
    first, again, other = (here(notes, *prompted, seed, "--count", "3") for seed in ("1", "1", "2"))
    assert first.code == 0, first.err
    assert first.out == again.out != other.out
    assert [line.startswith("note a") and len(line) <= 9 for line in first.out.splitlines()] == [True] * 3
    assert here(notes, "predict", "models/task", text="note\n").code == 2
    scored = here(notes, "evaluate", "models/task", "train.txt", "--json")
    assert scored.json["rows"] == 36


def test_a_conversation_is_answered_line_by_line(talk: Path) -> None:
    said = here(talk, "chat", "models/task", "--tokens", "5", text="a1\n/new\na1\n")
    assert said.code == 0, said.err
    first, second = said.out.splitlines()
    assert first == second
    assert here(talk, "evaluate", "models/task", "train.jsonl", "--json").json["rows"] > 80


def test_a_conversation_that_grows_too_long_is_answered_without_its_oldest_turns(talk: Path) -> None:
    said = here(talk, "chat", "models/task", "--tokens", "5", text="a1\n" * 40 + "a1" * 200 + "\na1\n")
    assert said.code == 0, said.err
    assert len(said.out.splitlines()) == 41
    assert "this model reads" in said.err


def test_a_model_that_reads_a_source_asks_for_it(talk: Path) -> None:
    finished = here(talk, "generate", "models/task", "a1")
    assert (finished.code, finished.out) == (2, "")
    assert "reads a source; give it by --source" in finished.err


def test_only_a_dialogue_is_talked_to(notes: Path) -> None:
    finished = here(notes, "chat", "models/task", text="hello\n")
    assert finished.code == 2
    assert "is of kind generation; automl chat needs one of kind dialogue" in finished.err

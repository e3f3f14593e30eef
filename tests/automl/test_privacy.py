"""What training data leave behind: nothing but weights, vocabularies, and the copies that a search works on."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from automl.card import model_card
from automl.cli import run
from automl.data.corpus import build_corpus
from automl.data.table import tokenized, tokens_of
from automl.planning import space_of
from automl.tasks.document import document_from_mapping
from automl.winners import Found, account_of
from search_spaces.dials import from_dict, to_dict
from search_spaces.seq2seq import Seq2Seq
from storage.database import open_database
from storage.searches import create_search
from tests.automl.marked import COPIES, DOCUMENT, MARKER, Left, leave, marker

KNOCK = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


PRIVATE = "[privacy]\nepsilon = 8.0\nbatch = 8\nsteps = 40\n"
COMMANDS = {
    "search": ("search", "secret.toml", "--trials", "2", "--workers", "1", "--json"),
    "again": ("search", "secret.toml", "--trials", "2"),
    "status": ("status", "secret", "--json"),
    "report": ("report", "secret"),
    "export": ("export", "secret", "exported", "--json"),
    "export-study": ("export-study", "secret", "study.bin"),
}
USUAL = {"explain": ("explain", "models/secret")}
"""Reads the winner's folder alone, that of a private search as any other."""
TRACKERS = ("tensorboard", "mlflow", "wandb")


@pytest.fixture(scope="module", params=["", PRIVATE], ids=["usual", "private"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What a search leaves, that trackers were told of, and everything that is done with it."""
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    if request.param:
        pytest.importorskip("jax_privacy", reason="the extra `privacy` is not installed")
    told = [argument for name in TRACKERS for argument in ("--track", name)]
    commands = {**COMMANDS, "search": (*COMMANDS["search"], *told), **({} if request.param else USUAL)}
    return leave(tmp_path_factory.mktemp("private"), DOCUMENT + request.param, commands)


def test_everything_was_done(left: Left) -> None:
    assert {name: each.code for name, each in left.said.items()} == dict.fromkeys(left.said, 0)
    assert (left.folder / "exported" / "model.safetensors").is_file()
    assert (left.folder / "secret.html").is_file()
    assert (left.folder / "explanation" / "explanation.html").is_file() == ("explain" in left.said)


def test_trackers_were_told_of_every_trial_and_of_no_marker(left: Left) -> None:
    events = b"".join(path.read_bytes() for path in left.folder.glob("runs/secret/trial-*/events.*"))
    told = {"tensorboard": events} | {name: (left.folder / f"{name}.told").read_bytes() for name in TRACKERS[1:]}
    for name, said in told.items():
        assert b"sequence_error_rate" in said, name
        assert b"hidden_size" in said, name
        assert not MARKER.search(said), name


def test_of_a_thousand_markers_in_the_data_none_is_anywhere_else(left: Left) -> None:
    marked = left.marked()
    assert "train.tsv" in marked
    assert any(name.startswith("cache/corpora/") for name in marked)
    assert {name for name in marked if not name.startswith(COPIES)} == set()


def test_the_private_copies_can_be_read_by_their_owner_alone(left: Left) -> None:
    for path in (left.folder / "cache", left.folder / "automl.checkpoints"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_whole_search_opens_no_connection(left: Left) -> None:
    assert left.connections == ""


def test_a_connection_would_have_been_seen(left: Left, tmp_path: Path) -> None:
    record = tmp_path / "connections.txt"
    environment = {**os.environ, "PYTHONPATH": str(left.folder / "watch"), "CONNECTIONS": str(record)}
    subprocess.run([sys.executable, "-c", KNOCK], env=environment, capture_output=True, check=False)
    assert "socket.connect" in record.read_text()


@pytest.mark.parametrize("shared", [True, False, None])
def test_the_card_shows_pairs_only_where_the_task_shares_them(tmp_path: Path, shared: bool | None) -> None:
    (tmp_path / "train.tsv").write_text("".join(f"{marker(n)}\t{marker(n)[:4]}\n" for n in range(100)))
    mapping = {"name": "x", "data": {"train": str(tmp_path / "train.tsv")}, "share_samples": shared}
    document = document_from_mapping({key: value for key, value in mapping.items() if value is not None}, tmp_path)
    corpus = build_corpus(document, tmp_path / "cache")
    with closing(open_database(f"sqlite:///{tmp_path / 'a.db'}")) as database:
        row = create_search(database, "x", document.to_mapping(), corpus.digest)
    configuration = to_dict(space_of(document, corpus).default())
    vocabulary = tokenized(corpus, tokens_of(from_dict(Seq2Seq, configuration))).meta["vocabulary"]
    decoding = {"method": "greedy", "max_length": 9}
    config = {"kind": document.kind, "configuration": configuration, "vocabulary": vocabulary, "decoding": decoding}
    config |= {"max_source_length": 9, "metrics": ["sequence_error_rate"], "data": {}}
    card = model_card(account_of(row, corpus, config, Found(configuration, "", {})))
    assert len(MARKER.findall(card.encode())) == (3 if shared else 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nul.tsv", "{0}\t{1}\n{1}\t{0}\x00\n"),
        ("one.tsv", "{0}\n{1}\n"),
        ("few.tsv", "{0}\t{1}\n"),
        ("empty.tsv", "{0}\t\n{1}\t\n"),
        ("broken.jsonl", '{{"source": "{0}", "target": "{1}"}}\n{{"source": "{0}", \n'),
        ("number.jsonl", '{{"source": "{0}", "target": "{1}"}}\n{{"source": "{0}", "target": 7}}\n'),
        ("quotes.csv", 'source,target\n{0},"{1}\n{0},{1}\n'),
        ("wide.csv", "source,target\n{0},{1},{0}\n"),
        ("column.tsv", "{0}\t{1}\n" * 20),
    ],
)
def test_what_is_wrong_with_data_is_said_without_them(
    tmp_path: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    (tmp_path / name).write_text(text.format(marker(1), marker(2)))
    column = 'source = "word"\n' if name == "column.tsv" else ""
    (tmp_path / "task.toml").write_text(f'[data]\ntrain = "{name}"\n{column}')
    assert run(["search", "task.toml", "--trials", "1"]) == 2
    said = capfd.readouterr()
    assert name in said.err
    assert not MARKER.search((said.out + said.err).encode())

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.corpus import build_corpus
from automl.data.sources import Columns
from automl.data.table import tokenized
from automl.data.turns import OTHER, OWN, joined, messages_of, recent, sides, turns_of
from automl.errors import InputError
from automl.tasks.dialogue import prepare, read_turns
from automl.tasks.document import document_from_mapping
from search_spaces.tokenizers import Characters

TURNS = st.lists(st.text("abc .", min_size=1).filter(str.strip), min_size=1, max_size=6)


def written(folder: Path, *conversations: object) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps({"turns": turns}) + "\n" for turns in conversations), encoding="utf-8")
    return path


def test_the_latest_turn_is_always_of_the_other_side() -> None:
    assert joined(["a"]) == f"{OTHER} a"
    assert joined(["a", "b", "c"]) == f"{OTHER} a {OWN} b {OTHER} c"
    assert joined([f"a{OWN}b"]) == f"{OTHER} ab"  # marks in texts would be turns of their own


@given(TURNS)
def test_turns_are_had_back_and_cut_to_the_latest(turns: list[str]) -> None:
    source, clean = joined(turns), [turn.strip() for turn in turns]
    assert turns_of(source) == clean
    assert turns_of(recent(source, 2)) == clean[-2:]
    assert recent(source, 0) == recent(source, len(turns)) == source
    assert prepare(" || ".join(turns)) == prepare(source) == source


def test_every_turn_but_the_first_is_answered_from_those_before(tmp_path: Path) -> None:
    path = written(tmp_path, ["a", "b", "c"], [{"role": "user", "content": "d"}, {"role": "bot", "content": "e"}])
    pairs = read_turns(path, Columns())
    said = [([*turns_of(source)], targets) for source, targets in zip(pairs.sources, pairs.targets, strict=True)]
    assert said == [(["a"], ["b"]), (["a", "b"], ["c"]), (["d"], ["e"])]
    assert list(pairs.numbers) == [1, 1, 2]


def test_messages_of_one_side_are_one_turn_and_a_system_begins_the_next() -> None:
    told = [{"role": role, "content": text} for role, text in (("system", "be kind"), ("user", "hi"), ("user", "you"))]
    answers = [{"from": "assistant", "value": "hello"}, {"role": "system", "content": "the end"}]
    assert sides(messages_of([*told, *answers])) == ["be kind hi you", "hello"]
    assert sides(messages_of(["a", "a", " ", "b"])) == ["a", "a", "b"]


def test_conversations_of_one_turn_are_counted_and_named_by_line(tmp_path: Path) -> None:
    pairs = read_turns(written(tmp_path, ["a", "b"], ["alone"], ["", "x"], []), Columns())
    assert (pairs.dropped, pairs.first_dropped) == ({"one turn only": 3}, {"one turn only": 2})
    assert pairs.rows_in == 4


def test_what_is_no_turn_is_refused_by_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.jsonl: line 1: a turn is neither a text nor an object"):
        read_turns(written(tmp_path, ["a", 3]), Columns())
    with pytest.raises(InputError, match="none of the 1 rows"):
        read_turns(written(tmp_path, ["alone"]), Columns())


def test_pairs_may_hold_several_turns(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("A: hi || B: ho\tA: go\n")
    assert read_turns(tmp_path / "a.tsv", Columns()).sources == [joined(["A: hi", "B: ho"])]


def test_bars_without_turns_between_them_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("||\tA: hi\nB: ho || \tA: go\n")
    pairs = read_turns(tmp_path / "a.tsv", Columns())
    assert (list(pairs.sources), pairs.dropped) == ([joined(["B: ho"])], {"one turn only": 1})


def test_no_conversation_is_divided_and_its_history_is_a_dial(tmp_path: Path) -> None:
    path = written(tmp_path, *([f"begin {i}", f"b{i}", f"c{i}", f"d{i}"] for i in range(40)))
    document = document_from_mapping({"name": "x", "kind": "dialogue", "data": {"train": str(path)}}, tmp_path)
    corpus = build_corpus(document, tmp_path / "cache")
    openings = {name: {turns_of(source)[0] for source in corpus.sources(name)} for name in ("train", "valid", "test")}
    assert all(openings.values())
    assert not openings["train"] & (openings["valid"] | openings["test"]) | openings["valid"] & openings["test"]
    whole, last = (tokenized(corpus, (Characters(), Characters(), turns)) for turns in (0, 1))
    assert last.meta["splits"]["train"]["source"]["max_length"] < whole.meta["splits"]["train"]["source"]["max_length"]
    assert last.said_tokens("train") == whole.said_tokens("train")


def test_a_greeting_of_many_conversations_stays_in_train(tmp_path: Path) -> None:
    path = written(tmp_path, *(["hello", f"b{i}", f"c{i}"] for i in range(40)))
    (tmp_path / "test.jsonl").write_text(json.dumps({"turns": ["hello", "b1"]}) + "\n")
    data = {"train": str(path), "test": str(tmp_path / "test.jsonl")}
    corpus = build_corpus(document_from_mapping({"name": "x", "kind": "dialogue", "data": data}, tmp_path), tmp_path)
    assert corpus.sources("test") == [joined(["hello"])]
    assert joined(["hello"]) in corpus.sources("train")
    assert len(corpus.sources("valid")) == 4

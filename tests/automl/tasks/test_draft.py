import json
import tomllib
from pathlib import Path

import pytest

from automl.data.sources import read_pairs
from automl.errors import InputError
from automl.tasks.document import document_from_mapping, read_document
from automl.tasks.draft import draft, name_of
from tests.automl.command_line import automl, here, write_task


@pytest.fixture
def phones(tmp_path: Path) -> Path:
    rows = [f"wo{chr(97 + i)}\tw o {chr(97 + i)}\n" for i in range(26)]
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "train.tsv").write_text("".join([*rows, rows[0]]))
    (tmp_path / "words" / "test.tsv").write_text(rows[1])
    return tmp_path / "words"


def test_a_draft_is_a_valid_document_that_says_what_was_seen(phones: Path) -> None:
    text = draft(phones).to_toml(phones)
    document = document_from_mapping(tomllib.loads(text), phones)
    assert (document.name, document.kind) == ("words", "sequence_to_sequence")
    assert document.data.files == {"train": phones / "train.tsv", "test": phones / "test.tsv"}
    for seen in (
        "27 rows",
        "26 different texts, 0 empty",
        "3 to 3 (mean 3.0",
        "26 different characters; letters: Latin 100%",
        "valid will be held out of train",
        "rows that say again what another one says, which are dropped: 1",
        "test: sources that are also in train, where they are dropped: 1",
    ):
        assert seen in text


def test_columns_are_named_where_they_are_not_the_first_two(tmp_path: Path) -> None:
    rows = [f"{i},word {i},s{i}\n" for i in range(20)]
    (tmp_path / "data.csv").write_text("id,text,summary\n" + "".join(rows))
    document = document_from_mapping(tomllib.loads(draft(tmp_path / "data.csv").to_toml(tmp_path)), tmp_path)
    assert (document.data.source, document.data.target) == ("text", "summary")


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("id,en,de", "{i},dog{i},Hund{i}", ("en", "de")),
        ("id,english,german", "u{i},dog{i},Hund{i}", ("english", "german")),
        (",english,german", "{i},dog{i},Hund{i}", ("english", "german")),
        ("comment_id,comment,is_toxic", "{i},a comment to read {i},{parity}", ("comment", "is_toxic")),
        ("article,title,id", "some long article {i},a title {i},a{i}f", ("article", "title")),
    ],
)
def test_columns_that_number_or_label_rows_are_set_aside(
    tmp_path: Path, header: str, row: str, expected: tuple
) -> None:
    rows = [row.format(i=i, parity=i % 2) for i in range(60)]
    (tmp_path / "data.csv").write_text("\n".join([header, *rows]))
    document = document_from_mapping(draft(tmp_path / "data.csv").to_mapping(tmp_path), tmp_path)
    assert (document.data.source, document.data.target) == expected
    assert read_pairs(tmp_path / "data.csv", document.data.columns).rows_in == 60


def test_columns_that_a_draft_does_not_use_are_not_read(tmp_path: Path) -> None:
    rows = [f"English {i}\tDeutsch {i}\tCC-BY {i}\n" for i in range(20)]
    (tmp_path / "data.tsv").write_text("".join(rows))
    text = draft(tmp_path / "data.tsv").to_toml(tmp_path)
    assert "# target = [1, 2]  # would take each of these columns for one more acceptable target" in text
    assert any("not read: 2; are they further" in warning for warning in draft(tmp_path / "data.tsv").warnings)
    document = document_from_mapping(tomllib.loads(text), tmp_path)
    read = read_pairs(tmp_path / "data.tsv", document.data.columns)
    assert read.targets[:2] == [["Deutsch 0"], ["Deutsch 1"]]


def test_columns_that_most_rows_lack_are_further_targets(tmp_path: Path) -> None:
    rows = [f"w{chr(97 + i)}\tv {chr(97 + i)}" + ("\tw b" if i < 4 else "") + "\n" for i in range(20)]
    (tmp_path / "data.tsv").write_text("".join(rows))
    drafted = draft(tmp_path / "data.tsv")
    assert "# further targets: column 2, which 4 rows have" in drafted.to_toml(tmp_path)
    document = document_from_mapping(drafted.to_mapping(tmp_path), tmp_path)
    assert read_pairs(tmp_path / "data.tsv", document.data.columns).targets[0] == ["v a", "w b"]


def test_beside_columns_that_are_not_read_one_target_is(tmp_path: Path) -> None:
    rows = [f"w{chr(97 + i)}\tv {chr(97 + i)}\tnote {i}" + ("\tw b" if i == 9 else "") + "\n" for i in range(20)]
    (tmp_path / "data.tsv").write_text("".join(rows))
    document = document_from_mapping(draft(tmp_path / "data.tsv").to_mapping(tmp_path), tmp_path)
    assert document.data.target == [1]
    assert read_pairs(tmp_path / "data.tsv", document.data.columns).targets[8:10] == [["v i"], ["v j"]]


def test_rows_wider_than_the_header_are_said(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\n" + "some,a\nwell, yes,b\n" * 20)
    assert "train: rows with more fields than the header, which are not read: 20" in draft(
        tmp_path / "data.csv"
    ).to_toml(tmp_path)


def test_conversations_are_described_over_all_of_their_turns(tmp_path: Path) -> None:
    lines = [json.dumps({"messages": [{"role": "user", "content": "hello"}, f"answer {i}"]}) for i in range(20)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    drafted = draft(tmp_path / "data.jsonl")
    assert (drafted.kind, drafted.warnings, drafted.seen.target.distinct) == ("dialogue", [], 20)


@pytest.mark.parametrize(
    "conversation",
    [
        {"id": "c{i}", "turns": ["hello", "answer {i}"]},
        {"conversation_id": "c{i}", "messages": [{"role": "user", "content": "hi"}, {"role": "bot", "content": "{i}"}]},
        {"turns": ["hello", "answer {i}"], "topic": "greetings of {i}"},
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "answer {i}"}]},
        {"source": "forum", "turns": ["hello", "answer {i}"]},
    ],
)
def test_beside_conversations_nothing_else_is_read(tmp_path: Path, conversation: dict) -> None:
    lines = [json.dumps(conversation).replace("{i}", str(i)) for i in range(20)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    drafted = draft(tmp_path / "data.jsonl")
    assert (drafted.kind, drafted.data(tmp_path)) == ("dialogue", {"train": "data.jsonl"})
    document = document_from_mapping(drafted.to_mapping(tmp_path), tmp_path)
    assert len(document.form.read(document.data.train, document.data.columns).sources) == 20


def test_beside_a_target_conversations_are_its_source(tmp_path: Path) -> None:
    rows = [{"turns": ["so it goes", f"{i}"], "summary": f"they speak of {i}"} for i in range(20)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert draft(tmp_path / "data.jsonl").seen.target.column == "summary"


def test_turns_between_bars_are_a_dialogue_whose_sources_may_recur(tmp_path: Path) -> None:
    rows = "".join(f"hi there || so {i} || and so\twell {i}\n" for i in range(20))
    for name in ("train", "test"):
        (tmp_path / f"{name}.tsv").write_text(rows)
    drafted = draft(tmp_path)
    assert drafted.kind == "dialogue"
    assert drafted.warnings == ["test: sources that are also in train: 20"]


def test_texts_with_tabs_are_refused_as_what_may_be_pairs(tmp_path: Path) -> None:
    (tmp_path / "fra.txt").write_text("Go.\tVa !\n" * 18 + "# a line\n\n")
    with pytest.raises(
        InputError, match=r'fra\.txt: these look like pairs: call it fra\.tsv, or say kind = "generation"'
    ):
        draft(tmp_path / "fra.txt")
    document = document_from_mapping({"name": "a", "kind": "generation", "data": {"train": "fra.txt"}}, tmp_path)
    assert len(document.form.read(document.data.train, document.data.columns).sources) == 19
    (tmp_path / "fra.txt").write_text("Go.\tVa !\n" * 17 + "a line\n" * 3)
    assert draft(tmp_path / "fra.txt").kind == "generation"


def test_paths_outside_the_folder_are_absolute(phones: Path) -> None:
    assert draft(phones).data(Path("/elsewhere"))["train"] == str(phones / "train.tsv")


def test_a_name_is_one_that_a_search_may_have() -> None:
    assert [name_of(Path(path)) for path in ("/a/my words!.tsv", "/a/.b", "/fre/train.tsv")] == [
        "my-words-",
        "b",
        "fre",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\ntwo\n", "every row has one column; a row needs a source and a target"),
        ("id\ttext\n1\tone\n2\ttwo\n", "only column text has texts to learn from; a row needs a source and a target"),
    ],
)
def test_one_column_is_refused_with_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        draft(tmp_path / "a.tsv")


def test_init_writes_the_document_once_and_search_runs_it(tmp_path: Path) -> None:
    write_task(tmp_path)
    finished = automl(tmp_path, "init", "train.tsv", "--out", "drafted.toml")
    assert (finished.code, finished.out, finished.computes) == (0, "drafted.toml\n", False)
    assert read_document(tmp_path / "drafted.toml").data.train == tmp_path / "train.tsv"
    assert automl(tmp_path, "init", "train.tsv", "--out", "drafted.toml").code == 2
    described = automl(tmp_path, "init", "train.tsv", "--json").json
    assert described["document"]["kind"] == "sequence_to_sequence"
    assert described["profile"]["rows"] == {"train": 50}


def test_search_takes_data_without_a_document(tmp_path: Path) -> None:
    write_task(tmp_path)
    finished = here(tmp_path, "search", "train.tsv", "--trials", "1", "--time", "8s", "--executor", "inline", "--json")
    assert finished.code == 0
    assert finished.json["bundle"]
    assert "taken for sequence_to_sequence" in finished.err

import json
from pathlib import Path

import pytest

from automl.budget import Budget
from automl.data.sources import Columns, columns_of
from automl.errors import InputError
from automl.tasks import TASKS
from automl.tasks.document import TaskDocument, document_from_mapping, read_document

FULL = """
name = "english-pronunciation"
kind = "sequence_to_sequence"
[data]
train = "data/train.tsv"
valid = "/elsewhere/valid.tsv"
source = "word"
target = ["phones", "variant"]
source_tokens = "characters"
target_tokens = "whitespace"
[metric]
name = "token_error_rate"
[budget]
time = "10m"
trials = 5
target = "token_error_rate<=0.25"
[constraints]
parameters = "5M"
operations = "50M"
memory = "2G"
[space]
preset = "small"
attention = ["Additive", "MultiHead"]
[seed]
value = 7
"""
LEAST = '[data]\ntrain = "train.tsv"\n'


def read(folder: Path, text: str, name: str = "task.toml") -> TaskDocument:
    (folder / name).write_text(text, encoding="utf-8")
    return read_document(folder / name)


def test_every_available_field_is_understood(tmp_path: Path) -> None:
    document = read(tmp_path, FULL)
    assert document.data.files == {"train": tmp_path / "data/train.tsv", "valid": Path("/elsewhere/valid.tsv")}
    assert document.data.columns == Columns("word", ("phones", "variant"), further=False)
    assert document.limits == Budget(600.0, 5, None, ("token_error_rate", "<=", 0.25))
    assert (document.name, document.metrics, document.most) == (
        "english-pronunciation",
        ("token_error_rate",),
        {"parameters": 5_000_000, "operations": 50_000_000, "memory": 2_000_000_000},
    )
    assert document.narrowed_space == {"preset": "small", "attention": ["Additive", "MultiHead"]}
    assert document.seed.value == 7


def test_several_columns_of_a_source_and_a_weight_are_understood(tmp_path: Path) -> None:
    text = LEAST + 'source = ["question", "context"]\ntarget = "answer"\nweight = "count"\n'
    document = read(tmp_path, text)
    assert document.data.columns == Columns(("question", "context"), ("answer",), "count")
    assert columns_of(document.to_mapping()["data"]) == document.data.columns


def test_a_training_file_is_enough(tmp_path: Path) -> None:
    document = read(tmp_path, LEAST, "my dates.v2.toml")
    assert (document.name, document.kind) == ("my-dates.v2", "sequence_to_sequence")
    assert document.data.columns == Columns()
    assert (document.data.source_tokens, document.data.target_tokens) == ("auto", "auto")
    assert document.metrics == ("sequence_error_rate",)
    assert document.limits == Budget()


def test_a_mapping_and_a_file_say_the_same(tmp_path: Path) -> None:
    document = read(tmp_path, FULL)
    again = document_from_mapping(json.loads(json.dumps(document.to_mapping())), Path("/another/folder"))
    assert again == document


def test_a_misspelt_key_is_not_told_to_be_missing() -> None:
    with pytest.raises(InputError, match=r"the key \[data\] trian is not known; did you mean 'train'\?"):
        document_from_mapping({"name": "a", "data": {"trian": "a.tsv"}}, Path())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("[date]\n", "the key date is not known; did you mean 'data'?"),
        ("[budget]\ntme = 3\n", "the key [budget] tme is not known; did you mean 'time'?"),
        ("[seed]\nqqqq = 3\n", "the key [seed] qqqq is not known; use value"),
        ("[pretraining]\nform = 'x'\n", "the key [pretraining] form is not known; did you mean 'from'?"),
        ("[metric]\n", "[metric] name is missing"),
        ("[metric]\nname = 'sequence_eror'\n", "[metric] name: metric 'sequence_eror' is not known; did you mean"),
        ("[metric]\nname = []\n", "[metric] name: name at least one metric"),
        ("[budget]\ntime = 'soon'\n", "[budget] time: duration 'soon' is not understood"),
        ("[budget]\ntime = []\n", '[budget] time must be a duration like "10m", or seconds'),
        ("[metric]\nname = 3\n", "[metric] name must be a metric's name, or a list of them"),
        ("[constraints]\nparameters = 0.5\n", '[constraints] parameters must be a number like "5M"'),
        ("[budget]\ntrials = 0\n", "[budget] trials: input should be greater than or equal to 1"),
        ("[budget]\ntrials = '5'\n", "[budget] trials: input should be a valid integer"),
        ("[budget]\ntarget = 'bleu<=3'\n", "[budget] target: bleu is better higher; write bleu>="),
        ("[constraints]\nparameters = 'many'\n", "[constraints] parameters: number of parameters 'many'"),
        ("[constraints]\noperations = 'few'\n", "[constraints] operations: number of operations 'few'"),
        ("[constraints]\nmemory = '2 cups'\n", "[constraints] memory: memory '2 cups'"),
        ("[seed]\nvalue = -1\n", "[seed] value: input should be greater than or equal to 0"),
        ("budget = 3\n", "budget must be a table, [budget]"),
        ("budget = {}\nspace = 3\n", "space must be a table, [space]"),
        ("[broken\n", "this is not TOML: "),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, change + LEAST if change.startswith("budget") else LEAST + change)
    assert str(caught.value).startswith(f"{tmp_path / 'task.toml'}: {message}")
    assert "\n" not in str(caught.value)


def test_what_a_kind_fixes_may_be_said_and_costs_stand_beside_any_metric() -> None:
    data = {"train": "a.json", "source_tokens": "pixels", "target_tokens": "boxes"}
    metrics = ["mean_average_precision", "parameters", "latency"]
    document = document_from_mapping(
        {"name": "x", "kind": "object_detection", "data": data, "metric": {"name": metrics}}, Path()
    )
    assert document.metrics == tuple(metrics)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "text_classification", "data": {"train": "a.tsv", "target_tokens": "characters"}},
            '[data] target_tokens is "whole" for kind = "text_classification"; leave it out',
        ),
        ({"kind": "haiku"}, "kind: input should be 'sequence_to_sequence', 'translation'"),
        ({"metric": {"name": ["bleu", "bleu"]}}, "[metric] name: a metric is named twice"),
        ({"metric": {"name": ["latency", "bleu"]}}, "latency is a cost, and the first objective decides"),
        ({"metric": {"name": ["bleu", "latencies"]}}, "metric 'latencies' is not known; did you mean 'latency'?"),
        ({"constraints": {"latency": "soon"}}, "duration 'soon' is not understood"),
        ({"pretraining": {}}, "[pretraining] needs either unlabelled, a file of texts, or from, a bundle"),
        (
            {"kind": "text_classification", "pretraining": {"unlabelled": "a.txt"}},
            'unlabelled is for models that say texts, and kind = "text_classification" says classes',
        ),
        (
            {"kind": "translation", "metric": {"name": ["bleu", "mean_average_precision"]}},
            "[metric] name: mean_average_precision scores boxes alone; use chrf or bleu or ter",
        ),
        (
            {"kind": "object_detection", "metric": {"name": "exact_match"}},
            "exact_match does not score boxes; use mean_average_precision_50 or mean_average_precision",
        ),
        (
            {"data": {"train": "a.tsv", "source_tokens": "pixels"}},
            '[data] source_tokens = "pixels" is not for kind = "sequence_to_sequence"; use auto, whitespace',
        ),
        (
            {"kind": "text_classification", "data": {"train": "a.tsv", "source_tokens": "whole"}},
            'source_tokens = "whole" is not for kind = "text_classification"',
        ),
        ({"kind": "dialogue", "data": {"train": "a.tsv", "target_tokens": "boxes"}}, 'target_tokens = "boxes" is not'),
        ({"name": "../escape"}, "name: a name is at most 100 letters, digits"),
        ({"name": ""}, "name: a name is at most 100 letters, digits"),
        ({"nam": "x"}, "the key nam is not known; did you mean 'name'?"),
    ],
)
def test_a_wrong_or_unavailable_field_is_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        document_from_mapping({"name": "x", "data": {"train": "a.tsv"}} | change, Path())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_tokens": "words"}, "[data] target_tokens: input should be 'auto', 'whitespace'"),
        ({"source": list("abcdefghijklmnopq"), "target": "t"}, "source names 17 columns; 16 at most are joined"),
        ({"source": "a", "target": 1}, "all be names of a header, or all be indices"),
        ({"source": "a", "target": "b", "weight": 2}, "all be names of a header, or all be indices"),
        ({"source": ["a", "b"], "target": "c", "weight": "b"}, "name the same column twice"),
        ({"weight": ["w"]}, "[data] weight must be a column name, or an index from 0"),
        ({"source": "a", "target": "a"}, "name the same column twice"),
        ({"source": 0, "target": -1}, "[data] target must be a column name, an index from 0, or a list"),
        ({"target": []}, "must name at least one column"),
        ({"train": ""}, "[data] train: a path is a text that is not empty"),
        ({"trian": "b.tsv"}, "the key [data] trian is not known; did you mean 'train'?"),
    ],
)
def test_wrong_data_fields_are_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        document_from_mapping({"name": "x", "data": {"train": "a.tsv"} | change}, Path())
    assert message in str(caught.value)


def test_missing_parts_are_named() -> None:
    with pytest.raises(InputError, match="task document: data is missing; add it with at least train"):
        document_from_mapping({"name": "x"}, Path())
    with pytest.raises(InputError, match=r"\[data\] train is missing; add it"):
        document_from_mapping({"name": "x", "data": {}}, Path())


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task\.toml: this is not TOML: .*line 2"):
        read(tmp_path, "[data]\ntrain = \n")


def test_an_unreadable_document_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(InputError, match=r"latin\.toml: not UTF-8 at byte 8"):
        read_document(tmp_path / "latin.toml")
    with pytest.raises(InputError, match=r"none\.toml: the task document cannot be read \(No such file"):
        read_document(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_can_be_asked_for(kind: str) -> None:
    document = document_from_mapping({"name": "x", "kind": kind, "data": {"train": "a.tsv"}}, Path())
    assert document.metrics == (TASKS[kind].metrics[0],)

"""A translation-like task whose tokens are searched, from its document to a prediction."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.constraints import COSTS, Shapes
from automl.data.corpus import build_corpus
from automl.data.table import tokenized, tokens_of
from automl.metrics import PER_TOKEN
from automl.planning import plan_of, space_of
from automl.refusals import check_objective, check_target
from automl.searches import Options, run_search
from automl.tasks.document import TaskDocument, document_from_mapping
from search_spaces.tokenizers import Unigram
from tests.automl.command_line import CACHE

NOUNS = {"dog": "Hund", "cat": "Katze", "bird": "Vogel", "house": "Haus", "tree": "Baum", "river": "Fluß"}
VERBS = {"sees": "sieht", "hears": "hört", "likes": "mag", "finds": "findet"}
SPACE = {
    "preset": "tiny",
    "encoder": "Recurrent",
    "decoder": "Recurrent",
    "num_layers": 1,
    "hidden_size": 64,
    "bidirectional": False,
}


def task(folder: Path, **changes: Any) -> TaskDocument:
    rows = [
        f"the {a} {verb} the {b} .\tder {NOUNS[a]} {VERBS[verb]} den {NOUNS[b]} .\n"
        for a, verb, b in itertools.product(NOUNS, VERBS, NOUNS)
    ]
    (folder / "train.tsv").write_text("".join(rows), encoding="utf-8")
    data = {"train": "train.tsv", "source_tokens": "subwords", "target_tokens": "subwords"} | changes.pop("data", {})
    return document_from_mapping({"name": "mt", "data": data, "space": SPACE, **changes}, folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("subwords")
    notices: list[str] = []
    document = task(folder, metric={"name": "chrf"}, budget={"trials": 2, "time": "12s"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(CACHE))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        options = Options(f"sqlite:///{folder / 'automl.db'}", "inline", folder / "model", on_notice=notices.append)
        yield run_search(document, options), notices, folder


def test_a_search_over_subwords_hands_back_a_model_that_predicts(found: Any) -> None:
    search, notices, folder = found
    assert search.state == "finished"
    assert 0 <= search.best.scores["chrf"] <= 100
    model = automl.load(folder / "model")
    outputs = model.predict(["the dog sees the cat .", "", "日本 🙂"])
    assert [type(output) for output in outputs] == [str, str, str]
    assert sum("every larger vocabulary is the same" in notice for notice in notices) == 2


def test_the_bundle_holds_the_winners_own_tokenizers(found: Any) -> None:
    folder = found[2]
    config = json.loads((folder / "model" / "config.json").read_text())
    tokenizer = json.loads((folder / "model" / "tokenizer.target.json").read_text())
    assert config["configuration"]["source_tokens"]["kind"] in ("BytePairs", "Unigram")
    assert len(tokenizer["model"]["vocab"]) == config["vocabulary"]["target"] > 260


@pytest.mark.parametrize(
    ("changes", "dial"),
    [
        ({}, "target_tokens.LikeSource.shared"),
        ({"data": {"source_tokens": "characters"}}, "target_tokens"),
        ({"space": {"target_tokens": "BytePairs"}}, "target_tokens.BytePairs.vocabulary_size"),
        ({"space": {"shared": True, "target_tokens": "LikeSource"}}, "source_tokens"),
    ],
)
def test_an_error_rate_of_tokens_that_are_searched_is_refused(tmp_path: Path, changes: Any, dial: str) -> None:
    document = task(tmp_path, metric={"name": "token_error_rate"}, **changes)
    space = space_of(document, build_corpus(document, tmp_path / "cache"))
    with pytest.raises(
        automl.InputError, match=rf"token_error_rate counts tokens, and the dial {dial} is searched; use"
    ):
        check_objective(document, space)


def test_a_target_that_is_of_no_objective_is_refused_before_a_search(tmp_path: Path) -> None:
    document = task(tmp_path, metric={"name": "bleu"}, budget={"target": "chrf>=60"})
    with pytest.raises(automl.InputError, match=r"\[budget\] target is of chrf, which the search for bleu does not"):
        check_target(document)
    check_target(task(tmp_path, metric={"name": ["bleu", "chrf"]}, budget={"target": "chrf>=60"}))


@pytest.mark.parametrize("name", PER_TOKEN)
def test_every_objective_of_tokens_that_are_searched_is_refused_with_another(tmp_path: Path, name: str) -> None:
    document = task(tmp_path, metric={"name": name})
    space = space_of(document, build_corpus(document, tmp_path / "cache"))
    with pytest.raises(automl.InputError, match=f"{name} counts tokens, .*; use {PER_TOKEN[name]}, or pin"):
        check_objective(document, space)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": {"name": "character_error_rate"}},
        {"metric": {"name": "bits_per_character"}},
        {"metric": {"name": "perplexity"}, "data": {"target_tokens": "bytes"}},
        {"metric": {"name": "token_error_rate"}, "data": {"target_tokens": "whitespace"}},
        {
            "metric": {"name": "token_error_rate"},
            "space": {"source_tokens": "BytePairs", "vocabulary_size": 1000, "shared": False},
        },
    ],
)
def test_an_objective_that_compares_is_not_refused(tmp_path: Path, changes: Any) -> None:
    document = task(tmp_path, **changes)
    check_objective(document, space_of(document, build_corpus(document, tmp_path / "cache")))


def test_tokens_that_the_document_pins_are_not_dials(tmp_path: Path) -> None:
    document = task(tmp_path, data={"target_tokens": "bytes"}, space={"target_tokens": "BytePairs"})
    with pytest.raises(
        automl.InputError, match=r'\[space\] target_tokens and \[data\] target_tokens = "bytes" exclude'
    ):
        space_of(document)


@pytest.mark.parametrize("cost", list(COSTS))
def test_a_limit_counts_the_vocabulary_that_there_is(tmp_path: Path, cost: str) -> None:
    document = task(tmp_path)
    corpus = build_corpus(document, tmp_path / "cache")
    space = space_of(document, corpus)
    default = space.default()
    table = tokenized(corpus, tokens_of(default))
    size = COSTS[cost].measure(default, Shapes.of(table))
    for limit, admitted in ((size, True), (size - 1, False)):
        plan = plan_of(task(tmp_path, constraints={cost: limit}), space, table, tmp_path, 0.0)
        assert plan.admissible(default) == admitted
    assert plan.why_none().endswith(f"{size:,} {COSTS[cost].called}, and {size - 1:,} are allowed")


def test_what_is_within_the_limit_at_its_full_size_is_admitted_without_being_tokenized(tmp_path: Path) -> None:
    document = task(tmp_path, constraints={"parameters": "50M"})
    corpus = build_corpus(document, tmp_path / "cache")
    space = space_of(document, corpus)
    table = tokenized(corpus, tokens_of(space.default()))
    plan = plan_of(document, space, table, tmp_path, 0.0)
    assert plan.admissible(dataclasses.replace(space.default(), source_tokens=Unigram(32000)))
    assert len(list(table.folder.parent.iterdir())) == 1

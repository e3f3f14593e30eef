"""Bundles that hold several models, and searches that make them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.bundle import read_bundle, write_bundle
from automl.decoding.generation import Generation
from automl.errors import InputError
from automl.export.exporting import Sample, _child, export
from automl.export.forms import FORMS
from automl.inference import Model
from search_spaces.decoding import Beam, Greedy, Sampling
from tests.automl.bundles import SMALL, TRANSFORMER, Drawn, ensemble
from tests.automl.command_line import here, write_task

SOURCES = ["abc", "hgfedcba", "aab", "b"]


DIFFERENT = Drawn(SMALL, 0, 2.0), Drawn(TRANSFORMER, 1, 2.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(ensemble(*DIFFERENT))


@pytest.fixture(scope="module")
def members() -> list[Model]:
    return [Model(each.bundle()) for each in DIFFERENT]


def test_confidences_are_those_of_the_mean_log_probability(model: Model, members: list[Model]) -> None:
    letters = "abcdefgh"
    of = [[each.confidence[0] for each in one.explained(["abc"] * 8, list(letters))] for one in (model, *members)]
    joint, *alone = np.log(np.array(of))
    mean = np.mean(alone, axis=0)
    np.testing.assert_allclose(joint - joint.max(), mean - mean.max(), atol=1e-4)


def test_greedy_output_is_likeliest_token_by_token(model: Model) -> None:
    said = model.predict(SOURCES)
    assert len(set(said)) > 1
    for each in model.explained(SOURCES, said):
        assert list(each.likeliest[:-1]) == list(each.target[:-1])


def test_an_ensemble_of_one_model_twice_says_what_that_says() -> None:
    one = Drawn(SMALL, 3, 2.0)
    assert Model(ensemble(one, one)).predict(SOURCES) == Model(one.bundle()).predict(SOURCES)


def test_an_ensemble_does_what_a_model_does(model: Model) -> None:
    best = model.candidates(SOURCES[:1], 2, Beam(4, 0.0))[0]
    assert best[0].score >= best[1].score
    assert model.score(SOURCES[:1], [best[0].output])[0] == pytest.approx(best[0].score, abs=1e-3)
    how = Generation(Sampling(0.8, seed=1))
    assert "".join(model.stream("abc", how)) == model.generate("abc", how)[0]
    looked = model.attention("abc", "ab")
    np.testing.assert_allclose(looked.weights.sum(axis=1), 1, atol=1e-5)
    assert model.gist(["abc"]).shape == (1, 32)


def test_a_bundle_of_several_is_written_and_read(tmp_path: Path, model: Model) -> None:
    write_bundle(ensemble(*DIFFERENT), tmp_path / "model")
    assert Model(read_bundle(tmp_path / "model")).predict(SOURCES) == model.predict(SOURCES)


@pytest.mark.parametrize("members", [3, [3], [{}] * 16, [{"encoder": 1}]])
def test_members_that_are_none_are_refused(members: Any) -> None:
    bundle = ensemble(*DIFFERENT)
    with pytest.raises(InputError, match=r"config\.json: describes no model"):
        Model(replace(bundle, config={**bundle.config, "members": members}))


@pytest.mark.parametrize("name", ["ctranslate2", "ctranslate2-int8"])
def test_forms_of_one_model_cannot_hold_an_ensemble(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it is an ensemble, .*; bundle, int8, stablehlo, onnx can"):
        export(ensemble(*DIFFERENT), tmp_path / "model", [name], Sample([], []))


def test_an_ensemble_says_the_same_as_stablehlo(model: Model, tmp_path: Path) -> None:
    form, bundle = tmp_path / "stablehlo", tmp_path / "bundle"
    form.mkdir()
    write_bundle(ensemble(*DIFFERENT), bundle)
    _child("write", "stablehlo", form, bundle)
    sources = [[4, 5, 6], [11, 10, 9, 8, 7, 6, 5, 4], [4, 4, 5], [5]]
    found = FORMS["stablehlo"].open(form)(sources)
    own = [answers[0] for answers in model.answers(sources, Greedy())]
    assert found.tokens == [answer.tokens for answer in own]
    np.testing.assert_allclose(found.scores, [answer.score for answer in own], atol=1e-3)


def test_a_search_ends_with_an_ensemble_that_is_never_worse_on_valid(tmp_path: Path) -> None:
    write_task(tmp_path)
    command = ("search", "copy.toml", "--executor", "inline", "--trials", "3", "--json")
    single = here(tmp_path, *command)
    assert single.code == 0, single.err
    finished = here(tmp_path, *command, "--finish", "ensemble")
    assert finished.code == 0, finished.err
    alone, best = single.json["best"], finished.json["best"]
    name = "sequence_error_rate"
    assert best["scores"][name] <= alone["scores"][name]
    if best.get("members"):
        assert best["single"]["scores"][name] == alone["scores"][name] > best["scores"][name]
        assert best["parameters"] > alone["parameters"]
    evaluated = here(tmp_path, "evaluate", "models/copy", "test.tsv", "--json")
    assert evaluated.json["metrics"] == pytest.approx(best["test_scores"])

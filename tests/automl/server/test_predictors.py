"""Children that predict: as many as there is room for, and none given up while it predicts."""

import sys
import threading
import time

import pytest

from automl.server.predictors import MOST_CHILDREN, Predictors
from automl.server.problems import Problem

PATIENT = """
import json, pathlib, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    for source in json.loads(line)["sources"]:
        while not pathlib.Path(source).exists():
            time.sleep(0.01)
    print(json.dumps({"outputs": [sys.argv[1]]}), flush=True)
"""
"""An oracle that answers when the file that a source names is there."""


@pytest.fixture
def predictors():
    found = Predictors((sys.executable, "-c", PATIENT), patience=0.1)
    yield found
    found.close()


def answer(predictors, model, source):
    return predictors.predict(model, lambda: model, [str(source)])


@pytest.fixture
def busy(predictors, tmp_path):
    """As many models as there is room for, each asked; returns their answers, and what lets them answer."""
    answers, go = {}, tmp_path / "go"
    models = [f"model {number}" for number in range(MOST_CHILDREN)]
    asking = [
        threading.Thread(target=lambda model=model: answers.update({model: answer(predictors, model, go)}))
        for model in models
    ]
    for thread in asking:
        thread.start()
    while predictors.count < MOST_CHILDREN:
        time.sleep(0.01)

    def end():
        go.touch()
        for thread in asking:
            thread.join()
        return answers

    yield end
    end()


def test_a_model_that_predicts_is_not_given_up_for_another(predictors, busy, tmp_path):
    (tmp_path / "at once").touch()
    with pytest.raises(Problem, match="try again") as refused:
        answer(predictors, "another", tmp_path / "at once")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    assert busy() == {f"model {number}": [f"model {number}"] for number in range(MOST_CHILDREN)}


def test_a_model_that_nobody_asks_makes_room(predictors, busy, tmp_path):
    busy()
    assert answer(predictors, "another", tmp_path / "go") == ["another"]
    assert predictors.count == MOST_CHILDREN

"""The ten lines of Python that the README promises."""

import random
from pathlib import Path

import pytest

import automl
from tests.automl.command_line import CACHE


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("task")
    generator = random.Random(0)
    words = sorted({"".join(generator.choices("abcd", k=4)) for _ in range(120)})
    (folder / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    space = {"preset": "tiny", "encoder": "Recurrent", "decoder": "Recurrent", "num_layers": 1}
    return {"name": "reverse", "data": {"train": str(folder / "pairs.tsv")}, "space": space}


def test_a_search_from_python_hands_back_a_model_that_predicts(
    task: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_CACHE", str(CACHE))
    search = automl.search(
        task, budget={"trials": 1, "time": "20s", "target": "sequence_error_rate<=1"}, executor="inline"
    )
    assert (search.state, search.best.trial) == ("finished", 0)
    assert search.best.scores["sequence_error_rate"] <= 1
    search.best.export(tmp_path / "model")
    model = automl.load(tmp_path / "model")
    outputs = model.predict(["abcd", "", "zz"])
    assert len(outputs) == 3
    assert model.predict(["abcd"]) == outputs[:1]
    with pytest.raises(automl.InputError, match="this model reads 116 at most"):
        model.predict(["a" * 117])


def test_a_wrong_task_is_refused_in_one_line(task: dict[str, object]) -> None:
    with pytest.raises(automl.InputError, match="epochs") as refused:
        automl.search({**task, "epochs": 3})
    assert "\n" not in str(refused.value)

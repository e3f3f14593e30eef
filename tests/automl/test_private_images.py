"""Images and boxes trained on privately: how a pair is varied depends on it alone, and what it is filled up with fits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.batching import Run
from automl.data.boxes import PER_OBJECT
from automl.data.table import build_table
from automl.data.tokenizers import EOS
from automl.planning import space_of
from automl.privacy import SAW
from automl.searches import Options, run_search
from automl.segments import Mechanism, Workload
from automl.training.arrays import gather
from automl.training.course import Course
from automl.training.executables import single
from automl.training.sampling import EXAMPLES
from automl.training.steps import as_trained, training
from automl.training.trainer import Trainer
from search_spaces.optimizers import AdamW
from tests.automl import test_detection_search as detection
from tests.automl import test_image_search as classification
from tests.automl.training.trials import After, onward, segment, trained

pytest.importorskip("jax_privacy", reason="the extra privacy is not installed")

TERMS = {"epsilon": 8.0, "batch": 32, "steps": 8}
MECHANISM = Mechanism(rate=0.05, noise_multiplier=1.1, key=bytes(32))
TASKS = {"boxes": detection, "images": classification}
DIALS = {"boxes": {"noise_objects": True, "flip": True}, "images": {"augmentation": "Varied", "shift": 0.2}}


class Case:
    """A task with its pairs varied, and a trainer that trains on them privately."""

    def __init__(self, name: str, folder: Path) -> None:
        self.document = TASKS[name].task(folder, space={**TASKS[name].SPACE, **DIALS[name]})
        table = build_table(self.document, folder / "cache")
        self.configuration = space_of(self.document, table.corpus).default()
        workload = Workload(str(table.folder), str(folder / "kept"), self.document.metrics)
        self.trainer = Trainer(replace(workload, privacy=MECHANISM))
        self.dataset = self.trainer.dataset(self.configuration)

    def course(self, noise: float) -> Course:
        job = segment(configuration=self.configuration, to_tokens=10**6)
        order = replace(self.trainer._order(self.dataset, job), noise_multiplier=noise)
        return Course(job, self.configuration, order, 0, self.dataset.variation(self.configuration))


@pytest.fixture(scope="module", params=TASKS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(request.param, tmp_path_factory.mktemp(request.param))


def test_a_private_trial_that_was_interrupted_ends_as_another_to_the_bit(case: Case) -> None:
    wanted: dict[str, Any] = {"configuration": case.configuration, "to_tokens": 10**6}
    whole = trained(case.trainer, segment(**wanted, most_steps=7))
    first = trained(case.trainer, segment(**wanted, most_steps=7), stop=After(1))
    assert 0 < first.step < whole.step == 7
    rest = trained(case.trainer, onward(first, **wanted, most_steps=7 - first.step))
    assert (rest.step, rest.checkpoint) == (whole.step, whole.checkpoint)


def test_what_a_pair_adds_does_not_depend_on_the_pairs_beside_it_or_on_its_place(case: Case) -> None:
    course = case.course(noise=0.0)
    static = case.trainer._static(case.configuration)
    program = jax.jit(training(single(static), course.order.hull, (AdamW,)))

    def added(*rows: int) -> Any:
        """Return the gradient of a step in which these rows were drawn, -1 being none."""
        drawn = np.array([[[*rows, *[-1] * (EXAMPLES - len(rows))]]], np.int32)
        chunk = course.chunk(Run(course.order.hull, drawn, 0, np.ones(1, np.int64)))
        return program(case.trainer._fresh(static, 5), case.dataset.data, chunk)[0].optimizer.first

    one, other, both = added(3), added(-1, -1, 7), added(7, -1, 3)
    assert any(np.abs(value).max() > 0 for value in one.values())
    for name, value in both.items():
        np.testing.assert_allclose(value, one[name] + other[name], rtol=1e-3, atol=1e-7)


def test_targets_have_room_for_what_they_are_filled_up_with_and_for_their_end(tmp_path: Path) -> None:
    case = Case("boxes", tmp_path)
    course = case.course(noise=1.0)
    chunk = course.chunk(next(iter(course.order.runs(0, 0))))
    batch = gather(case.dataset.data, jnp.arange(EXAMPLES), course.order.hull)
    model = single(case.trainer._static(case.configuration))
    _, said = as_trained(model, batch, chunk.variation, chunk.noise)
    objects = int(chunk.variation.objects)
    assert objects > 1
    assert (np.asarray(said)[:, PER_OBJECT * objects] == EOS).all()


@pytest.mark.parametrize("name", TASKS)
def test_a_private_search_of_images_finds_a_winner_and_spends_no_more_than_it_promised(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOML_PROGRAM_KEY", str(tmp_path / "programs.key"))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    space = {**TASKS[name].SPACE, **DIALS[name]}
    document = TASKS[name].task(tmp_path, space=space, privacy=TERMS, budget={"trials": 1})
    search = run_search(document, Options(f"sqlite:///{tmp_path / 'automl.db'}", "inline", tmp_path / "model"))
    assert search.best is not None
    assert search.privacy is not None
    assert 0 < search.privacy["epsilon_spent"] <= TERMS["epsilon"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert all(said in card for said in SAW)

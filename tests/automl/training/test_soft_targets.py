"""What teachers expect of train: their joint distribution, kept and learnt to the bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.batching import Bucket
from automl.decoding.steps import sayable
from automl.errors import FailureReason, TrialFailure
from automl.models.facts import bind
from automl.models.parameters import initialise
from automl.segments import Member, SegmentResult, Teaching, TeachingResult, Workload
from automl.training import soft_targets
from automl.training.arrays import gather
from automl.training.ensembles import Candidate
from automl.training.executables import model_of
from automl.training.losses import SoftTargets
from automl.training.signature import signature
from automl.training.trainer import Trainer
from automl.weights import together
from search_spaces.dials import to_dict
from storage import objects
from tests.automl.training.trials import (
    CONFIGURATION,
    failure,
    never,
    new_trainer,
    onward,
    segment,
    silent,
    trained,
)

STATIC = signature(CONFIGURATION, 12, 12, 64)


def teacher(seed: int) -> Candidate:
    return Candidate(
        STATIC, {name: jnp.asarray(3 * value) for name, value in initialise(model_of(STATIC), seed).items()}
    )


@pytest.fixture(scope="module")
def teachers() -> list[Candidate]:
    return [teacher(0), teacher(1)]


@pytest.fixture(scope="module")
def soft(trainer: Trainer, teachers: list[Candidate]) -> SoftTargets:
    return soft_targets.soft_targets(trainer.dataset(CONFIGURATION), teachers, trainer.programs)


def test_every_token_of_train_has_what_the_ensemble_expects(
    trainer: Trainer, teachers: list[Candidate], soft: SoftTargets
) -> None:
    dataset, row = trainer.dataset(CONFIGURATION), 123
    train = dataset.table.split("train")
    batch = gather(dataset.data, jnp.array([row]), Bucket(8, 8))
    static = signature(CONFIGURATION, 12, 12, 64, [CONFIGURATION])
    model = bind(model_of(static), together([own.parameters for own in teachers]))
    likely = np.asarray(jax.nn.softmax(sayable(model(batch.source, batch.inputs, None, batch.copies)), axis=-1))[0]
    first, beyond = train.target_offsets[row : row + 2]
    for place, at in enumerate(range(first + row, beyond + row + 1)):
        wanted = likely[place][np.asarray(soft.tokens[at])]
        np.testing.assert_allclose(soft.probabilities[at], wanted / wanted.sum(), atol=1e-5)
        assert wanted.min() >= np.sort(likely[place])[-soft_targets.LIKELIEST]
    assert len(soft.tokens) == dataset.table.said_tokens("train")
    np.testing.assert_allclose(np.asarray(soft.probabilities).sum(axis=-1), 1, atol=1e-5)


def test_what_was_not_asked_in_time_has_no_probabilities(trainer: Trainer, teachers: list[Candidate]) -> None:
    calls = iter([False, True])
    found = soft_targets.soft_targets(trainer.dataset(CONFIGURATION), teachers, trainer.programs, lambda: next(calls))
    asked = np.asarray(found.probabilities).any(axis=-1)
    assert 0 < asked.sum() < len(asked)


def test_they_are_read_as_they_were_written(soft: SoftTargets, tmp_path: Path) -> None:
    found = soft_targets.read(tmp_path, soft_targets.write(tmp_path, soft))
    for own, written in zip(found, soft, strict=True):
        np.testing.assert_array_equal(own, written)
    with pytest.raises(TrialFailure) as other:
        soft_targets.read(tmp_path, objects.write(tmp_path, b"something else"))
    assert other.value.reason is FailureReason.CORRUPT_CHECKPOINT


@pytest.fixture(scope="module")
def taught(trainer: Trainer, workload: Workload, soft: SoftTargets) -> Trainer:
    digest = soft_targets.write(trainer.checkpoints, soft)
    return new_trainer(replace(workload, soft_targets=digest))


def test_a_student_that_is_interrupted_ends_as_one_that_is_not(trainer: Trainer, taught: Trainer) -> None:
    whole = trained(taught, segment(to_tokens=6_000))
    half = trained(taught, segment(to_tokens=3_000))
    assert trained(taught, onward(half, to_tokens=6_000)).checkpoint == whole.checkpoint
    assert trained(trainer, segment(to_tokens=6_000)).checkpoint != whole.checkpoint


def test_trials_teach_through_their_checkpoints(trainer: Trainer, checkpoints: Path) -> None:
    result: SegmentResult = trained(trainer, segment(to_tokens=600))
    member = Member(to_dict(CONFIGURATION), result.checkpoint)
    found = trainer.run(Teaching(3, (member, member)), silent, never)
    assert isinstance(found, TeachingResult)
    assert found.tokens == trainer.table.said_tokens("train")
    alone = trainer.run(Teaching(3, (member,), seconds=1000.0), silent, never)
    assert isinstance(alone, TeachingResult)
    pair = (soft_targets.read(checkpoints, each.soft_targets) for each in (found, alone))
    first, second = (np.asarray(each.probabilities) for each in pair)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_soft_targets_of_other_tokens_are_refused(workload: Workload, trainer: Trainer, soft: SoftTargets) -> None:
    fewer: Any = (each[:-1] for each in soft)
    digest = soft_targets.write(trainer.checkpoints, SoftTargets(*fewer))
    failed = failure(Trainer(replace(workload, soft_targets=digest)), segment())
    assert (failed.reason, str(failed)) == (FailureReason.BAD_DATA, "the soft targets are of other tokens")

"""How exposed secrets are that stand in train, by a model that has seen them again and again."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from automl.data.table import build_table
from automl.segments import Evaluation, EvaluationResult, Exposure, Workload
from automl.training.exposure import exposure
from automl.training.trainer import Trainer
from search_spaces.dials import to_dict
from tests.automl.training.trials import CONFIGURATION, never, segment, silent, trained, varied
from tests.conftest import written_pairs

COPIES = (0, 0, 0, 0, 16)


@pytest.mark.parametrize(("rank", "bits"), [(1, 4.0), (2, 3.0), (3, 4 - math.log2(3)), (16, 0.0)])
def test_exposure_is_the_bits_that_a_rank_leaves(rank: int, bits: float) -> None:
    others = [float(place) for place in range(1, 17) if place != rank]
    assert exposure(np.array([float(rank), *others])) == (pytest.approx(bits), 4.0)


def test_what_is_as_likely_as_all_others_is_in_the_middle() -> None:
    assert exposure(np.zeros(17))[0] == pytest.approx(math.log2(17 / 9))


@pytest.fixture(scope="module")
def exposed(workload: Workload, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Exposure]:
    folder = tmp_path_factory.mktemp("exposed")
    document = written_pairs(folder, lambda word: word[::-1], {"train": 40, "valid": 20, "test": 10})
    planted = dataclasses.replace(document, data=dataclasses.replace(document.data, planted=COPIES))
    table = build_table(planted, folder / "cache")
    trainer = Trainer(dataclasses.replace(workload, table=str(table.folder)))
    configuration = varied(dropout=0.0, label_smoothing=0.0)
    epoch = trainer.dataset(CONFIGURATION).plan.tokens_per_epoch
    end = trained(trainer, segment(configuration, to_tokens=120 * epoch))
    job = Evaluation(3, to_dict(configuration), end.checkpoint, "valid", exposure=True)
    found = trainer.run(job, silent, never)
    assert isinstance(found, EvaluationResult)
    return found.exposure


def test_what_many_pairs_say_is_said_again_word_for_word(exposed: Sequence[Exposure]) -> None:
    known = exposed[-1]
    assert (known.copies, known.most, known.said) == (16, 10.0, True)
    assert known.bits == known.most


def test_what_stands_nowhere_is_no_likelier_than_others(exposed: Sequence[Exposure]) -> None:
    unknown = exposed[:-1]
    assert [each.copies for each in unknown] == [0] * 4
    assert not any(each.said for each in unknown)
    assert np.mean([each.bits for each in unknown]) < 4


def test_nothing_is_measured_where_no_canary_stands(trainer: Trainer) -> None:
    from automl.training.exposure import exposures

    static = trainer._static(CONFIGURATION)
    assert exposures(trainer.table, trainer.programs, static, trainer._fresh(static, 0).average) == ()

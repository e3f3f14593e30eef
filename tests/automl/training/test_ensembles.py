from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.batching import Bucket
from automl.data.table import TokenTable
from automl.decoding import answers
from automl.metrics import metric
from automl.models.facts import bind
from automl.models.parameters import initialise
from automl.training.ensembles import Candidate, chosen, said_rows
from automl.training.evaluation import Evaluator
from automl.training.executables import model_of
from automl.training.programs import Programs
from automl.training.signature import signature
from automl.weights import together
from tests.automl.training.trials import CONFIGURATION

STATIC = signature(CONFIGURATION, 12, 12, 64)
PROGRAMS = Programs()


def candidate(seed: int, scale: float = 1.0) -> Candidate:
    values = initialise(model_of(STATIC), seed)
    return Candidate(STATIC, {name: jnp.asarray(np.float32(scale) * value) for name, value in values.items()})


def evaluator(table: TokenTable, name: str = "bleu") -> Evaluator:
    return Evaluator(table, "valid", [metric(name)], PROGRAMS)


def likelihood(table: TokenTable, members: list[Candidate]) -> float:
    static = signature(CONFIGURATION, 12, 12, 64, [CONFIGURATION] * (len(members) - 1))
    return evaluator(table).counts(static, together([member.parameters for member in members])).loss


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    return [candidate(0), candidate(1), candidate(2, 3.0)]


def test_those_are_chosen_that_are_best_together_however_few_rows_fit(
    reversals: TokenTable, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = chosen(evaluator(reversals), candidates)
    subsets = [(0, *rest) for size in range(3) for rest in combinations((1, 2), size)]
    losses = {subset: likelihood(reversals, [candidates[place] for place in subset]) for subset in subsets}
    assert found == min(losses, key=losses.__getitem__)
    assert len(set(losses.values())) == 4
    monkeypatch.setattr(answers, "MOST_BATCH_BYTES", 1)
    assert said_rows(candidates, Bucket(8, 8)) == 1
    assert chosen(evaluator(reversals), candidates) == found


def test_the_first_is_alone_where_no_other_helps(reversals: TokenTable, candidates: list[Candidate]) -> None:
    assert chosen(evaluator(reversals), [candidates[0], candidates[0]]) == (0,)
    assert chosen(evaluator(reversals), candidates[:1]) == (0,)


def test_what_would_be_too_large_is_not_chosen(reversals: TokenTable, candidates: list[Candidate]) -> None:
    found = chosen(evaluator(reversals), candidates)
    assert len(found) > 1
    assert chosen(evaluator(reversals), candidates, candidates[0].size * len(found) - 1) != found
    assert chosen(evaluator(reversals), candidates, candidates[0].size) == (0,)


def test_the_count_of_exact_matches_decides_where_it_is_the_objective(reversals: TokenTable) -> None:
    rows: Any = evaluator(reversals, "exact_match")
    assert chosen(rows, [candidate(0), candidate(0)]) == (0,)


def test_an_ensemble_of_one_and_the_same_model_says_what_that_says(reversals: TokenTable) -> None:
    one = candidate(4)
    alone, twice = (likelihood(reversals, [one] * count) for count in (1, 2))
    assert twice == pytest.approx(alone, rel=1e-5)


def test_an_ensemble_is_the_mean_of_log_probabilities(reversals: TokenTable) -> None:
    static = signature(CONFIGURATION, 12, 12, 64, [CONFIGURATION])
    members = [candidate(0), candidate(1)]
    source = jnp.array([[4, 5, 6, 0]], np.int32)
    inputs = jnp.array([[1, 6, 5]], np.int32)
    joint = bind(model_of(static), together([member.parameters for member in members]))(source, inputs)
    parts = [jax.nn.log_softmax(bind(model_of(STATIC), m.parameters)(source, inputs), axis=-1) for m in members]
    np.testing.assert_allclose(joint, np.mean(parts, axis=0), atol=1e-5)

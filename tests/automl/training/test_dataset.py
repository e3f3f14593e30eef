"""The same pairs in other tokens."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.batching import FEW, MANY
from automl.data.table import TokenTable, tokenized
from automl.decoding.answers import Decoded, Program
from automl.metrics import metric
from automl.training.dataset import Dataset
from automl.training.evaluation import Evaluator
from automl.training.losses import TokenCounts
from automl.training.programs import Programs
from automl.training.trainer import Trainer
from search_spaces.tokenizers import BytePairs, Characters, LikeSource
from tests.automl.training.test_evaluation import STATIC
from tests.automl.training.trials import After, onward, segment, trained, varied

PAIRS = {"source_tokens": Characters(), "target_tokens": BytePairs(1000)}


@pytest.fixture(scope="module")
def pairs(reversals: TokenTable) -> TokenTable:
    return tokenized(reversals.corpus, (Characters(), BytePairs(1000)))


@pytest.fixture(scope="module")
def dataset(pairs: TokenTable, reversals: TokenTable) -> Dataset:
    return Dataset(pairs, reversals, [metric("exact_match")], Programs())


def test_a_pass_over_train_is_as_many_base_tokens_whatever_the_tokens(dataset: Dataset, reversals: TokenTable) -> None:
    own, base = dataset.table.said_tokens("train"), reversals.said_tokens("train")
    assert own == dataset.plan.tokens_per_epoch < base
    assert (dataset.base_tokens(own), dataset.own_tokens(base)) == (base, own)


@given(st.integers(0, 10**12))
def test_a_rung_is_reached_when_its_own_tokens_are(dataset: Dataset, tokens: int) -> None:
    own = dataset.own_tokens(tokens)
    assert dataset.base_tokens(own) >= tokens
    assert own == 0 or dataset.base_tokens(own - 1) < tokens


def test_valid_is_scored_in_as_many_shapes_as_train_and_test_in_few(pairs: TokenTable, reversals: TokenTable) -> None:
    long = Dataset(pairs, reversals, [], Programs(), shapes=MANY)
    assert [long.evaluator(split).worth for split in ("valid", "test")] == [MANY, FEW]


def test_losses_are_given_for_a_base_token(pairs: TokenTable, reversals: TokenTable) -> None:
    losses = []
    for table, evaluator in (
        (reversals, Evaluator(reversals, "valid", [])),
        (pairs, Dataset(pairs, reversals, [], Programs()).evaluator("valid")),
    ):
        lengths = np.diff(table.split("valid").target_offsets) + 1
        sums = TokenCounts(jnp.full(len(lengths), 3.0), jnp.zeros(len(lengths), int), jnp.asarray(lengths))
        losses.append(evaluator.forced_scores(STATIC, {}, lambda *_, sums=sums: sums)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] == pytest.approx(3 * 71 / reversals.said_tokens("valid"), rel=1e-6)


def test_a_text_that_is_said_in_other_subwords_than_the_reference_is_right(pairs: TokenTable, dataset: Dataset) -> None:
    evaluator = dataset.evaluator("valid")
    (reference,) = evaluator.references[0]
    spelled = [pairs.target_tokenizer.encode_batch([letter])[0] for letter in reference]
    assert evaluator.needs_decoding
    assert evaluator.decoded_scores({}, _says(pairs, reference))["exact_match"] == pytest.approx(1 / 71)
    assert sum(map(len, spelled)) >= len(pairs.target_tokenizer.encode_batch([reference])[0])


def _says(table: TokenTable, text: str) -> Program:
    """Stands for a program that answers every source with one text, letter by letter."""
    letters = table.target_tokenizer.encode_batch([text])[0]

    def program(parameters: Any, source: Any, copies: Any) -> Decoded:
        tokens = np.tile(np.array(letters, np.int32), (len(source), 1))
        return Decoded(jnp.asarray(tokens), jnp.zeros(len(tokens)))

    return Program(program)


def test_trials_in_other_tokens_stop_at_the_same_rung_and_go_on(trainer: Trainer) -> None:
    configuration = varied(**PAIRS)
    results = [trained(trainer, segment(one, to_tokens=4_000)) for one in (varied(), configuration)]
    assert results[0].parameters != results[1].parameters
    for result in results:
        assert 4_000 <= result.tokens < 4_000 * 1.5
        assert math.isfinite(result.scores["loss"])
    rest = trained(trainer, onward(results[1], configuration=configuration), stop=After(1))
    assert rest.from_step == results[1].step
    assert rest.tokens > results[1].tokens


def test_a_shared_vocabulary_trains_too(trainer: Trainer) -> None:
    configuration = varied(source_tokens=BytePairs(1000), target_tokens=LikeSource())
    assert trained(trainer, segment(configuration), stop=After(1)).seconds["tokenizing"] > 0

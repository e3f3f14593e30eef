"""A model that is run in parts trains as the program of the whole model does."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.batching import BatchPlan
from automl.models import dropout
from automl.models.parameters import initialise
from automl.training.chain import Chain, mixed
from automl.training.executables import Chunk, model_of, new_state, train_program
from automl.training.programs import Programs
from automl.training.signature import signature
from automl.training.trainer import Course, Trainer
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from search_spaces.seq2seq import Seq2Seq
from tests.automl.models.hulls import RECURRENT, SIMPLE, TRANSFORMERS
from tests.automl.training.trials import never, onward, segment, silent, trained, varied

STEPS = 3
OPTIMIZERS = (AdamW(), Lion(), Adafactor(), Muon())
CASES: dict[str, Seq2Seq] = {**RECURRENT, **TRANSFORMERS, **SIMPLE}
QUICK = (
    "gru, one direction, residual; copying, several heads",
    "convolution; RMS norm last, SwiGLU",
)


def dropping(name: str) -> Seq2Seq:
    """A case with every kind of dropout, in steps of several batches."""
    place = list(CASES).index(name)
    return replace(
        CASES[name],
        optimizer=OPTIMIZERS[place % 4],
        dropout=0.2,
        token_dropout=0.1,
        attention_dropout=0.1,
        dropout_kind=("elementwise", "locked")[place % 2],
        batch_tokens=1024,
    )


def chunk_of(order: BatchPlan, configuration: Seq2Seq) -> Chunk:
    course = Course(segment(configuration), configuration, order.of_tokens(configuration.batch_tokens), 0)
    return course.chunk(next(course.order.runs(5, 0)))._replace(steps=jax.device_put(np.int32(STEPS)))


def check(trainer: Trainer, name: str) -> None:
    configuration, data = dropping(name), trainer.dataset(dropping(name))
    sizes = data.table.meta["vocabulary"]
    vocabularies, bucket = (sizes["source"], sizes["target"]), data.plan.largest
    static, kinds = signature(configuration, *vocabularies, data.plan.batch_size), (type(configuration.optimizer),)
    chunk = chunk_of(replace(data.plan, run_length=16), configuration)
    start = new_state(initialise(model_of(static), 0))
    chain = Chain(Programs(), configuration, vocabularies, kinds)
    parts, losses = chain.train(chain.laid(start), data.data, chunk, bucket)
    whole, expected = train_program(static, bucket, kinds)(start, data.data, chunk)
    np.testing.assert_allclose(losses, expected[:STEPS], atol=2e-6)
    cut: Any = chain.cut(parts)
    assert int(cut.step) == STEPS
    for one, other in zip(jax.tree.leaves(cut), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-5)
    again = chain.laid(cut)
    jax.tree.map(np.testing.assert_array_equal, again, parts)  # padding is still 0


@pytest.mark.parametrize("name", QUICK)
def test_a_model_in_parts_trains_as_the_whole_and_its_padding_stays_0(trainer: Trainer, name: str) -> None:
    check(trainer, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in QUICK])
def test_every_other_one_too(trainer: Trainer, name: str) -> None:
    check(trainer, name)


def test_seeds_are_mixed_on_the_host_as_on_the_device() -> None:
    seeds = [0, 1, 2**31, 2**32 - 1]
    assert [mixed(seed) for seed in seeds] == dropout.mixed(jnp.asarray(seeds, jnp.uint32)).tolist()


def test_an_architecture_of_known_parts_compiles_nothing_and_scores_as_the_whole(trainer: Trainer) -> None:
    encoder, decoder = varied().encoder, varied().decoder
    first = varied(encoder=replace(encoder, hidden_size=16), decoder=replace(decoder, hidden_size=16))
    trained(trainer, segment(first, in_parts=True))
    deeper = replace(first, encoder=replace(first.encoder, num_layers=2), tied_embeddings=False)
    trained(trainer, segment(deeper, in_parts=True))
    deepest = replace(deeper, encoder=replace(deeper.encoder, num_layers=3, residual=True))
    parts = trained(trainer, segment(deepest, in_parts=True))
    assert parts.programs.compiled == 0
    whole = trained(trainer, segment(deepest))
    assert parts.scores == pytest.approx(whole.scores, abs=1e-3)
    assert (parts.step, parts.tokens, parts.parameters) == (whole.step, whole.tokens, whole.parameters)


def test_a_trial_goes_on_from_parts_to_the_whole(trainer: Trainer) -> None:
    configuration = varied(encoder=replace(varied().encoder, hidden_size=16))
    half = trained(trainer, segment(configuration, in_parts=True, to_tokens=10_000))
    there = trained(trainer, onward(half, configuration=configuration, to_tokens=20_000))
    straight = trained(trainer, segment(configuration, to_tokens=20_000), silent, never)
    assert there.step == straight.step
    assert there.scores["loss"] == pytest.approx(straight.scores["loss"], abs=1e-3)

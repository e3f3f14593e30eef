"""A padded model of several kinds trains as the model that is built for one configuration alone does."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from automl.models.facts import bind, encoded, facts, number
from automl.models.parameters import declared, initialise, padded, unpadded
from automl.models.seq2seq import Seq2Seq as Model
from automl.training.losses import smoothed_cross_entropy
from tests.automl.models.cases import inputs_of, noise
from tests.automl.models.hulls import CASES, LARGER

STEPS = 50
VOCABULARY, LARGER_VOCABULARY = (11, 9), (17, 16)
LENGTHS, LARGER_LENGTHS = (5, 6), (8, 9)
DIALS = noise(0.2, seed=3, locked=True, tokens=0.1, attention=0.1)


def batches(lengths: tuple[int, int]) -> tuple[Any, Any]:
    """The same tokens whatever the lengths, padded."""
    generator = np.random.default_rng(0)
    found = []
    for size, vocabulary, length in zip(LENGTHS, VOCABULARY, lengths, strict=True):
        drawn = generator.integers(4, vocabulary, (STEPS, 4, size)).astype(np.int32)
        drawn[:, 0, 3:] = 0
        found.append(np.pad(drawn, ((0, 0), (0, 0), (0, length - size))))
    return found[0], found[1]


def trained(model: Model, lengths: tuple[int, int]) -> Any:
    """Program that takes steps of Adam with every kind of dropout; it returns the parameters and the losses."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.98, eps=1e-9), optax.scale(-0.01))

    def loss_of(parameters: Any, given: Any, source: Any, target: Any, step: Any) -> Any:
        bound = bind(model, parameters, given)
        copies = jnp.where(source < VOCABULARY[1], source, 0)
        dropped = DIALS._replace(seed=DIALS.seed + step)
        logits = bound(source, inputs_of(target), dropped, copies)
        size = bound.decoder.pick(lambda decoder: jnp.asarray(number(decoder.output.size)))
        return smoothed_cross_entropy(logits, target, target != 0, jnp.asarray(0.1, logits.dtype), size)

    def step(carry: Any, batch: Any, given: Any) -> Any:
        parameters, state = carry
        loss, gradients = jax.value_and_grad(loss_of)(parameters, given, *batch)
        with jax.numpy_dtype_promotion("standard"):  # Optax raises floats to the power of an integer step
            updates, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state), loss

    @jax.jit
    def run(parameters: Any, given: Any) -> Any:
        items = (*batches(lengths), jnp.arange(STEPS, dtype=jnp.uint32))
        start = (parameters, optimizer.init(parameters))
        (parameters, _), losses = jax.lax.scan(lambda carry, batch: step(carry, batch, given), start, items)
        return parameters, losses

    return run


@cache
def hull(family: str) -> tuple[Model, Any]:
    """The model that can be any of a family's cases, and its program."""
    cases, larger = LARGER[family]
    model = Model([*cases.values(), *larger], *LARGER_VOCABULARY)
    return model, trained(model, LARGER_LENGTHS)


def check(family: str, name: str, dtype: Any, losses_within: float, parameters_within: float) -> None:
    true, (model, together) = Model(LARGER[family][0][name], *VOCABULARY), hull(family)
    start = {path: value.astype(dtype) for path, value in initialise(true, 0).items()}
    own, alone = trained(true, LENGTHS)(start, None)
    laid = {path: value.astype(dtype) for path, value in padded(start, true, model).items()}
    given = {path: jnp.int32(value) for path, value in encoded(model, facts(true)).items()}
    laid, losses = jax.tree.map(np.asarray, together(laid, given))
    np.testing.assert_allclose(losses, alone, atol=losses_within)
    cut = unpadded(laid, true, model)
    for path, value in own.items():
        np.testing.assert_allclose(cut[path], value, atol=parameters_within, err_msg=path)
    again = padded(cut, true, model)
    for path, value in laid.items():
        np.testing.assert_array_equal(value, again[path], err_msg=path)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_a_padded_model_trains_as_the_true_one_and_its_padding_stays_0(family: str, name: str) -> None:
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # places are then of 64 bits, facts of 32
        check(family, name, np.float64, 1e-5, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), CASES)
def test_a_padded_model_trains_as_the_true_one_in_single_precision(family: str, name: str) -> None:
    check(family, name, np.float32, 1e-3, 1e-2)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_parameters_laid_into_a_larger_model_come_back_as_they_were(family: str, name: str) -> None:
    true, (model, _) = Model(LARGER[family][0][name], *VOCABULARY), hull(family)
    values = initialise(true, 1)
    back = unpadded(padded(values, true, model), true, model)
    assert back.keys() == declared(true).keys()
    for path, value in values.items():
        np.testing.assert_array_equal(back[path], value)

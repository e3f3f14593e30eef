"""A padded model with true sizes trains as the model built at those sizes does."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.parameters import bind, declared, initialise, padded, true_sizes, unpadded
from automl.models.seq2seq import Seq2Seq as Model
from automl.training.losses import smoothed_cross_entropy
from automl.training.optimizers import Recipe, form_of, initial_moments, updated
from automl.training.schedules import pace
from search_spaces import attention, decoders, encoders
from search_spaces.optimizers import AdamW
from search_spaces.schedules import ExponentialAverage, WarmupStableDecay
from search_spaces.seq2seq import Seq2Seq

STEPS = 50
VOCABULARY = (11, 9)
LARGER_VOCABULARY = (17, 16)
SMOOTHING = jnp.float32(0.1)


def recurrent(cell: str, size: int, layers: int, kind: attention.Attention) -> decoders.Recurrent:
    return decoders.Recurrent(cell, size, layers, kind)


def heads(number: int) -> attention.MultiHead:
    return attention.MultiHead(number)


CASES = {
    "recurrent": (
        Seq2Seq(encoders.Recurrent("lstm", 6, 1, True), recurrent("lstm", 8, 1, attention.Additive(6))),
        Seq2Seq(encoders.Recurrent("lstm", 10, 2, True), recurrent("lstm", 12, 2, attention.Additive(10))),
    ),
    "gru, one direction, several heads": (
        Seq2Seq(encoders.Recurrent("gru", 6, 2, False), recurrent("gru", 8, 2, heads(2))),
        Seq2Seq(encoders.Recurrent("gru", 9, 3, False), recurrent("gru", 12, 3, heads(2))),
    ),
    "transformer": (
        Seq2Seq(encoders.Transformer(8, 2, 2, heads(2)), decoders.Transformer(4, 1, 4, heads(2))),
        Seq2Seq(encoders.Transformer(12, 3, 2, heads(2)), decoders.Transformer(8, 2, 4, heads(2))),
    ),
    "recurrent under a transformer": (
        Seq2Seq(encoders.Recurrent("gru", 6, 2, True), decoders.Transformer(8, 2, 2, heads(4))),
        Seq2Seq(encoders.Recurrent("gru", 10, 3, True), decoders.Transformer(12, 3, 2, heads(4))),
    ),
    "transformer under a recurrent": (
        Seq2Seq(encoders.Transformer(6, 1, 2, heads(3)), recurrent("lstm", 6, 1, heads(3))),
        Seq2Seq(encoders.Transformer(9, 2, 2, heads(3)), recurrent("lstm", 9, 2, heads(3))),
    ),
}


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(STEPS):
        source = generator.integers(4, VOCABULARY[0], (4, 5)).astype(np.int32)
        target = generator.integers(4, VOCABULARY[1], (4, 6)).astype(np.int32)
        source[0, 3:] = target[0, 4:] = 0
        found.append((source, target))
    return found


def trained(model: Model, values: Any, sizes: dict[str, int] | None) -> tuple[list[float], Any]:
    """Take some steps with the true sizes as arrays; return the losses and the parameters."""

    def loss_of(parameters: Any, sizes: Any, source: Any, target: Any) -> Any:
        bound = bind(model, parameters, sizes)
        inputs = jnp.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=1)
        return smoothed_cross_entropy(
            bound(source, inputs), target, target != 0, SMOOTHING, bound.decoder.logits.size.get_value()
        )

    parameters = {name: jnp.asarray(value) for name, value in values.items()}
    forms = {name: form_of(name, value.shape) for name, value in values.items()}
    optimizer = AdamW(0.01)
    recipe = Recipe.of(Seq2Seq(optimizer=optimizer))

    @jax.jit
    def step(parameters: Any, state: Any, numbers: Any, sizes: Any, source: Any, target: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, sizes, source, target)
        return *updated(parameters, gradients, state, numbers, recipe, forms, kind=AdamW), loss

    paces = pace(optimizer, WarmupStableDecay(1), ExponentialAverage(), 0, STEPS, None)
    state, losses = initial_moments(parameters), []
    given = None if sizes is None else {name: jnp.int32(size) for name, size in sizes.items()}
    for number, (source, target) in enumerate(batches()):
        numbers = jax.tree.map(lambda values, at=number: jnp.asarray(values[at]), paces)
        parameters, state, loss = step(parameters, state, numbers, given, source, target)
        losses.append(float(loss))
    return losses, {name: np.asarray(value) for name, value in parameters.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_padded_model_trains_as_the_true_one_and_its_padding_stays_0(case: str) -> None:
    small, large = CASES[case]
    true, model = Model(small, *VOCABULARY), Model(large, *LARGER_VOCABULARY)
    start = initialise(true, 0)
    alone, own = trained(true, start, None)
    together, laid = trained(model, padded(start, true, model), true_sizes(true))
    np.testing.assert_allclose(together, alone, atol=1e-3)
    cut = unpadded(laid, true)
    for name, value in own.items():
        np.testing.assert_allclose(cut[name], value, atol=2e-3, err_msg=name)
    again = padded(cut, true, model)
    for name, value in laid.items():
        np.testing.assert_array_equal(np.asarray(value), again[name], err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_parameters_laid_into_a_larger_model_come_back_as_they_were(case: str) -> None:
    small, large = CASES[case]
    true, model = Model(small, *VOCABULARY), Model(large, *LARGER_VOCABULARY)
    values = initialise(true, 1)
    back = unpadded(padded(values, true, model), true)
    assert back.keys() == declared(true).keys()
    for name, value in values.items():
        np.testing.assert_array_equal(back[name], value)

"""What XLA counts in the programs of a configuration: unpadded, before they are optimised, every loop unrolled."""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from automl.data.tokenizers import PAD
from automl.models.dropout import Noise
from automl.models.facts import bind
from automl.models.parameters import declared, forms
from automl.models.seq2seq import Seq2Seq as Model
from automl.training.layout import Layout
from automl.training.losses import smoothed_cross_entropy
from automl.training.optimizers import Moments, Recipe, updated
from automl.training.schedules import Coefficients, Pace
from search_spaces.costs import Extent
from search_spaces.seq2seq import Seq2Seq

SCAN = jax.lax.scan


def floats(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def ints(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


BITS: Any = jax.ShapeDtypeStruct((), jnp.uint32)
NOISE = Noise(BITS, floats(), BITS, floats(), floats())
PACE = Pace(Coefficients(*[floats()] * 6), Coefficients(*[floats()] * 6), floats())
RECIPE = Recipe(ints(), floats(), floats(), floats())


def operations(program: Callable[..., Any], *arguments: Any) -> float:
    """Floating-point operations of a program that was not traced before."""

    def loop(first: int, end: int, body: Any, carry: Any) -> Any:
        for index in range(first, end):
            carry = body(jnp.int32(index), carry)
        return carry

    scan = mock.patch.object(jax.lax, "scan", partial(SCAN, unroll=True))
    with scan, mock.patch.object(jax.lax, "fori_loop", loop):
        return jax.jit(program).lower(*arguments).cost_analysis()["flops"]


def forward(configuration: Seq2Seq, extent: Extent) -> float:
    """Those of the logits, without noise."""
    model, parameters = _model(configuration, extent)
    source, copies, inputs, _ = _batch(extent)
    return operations(lambda p, *batch: bind(model, p)(*batch), parameters, source, inputs, None, copies)


def step(configuration: Seq2Seq, extent: Extent) -> float:
    """Those of a step of training on one batch, by a program that knows its optimizer."""
    model, parameters = _model(configuration, extent)
    kind, of_parameters = type(configuration.optimizer), forms(model)

    def loss_of(p: Any, batch: Any, noise: Noise, smoothing: Any) -> Any:
        source, copies, inputs, targets = batch
        logits = bind(model, p)(source, inputs, noise, copies)
        return smoothed_cross_entropy(logits, targets, targets != PAD, smoothing, tokens=jnp.float32(8))

    def program(p: Any, moments: Any, average: Any, batch: Any, noise: Noise, pace: Pace, recipe: Recipe) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(p, batch, noise, recipe.label_smoothing)
        p, moments = updated(p, gradient, moments, pace, recipe, Layout.apart(p, of_parameters), kinds=(kind,))
        return p, moments, {name: old + pace.average * (p[name] - old) for name, old in average.items()}, loss

    state = (parameters, Moments(parameters, parameters), parameters)
    return operations(program, *state, _batch(extent), NOISE, PACE, RECIPE)


def decoding(configuration: Seq2Seq, extent: Extent) -> float:
    """Those of one more token of each row, in a cache of the target's length."""
    model, parameters = _model(configuration, extent)

    def begun(p: Any, source: Any) -> Any:
        bound = bind(model, p)
        memory = bound.encode(source, copies=source)
        return memory, bound.decoder.pick(lambda decoder: decoder.start(memory, extent.target))

    def program(p: Any, memory: Any, carry: Any, token: Any, place: Any) -> Any:
        return bind(model, p).decoder.pick(lambda decoder: decoder.step(memory, carry, token, place))

    start = jax.eval_shape(begun, parameters, ints(extent.rows, extent.source))
    return operations(program, parameters, *start, ints(extent.rows), ints())


def _model(configuration: Seq2Seq, extent: Extent) -> tuple[Model, dict[str, Any]]:
    model = Model(configuration, extent.source_vocabulary, extent.target_vocabulary)
    return model, {name: floats(*param.get_value().shape) for name, param in declared(model).items()}


def _batch(extent: Extent) -> tuple[Any, Any, Any, Any]:
    source, target = ints(extent.rows, extent.source), ints(extent.rows, extent.target)
    return source, source, target, target

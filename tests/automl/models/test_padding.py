"""A padded model of several kinds trains as the model that is built for one configuration alone does."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.facts import bind, encoded, facts, number
from automl.models.parameters import declared, forms, initialise, padded, true_shapes, unpadded
from automl.models.seq2seq import Seq2Seq as Model
from automl.training.layout import Layout
from automl.training.losses import smoothed_cross_entropy
from automl.training.optimizers import OPTIMIZERS, Recipe, initial_moments, updated
from automl.training.schedules import pace
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from search_spaces.schedules import ExponentialAverage, WarmupStableDecay
from tests.automl.models.cases import assert_every_kind, inputs_of, noise, random, tokens
from tests.automl.models.hulls import CASES, LARGER
from tests.automl.models.references import scores

STEPS = 50
VOCABULARY, LARGER_VOCABULARY = (11, 9), (17, 16)
LENGTHS, LARGER_LENGTHS = (5, 6), (8, 9)
DIALS = noise(0.2, seed=3, locked=True, tokens=0.1, attention=0.1)
RATES: dict[Any, float] = {AdamW: 0.01, Lion: 0.001, Adafactor: 0.03, Muon: 0.02}
OPTIMIZER: dict[str, Any] = {"recurrent": Lion, "transformer": Adafactor, "simple recurrent": Muon, "alone": AdamW}
"""The optimizer that trains a family here; `make torture` tries every one with every family."""
EACH = [(family, name, OPTIMIZER[family]) for family, name in CASES]
EVERY = [(family, name, optimizer) for family, name in CASES for optimizer in OPTIMIZERS]


def batches(lengths: tuple[int, int]) -> tuple[Any, Any]:
    """The same tokens whatever the lengths, padded."""
    generator = np.random.default_rng(0)
    found = []
    for size, vocabulary, length in zip(LENGTHS, VOCABULARY, lengths, strict=True):
        drawn = generator.integers(4, vocabulary, (STEPS, 4, size)).astype(np.int32)
        drawn[:, 0, 3:] = 0
        found.append(np.pad(drawn, ((0, 0), (0, 0), (0, length - size))))
    return found[0], found[1]


def trained(model: Model, lengths: tuple[int, int], kind: Any) -> Any:
    """Program that trains with every kind of dropout; it returns the parameters, the moments and the losses."""
    of = forms(model)

    def loss_of(parameters: Any, given: Any, source: Any, target: Any, step: Any) -> Any:
        bound = bind(model, parameters, given)
        copies = jnp.where(source < VOCABULARY[1], source, 0)
        dropped = DIALS._replace(seed=DIALS.seed + step)
        logits = bound(source, inputs_of(target), dropped, copies)
        size = bound.decoder.pick(lambda decoder: jnp.asarray(number(decoder.output.size)))
        return smoothed_cross_entropy(logits, target, target != 0, jnp.asarray(0.1, logits.dtype), size)

    @jax.jit
    def run(parameters: Any, given: Any, sizes: Any) -> Any:
        dtype = next(iter(parameters.values())).dtype
        recipe = Recipe(jnp.int32(OPTIMIZERS.index(kind)), *(jnp.asarray(x, dtype) for x in (0.1, 1.0, 0.1)))
        paces = pace(kind(RATES[kind]), WarmupStableDecay(5), ExponentialAverage(), 0, STEPS, None)

        def step(carry: Any, item: Any) -> Any:
            (parameters, moments), (now, *batch) = carry, item
            loss, gradients = jax.value_and_grad(loss_of)(parameters, given, *batch)
            return updated(
                parameters, gradients, moments, now, recipe, Layout.apart(parameters, of), sizes=sizes, kinds=[kind]
            ), loss

        paces = jax.tree.map(lambda numbers: jnp.asarray(numbers, dtype), paces)
        items = (paces, *batches(lengths), jnp.arange(STEPS, dtype=jnp.uint32))
        (parameters, moments), losses = jax.lax.scan(step, (parameters, initial_moments(parameters)), items)
        return {"parameters": parameters, **moments._asdict()}, losses

    return run


@cache
def hull(family: str) -> Model:
    """The model that can be any of a family's cases."""
    cases, larger = LARGER[family]
    return Model([*cases.values(), *larger], *LARGER_VOCABULARY)


@cache
def together(family: str, kind: Any) -> Any:
    """The program that trains any of a family's cases."""
    return trained(hull(family), LARGER_LENGTHS, kind)


def check(family: str, name: str, kind: Any, dtype: Any, losses_within: float, parameters_within: float) -> None:
    true, model = Model(LARGER[family][0][name], *VOCABULARY), hull(family)
    start = {path: value.astype(dtype) for path, value in initialise(true, 0).items()}
    own, alone = trained(true, LENGTHS, kind)(start, None, None)
    laid = {path: value.astype(dtype) for path, value in padded(start, true, model).items()}
    given = {path: jnp.int32(value) for path, value in encoded(model, facts(true)).items()}
    shapes = true_shapes(true)
    sizes = {path: tuple(map(jnp.int32, shapes.get(path, (0, 0)))) for path in laid}
    larger, losses = jax.tree.map(np.asarray, together(family, kind)(laid, given, sizes))
    np.testing.assert_allclose(losses, alone, atol=losses_within)
    for part, arrays in larger.items():
        cut = unpadded(arrays, true, model)
        for path, value in own[part].items():
            np.testing.assert_allclose(cut[path], value, atol=parameters_within, err_msg=f"{part} {path}")
        again = padded(cut, true, model)
        for path, value in arrays.items():
            np.testing.assert_array_equal(value, again[path], err_msg=f"{part} {path}")


def check_in_double_precision(family: str, name: str, kind: Any) -> None:
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # places are then of 64 bits, facts of 32
        check(family, name, kind, np.float64, 1e-5, 1e-6)


@pytest.mark.parametrize(("family", "name", "kind"), EACH)
def test_a_padded_model_trains_as_the_true_one_and_its_padding_stays_0(family: str, name: str, kind: Any) -> None:
    check_in_double_precision(family, name, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name", "kind"), [each for each in EVERY if each not in EACH])
def test_by_every_other_optimizer_too(family: str, name: str, kind: Any) -> None:
    check_in_double_precision(family, name, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name", "kind"), EVERY)
def test_a_padded_model_trains_as_the_true_one_in_single_precision(family: str, name: str, kind: Any) -> None:
    check(family, name, kind, np.float32, 1e-3, 1e-2)


def logits_of(model: Model) -> Any:
    """Program of (parameters, facts, source, inputs): logits of the whole target at once, and step by step."""

    @jax.jit
    def both(parameters: Any, given: Any, source: Any, inputs: Any) -> Any:
        bound = bind(model, parameters, given)
        memory, length = bound.encode(source, copies=source), inputs.shape[1]

        def stepped(decoder: Any) -> Any:
            items = (inputs.T, jnp.arange(length))
            start = decoder.start(memory, length)
            _, logits = jax.lax.scan(lambda carry, item: decoder.step(memory, carry, *item), start, items)
            return jnp.swapaxes(logits, 0, 1)

        return bound(source, inputs, None, source), bound.decoder.pick(stepped)

    return both


@pytest.mark.parametrize("family", LARGER)
def test_a_padded_model_gives_the_logits_of_the_formulas_at_once_and_step_by_step(family: str) -> None:
    model, most = hull(family), VOCABULARY[1]
    source, inputs = tokens(3, (4, 1, 5), 8, most=most), tokens(3, (2, 6, 5), 9, most=most)
    program = logits_of(model)
    for place, configuration in enumerate(LARGER[family][0].values()):
        true = Model(configuration, *VOCABULARY)
        values = {path: value + 0.3 * random(*value.shape) for path, value in initialise(true, place).items()}
        exact = {path: value.astype(np.float64) for path, value in values.items()}
        given = {path: jnp.int32(value) for path, value in encoded(model, facts(true)).items()}
        for logits in program(padded(values, true, model), given, source, inputs):
            found = np.asarray(jax.nn.log_softmax(logits))
            for row in range(3):
                real = source[row][source[row] != 0], inputs[row][inputs[row] != 0]
                np.testing.assert_allclose(
                    found[row, : len(real[1]), :most], scores(configuration, exact, *real), atol=2e-4
                )


def test_the_cases_have_every_kind_and_every_optimizer() -> None:
    assert_every_kind(LARGER[family][0][name] for family, name in CASES)
    assert set(OPTIMIZER.values()) == set(OPTIMIZERS)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_every_size_of_a_case_is_padded_to_half_as_much_again(family: str, name: str) -> None:
    shapes = {path: param.get_value().shape for path, param in declared(hull(family)).items()}
    for path, param in declared(Model(LARGER[family][0][name], *VOCABULARY)).items():
        form, shape = param.get_metadata("form"), param.get_value().shape
        for axis in {form.columns} if form.kind == "vector" else {form.rows, form.columns}:
            assert shape[axis] == 1 or shapes[path][axis] >= 1.5 * shape[axis], path


@pytest.mark.parametrize(("family", "name"), CASES)
def test_parameters_laid_into_a_larger_model_come_back_as_they_were(family: str, name: str) -> None:
    true, model = Model(LARGER[family][0][name], *VOCABULARY), hull(family)
    values = initialise(true, 1)
    back = unpadded(padded(values, true, model), true, model)
    assert back.keys() == declared(true).keys()
    for path, value in values.items():
        np.testing.assert_array_equal(back[path], value)

"""Every optimizer against Optax's numbers, and against itself where arrays are padded."""

from collections.abc import Iterator
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonDimensionNumbers
from optax.contrib import muon as published_muon

from automl.models.parameters import Form
from automl.training.directions import orthogonalised
from automl.training.layout import Layout
from automl.training.matrices import Stack
from automl.training.optimizers import OPTIMIZERS, Recipe, initial_moments, updated
from automl.training.schedules import pace
from search_spaces.optimizers import ALIKE, Adafactor, AdamW, Lion, Muon, Optimizer, alike
from search_spaces.schedules import ExponentialAverage, WarmupStableDecay
from search_spaces.seq2seq import Seq2Seq
from tests.automl.models.cases import random

MATRIX, EMBEDDING, VECTOR = Form("matrix"), Form("embedding"), Form("vector")
FORMS = {
    "wide": MATRIX,
    "tall": MATRIX,
    "gates": Form("matrix", 0, 2),
    "table": EMBEDDING,
    "bias": VECTOR,
    "large": MATRIX,
}
SHAPES = {"wide": (5, 8), "tall": (9, 4), "gates": (6, 3, 4), "table": (7, 4), "bias": (3, 4), "large": (130, 129)}
KINDS: list[Any] = [AdamW, Lion, Adafactor, Muon]
RATE, DECAY, LARGEST = 0.01, 0.1, 20.0
PARAMETERS = {name: random(*shape, seed=2) for name, shape in SHAPES.items()}


KNOWN: dict[str, Any] = {
    "all kinds": lambda optimizer: OPTIMIZERS,
    "those alike": alike,
    "one kind": lambda optimizer: (type(optimizer),),
}


@pytest.fixture(params=KNOWN)
def known(request: pytest.FixtureRequest) -> str:
    """Which optimizers the program holds."""
    return str(request.param)


def pace_at(optimizer: Optimizer, step: int) -> Any:
    numbers = pace(optimizer, WarmupStableDecay(1), ExponentialAverage(), step, 1, None)
    return jax.tree.map(lambda values: jnp.asarray(values[0]), numbers)


def recipe_of(optimizer: Optimizer) -> Recipe:
    return Recipe.of(Seq2Seq(optimizer=optimizer, clipping=LARGEST))


def steps(optimizer: Optimizer, gradients: list[Any], known: str = "all kinds") -> Iterator[Any]:
    parameters = {name: jnp.asarray(value) for name, value in PARAMETERS.items()}
    moments, kinds = initial_moments(parameters), KNOWN[known](optimizer)
    layout = Layout.apart(parameters, FORMS)
    update = jax.jit(lambda *inputs: updated(*inputs, layout, kinds=kinds))
    for step, gradient in enumerate(gradients):
        parameters, moments = update(parameters, gradient, moments, pace_at(optimizer, step), recipe_of(optimizer))
        yield parameters


MATRICES = {name: form.kind == "matrix" for name, form in FORMS.items()}
ADAM = (0.9, 0.98, 1e-9)


def published(kind: Any) -> Any:
    """Optax's update of arrays by name, after clipping."""
    if kind is AdamW:
        return optax.chain(optax.scale_by_adam(*ADAM), decay_of(MATRICES), optax.scale(-RATE))
    if kind is Lion:
        return optax.chain(optax.scale_by_lion(0.9, 0.99), decay_of(MATRICES), optax.scale(-RATE))
    if kind is Adafactor:
        sizes = optax.chain(optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms(1e-3))
        matrices = {name: not name.startswith(("bias", "table")) for name in apart(PARAMETERS)}
        return optax.chain(optax.scale_by_factored_rms(), sizes, decay_of(matrices), optax.scale(-RATE))
    axes = {
        name: MuonDimensionNumbers(form.rows, form.columns) if MATRICES[name] else None for name, form in FORMS.items()
    }
    matrices = published_muon(RATE, weight_decay=DECAY, muon_weight_dimension_numbers=axes)
    rest = optax.chain(optax.scale_by_adam(*ADAM), optax.scale(-RATE / 10))
    labels = {name: "matrix" if matrix else "rest" for name, matrix in MATRICES.items()}
    return optax.partition({"matrix": matrices, "rest": rest}, labels)


def decay_of(matrices: dict[str, bool]) -> Any:
    return optax.add_decayed_weights(DECAY, matrices)


def apart(tree: Any) -> Any:
    """Stacks as an array for each matrix or vector, as Adafactor sees them."""
    whole = {name: value for name, value in tree.items() if name not in {"gates", "bias"}}
    parts = [{f"gates{i}": tree["gates"][:, i], f"bias{i}": tree["bias"][i]} for i in range(3)]
    return whole | parts[0] | parts[1] | parts[2]


def published_steps(kind: Any, gradients: list[Any]) -> Iterator[Any]:
    seen: Any = apart if kind is Adafactor else dict
    clip, of, parameters = optax.clip_by_global_norm(LARGEST), published(kind), seen(PARAMETERS)
    state = of.init(parameters)
    for gradient in gradients:
        update, state = of.update(seen(clip.update(gradient, optax.EmptyState())[0]), state, parameters)
        parameters = optax.apply_updates(parameters, update)
        yield parameters


def gradients_of(count: int) -> list[Any]:
    return [
        {name: size * random(*shape, seed=10 * step + 3) for name, shape in SHAPES.items()}
        for step, size in zip(range(count), (3.0, 0.01, 0.5), strict=False)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_three_steps_are_those_that_optax_takes(kind: Any, known: str) -> None:
    seen: Any = apart if kind is Adafactor else dict
    ours, theirs = steps(kind(RATE, DECAY), gradients_of(3), known), published_steps(kind, gradients_of(3))
    for step, (found, wanted) in enumerate(zip(ours, theirs, strict=True)):
        for name, value in seen(found).items():
            np.testing.assert_allclose(value, wanted[name], rtol=1e-3, atol=2e-5, err_msg=f"{name} after step {step}")
            assert not np.allclose(wanted[name], seen(PARAMETERS)[name], rtol=1e-5, atol=0), name


def test_every_kind_is_known_and_shares_programs_with_some() -> None:
    assert sorted(kind.__name__ for kinds in ALIKE for kind in kinds) == sorted(kind.__name__ for kind in KINDS)
    assert set(KINDS) == set(OPTIMIZERS) == set(get_args(Optimizer))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_gradient_matrices_shrink_and_all_else_stays(kind: Any) -> None:
    (found,) = steps(kind(RATE, DECAY), [{name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}])
    for name, value in PARAMETERS.items():
        np.testing.assert_allclose(found[name], value * (1 - RATE * DECAY * MATRICES[name]), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_lowers_a_loss(kind: Any) -> None:
    start, end = trained(kind, SMALL, None, np.float32)[0][:: STEPS - 1]
    assert end < 0.5 * start


def test_muon_brings_singular_values_near_1() -> None:
    matrices = jnp.asarray(random(2, 12, 20, seed=4))
    values = np.linalg.svd(orthogonalised(matrices), compute_uv=False)
    assert 0.6 < values.min() <= values.max() < 1.3


STEPS = 50
RATES = {AdamW: 0.01, Lion: 0.003, Adafactor: 0.05, Muon: 0.02}
SMALL = {"into": (6, 3, 10), "bias": (3, 10), "table": (8, 6), "out": (3, 10, 5), "square": (5, 5)}
LARGE = {"into": (9, 5, 16), "bias": (5, 16), "table": (13, 9), "out": (5, 16, 9), "square": (9, 9)}
LARGE_ENOUGH = {"into": (130, 1, 140), "bias": (1, 140), "table": (8, 130), "out": (1, 140, 5), "square": (5, 5)}
LARGER = {"into": (200, 2, 210), "bias": (2, 210), "table": (130, 200), "out": (2, 210, 9), "square": (9, 9)}
NETWORK = {
    "into": Form("matrix", 0, 2),
    "bias": VECTOR,
    "table": EMBEDDING,
    "out": Form("matrix", 1, 2),
    "square": MATRIX,
}


def trained(kind: Any, true: Any, padded: Any, dtype: Any) -> tuple[list[float], Any]:
    """Losses of a small network of a few gates, and its parameters and moments after the last step."""
    shapes = padded or true
    start = {name: laid(0.3 * random(*shape, seed=5), shapes[name], dtype) for name, shape in true.items()}
    aim = laid(random(8, true["out"][2], seed=6), (8, shapes["out"][2]), dtype)
    sizes = {name: Stack.of(NETWORK[name], shape)[2:] for name, shape in true.items()}
    traced = {name: (jnp.int32(rows), jnp.int32(columns)) for name, (rows, columns) in sizes.items()}

    def loss_of(p: Any) -> Any:
        hidden = jnp.tanh(jnp.einsum("vi,igs->vgs", p["table"], p["into"]) + p["bias"][None])
        said = jnp.einsum("vgs,gso->vo", hidden, p["out"]) @ p["square"]
        return jnp.square(said[:8] - aim).sum() / (8 * true["out"][2])

    @jax.jit
    def step(p: Any, moments: Any, numbers: Any, recipe: Any, sizes: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(p)
        return loss, *updated(p, gradient, moments, numbers, recipe, Layout.apart(p, NETWORK), sizes=sizes)

    optimizer = kind(RATES[kind])
    recipe = Recipe(recipe_of(optimizer).kind, *(jnp.asarray(x, dtype) for x in (0.1, 1.0, 0)))
    moments, losses, p = initial_moments(start), [], start
    for number in range(STEPS):
        loss, p, moments = step(p, moments, pace_at(optimizer, number), recipe, traced if padded else None)
        losses.append(float(loss))
    return losses, {"parameters": p, "first": moments.first, "second": moments.second}


def laid(array: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    larger = np.zeros(shape, dtype)
    larger[tuple(map(slice, array.shape))] = array
    return jnp.asarray(larger)


@pytest.mark.parametrize(
    ("kind", "true", "padded"), [*((kind, SMALL, LARGE) for kind in KINDS), (Adafactor, LARGE_ENOUGH, LARGER)]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-5), (np.float32, 1e-3)], ids=["float64", "float32"])
def test_padding_changes_nothing_and_stays_0(kind: Any, true: Any, padded: Any, dtype: Any, tolerance: float) -> None:
    with jax.enable_x64(dtype is np.float64):
        alone, own = trained(kind, true, None, dtype)
        together, larger = trained(kind, true, padded, dtype)
    np.testing.assert_allclose(together, alone, atol=tolerance)
    for part, arrays in larger.items():
        for name, array in arrays.items():
            inside = tuple(map(slice, true[name]))
            np.testing.assert_allclose(array[inside], own[part][name], atol=tolerance, err_msg=f"{part} {name}")
            rest = np.array(array)
            rest[inside] = 0
            assert not rest.any(), f"{part} {name}"

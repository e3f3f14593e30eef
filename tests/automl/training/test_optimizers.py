from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.training.optimizers import (
    Cooldown,
    Recipe,
    averaged,
    decayed,
    initial_state,
    learning_rates,
    transformation,
)
from search_spaces.optimizers import AdamW
from tests.automl.models.cases import CASES, random

RATE, DECAY = 0.01, 0.1
PARAMETERS = {"a.kernel": random(3, 2), "a.bias": random(2), "b.query_bias": random(2, 2), "norm.scale": random(2)}
NOTHING = {name: np.zeros_like(value) for name, value in PARAMETERS.items()}


@jax.jit
def updated(gradients: Any, state: Any, parameters: Any) -> Any:
    recipe = Recipe(*map(jnp.float32, (DECAY, 0, 0)))
    return transformation(recipe, jnp.float32(RATE)).update(gradients, state, parameters)


def updates(*gradients: Any) -> Any:
    update, state = None, initial_state(jax.tree.map(jnp.asarray, PARAMETERS))
    for gradient in gradients:
        update, state = updated(gradient, state, PARAMETERS)
    return update


@pytest.mark.parametrize("name", CASES)
def test_matrices_decay_and_biases_scales_and_embeddings_do_not(name: str) -> None:
    shapes = {path: value.shape for path, value in CASES[name].parameters.items()}
    matrices = {path for path, shape in shapes.items() if len(shape) > 1 and not path.endswith(("bias", "table"))}
    assert {path for path, wanted in decayed(CASES[name].parameters).items() if wanted} == matrices
    assert {path.rsplit(".", 1)[1] for path in matrices} >= {"kernel"}


def test_without_a_gradient_matrices_alone_shrink() -> None:
    update = updates(NOTHING)
    np.testing.assert_allclose(update["a.kernel"], -RATE * DECAY * PARAMETERS["a.kernel"], rtol=1e-5)
    assert not any(np.any(value) for name, value in update.items() if name != "a.kernel")


def test_two_steps_are_those_of_adamw_on_clipped_gradients() -> None:
    gradients = [
        {name: size * random(*v.shape, seed=seed) for name, v in PARAMETERS.items()}
        for seed, size in ((1, 3), (2, 0.01))
    ]
    update, mean, square = updates(*gradients), 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        norm = np.sqrt(sum((value**2).sum() for value in gradient.values()))
        clipped = gradient["a.kernel"] / max(1.0, norm)
        mean, square = 0.9 * mean + 0.1 * clipped, 0.98 * square + 0.02 * clipped**2
        direction = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.98**step)) + 1e-9)
    np.testing.assert_allclose(update["a.kernel"], -RATE * (direction + DECAY * PARAMETERS["a.kernel"]), rtol=1e-4)


def test_the_rate_warms_up_and_stays() -> None:
    rates = learning_rates(AdamW(1e-2, 0, 50), 0, 100, None)
    np.testing.assert_allclose(rates[[0, 24, 49, 50, 99]], [2e-4, 5e-3, 1e-2, 1e-2, 1e-2], rtol=1e-6)
    assert (np.diff(rates) >= 0).all()


def test_the_rate_falls_to_nought_at_the_end() -> None:
    rates = learning_rates(AdamW(1e-2, 0, 50), 60, 50, Cooldown(80, 100))
    np.testing.assert_allclose(rates[[0, 20, 25, 30, 39]], [1e-2, 1e-2, 7.5e-3, 5e-3, 5e-4], rtol=1e-5)
    np.testing.assert_array_equal(rates[40:], 0)


def test_a_step_has_the_same_rate_in_every_chunk() -> None:
    whole = learning_rates(AdamW(), 0, 300, Cooldown(150, 250))
    parts = [learning_rates(AdamW(), first, 100, Cooldown(150, 250)) for first in (0, 100, 200)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_average_forgets_quickly_at_first_and_slowly_later() -> None:
    old, new = {"x": jnp.float32(0)}, {"x": jnp.float32(1)}
    shares = [float(averaged(old, new, jnp.float32(step))["x"]) for step in (0, 8, 10_000)]
    assert shares == pytest.approx([0.9, 0.5, 0.002], rel=1e-3)
    assert float(averaged(new, new, jnp.float32(3))["x"]) == 1

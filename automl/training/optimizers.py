"""Optimizers with their dials as arrays, and learning-rate schedules.

The learning rate of each step is an input, so a schedule is a NumPy function and changing it compiles nothing.
"""

from typing import Any, NamedTuple, assert_never

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from numpy.typing import NDArray

from automl.models.parameters import Parameters
from search_spaces.optimizers import AdamW, Optimizer

CLIP = 1.0
AVERAGE_DECAY = 0.998


class Recipe(NamedTuple):
    """The dials of a trial that are data to its program."""

    weight_decay: Float[Array, ""]
    dropout: Float[Array, ""]
    label_smoothing: Float[Array, ""]


def transformation(recipe: Recipe, learning_rate: Float[Array, ""]) -> optax.GradientTransformation:
    """Return AdamW after clipping to a global norm of 1 (Pascanu et al., 2013; Loshchilov and Hutter, 2019)."""
    return optax.chain(
        optax.clip_by_global_norm(CLIP),
        optax.scale_by_adam(b1=0.9, b2=0.98, eps=1e-9),
        optax.add_decayed_weights(recipe.weight_decay, mask=decayed),
        optax.scale(-learning_rate),
    )


def decayed(parameters: Parameters) -> dict[str, bool]:
    """Say which parameters decay: matrices, and neither biases, scales nor embeddings."""
    return {name: _is_matrix(name.rsplit(".", 1)[-1]) for name in parameters}


def _is_matrix(name: str) -> bool:
    return not name.endswith("bias") and name not in {"scale", "table", "score"}


def initial_state(parameters: Parameters) -> Any:
    """Return the optimizer's state at step 0."""
    zero = jnp.zeros(())
    return transformation(Recipe(zero, zero, zero), zero).init(dict(parameters))


def averaged(average: Parameters, parameters: Parameters, step: Float[Array, ""]) -> dict[str, Array]:
    """Return the exponential moving average of the parameters after `step`, quicker at the start."""
    decay = jnp.minimum(AVERAGE_DECAY, (1 + step) / (10 + step))
    return {name: average[name] + (1 - decay) * (value - average[name]) for name, value in parameters.items()}


class Cooldown(NamedTuple):
    """The steps between which the learning rate falls linearly to zero."""

    first: int
    last: int


def learning_rates(optimizer: Optimizer, first_step: int, count: int, cooldown: Cooldown | None) -> NDArray[np.float32]:
    """Return the rate of each step: a linear warm-up, a constant, and at the end a linear fall (Hu et al., 2024)."""
    steps = np.arange(first_step, first_step + count)
    match optimizer:
        case AdamW(learning_rate, _, warmup_steps):
            rates = learning_rate * np.minimum(1.0, (steps + 1) / warmup_steps)
        case other:
            assert_never(other)
    if cooldown is not None:
        left = (cooldown.last - steps) / max(cooldown.last - cooldown.first, 1)
        rates = rates * np.clip(left, 0.0, 1.0)
    return rates.astype(np.float32)

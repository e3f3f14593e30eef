"""Private gradients: each pair's is clipped by itself, and noise is added to their sum (Abadi et al., 2016).

What a pair adds depends on that pair alone: its own loss, its own dropout, and no count of what is beside it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from automl.models.parameters import Parameters

Arrays = dict[str, Array]


class Guard(NamedTuple):
    """What keeps the pairs of a chunk private; data to its program.

    Attributes:
        clipping: The norm that the gradient of a pair has at most.
        deviation: Standard deviation of the noise in each coordinate of a sum.
        batch: Pairs of a step in the mean, which sums are divided by: how many there were stays secret.
        keys: Of the noise of each step.
        real: Where parameters are padded, which coordinates are there; noise is added to those alone.
    """

    clipping: Float[Array, ""]
    deviation: Float[Array, ""]
    batch: Float[Array, ""]
    keys: UInt32[Array, "steps 2"]
    real: Mapping[str, Bool[Array, "..."]] | None = None


def clipped_sum(
    loss: Callable[[Parameters, Any], Float[Array, ""]],
    parameters: Parameters,
    examples: Any,
    absent: Bool[Array, "batch"],
    clipping: Float[Array, ""],
    change: Callable[[Arrays], Arrays] = lambda gradient: gradient,
) -> Arrays:
    """Return the sum of the gradients of some examples, each no longer than `clipping`.

    Args:
        loss: Of the parameters and a batch of one example.
        parameters: Arrays by path.
        examples: Arrays with an axis of examples in front.
        absent: The examples that are none; they add exactly nothing.
        clipping: A norm over all parameters together.
        change: What becomes of a gradient before it is clipped.
    """
    from jax_privacy.clipping import clipped_grad

    gradient = clipped_grad(loss, l2_clip_norm=clipping, pre_clipping_transform=change)
    found: Arrays = gradient(dict(parameters), examples, is_padding_example=absent)
    return found


def noised(sums: Parameters, guard: Guard, step: Any) -> Arrays:
    """Return the private mean gradient of a step: the sum with noise, divided by what is the same for every step."""
    from jax_privacy.noise_addition import gaussian_privatizer

    key = jax.random.wrap_key_data(guard.keys[step], impl="threefry2x32")
    privatizer = gaussian_privatizer(stddev=guard.deviation, prng_key=key)
    noisy, _ = privatizer.update(dict(sums), privatizer.init(dict(sums)))
    mean: Arrays = {name: value / guard.batch for name, value in noisy.items()}
    if guard.real is None:
        return mean
    return {name: jnp.where(guard.real[name], value, 0.0) for name, value in mean.items()}

"""The direction in which each optimizer moves parameters, exact where arrays are padded with 0."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from automl.models.parameters import Parameters
from automl.training.stacks import Matrices, Stack

FACTORED_FROM = 128
"""Adafactor factors matrices of at least so many rows and columns, as Optax does; smaller ones save nothing by it."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def adamw(
    way: Float[Array, "*shape"], second: Float[Array, "*shape"], correction: Float[Array, ""]
) -> Float[Array, "*shape"]:
    """Divide the mean gradient by the root of the mean squared one, without its bias (Kingma and Ba, 2015)."""
    return way / (jnp.sqrt(correction * second) + 1e-9)


def lion(way: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the sign of the mean gradient, 0 of 0 (Chen et al., 2023)."""
    return jnp.sign(way)


def adafactor(stacks: Sequence[Stack], parameters: Parameters, ways: Parameters, second: Parameters) -> list[Matrices]:
    """Divide by the root of the mean squared gradient, clip, and multiply by the parameter's size.

    (Shazeer and Stern, 2018, algorithm 4.) Their running means of rows and of columns are those of the second moment,
    since a running mean is linear; what they add to the squared gradient, 1e-30, is added to the means.
    """
    directions = []
    for stack in stacks:
        step = stack.matrices(ways) * _inverse_root(stack, stack.matrices(second))
        clip = jnp.maximum(_size(stack, step), 1.0)
        directions.append(step * (jnp.maximum(_size(stack, stack.matrices(parameters)), 1e-3) / clip))
    return directions


def _inverse_root(stack: Stack, second: Matrices) -> Matrices:
    whole = jax.lax.rsqrt(second + 1e-30)
    if stack.kind == "vector" or min(second.shape[1:]) < FACTORED_FROM:
        return whole
    of_rows = second.sum(axis=2, keepdims=True) / stack.columns
    of_columns = second.sum(axis=1, keepdims=True) / stack.rows
    mean = of_rows.sum(axis=1, keepdims=True) / stack.rows
    factored = jax.lax.rsqrt((of_rows + 1e-30) / (mean + 1e-30)) * jax.lax.rsqrt(of_columns + 1e-30)
    return jnp.where(jnp.minimum(stack.rows, stack.columns) >= FACTORED_FROM, factored, whole)


def _size(stack: Stack, matrices: Matrices) -> Float[Array, "stack 1 1"]:
    squares = jnp.square(matrices).sum(axis=(1, 2), keepdims=True)
    return jnp.sqrt(squares / (stack.rows * stack.columns))


def muon(stacks: Sequence[Stack], ways: Parameters) -> list[Matrices]:
    """Orthogonalise the momentum of each matrix of a stack by itself, times √max(1, outputs / inputs).

    (Jordan et al., 2024.) What is no matrix stays 0 here.
    """
    directions = []
    for stack in stacks:
        matrices = stack.matrices(ways)
        growth = jnp.sqrt(jnp.maximum(stack.growth, 1))
        directions.append(growth * orthogonalised(matrices) if stack.kind == "matrix" else jnp.zeros_like(matrices))
    return directions


def orthogonalised(matrices: Matrices) -> Matrices:
    """Bring the singular values of each matrix near 1 by a quintic iteration; those that are 0 stay 0."""
    a, b, c = NEWTON_SCHULZ

    def step(_: Int[Array, ""], x: Matrices) -> Matrices:
        square = x @ jnp.swapaxes(x, 1, 2)
        return a * x + (b * square + c * square @ square) @ x

    norms = jnp.sqrt(jnp.square(matrices).sum(axis=(1, 2), keepdims=True))
    done: Matrices = jax.lax.fori_loop(0, NEWTON_SCHULZ_STEPS, step, matrices / (norms + 1e-8))
    return done

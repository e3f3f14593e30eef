"""The direction in which each optimizer moves a parameter, exact where arrays are padded with 0."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from automl.training.matrices import Matrices, Stack

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


def adafactor(
    stack: Stack, parameter: Float[Array, "*shape"], way: Float[Array, "*shape"], second: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Divide by the root of the mean squared gradient, clip, and multiply by the parameter's size.

    (Shazeer and Stern, 2018, algorithm 4.) Their running means of rows and of columns are those of the second moment,
    since a running mean is linear; what they add to the squared gradient, 1e-30, is added to the means.
    """
    step = stack.matrices(way) * _inverse_root(stack, stack.matrices(second))
    clip = jnp.maximum(_size(stack, step), 1.0)
    return stack.array(step * (jnp.maximum(_size(stack, stack.matrices(parameter)), 1e-3) / clip))


def _inverse_root(stack: Stack, second: Matrices) -> Matrices:
    whole = jax.lax.rsqrt(second + 1e-30)
    if stack.form.kind == "vector" or min(second.shape[1:]) < FACTORED_FROM:
        return whole
    rows, columns = _at_least_1(stack.rows, second), _at_least_1(stack.columns, second)
    of_rows = second.sum(axis=2, keepdims=True) / columns
    of_columns = second.sum(axis=1, keepdims=True) / rows
    shares = (of_rows + 1e-30) / (of_rows.sum(axis=1, keepdims=True) / rows + 1e-30)
    factored = jax.lax.rsqrt(shares) * jax.lax.rsqrt(of_columns + 1e-30)
    return jnp.where(jnp.minimum(stack.rows, stack.columns) >= FACTORED_FROM, factored, whole)


def _size(stack: Stack, matrices: Matrices) -> Float[Array, "stack 1 1"]:
    """Return the root of the mean square of each matrix."""
    count = _at_least_1(stack.rows, matrices) * _at_least_1(stack.columns, matrices)
    return jnp.sqrt(jnp.square(matrices).sum(axis=(1, 2), keepdims=True) / count)


def _at_least_1(size: int | Array, like: Array) -> Float[Array, ""]:
    return jnp.maximum(jnp.asarray(size, like.dtype), 1)


def muon(stack: Stack, way: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Orthogonalise the momentum of each matrix by itself, times √max(1, outputs / inputs) (Jordan et al., 2024)."""
    growth = jnp.sqrt(jnp.maximum(_at_least_1(stack.columns, way) / _at_least_1(stack.rows, way), 1))
    return stack.array(growth * orthogonalised(stack.matrices(way)))


def orthogonalised(matrices: Matrices) -> Matrices:
    """Bring the singular values of each matrix near 1 by a quintic iteration; those that are 0 stay 0."""
    if matrices.shape[1] > matrices.shape[2]:
        return jnp.swapaxes(orthogonalised(jnp.swapaxes(matrices, 1, 2)), 1, 2)
    a, b, c = NEWTON_SCHULZ

    def step(_: Int[Array, ""], x: Matrices) -> Matrices:
        square = x @ jnp.swapaxes(x, 1, 2)
        return a * x + (b * square + c * square @ square) @ x

    norms = jnp.sqrt(jnp.square(matrices).sum(axis=(1, 2), keepdims=True))
    done: Matrices = jax.lax.fori_loop(0, NEWTON_SCHULZ_STEPS, step, matrices / (norms + 1e-8))
    return done

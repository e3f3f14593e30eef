"""Recurrent cells, and running them over a sequence."""

from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from automl.models.parameters import Form, Width, open_gate, orthogonal, parameter, scaled, zeros

GATES = Form("matrix", rows=0, columns=2)


class State(NamedTuple):
    """What a cell hands on: its output and, for an LSTM, its memory (for others the output again)."""

    hidden: Float[Array, "batch size"]
    cell: Float[Array, "batch size"]


class LSTM(nnx.Module):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000), gates in the order i f g o."""

    gates = 4

    def __init__(self, inputs: Width | int, size: int) -> None:
        into = Width.of(inputs)
        shape = (into.total, self.gates, size)
        self.input = parameter(shape, scaled(into.total, size), GATES, blocks=(into.blocks,))
        self.hidden = parameter((size, self.gates, size), orthogonal, GATES)
        self.bias = parameter((self.gates, size), open_gate(1))

    def project(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch gates size"]:
        """Return the inputs' part of the gates, which needs no state."""
        return _project(x, self)

    def __call__(self, projected: Float[Array, "batch gates size"], state: State) -> State:
        """Take one step."""
        gates = projected + of_gates(state.hidden, self.hidden)
        write, keep, candidate, out = gates[:, 0], gates[:, 1], gates[:, 2], gates[:, 3]
        cell = jax.nn.sigmoid(keep) * state.cell + jax.nn.sigmoid(write) * jnp.tanh(candidate)
        return State(jax.nn.sigmoid(out) * jnp.tanh(cell), cell)


class GRU(nnx.Module):
    """Gated recurrent unit (Cho et al., 2014), reset after the product; gates in the order r z n."""

    gates = 3

    def __init__(self, inputs: Width | int, size: int) -> None:
        into = Width.of(inputs)
        shape = (into.total, self.gates, size)
        self.input = parameter(shape, scaled(into.total, size), GATES, blocks=(into.blocks,))
        self.hidden = parameter((size, self.gates, size), orthogonal, GATES)
        self.bias = parameter((self.gates, size), zeros)

    def project(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch gates size"]:
        """Return the inputs' part of the gates, which needs no state."""
        return _project(x, self)

    def __call__(self, projected: Float[Array, "batch gates size"], state: State) -> State:
        """Take one step."""
        recurrent = of_gates(state.hidden, self.hidden)
        reset = jax.nn.sigmoid(projected[:, 0] + recurrent[:, 0])
        update = jax.nn.sigmoid(projected[:, 1] + recurrent[:, 1])
        candidate = jnp.tanh(projected[:, 2] + reset * recurrent[:, 2])
        hidden = (1 - update) * candidate + update * state.hidden
        return State(hidden, hidden)


class MinGRU(nnx.Module):
    """A GRU whose gates see the input alone (Feng et al., 2024, section 3.1), gates in the order z h.

    Its states are a linear recurrence. This is the form without logarithms, whose candidate is linear, and so 0 where
    the input is.
    """

    gates = 2

    def __init__(self, inputs: Width | int, size: int) -> None:
        into = Width.of(inputs)
        shape = (into.total, self.gates, size)
        self.input = parameter(shape, scaled(into.total, size), GATES, blocks=(into.blocks,))
        self.bias = parameter((self.gates, size), zeros)

    def run(
        self, x: Float[Array, "batch length input"], mask: Bool[Array, "batch length"], *, reverse: bool
    ) -> Float[Array, "batch length size"]:
        """Return the states of all positions; padded ones leave the state alone and come out as 0."""
        projected = _project(x, self)
        update = jnp.where(mask[:, :, None], jax.nn.sigmoid(projected[:, :, 0]), 0.0)
        states = linear_recurrence(1 - update, update * projected[:, :, 1], reverse=reverse)
        return jnp.where(mask[:, :, None], states, 0.0)


SteppedCell = LSTM | GRU
Cell = LSTM | GRU | MinGRU
STEPPED: dict[str, type[LSTM] | type[GRU]] = {"lstm": LSTM, "gru": GRU}
CELLS: dict[str, type[LSTM] | type[GRU] | type[MinGRU]] = {**STEPPED, "mingru": MinGRU}


def rest(batch: int, size: int, dtype: Any = jnp.float32) -> State:
    """Return the state before the first token."""
    return State(jnp.zeros((batch, size), dtype), jnp.zeros((batch, size), dtype))


def of_gates(
    x: Float[Array, "*batch input"], kernel: Float[Any, "input gates size"]
) -> Float[Array, "*batch gates size"]:
    """Map the last axis to each gate's.

    The kernel is a matrix to the product: the gradient of a product with three axes would be turned about in memory at
    each step of a scan.
    """
    gates: Array = x @ kernel.reshape(kernel.shape[0], -1)
    return gates.reshape(*x.shape[:-1], *kernel.shape[1:])


def linear_recurrence(
    keep: Float[Array, "batch length size"], added: Float[Array, "batch length size"], *, reverse: bool = False
) -> Float[Array, "batch length size"]:
    """Return `h[t] = keep[t] * h[t-1] + added[t]` for all positions.

    An accelerator does so by an associative scan (Blelloch, 1990). A processor core has nothing to do at the same time,
    and its program is long where each level of such a scan is: it takes one position after the other.
    """

    def joined(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * then[0], first[1] * then[0] + then[1]

    def step(state: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        state = item[0] * state + item[1]
        return state, state

    if jax.default_backend() != "cpu":
        states: Array = jax.lax.associative_scan(joined, (keep, added), axis=1, reverse=reverse)[1]
        return states
    each = jnp.swapaxes(keep, 0, 1), jnp.swapaxes(added, 0, 1)
    _, states = jax.lax.scan(step, jnp.zeros(added.shape[::2], added.dtype), each, reverse=reverse)
    return jnp.swapaxes(states, 0, 1)


def run(
    cell: Cell, x: Float[Array, "batch length input"], mask: Bool[Array, "batch length"], *, reverse: bool = False
) -> Float[Array, "batch length size"]:
    """Run a cell over a sequence, forwards or backwards; padded positions leave the state alone and come out as 0."""
    if isinstance(cell, MinGRU):
        return cell.run(x, mask, reverse=reverse)
    projected = jnp.swapaxes(cell.project(x), 0, 1)

    def step(state: State, item: tuple[Array, Array]) -> tuple[State, Array]:
        inputs, real = item
        new = cell(inputs, state)
        kept = State(*(jnp.where(real[:, None], a, b) for a, b in zip(new, state, strict=True)))
        return kept, jnp.where(real[:, None], new.hidden, 0.0)

    start = rest(x.shape[0], projected.shape[-1], x.dtype)
    _, outputs = jax.lax.scan(step, start, (projected, jnp.swapaxes(mask, 0, 1)), reverse=reverse)
    return jnp.swapaxes(outputs, 0, 1)


def cells(kinds: Collection[str], inputs: Width | int, size: int) -> dict[str, nnx.Module]:
    """Return a cell of each kind by its name."""
    return {kind: CELLS[kind](inputs, size) for kind in kinds}


def _project(x: Float[Array, "*batch input"], cell: Cell) -> Float[Array, "*batch gates size"]:
    projected = of_gates(x, cell.input)
    return projected + jnp.broadcast_to(cell.bias, projected.shape)

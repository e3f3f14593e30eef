"""Gated recurrent cells, and running them over a sequence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from automl.models.parameters import Width, open_gate, orthogonal, parameter, scaled, zeros


class State(NamedTuple):
    """What a cell hands on: its output and, for an LSTM, its memory (for a GRU the output again)."""

    hidden: Float[Array, "batch size"]
    cell: Float[Array, "batch size"]


class LSTM(nnx.Module):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000), gates in the order i f g o."""

    gates = 4

    def __init__(self, inputs: Width | int, size: int) -> None:
        into = Width.of(inputs)
        shape = (into.total, self.gates, size)
        self.input = parameter(shape, scaled(into.total, size), blocks=(into.blocks,))
        self.hidden = parameter((size, self.gates, size), orthogonal)
        self.bias = parameter((self.gates, size), open_gate(1))

    def project(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch gates size"]:
        """Return the inputs' part of the gates, which needs no state."""
        projected = jnp.einsum("...i,igs->...gs", x, self.input)
        return projected + jnp.broadcast_to(self.bias, projected.shape)

    def __call__(self, projected: Float[Array, "batch gates size"], state: State) -> State:
        """Take one step."""
        gates = projected + jnp.einsum("bi,igs->bgs", state.hidden, self.hidden)
        write, keep, candidate, out = gates[:, 0], gates[:, 1], gates[:, 2], gates[:, 3]
        cell = jax.nn.sigmoid(keep) * state.cell + jax.nn.sigmoid(write) * jnp.tanh(candidate)
        return State(jax.nn.sigmoid(out) * jnp.tanh(cell), cell)


class GRU(nnx.Module):
    """Gated recurrent unit (Cho et al., 2014), reset after the product; gates in the order r z n."""

    gates = 3

    def __init__(self, inputs: Width | int, size: int) -> None:
        into = Width.of(inputs)
        shape = (into.total, self.gates, size)
        self.input = parameter(shape, scaled(into.total, size), blocks=(into.blocks,))
        self.hidden = parameter((size, self.gates, size), orthogonal)
        self.bias = parameter((self.gates, size), zeros)

    def project(self, x: Float[Array, "*batch input"]) -> Float[Array, "*batch gates size"]:
        """Return the inputs' part of the gates, which needs no state."""
        projected = jnp.einsum("...i,igs->...gs", x, self.input)
        return projected + jnp.broadcast_to(self.bias, projected.shape)

    def __call__(self, projected: Float[Array, "batch gates size"], state: State) -> State:
        """Take one step."""
        recurrent = jnp.einsum("bi,igs->bgs", state.hidden, self.hidden)
        reset = jax.nn.sigmoid(projected[:, 0] + recurrent[:, 0])
        update = jax.nn.sigmoid(projected[:, 1] + recurrent[:, 1])
        candidate = jnp.tanh(projected[:, 2] + reset * recurrent[:, 2])
        hidden = (1 - update) * candidate + update * state.hidden
        return State(hidden, hidden)


Cell = LSTM | GRU
CELLS: dict[str, type[LSTM] | type[GRU]] = {"lstm": LSTM, "gru": GRU}


def rest(batch: int, size: int) -> State:
    """Return the state before the first token."""
    return State(jnp.zeros((batch, size)), jnp.zeros((batch, size)))


def run(
    cell: Cell, x: Float[Array, "batch length input"], mask: Bool[Array, "batch length"], *, reverse: bool = False
) -> tuple[Float[Array, "batch length size"], State]:
    """Run a cell over a sequence, forwards or backwards; padded positions leave the state alone and come out as 0.

    Returns:
        The outputs and the state after the last real position.
    """
    projected = jnp.swapaxes(cell.project(x), 0, 1)

    def step(state: State, item: tuple[Array, Array]) -> tuple[State, Array]:
        inputs, real = item
        new = cell(inputs, state)
        kept = State(*(jnp.where(real[:, None], a, b) for a, b in zip(new, state, strict=True)))
        return kept, jnp.where(real[:, None], new.hidden, 0.0)

    start = rest(x.shape[0], projected.shape[-1])
    last, outputs = jax.lax.scan(step, start, (projected, jnp.swapaxes(mask, 0, 1)), reverse=reverse)
    return jnp.swapaxes(outputs, 0, 1), last

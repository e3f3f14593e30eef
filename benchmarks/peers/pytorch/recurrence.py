"""Recurrent cells over whole sequences: fused LSTMs and GRUs, and linear recurrences."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.weights import Weights

FUSED = {"lstm": torch.lstm, "gru": torch.gru}


class Recurrence(torch.autograd.Function):
    """`h[t] = keep[t] · h[t-1] + added[t]`, time first; a step of either way is one operation."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, added: Tensor) -> Tensor:  # type: ignore[override]
        """Return the states, `[length, batch, size]`."""
        states = torch.empty_like(added)
        states[0] = added[0]
        for before, now, factor, more in zip(states, states[1:], keep[1:], added[1:], strict=False):
            torch.addcmul(more, factor, before, out=now)
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the gradients of what is kept and of what is added."""
        keep, states = ctx.saved_tensors
        of_added = gradient.clone(memory_format=torch.contiguous_format)
        rows, factors = of_added.unbind(), keep.unbind()
        for place in range(len(rows) - 2, -1, -1):
            rows[place].addcmul_(factors[place + 1], rows[place + 1])
        of_keep = torch.zeros_like(keep)
        torch.mul(of_added[1:], states[:-1], out=of_keep[1:])
        return of_keep, of_added


def linear_recurrence(keep: Tensor, added: Tensor) -> Tensor:
    """Return `h[t] = keep[t] · h[t-1] + added[t]`, batch first."""
    turned = (x.transpose(0, 1).contiguous() for x in (keep, added))
    states: Tensor = Recurrence.apply(*turned)
    return states.transpose(0, 1)


class FusedCell(nn.Module):
    """An LSTM or a GRU over a whole sequence by the fused kernel; only its inputs have a bias."""

    def __init__(self, kind: str, weights: Weights) -> None:
        super().__init__()
        self.kind = kind
        self.input, self.hidden = weights.gates("input"), weights.gates("hidden")
        self.bias = weights.vector("bias")
        self.register_buffer("none", torch.zeros_like(self.bias), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return `[batch, length, size]` for sequences that are padded at their ends."""
        rest = x.new_zeros(1, x.shape[0], self.hidden.shape[1])
        begin = (rest, rest) if self.kind == "lstm" else rest
        own = [self.input, self.hidden, self.bias, self.none]
        found: Tensor = FUSED[self.kind](x, begin, own, True, 1, 0.0, self.training, False, True)[0]
        return found * mask.unsqueeze(2)


class MinGRU(nn.Module):
    """A GRU whose gates see the input alone (Feng et al., 2024)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.input, self.bias = weights.gates("input"), weights.vector("bias")

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return `[batch, length, size]` for sequences that are padded at their ends."""
        gate, candidate = F.linear(x, self.input, self.bias).chunk(2, 2)
        update = torch.sigmoid(gate)
        return linear_recurrence(1 - update, update * candidate) * mask.unsqueeze(2)


class Direction(nn.Module):
    """A cell that runs over sequences from their begin, or from their end."""

    def __init__(self, kind: str, weights: Weights, *, backwards: bool) -> None:
        super().__init__()
        own = weights.at(kind)
        self.cell, self.backwards = (MinGRU(own) if kind == "mingru" else FusedCell(kind, own)), backwards

    def forward(self, x: Tensor, mask: Tensor, turned: Tensor) -> Tensor:
        """Return `[batch, length, size]`; `turned` are the places in the order from the end of each sequence."""
        if not self.backwards:
            found: Tensor = self.cell(x, mask)
            return found
        return reordered(self.cell(reordered(x, turned), mask), turned)


def reordered(x: Tensor, places: Tensor) -> Tensor:
    """Return the vectors of `[batch, length, size]` at places of each row."""
    return x.gather(1, places.unsqueeze(2).expand_as(x))


def from_the_end(mask: Tensor) -> Tensor:
    """Return the places of each row's tokens in reverse, and of its padding as it is; `[batch, length]`."""
    places, lengths = torch.arange(mask.shape[1])[None, :], mask.sum(1, keepdim=True)
    return torch.where(mask, lengths - 1 - places, places)

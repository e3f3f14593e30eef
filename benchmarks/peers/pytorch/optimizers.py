"""Optimizers: the fused one where PyTorch has it, else operations on all parameters at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmarks.peers.pytorch.weights import Form, form_of

BETAS, EPSILON = (0.9, 0.98), 1e-9
REST = 0.1
"""Share of Muon's rate by which AdamW moves what is no matrix."""
FACTORED_FROM = 128
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Optimizer(Protocol):
    """Takes steps, counted from 0, by the gradients of its parameters."""

    def step(self, rate: float, number: int) -> None:
        """Move the parameters."""


class AdamW:
    """The fused AdamW; decay shrinks matrices alone."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        matrices, rest = divided(parameters)
        groups = [{"params": matrices, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
        own = [group for group in groups if group["params"]]
        self.inner = torch.optim.AdamW(own, lr=0.0, betas=BETAS, eps=EPSILON, fused=True)

    def step(self, rate: float, number: int) -> None:
        """Move the parameters."""
        del number
        for group in self.inner.param_groups:
            group["lr"] = rate
        self.inner.step()


class Lion:
    """The sign of an average of gradients (Chen et al., 2023)."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.matrices = divided(parameters)[0]
        self.momenta = [torch.zeros_like(parameter) for parameter in parameters]

    def step(self, rate: float, number: int) -> None:
        """Move the parameters."""
        del number
        gradients = gradients_of(self.parameters)
        ways = torch._foreach_mul(self.momenta, 0.9)
        torch._foreach_add_(ways, gradients, alpha=0.1)
        torch._foreach_sign_(ways)
        torch._foreach_mul_(self.matrices, 1 - rate * self.decay)
        torch._foreach_add_(self.parameters, ways, alpha=-rate)
        torch._foreach_lerp_(self.momenta, gradients, 0.01)


class Adafactor:
    """Steps in proportion to each matrix's size, large ones factored (Shazeer and Stern, 2018); no momentum."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay, self.forms = list(parameters), decay, [form_of(p) for p in parameters]
        self.matrices = divided(parameters)[0]
        self.pieces = self._pieces(parameters)
        self.factored = [
            number
            for number, (piece, form) in enumerate(zip(self.pieces, self._forms(), strict=True))
            if form.kind != "vector" and min(piece.shape) >= FACTORED_FROM
        ]
        self.seconds = [torch.zeros_like(parameter) for parameter in parameters]
        self.of_pieces = self._pieces(self.seconds)
        self.roots = [piece.numel() ** -0.5 for piece in self.pieces]

    def step(self, rate: float, number: int) -> None:
        """Move the parameters."""
        gradients = gradients_of(self.parameters)
        kept = 1 - (number + 1) ** -0.8
        torch._foreach_mul_(self.seconds, kept)
        torch._foreach_addcmul_(self.seconds, gradients, gradients, value=1 - kept)
        scales = list(torch._foreach_add(self.of_pieces, 1e-30))
        for place in self.factored:
            scales[place] = factored(self.of_pieces[place])
        torch._foreach_rsqrt_(scales)
        torch._foreach_mul_(scales, self._pieces(gradients))
        sizes, clips = (self._sizes(arrays) for arrays in (self.pieces, scales))
        factors = -rate * sizes.clamp(min=1e-3) / clips.clamp(min=1.0)
        torch._foreach_mul_(scales, list(factors.unbind()))
        torch._foreach_mul_(self.matrices, 1 - rate * self.decay)
        torch._foreach_add_(self.pieces, scales)

    def _pieces(self, arrays: Iterable[Tensor]) -> list[Tensor]:
        pairs = zip(self.forms, arrays, strict=True)
        return [piece for form, array in pairs for piece in form.pieces(array.detach())]

    def _forms(self) -> list[Form]:
        pairs = zip(self.forms, self.parameters, strict=True)
        return [form for form, array in pairs for _ in form.pieces(array.detach())]

    def _sizes(self, arrays: Sequence[Tensor]) -> Tensor:
        """Return the root of the mean square of each."""
        return torch.stack(torch._foreach_norm(arrays)) * torch.tensor(self.roots)


class Muon:
    """Matrices by their orthogonalised momentum (Jordan et al., 2024), alike ones together; the rest by AdamW."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.matrices, rest = divided(parameters)
        self.rest, self.decay = AdamW(rest, 0.0), decay
        self.forms = [form_of(parameter) for parameter in self.matrices]
        self.momenta = [torch.zeros_like(parameter) for parameter in self.matrices]
        self.pieces = self._pieces(self.matrices)
        shapes = dict.fromkeys(piece.shape for piece in self.pieces)
        self.alike = [[n for n, piece in enumerate(self.pieces) if piece.shape == shape] for shape in shapes]

    def step(self, rate: float, number: int) -> None:
        """Move the parameters, by Nesterov's momentum without its bias (Dozat, 2016)."""
        self.rest.step(REST * rate, number)
        gradients, keep, t = gradients_of(self.matrices), 0.95, number + 1
        ahead = keep / (1 - keep ** (t + 1))
        ways = torch._foreach_mul(self.momenta, keep * ahead)
        torch._foreach_add_(ways, gradients, alpha=(1 - keep) * (ahead + 1 / (1 - keep**t)))
        torch._foreach_lerp_(self.momenta, gradients, 1 - keep)
        torch._foreach_mul_(self.matrices, 1 - rate * self.decay)
        of_pieces = self._pieces(ways)
        for places in self.alike:
            own = [self.pieces[place] for place in places]
            growth = max(1.0, own[0].shape[0] / own[0].shape[1]) ** 0.5
            found = orthogonalised(torch.stack([of_pieces[place] for place in places]))
            torch._foreach_add_(own, list(found.unbind()), alpha=-rate * growth)

    def _pieces(self, arrays: Iterable[Tensor]) -> list[Tensor]:
        pairs = zip(self.forms, arrays, strict=True)
        return [piece for form, array in pairs for piece in form.pieces(array.detach())]


def orthogonalised(x: Tensor) -> Tensor:
    """Bring the singular values of each matrix near 1 by a quintic iteration."""
    if x.shape[1] > x.shape[2]:
        return orthogonalised(x.transpose(1, 2)).transpose(1, 2)
    a, b, c = NEWTON_SCHULZ
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-8)
    for _ in range(5):
        square = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def factored(second: Tensor) -> Tensor:
    """Return a mean squared gradient that is the product of those of its rows and of its columns."""
    of_rows, of_columns = second.mean(1, keepdim=True) + 1e-30, second.mean(0, keepdim=True) + 1e-30
    return of_rows / of_rows.mean() * of_columns


def divided(parameters: Iterable[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return matrices, and the rest."""
    own = list(parameters)
    return [p for p in own if form_of(p).kind == "matrix"], [p for p in own if form_of(p).kind != "matrix"]


def gradients_of(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the gradients; 0 for what the loss does not depend on."""
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


KINDS = {"AdamW": AdamW, "Lion": Lion, "Adafactor": Adafactor, "Muon": Muon}


def optimizer_of(kind: Mapping[str, Any], parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return the optimizer of a configuration."""
    if kind["kind"] not in KINDS:
        raise NotImplementedError(f"optimizer {kind['kind']}")
    made: Optimizer = KINDS[kind["kind"]](list(parameters), kind["weight_decay"])
    return made

"""Outputs: a softmax over the vocabulary, or one that is mixed with copying from the source."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.layers import PAD, Linear
from benchmarks.peers.pytorch.weights import Weights

TINY = 1e-20


class Output(nn.Module):
    """Logits, by a matrix of their own or the table of the embedding."""

    def __init__(self, kind: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.kernel = weights.matrix("kernel") if weights.has("kernel") else None
        self.bias = weights.vector("bias")
        match kind["kind"]:
            case "Softmax":
                self.share = None
            case "PointerGenerator":
                self.share = Linear(weights.at("share"))
            case other:
                raise NotImplementedError(f"output {other}")

    def forward(self, x: Tensor, table: Tensor, weights: Tensor | None, copies: Tensor) -> Tensor:
        """Return `[batch, target, vocabulary]`."""
        logits = F.linear(x, table if self.kernel is None else self.kernel, self.bias)
        if self.share is None or weights is None:
            return logits
        share = torch.sigmoid(self.share(x)) * weights * (copies != PAD)[:, None, :]
        places = copies[:, None, :].expand_as(share)
        copied = torch.zeros_like(logits).scatter_add(2, places, share)
        left = (1 - share.sum(2, keepdim=True)).clamp(min=TINY)
        said = F.log_softmax(logits, 2) + left.log()
        return torch.logaddexp(said, (copied + TINY).log())

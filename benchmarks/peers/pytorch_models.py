"""Sequence-to-sequence models in PyTorch eager, written as a good engineer writes them; imports nothing of automl.

Fused kernels wherever PyTorch has them: `nn.LSTM` over the source, `scaled_dot_product_attention`, projections of
keys, values and the target's embeddings outside the loop, a fused AdamW. The layout follows automl's models: a decoder
that is fed its last context, additive attention, pre-norm blocks.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

PAD = 0
DROPOUT = 0.3


class RecurrentSeq2Seq(nn.Module):
    """A bidirectional LSTM and an LSTM with additive attention (Bahdanau et al., 2015) and input feeding."""

    def __init__(self, vocabulary: int, size: int) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(vocabulary, size), nn.Embedding(vocabulary, size)
        self.encoder = nn.LSTM(size, size, bidirectional=True, batch_first=True)
        self.bridge, self.begin = nn.Linear(2 * size, size), nn.Linear(size, size)
        self.of_token, self.of_context = nn.Linear(size, 4 * size), nn.Linear(size, 4 * size, bias=False)
        self.of_state = nn.Linear(size, 4 * size, bias=False)
        self.query, self.key = nn.Linear(size, size), nn.Linear(size, size, bias=False)
        self.score = nn.Parameter(torch.randn(size) * size**-0.5)
        self.hidden, self.context = nn.Linear(size, size), nn.Linear(size, size, bias=False)
        self.logits, self.dropped = nn.Linear(size, vocabulary), nn.Dropout(DROPOUT)

    def forward(self, source: Tensor, inputs: Tensor) -> Tensor:
        """Return logits, `[batch, target, vocabulary]`, after each token of a known target."""
        mask = source != PAD
        encoded = self.encoder(self.dropped(self.source(source)))[0]
        memory = self.bridge(self.dropped(encoded))
        mean = (memory * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        hidden = cell = torch.tanh(self.begin(mean))
        keys, bias = self.key(memory), torch.zeros(mask.shape).masked_fill(~mask, -1e9)
        context, found, outputs = torch.zeros_like(mean), [], []
        for projected in self.of_token(self.dropped(self.target(inputs))).unbind(1):
            gates = projected + self.of_context(context) + self.of_state(hidden)
            write, keep, candidate, out = gates.chunk(4, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(candidate)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            scores = torch.tanh(self.query(hidden).unsqueeze(1) + keys) @ self.score
            context = torch.bmm(torch.softmax(scores + bias, 1).unsqueeze(1), memory).squeeze(1)
            outputs.append(hidden)
            found.append(context)
        both = self.hidden(torch.stack(outputs, 1)) + self.context(torch.stack(found, 1))
        logits: Tensor = self.logits(self.dropped(torch.tanh(both)))
        return logits


class Attention(nn.Module):
    """Scaled dot products in several heads, by the fused kernel."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(size, size), nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
        """Look from `x` at `memory`, both `[batch, length, size]`."""
        keys, values = self.key_value(memory).chunk(2, 2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query(x), keys, values))
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        out: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Self-attention, attention to the source where there is one, feed-forward; normalised before each."""

    def __init__(self, size: int, heads: int, ratio: int, *, attends: bool) -> None:
        super().__init__()
        self.own = Attention(size, heads)
        self.source = Attention(size, heads) if attends else None
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3 if attends else 2))
        self.inner, self.outer = nn.Linear(size, ratio * size), nn.Linear(ratio * size, size)
        self.dropped = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, memory: Tensor | None, mask: Tensor) -> Tensor:
        """Map `[batch, length, size]`."""
        y = self.norms[0](x)
        x = x + self.dropped(self.own(y, y, None if self.source else mask, causal=self.source is not None))
        if self.source is not None and memory is not None:
            x = x + self.dropped(self.source(self.norms[1](x), memory, mask))
        inner = F.gelu(self.inner(self.norms[-1](x)), approximate="tanh")
        out: Tensor = x + self.dropped(self.outer(inner))
        return out


class TransformerSeq2Seq(nn.Module):
    """Pre-norm Transformer encoder and decoder with sinusoidal positions (Vaswani et al., 2017)."""

    def __init__(self, vocabulary: int, size: int, layers: tuple[int, int], heads: int, ratio: int) -> None:
        super().__init__()
        self.size = size
        self.source, self.target = nn.Embedding(vocabulary, size), nn.Embedding(vocabulary, size)
        self.encoder = nn.ModuleList(Block(size, heads, ratio, attends=False) for _ in range(layers[0]))
        self.decoder = nn.ModuleList(Block(size, heads, ratio, attends=True) for _ in range(layers[1]))
        self.encoded, self.decoded = nn.LayerNorm(size), nn.LayerNorm(size)
        self.logits, self.dropped = nn.Linear(size, vocabulary), nn.Dropout(DROPOUT)
        self.register_buffer("places", sinusoids(512, size), persistent=False)

    def forward(self, source: Tensor, inputs: Tensor) -> Tensor:
        """Return logits, `[batch, target, vocabulary]`, after each token of a known target."""
        mask = (source != PAD)[:, None, None, :]
        memory, x = (self._embedded(*side) for side in ((self.source, source), (self.target, inputs)))
        for block in self.encoder:
            memory = block(memory, None, mask)
        memory = self.encoded(memory)
        for block in self.decoder:
            x = block(x, memory, mask)
        logits: Tensor = self.logits(self.decoded(x))
        return logits

    def _embedded(self, table: nn.Embedding, tokens: Tensor) -> Tensor:
        dropped: Tensor = self.dropped(table(tokens) * math.sqrt(self.size) + self.places[: tokens.shape[1]])
        return dropped


def sinusoids(length: int, size: int) -> Tensor:
    """Return sines and cosines of positions, `[length, size]`."""
    angles = torch.arange(length)[:, None] * torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Take one step on sources, inputs and targets, with label smoothing and clipping; return the loss."""
    source, inputs, targets = batch
    optimizer.zero_grad(set_to_none=True)
    logits = model(source, inputs)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=0.1)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()

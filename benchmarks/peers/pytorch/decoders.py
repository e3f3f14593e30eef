"""Decoders over known targets: from the encoded source and the tokens so far to the logits of the next ones."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.pytorch.attention import SelfAttention, Source, SourceAttention, looking, near
from benchmarks.peers.pytorch.layers import Dropout, FeedForward, Linear, Norm, Residual, TokenEmbedding, additive
from benchmarks.peers.pytorch.outputs import Output
from benchmarks.peers.pytorch.positions import Places, Relations
from benchmarks.peers.pytorch.recurrence import linear_recurrence
from benchmarks.peers.pytorch.weights import Weights

Kind = Mapping[str, Any]


class SteppedCell(nn.Module):
    """An LSTM or a GRU that takes one step at a time."""

    def __init__(self, kind: str, weights: Weights) -> None:
        super().__init__()
        self.kind, own = kind, weights.at(kind)
        self.input, self.hidden = own.gates("input"), own.gates("hidden")
        self.bias = own.vector("bias")
        self.register_buffer("none", torch.zeros_like(self.bias), persistent=False)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Step from inputs."""
        weights = (self.input, self.hidden, self.bias, self.none)
        if self.kind == "lstm":
            return torch.lstm_cell(x, state, *weights)
        hidden = torch.gru_cell(x, state[0], *weights)
        return hidden, hidden

    def of_tokens(self, embedded: Tensor) -> tuple[Tensor, ...]:
        """Return the tokens' part of the gates for each place, their columns being the first of the inputs."""
        size = embedded.shape[2]
        return F.linear(embedded.transpose(0, 1).contiguous(), self.input[:, :size], self.bias).unbind(0)

    def joined(self) -> Tensor:
        """Return the matrix of what is found in the source, beside that of the state, for an LSTM."""
        of_context = self.input[:, self.hidden.shape[1] :]
        return torch.cat([of_context, self.hidden], 1) if self.kind == "lstm" else of_context

    def fed(
        self, projected: Tensor, context: Tensor, state: tuple[Tensor, Tensor], joined: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Step from the tokens' part of the gates and what was found in the source."""
        if self.kind == "lstm":
            gates = torch.addmm(projected, torch.cat([context, state[0]], 1), joined.t())
            write, keep, candidate, out = gates.chunk(4, 1)
            cell = torch.sigmoid(keep) * state[1] + torch.sigmoid(write) * torch.tanh(candidate)
            return torch.sigmoid(out) * torch.tanh(cell), cell
        size = self.hidden.shape[1]
        of_input, of_state = torch.addmm(projected, context, joined.t()), state[0] @ self.hidden.t()
        reset, update = torch.sigmoid(of_input[:, : 2 * size] + of_state[:, : 2 * size]).chunk(2, 1)
        candidate = torch.tanh(torch.addcmul(of_input[:, 2 * size :], reset, of_state[:, 2 * size :]))
        hidden = torch.lerp(candidate, state[0], update)
        return hidden, hidden


class RecurrentDecoder(nn.Module):
    """Cells that are fed the last token and what was last found in the source (Luong et al., 2015, section 3.3)."""

    def __init__(self, kind: Kind, output: Kind, weights: Weights) -> None:
        super().__init__()
        self.told, numbers = output["kind"] == "PointerGenerator", range(kind["num_layers"])
        self.embedding = TokenEmbedding(weights.at("embedding"))
        self.cells = nn.ModuleList(SteppedCell(kind["cell"], weights.at(f"cells.{number}")) for number in numbers)
        self.bridges = nn.ModuleList(Linear(weights.at(f"bridges.{number}")) for number in numbers)
        self.attention = looking(kind["attention"], weights.at("attention.one"), told=self.told)
        self.of_hidden, self.of_context = Linear(weights.at("of_hidden")), Linear(weights.at("of_context"))
        self.output = Output(output, weights.at("output"))

    def forward(self, source: Source, tokens: Tensor, dropout: Dropout) -> Tensor:
        """Return the logits after each token of a known target."""
        embedded = dropout.drop_embedded(self.embedding(tokens))
        hidden, found, weights = self._run(source, embedded)
        both = dropout.drop(torch.tanh(self.of_hidden(hidden) + self.of_context(found)))
        logits: Tensor = self.output(both, self.embedding.table, weights, source.copies)
        return logits

    def _run(self, source: Source, embedded: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the last layer's outputs, what they found, and where, if that is needed."""
        mean = source.states.sum(1) / source.mask.sum(1, keepdim=True).clamp(min=1)
        states = [(begin, begin) for begin in (torch.tanh(bridge(mean)) for bridge in self.bridges)]
        keys, joined = self.attention.keys(source), self.cells[0].joined()
        context, seen = torch.zeros_like(mean), []
        for place, projected in enumerate(self.cells[0].of_tokens(embedded)):
            states[0] = self.cells[0].fed(projected, context, states[0], joined)
            for number, cell in enumerate(self.cells[1:], 1):
                states[number] = cell(states[number - 1][0], states[number])
            hidden = states[-1][0]
            context, weights = self.attention(hidden, keys, source, place)
            seen.append((hidden, context, weights))
        hidden, found, weights = zip(*seen, strict=True)
        return torch.stack(hidden, 1), torch.stack(found, 1), torch.stack(weights, 1) if self.told else None


class SimpleRecurrence(nn.Module):
    """A sublayer of simpler simple recurrent units (Kim et al., 2019)."""

    def __init__(self, kind: Kind, weights: Weights) -> None:
        super().__init__()
        self.residual = Residual(weights.at("residual"), first=kind["norm_first"])
        self.kernel, self.bias = weights.gates("kernel"), weights.vector("bias")

    def forward(self, x: Tensor, hiding: Tensor | None, relations: Relations | None, dropout: Dropout) -> Tensor:
        """Map `[batch, target, size]`."""
        del hiding, relations
        forget, candidate = F.linear(self.residual.before(x), self.kernel).chunk(2, 2)
        keep = torch.sigmoid(forget + self.bias)
        return self.residual.after(x, dropout.drop(F.relu(linear_recurrence(keep, (1 - keep) * candidate))))


class BlockDecoder(nn.Module):
    """Blocks that mix the positions of a target, then look at the source and map each position."""

    def __init__(self, kind: Kind, output: Kind, weights: Weights) -> None:
        super().__init__()
        self.told, numbers = output["kind"] == "PointerGenerator", range(kind["num_layers"])
        self.embedding = TokenEmbedding(weights.at("embedding"))
        self.places, self.relations, self.window = nn.Identity(), None, 0
        mixing: type[SelfAttention] | type[SimpleRecurrence] = SimpleRecurrence
        if kind["kind"] == "Transformer":
            positions, mixing, self.window = kind["positions"], SelfAttention, kind["window"]
            heads = kind["attention"]["num_heads"]
            self.places = Places(positions, weights.at("places"))
            self.relations = Relations(positions, weights.at("relations"), heads, causal=True)
        self.mixing = nn.ModuleList(mixing(kind, weights.at(f"mixing.{number}")) for number in numbers)
        blocks = [weights.at(f"blocks.{number}") for number in numbers]
        self.looking = nn.ModuleList(SourceAttention(kind, block.at("source")) for block in blocks)
        self.feed_forward = nn.ModuleList(FeedForward(kind, block.at("feed_forward")) for block in blocks)
        self.norm = Norm(weights.at("norm.norm")) if kind["norm_first"] else nn.Identity()
        self.output = Output(output, weights.at("output"))

    def forward(self, source: Source, tokens: Tensor, dropout: Dropout) -> Tensor:
        """Return the logits after each token of a known target."""
        x = dropout.drop_embedded(self.places(self.embedding(tokens)))
        hiding, weights, last = self._hiding(tokens.shape[1]), None, len(self.mixing) - 1
        for number, (mix, look, feed) in enumerate(zip(self.mixing, self.looking, self.feed_forward, strict=True)):
            x = mix(x, hiding, self.relations, dropout)
            x, weights = look(x, source, dropout, told=self.told and number == last)
            x = feed(x, dropout)
        logits: Tensor = self.output(dropout.drop(self.norm(x)), self.embedding.table, weights, source.copies)
        return logits

    def _hiding(self, length: int) -> Tensor | None:
        """Return what is added to the scores of self-attention, where there is any."""
        if self.relations is None:
            return None
        bias, hiding = self.relations.bias(length), additive(torch.tril(near(length, self.window)))
        return hiding if bias is None else hiding + bias


def decoder_of(kind: Kind, output: Kind, weights: Weights) -> nn.Module:
    """Return the decoder of a configuration."""
    own = weights.at(kind["kind"])
    match kind["kind"]:
        case "Recurrent":
            return RecurrentDecoder(kind, output, own)
        case "Transformer" | "SimpleRecurrent":
            return BlockDecoder(kind, output, own)
        case other:
            raise NotImplementedError(f"decoder {other}")

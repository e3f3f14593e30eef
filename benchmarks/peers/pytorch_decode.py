"""Greedy decoding in PyTorch eager, with a cache of keys and values or of states, of the models of `benchmarks.decode`.

Arguments: family, file of weights (NumPy), most tokens, threads. Reads sources as a line of JSON, prints their tokens,
then decodes them again for each further line and prints the seconds and the processor's. Imports nothing of automl.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional as f

PAD, BOS, EOS, UNK = 0, 1, 2, 3
ALONE = 16
HEADS, ROWS = 4, 64


class Weights:
    """Tensors by dotted name below a prefix."""

    def __init__(self, values: dict[str, torch.Tensor], prefix: str = "") -> None:
        self.values, self.prefix = values, prefix

    def under(self, prefix: str) -> "Weights":
        """Return those below a further prefix."""
        return Weights(self.values, self.prefix + prefix)

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return one."""
        return self.values[self.prefix + name]


class Transformer:
    """Two blocks each way that normalise first, with sinusoidal positions."""

    def __init__(self, weights: Weights, most: int) -> None:
        self.encoder, self.decoder = weights.under("encoder.Transformer."), weights.under("decoder.Transformer.")
        size = self.encoder["embedding.table"].shape[1]
        angles = torch.arange(max(most, 64))[:, None] * torch.exp(torch.arange(0, size, 2) * (-np.log(1e4) / size))
        self.places = torch.stack([angles.sin(), angles.cos()], -1).reshape(len(angles), -1).float()
        joined = [self.decoder.under(f"mixing.{i}.inner.") for i in range(2)]
        self.kernels = [torch.cat([own[name] for name in ("query", "key", "value")], 1) for own in joined]
        none = torch.zeros(size)
        self.shifts = [torch.cat([own["query_bias"], none, own["value_bias"]]) for own in joined]

    def start(self, source: torch.Tensor) -> Any:
        """Return what decoding needs of a source, and empty caches."""
        x, mask = self._embedded(self.encoder, source, 0), (source != PAD)[:, None, None]
        for i in range(2):
            block = self.encoder.under(f"blocks.{i}.")
            own, y = block.under("attention.inner."), norm(x, block.under("attention.residual.norm."))
            q, k, v = (heads(y @ own[name]) for name in ("query", "key", "value"))
            q, v = q + shape(own["query_bias"]), v + shape(own["value_bias"])
            x = x + mapped(f.scaled_dot_product_attention(q, k, v, mask), own)
            x = x + wide(x, block.under("feed_forward."))
        memory = norm(x, self.encoder.under("norm.norm."))
        sources = [self.decoder.under(f"blocks.{i}.source.inner.") for i in range(2)]
        kept = [(heads(memory @ w["key"]), heads(memory @ w["value"] + w["value_bias"])) for w in sources]
        return kept, mask, [None, None]

    def step(self, state: Any, last: torch.Tensor, position: int) -> torch.Tensor:
        """Return the logits after one token a row."""
        kept, mask, caches = state
        x = self._embedded(self.decoder, last[:, None], position)
        for i in range(2):
            block = self.decoder.under(f"blocks.{i}.")
            y = norm(x, self.decoder.under(f"mixing.{i}.residual.norm."))
            q, k, v = map(heads, torch.chunk(y @ self.kernels[i] + self.shifts[i], 3, -1))
            if caches[i] is not None:
                k, v = torch.cat([caches[i][0], k], 2), torch.cat([caches[i][1], v], 2)
            caches[i] = (k, v)
            x = x + mapped(f.scaled_dot_product_attention(q, k, v), self.decoder.under(f"mixing.{i}.inner."))
            own = block.under("source.inner.")
            q = heads(norm(x, block.under("source.residual.norm.")) @ own["query"] + own["query_bias"])
            x = x + mapped(f.scaled_dot_product_attention(q, *kept[i], mask), own)
            x = x + wide(x, block.under("feed_forward."))
        x = norm(x, self.decoder.under("norm.norm."))[:, 0]
        return x @ self.decoder["output.kernel"] + self.decoder["output.bias"]

    def _embedded(self, side: Weights, tokens: torch.Tensor, begin: int) -> torch.Tensor:
        found = f.embedding(tokens, side["embedding.table"])
        return found * found.shape[-1] ** 0.5 + self.places[begin : begin + tokens.shape[1]]


class Recurrent:
    """An LSTM each way, and one that is fed its context, with additive attention."""

    def __init__(self, weights: Weights, most: int) -> None:
        del most
        self.encoder, self.decoder = weights.under("encoder.Recurrent."), weights.under("decoder.Recurrent.")
        size = self.encoder["embedding.table"].shape[1]
        self.lstm = torch.nn.LSTM(size, size, bidirectional=True, batch_first=True)
        for way, suffix in (("forwards", ""), ("backwards", "_reverse")):
            cell = self.encoder.under(f"layers.0.{way}.lstm.")
            self.fill(self.lstm, cell, f"_l0{suffix}")
        self.cell = torch.nn.LSTMCell(2 * size, size)
        self.fill(self.cell, self.decoder.under("cells.0.lstm."), "")

    @staticmethod
    def fill(module: torch.nn.Module, cell: Weights, suffix: str) -> None:
        """Lay weights out as the module has them: gates i f g o, one below the other."""
        flat = [cell[name].reshape(cell[name].shape[0], -1).T for name in ("input", "hidden")]
        for name, value in zip(("weight_ih", "weight_hh", "bias_ih"), (*flat, cell["bias"].reshape(-1)), strict=True):
            getattr(module, name + suffix).data = value.contiguous()
        getattr(module, "bias_hh" + suffix).data.zero_()

    def start(self, source: torch.Tensor) -> Any:
        """Return what decoding needs of a source, and the first states."""
        mask, table = source != PAD, self.encoder["embedding.table"]
        x = f.embedding(source, table) * table.shape[1] ** 0.5
        lengths = mask.sum(1)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        found, _ = torch.nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=x.shape[1]
        )
        memory = linear(found, self.encoder.under("bridge.linear.")) * mask[:, :, None]
        mean = memory.sum(1) / lengths[:, None]
        hidden = torch.tanh(linear(mean, self.decoder.under("bridges.0.")))
        keys = memory @ self.decoder["attention.one.Additive.key.kernel"]
        return [memory, mask, keys, hidden, hidden, torch.zeros_like(mean)]

    def step(self, state: Any, last: torch.Tensor, position: int) -> torch.Tensor:
        """Return the logits after one token a row."""
        del position
        memory, mask, keys, hidden, cell, context = state
        x = f.embedding(last, self.decoder["embedding.table"]) * memory.shape[-1] ** 0.5
        hidden, cell = self.cell(torch.cat([x, context], 1), (hidden, cell))
        own = self.decoder.under("attention.one.Additive.")
        scores = torch.tanh(linear(hidden, own.under("query."))[:, None] + keys) @ own["score"]
        context = torch.einsum("bs,bsd->bd", scores.masked_fill(~mask, -1e9).softmax(-1), memory)
        state[3:] = hidden, cell, context
        both = linear(hidden, self.decoder.under("of_hidden.")) + context @ self.decoder["of_context.kernel"]
        return torch.tanh(both) @ self.decoder["output.kernel"] + self.decoder["output.bias"]


def norm(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Normalise the last axis."""
    return f.layer_norm(x, x.shape[-1:], weights["scale"], weights["bias"], 1e-6)


def linear(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Map the last axis."""
    return x @ weights["kernel"] + weights["bias"]


def heads(x: torch.Tensor) -> torch.Tensor:
    """Part columns into heads: rows × heads × positions × columns."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def shape(bias: torch.Tensor) -> torch.Tensor:
    """Part a bias into heads."""
    return bias.unflatten(0, (HEADS, 1, -1))


def mapped(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Join heads and map them."""
    return x.transpose(1, 2).flatten(2) @ weights["out"] + weights["out_bias"]


def wide(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Return the feed-forward layer's part."""
    y = linear(norm(x, weights.under("residual.norm.")), weights.under("inner.widen."))
    return linear(f.gelu(y, approximate="tanh"), weights.under("inner.narrow."))


def decode(model: Any, sources: list[list[int]], most: int) -> list[list[int]]:
    """Decode sources greedily, sorted by length into batches; what they say comes in their order."""
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    said: list[list[int]] = [[] for _ in sources]
    for begin in range(0, len(order), ROWS):
        members = order[begin : begin + ROWS]
        longest = len(sources[members[-1]])
        source = torch.tensor([sources[i] + [PAD] * (longest - len(sources[i])) for i in members])
        state, last = model.start(source), torch.full((len(members),), BOS)
        ended, tokens = torch.zeros(len(members), dtype=torch.bool), []
        for position in range(most):
            logits = model.step(state, last, position)
            logits[:, [PAD, BOS, UNK]] = -1e9
            last = logits.argmax(-1)
            ended = ended | (last == EOS)
            tokens.append(torch.where(ended, PAD, last))
            if bool(ended.all()):
                break
        for row, index in zip(torch.stack(tokens, 1).tolist(), members, strict=True):
            said[index] = [token for token in row if token != PAD]
    return said


@torch.inference_mode()
def main() -> None:
    """Answer each line of standard input."""
    family, file, most, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    weights = Weights({name: torch.from_numpy(value) for name, value in np.load(file).items()})
    model = {"transformer": Transformer, "recurrent": Recurrent}[family](weights, int(most))
    sources = json.loads(sys.stdin.readline())
    print(json.dumps(decode(model, sources, int(most))), flush=True)
    for how in sys.stdin:
        begun = time.perf_counter(), time.process_time()
        for part in [[source] for source in sources[:ALONE]] if how.strip() == "alone" else [sources]:
            decode(model, part, int(most))
        ended = time.perf_counter(), time.process_time()
        print(*(end - begin for begin, end in zip(begun, ended, strict=True)), flush=True)


if __name__ == "__main__":
    main()

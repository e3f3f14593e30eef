"""The models as formulas in NumPy: one string at a time, without padding, in double precision."""

import math
from typing import Any

import numpy as np

from search_spaces import attention, decoders, embeddings, encoders, outputs
from search_spaces.seq2seq import Seq2Seq

BOS, BASE, FARTHEST, STEEPNESS = 1, 10_000.0, 128, 16


def below(values: Any, path: str) -> dict[str, Any]:
    """The parameters of a part of a model."""
    return {name.removeprefix(f"{path}."): value for name, value in values.items() if name.startswith(f"{path}.")}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(scores: Any) -> Any:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def linear(v: Any, x: Any) -> Any:
    return x @ v["kernel"] + v.get("bias", 0)


def norm(v: Any, x: Any, kind: str) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True) if kind == "layer" else x
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-6) * v["scale"] + v.get("bias", 0)


def feed_forward(v: Any, x: Any, kind: str) -> Any:
    """Vaswani et al., 2017, section 3.3; Hendrycks and Gimpel, 2016, for the GELU; Shazeer, 2020, for SwiGLU."""
    wide = linear(below(v, "widen"), x)
    match kind:
        case "relu":
            hidden = np.maximum(wide, 0)
        case "gelu":
            hidden = wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))) / 2
        case _:
            hidden = wide * sigmoid(wide) * linear(below(v, "gate"), x)
    return linear(below(v, "narrow"), hidden)


def embedded(v: Any, tokens: Any) -> Any:
    return v["table"][tokens] * math.sqrt(v["table"].shape[1])


def waves(length: int, size: int) -> Any:
    """Vaswani et al., 2017, section 3.5."""
    angles = [[place / BASE ** (2 * (i // 2) / size) for i in range(size)] for place in range(length)]
    return np.array([[math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(row)] for row in angles])


def placed(v: Any, x: Any, kind: embeddings.Positions) -> Any:
    match kind:
        case embeddings.Sinusoidal():
            return x + waves(*x.shape)
        case embeddings.Learned(length):
            return x + v["places.table"][[min(place, length - 1) for place in range(len(x))]]
        case _:
            return x


def rotated(x: Any) -> Any:
    """Su et al., 2021, section 3.4.2: neighbouring columns are complex numbers, turned by their place."""
    numbers = x[:, ::2] + 1j * x[:, 1::2]
    angles = [[place / BASE ** (2 * i / x.shape[1]) for i in range(x.shape[1] // 2)] for place in range(len(x))]
    turned = numbers * np.exp(1j * np.array(angles).reshape(numbers.shape))
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def bucket(distance: int, buckets: int, *, causal: bool) -> int:
    """Raffel et al., 2020, section 2.1: half the buckets for one distance each, the others for ever longer ranges."""
    count = buckets if causal else buckets // 2
    exact, away = count // 2, max(-distance, 0) if causal else abs(distance)
    far = 0  # the largest k with away / exact >= (128 / exact)^(k / (count - exact)), in whole numbers
    while away ** (count - exact) * exact ** (far + 1) >= exact ** (count - exact) * FARTHEST ** (far + 1):
        far += 1
    side = count if not causal and distance > 0 else 0
    return side + (away if away < exact else min(exact + far, count - 1))


def biases(v: Any, kind: embeddings.Positions, head: int, heads: int, length: int, *, causal: bool) -> Any:
    distances = [[key - query for key in range(length)] for query in range(length)]
    match kind:
        case embeddings.ALiBi():
            return -(2.0 ** (-8 * (head + 1) / heads)) * np.abs(distances)
        case embeddings.RelativeBias(buckets):
            places = [[bucket(distance, buckets, causal=causal) for distance in row] for row in distances]
            return STEEPNESS * v["relations.table"][np.array(places), head]
        case _:
            return 0


def multi_head(v: Any, queries: Any, seen: Any, kind: attention.MultiHead, self_attention: Any = None) -> Any:
    """Vaswani et al., 2017, section 3.2.2; groups of heads share keys and values (Ainslie et al., 2023).

    For self-attention, `self_attention` has the kind of positions, the parameters of all blocks, which places may be
    seen, and whether they are those before alone. Also returns the weights, averaged over heads.
    """
    q, k = queries @ v["query"] + v["query_bias"], seen @ v["key"]
    values = seen @ v["value"] + v["value_bias"]
    size, found, looked = q.shape[-1] // kind.num_heads, [], []
    for head in range(kind.num_heads):
        shared = head * kind.key_value_heads // kind.num_heads
        own, others = slice(head * size, (head + 1) * size), slice(shared * size, (shared + 1) * size)
        query, key, bias, allowed = q[:, own], k[:, others], 0, True
        if self_attention is not None:
            positions, blocks, allowed, causal = self_attention
            if isinstance(positions, embeddings.Rotary):
                query, key = rotated(query), rotated(key)
            bias = biases(blocks, positions, head, kind.num_heads, len(q), causal=causal)
        weights = softmax(np.where(allowed, query @ key.T / math.sqrt(size) + bias, -np.inf))
        found.append(weights @ values[:, others])
        looked.append(weights)
    return np.concatenate(found, axis=1) @ v["out"] + v["out_bias"], np.mean(looked, axis=0)


def residual(v: Any, x: Any, kind: Any, sublayer: Any) -> Any:
    """Xiong et al., 2020, table 1: the normalisation comes before the sublayer, or after the addition."""
    normed = below(v, "residual.norm")
    if kind.norm_first:
        return x + sublayer(norm(normed, x, kind.norm))
    return norm(normed, x + sublayer(x), kind.norm)


def self_attended(v: Any, x: Any, kind: Any, blocks: Any, *, causal: bool) -> Any:
    places = np.arange(len(x))
    distances = places[None, :] - places[:, None]
    allowed = (np.abs(distances) <= kind.window) if kind.window else np.full(distances.shape, True)
    given = (kind.positions, blocks, allowed & (distances <= 0) if causal else allowed, causal)
    return residual(v, x, kind, lambda y: multi_head(below(v, "inner"), y, y, kind.attention, given)[0])


def mapped(v: Any, x: Any, kind: Any) -> Any:
    return residual(v, x, kind, lambda y: feed_forward(below(v, "inner"), y, kind.activation))


def cell(v: Any, kind: str, x: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
    """One step: Hochreiter and Schmidhuber, 1997, and Gers et al., 2000; Cho et al., 2014; Feng et al., 2024."""
    hidden, memory = state
    into = [x @ v["input"][:, gate] + v["bias"][gate] for gate in range(v["input"].shape[1])]
    own = [hidden @ v["hidden"][:, gate] for gate in range(len(into))] if "hidden" in v else []
    match kind:
        case "lstm":
            write, keep, new, out = (a + b for a, b in zip(into, own, strict=True))
            memory = sigmoid(keep) * memory + sigmoid(write) * np.tanh(new)
            return sigmoid(out) * np.tanh(memory), memory
        case "gru":
            update = sigmoid(into[1] + own[1])
            new = np.tanh(into[2] + sigmoid(into[0] + own[0]) * own[2])
            return ((1 - update) * new + update * hidden,) * 2
        case _:
            return ((1 - sigmoid(into[0])) * hidden + sigmoid(into[0]) * into[1],) * 2


def recurrent(v: Any, kind: encoders.Recurrent, x: Any) -> Any:
    for layer in range(kind.num_layers):
        both = []
        for way in ("forwards", "backwards")[: 2 if kind.bidirectional else 1]:
            state, found = (np.zeros(kind.hidden_size),) * 2, []
            for place in range(len(x))[:: 1 if way == "forwards" else -1]:
                state = cell(below(v, f"layers.{layer}.{way}.{kind.cell}"), kind.cell, x[place], state)
                found.append(state[0])
            both.append(np.array(found[:: 1 if way == "forwards" else -1]))
        joined = np.concatenate(both, axis=1)
        x = x + joined if kind.residual and layer > 0 else joined
    return x


def convolved(v: Any, kind: encoders.Convolution, x: Any) -> Any:
    """Dauphin et al., 2017, section 2, the middle of the taps on the position itself."""
    for block in (below(v, f"blocks.{layer}") for layer in range(kind.num_layers)):
        seen, half = norm(below(block, "norm"), x, kind.norm), kind.kernel_size // 2
        around = np.pad(seen, ((half, half), (0, 0)))
        summed = [
            sum(around[place + tap] @ block["kernel"][tap].reshape(x.shape[1], -1) for tap in range(kind.kernel_size))
            for place in range(len(x))
        ]
        values, gates = np.moveaxis(np.array(summed).reshape(len(x), 2, -1) + block["bias"], 1, 0)
        x = x + values * sigmoid(gates)
    return norm(below(v, "norm"), x, kind.norm)


def encoded(configuration: Seq2Seq, values: Any, source: Any) -> Any:
    """Return a vector a source token, brought to the decoder's size; none without an encoder."""
    kind = configuration.encoder
    if isinstance(kind, encoders.Identity):
        return None
    v = below(values, f"encoder.{type(kind).__name__}")
    x = embedded(below(v, "embedding"), source)
    match kind:
        case encoders.Recurrent():
            x = recurrent(v, kind, x)
        case encoders.Convolution():
            x = convolved(v, kind, placed(v, x, kind.positions))
        case encoders.Transformer():
            x = placed(v, x, kind.positions)
            for block in (below(v, f"blocks.{layer}") for layer in range(kind.num_layers)):
                x = self_attended(below(block, "attention"), x, kind, v, causal=False)
                x = mapped(below(block, "feed_forward"), x, kind)
            x = norm(below(v, "norm.norm"), x, kind.norm) if kind.norm_first else x
    bridge = below(v, "bridge.linear")
    return linear(bridge, x) if bridge else x


def looked_at(v: Any, kind: attention.Attention, query: Any, memory: Any, place: int) -> tuple[Any, Any]:
    """Bahdanau et al., 2015, section 3.1; Luong et al., 2015, section 3; return what was found, and the weights."""
    match kind:
        case attention.MultiHead():
            found, weights = multi_head(below(v, "MultiHead.attention"), query[None], memory, kind)
            return found[0], weights[0]
        case attention.Additive():
            hidden = linear(below(v, "Additive.query"), query) + linear(below(v, "Additive.key"), memory)
            scores = np.tanh(hidden) @ v["Additive.score"]
        case attention.Concat():
            both = np.concatenate([np.tile(query, (len(memory), 1)), memory], axis=1)
            kernel = np.concatenate([v["Concat.query.kernel"], v["Concat.key.kernel"]])
            scores = np.tanh(both @ kernel) @ v["Concat.score"]
        case attention.Dot():
            scores = memory @ query
        case attention.General():
            scores = memory @ v["General.key.kernel"] @ query
        case attention.Local():
            centre = min(place, len(memory) - 1)
            far = np.abs(np.arange(len(memory)) - centre) > kind.window
            scores = np.where(far, -np.inf, memory @ v["Local.key.kernel"] @ query)
    weights = softmax(scores)
    return weights @ memory, weights


def input_fed(v: Any, kind: decoders.Recurrent, memory: Any, x: Any) -> tuple[Any, Any]:
    """Luong et al., 2015, sections 3.1 and 3.3: the last context goes into the first cell; the states begin from the
    mean of the source through a layer each, as Bahdanau's do from its end (2015, appendix A.2.2)."""
    start = [np.zeros(kind.hidden_size)] * kind.num_layers
    if memory is not None:
        start = [np.tanh(linear(below(v, f"bridges.{i}"), memory.mean(axis=0))) for i in range(kind.num_layers)]
    states, context, found, looked = [(h, h) for h in start], 0 * start[0], [], []
    for place, token in enumerate(x):
        below_it = token if memory is None else np.concatenate([token, context])
        for layer in range(kind.num_layers):
            states[layer] = cell(below(v, f"cells.{layer}.{kind.cell}"), kind.cell, below_it, states[layer])
            below_it = states[layer][0]
        both = linear(below(v, "of_hidden"), below_it)
        if memory is not None:
            context, weights = looked_at(below(v, "attention.one"), kind.attention, below_it, memory, place)
            both = both + linear(below(v, "of_context"), context)
            looked.append(weights)
        found.append(np.tanh(both))
    return np.array(found), np.array(looked)


def simple_recurrent(v: Any, x: Any) -> Any:
    """Kim et al., 2019, section 3.2."""
    state, found = np.zeros(x.shape[1]), []
    for token in x:
        forget = sigmoid(token @ v["kernel"][:, 0] + v["bias"])
        state = forget * state + (1 - forget) * (token @ v["kernel"][:, 1])
        found.append(np.maximum(state, 0))
    return np.array(found)


def in_blocks(v: Any, kind: decoders.Transformer | decoders.SimpleRecurrent, memory: Any, x: Any) -> tuple[Any, Any]:
    """Vaswani et al., 2017, section 3.1; return the vectors, and where the last block looked."""
    weights = None
    for layer in range(kind.num_layers):
        mixing, block = below(v, f"mixing.{layer}"), below(v, f"blocks.{layer}")
        if isinstance(kind, decoders.Transformer):
            x = self_attended(mixing, x, kind, v, causal=True)
        else:
            x = residual(mixing, x, kind, lambda y, mixing=mixing: simple_recurrent(mixing, y))
        if memory is not None:
            inner, looked = below(block, "source.inner"), []

            def look(y: Any, inner: Any = inner, looked: Any = looked) -> Any:
                found, weights = multi_head(inner, y, memory, kind.attention)
                looked.append(weights)
                return found

            x, weights = residual(below(block, "source"), x, kind, look), looked[0]
        x = mapped(below(block, "feed_forward"), x, kind)
    return norm(below(v, "norm.norm"), x, kind.norm) if kind.norm_first else x, weights


def answered(configuration: Seq2Seq, v: Any, x: Any, weights: Any, source: Any) -> Any:
    """Return log-probabilities of the next token, those copied from the source mixed in (See et al., 2017, eq. 9)."""
    table = v["embedding.table"].T if configuration.tied_embeddings else v["output.kernel"]
    said = softmax(x @ table + v["output.bias"])
    if isinstance(configuration.output, outputs.PointerGenerator):
        share = sigmoid(linear(below(v, "output.share"), x))
        copied = np.zeros_like(said)
        for place, token in enumerate(source):
            copied[:, token] += weights[:, place]
        said = (1 - share) * said + share * copied
    return np.log(said)


def scores(configuration: Seq2Seq, values: Any, source: Any, inputs: Any) -> Any:
    """Return log-probabilities of the token after each input token."""
    kind, memory = configuration.decoder, encoded(configuration, values, source)
    v = below(values, f"decoder.{type(kind).__name__}")
    x = embedded(below(v, "embedding"), inputs)
    match kind:
        case decoders.Recurrent():
            found, weights = input_fed(v, kind, memory, x)
        case decoders.Transformer():
            found, weights = in_blocks(v, kind, memory, placed(v, x, kind.positions))
        case decoders.SimpleRecurrent():
            found, weights = in_blocks(v, kind, memory, x)
    return answered(configuration, v, found, weights, source)


def loss(configuration: Seq2Seq, values: Any, pairs: Any, smoothing: float) -> float:
    """Return the mean over all target tokens, with a share spread over the vocabulary (Szegedy et al., 2016)."""
    losses = []
    for source, target in pairs:
        found = scores(configuration, values, source, np.array([BOS, *target[:-1]]))
        right = found[np.arange(len(target)), target]
        losses += list(-(1 - smoothing) * right - smoothing * found.mean(axis=1))
    return float(np.mean(losses))

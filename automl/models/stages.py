"""Stages: the parts of a model as modules of their own, each padded and of all kinds that it may be.

A stage computes what the same part of the whole model does: of a model whose facts it is bound to, with that model's
parameters laid into its own. All stages are called alike, so that training can run any of them one after another.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, assert_never

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.data.tokenizers import PAD
from automl.models import blocks, decoders, encoders
from automl.models.attention import Memory
from automl.models.dropout import Noise, drop, drop_embedded
from automl.models.embeddings import Places, Relations, TokenEmbedding
from automl.models.facts import is_kind, kind_among
from automl.models.layers import FinalNorm, Linear, Norm
from automl.models.outputs import Output, OutputKinds
from automl.models.parameters import Width
from search_spaces import attention, embeddings, parts
from search_spaces import decoders as decoder_kinds
from search_spaces import encoders as encoder_kinds
from search_spaces import outputs as output_kinds
from search_spaces.seq2seq import Seq2Seq

NORMS, PLACES, ACTIVATIONS = ("layer", "rms"), ("first", "last"), ("relu", "gelu", "swiglu")


class Inputs(NamedTuple):
    """What every stage may see of a batch, padded with `PAD`; of each source token, as what it could be copied."""

    source: Int[Array, "batch source"]
    copies: Int[Array, "batch source"]
    tokens: Int[Array, "batch target"]

    def memory(self, states: Float[Array, "batch source size"]) -> Memory:
        """Return the encoded source."""
        return Memory(states, self.source != PAD, self.copies)


class TokensStage(nnx.Module):
    """Tokens to vectors."""

    def __init__(self, part: parts.Tokens) -> None:
        self.side = part.side
        self.embedding = TokenEmbedding(part.vocabulary, part.size)
        added: dict[str, embeddings.Positions] = {
            "Sinusoidal": embeddings.Sinusoidal(),
            "Learned": embeddings.Learned(parts.LEARNT),
        }
        self.places = Places([added[part.positions]], part.size) if part.positions else None

    def __call__(self, carry: None, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Embed the tokens of one side."""
        del carry, memory
        tokens = inputs.source if self.side == "source" else inputs.tokens
        x = self.embedding(tokens)
        if self.places is not None:
            x = self.places(x, jnp.arange(tokens.shape[1]))
        x = drop_embedded(x, noise)
        nowhere = jnp.zeros((*tokens.shape, inputs.source.shape[1]), x.dtype)
        return (x, nowhere) if self.side == "blocks" else x


class RecurrentLayerStage(nnx.Module):
    """A layer of a recurrent encoder."""

    def __init__(self, part: parts.RecurrentLayer) -> None:
        width = Width(part.size, part.inputs)
        self.both = part.both
        self.layer = encoders.RecurrentLayer([part.cell], width, part.size, both=part.both)
        can_add = part.inputs == (2 if part.both else 1)
        self.residual = kind_among(("none", "added") if can_add else ("none",))

    def __call__(self, carry: Any, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Run over the source in each direction."""
        del memory
        found = self.layer(carry, inputs.source != PAD, self.both)
        joined = jnp.concatenate([drop(y, noise.at(place)) for place, y in enumerate(found)], axis=-1)
        added = is_kind(self.residual, "added")
        return joined if added is False else joined + jnp.where(added, carry, 0.0)


class EncoderBlockStage(nnx.Module):
    """A block of a Transformer's encoder."""

    def __init__(self, part: parts.EncoderBlock) -> None:
        dials = _dials(part)
        self.block = encoders.EncoderBlock([encoder_kinds.Transformer(**own, window=parts.WINDOW) for own in dials])
        self.relations = _relations(part.groups, part.buckets, causal=False)

    def __call__(self, carry: Any, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Let the positions look at each other."""
        del memory
        return self.block(carry, inputs.source != PAD, self.relations, noise)


class ConvolutionBlockStage(nnx.Module):
    """A block of a convolutional encoder."""

    def __init__(self, part: parts.ConvolutionBlock) -> None:
        self.block = encoders.ConvolutionBlock(part.size, part.taps, NORMS)

    def __call__(self, carry: Any, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Let the positions see their neighbours."""
        del memory
        return self.block(carry, inputs.source != PAD, noise)


class BridgeStage(nnx.Module):
    """The end of an encoder."""

    def __init__(self, part: parts.Bridge) -> None:
        self.norm = _last_norm(part)
        width = Width(part.size, part.blocks)
        self.bridge = encoders.Bridge(width, part.outputs, [(width, part.outputs)])

    def __call__(self, carry: Any, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Return the encoded source, at the decoder's size."""
        del memory, noise
        x = carry if self.norm is None else self.norm(carry)
        return jnp.where((inputs.source != PAD)[:, :, None], self.bridge(x), 0.0)


def _last_norm(part: parts.Bridge) -> FinalNorm | Norm | None:
    match part.family:
        case "recurrent":
            return None
        case "transformer":
            return FinalNorm(part.size, NORMS, PLACES)
        case "convolution":
            return Norm(part.size, NORMS)


class CellsStage(nnx.Module):
    """The cells of a recurrent decoder, with the attention that they look at the source by."""

    def __init__(self, part: parts.Cells) -> None:
        looking: dict[parts.Looking, list[attention.Attention]] = {
            "scored": [attention.Additive(part.width), attention.Concat(part.width)],
            "multiplied": [attention.Dot(), attention.General(), attention.Local()],
            "headed": _heads(part.width),
        }
        found = [decoder_kinds.Recurrent(part.cell, part.size, part.layers, kind) for kind in looking[part.looking]]
        self.decoder = decoders.RecurrentCells(found, attends=True)

    def __call__(self, carry: Any, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Run over the target; return outputs and what was found in the source."""
        del noise
        return self.decoder.run(inputs.memory(memory), carry)


class DecoderBlockStage(nnx.Module):
    """A block of a Transformer's decoder, or one with a simple recurrent unit."""

    def __init__(self, part: parts.DecoderBlock) -> None:
        dials = _dials(part)
        looks = part.mixing == "attention"
        found = [decoder_kinds.Transformer(**own, window=parts.WINDOW) for own in dials]
        simple = [decoder_kinds.SimpleRecurrent(**own) for own in dials]
        self.mixing: Any = blocks.SelfAttentionLayer(found) if looks else blocks.SimpleRecurrentLayer(simple)
        self.relations = _relations(part.groups, part.buckets, causal=True) if looks else None
        self.block = decoders.DecoderBlock(found, attends=True)

    def __call__(self, carry: Any, memory: Any, inputs: Inputs, noise: Noise) -> Any:
        """Mix the positions so far, look at the source, map each position."""
        x, weights = carry
        if self.relations is None:
            x = self.mixing(x, noise.at(0))
        else:
            length = inputs.tokens.shape[1]
            causal = jnp.tril(jnp.ones((1, length, length), bool))
            x = self.mixing(x, causal, self.relations, noise.at(0))
        source = inputs.memory(memory)
        return self.block((x, weights), self.block.keys_values(source), source, noise)


class HeadStage(nnx.Module):
    """From a decoder's last vectors to logits."""

    def __init__(self, part: parts.Head) -> None:
        copying = output_kinds.PointerGenerator() if part.copying else output_kinds.Softmax()
        self.recurrent = part.family == "recurrent"
        self.embedding = TokenEmbedding(part.vocabulary, part.size) if part.tied else None
        self.output = Output(part.size, OutputKinds(part.vocabulary, [copying], [part.tied]))
        self.norm = None if self.recurrent else FinalNorm(part.size, NORMS, PLACES)
        self.of_hidden = Linear(part.size, part.size) if self.recurrent else None
        self.of_context = Linear(part.size, part.size, bias=False) if self.recurrent else None

    def __call__(
        self, carry: Any, memory: Any, inputs: Inputs, noise: Noise
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each token."""
        del memory
        x, found = carry
        weights = found.weights if self.recurrent else found
        if self.of_hidden is not None and self.of_context is not None:
            x = jnp.tanh(self.of_hidden(x) + self.of_context(found.context))
        elif self.norm is not None:
            x = self.norm(x)
        return self.output(drop(x, noise), self.embedding, weights, inputs.copies)


Stage = (
    TokensStage
    | RecurrentLayerStage
    | EncoderBlockStage
    | ConvolutionBlockStage
    | BridgeStage
    | CellsStage
    | DecoderBlockStage
    | HeadStage
)


def stage(part: parts.Part) -> Stage:
    """Return the module of a part, its parameters still shapes."""
    found: Stage
    match part:
        case parts.Tokens():
            found = TokensStage(part)
        case parts.RecurrentLayer():
            found = RecurrentLayerStage(part)
        case parts.EncoderBlock():
            found = EncoderBlockStage(part)
        case parts.ConvolutionBlock():
            found = ConvolutionBlockStage(part)
        case parts.Bridge():
            found = BridgeStage(part)
        case parts.Cells():
            found = CellsStage(part)
        case parts.DecoderBlock():
            found = DecoderBlockStage(part)
        case parts.Head():
            found = HeadStage(part)
        case other:
            assert_never(other)
    return found


class Place(NamedTuple):
    """Where a stage stands in a model.

    Attributes:
        part: What it is.
        members: Attribute of the stage → path in the model.
        noise: The places by which the model's noise becomes the stage's.
    """

    part: parts.Part
    members: Mapping[str, str]
    noise: tuple[int, ...]

    @property
    def is_encoded(self) -> bool:
        """Whether the output is the encoded source."""
        return isinstance(self.part, parts.Bridge)

    def path(self, own: str) -> str:
        """Return the path in the model of a path in the stage."""
        member, _, rest = own.partition(".")
        return ".".join(filter(None, (self.members.get(member, ""), rest)))


def places(configuration: Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> list[Place]:
    """Return the stages of a model in order; none where it has no encoder."""
    found = parts.parts(configuration, source_vocabulary, target_vocabulary)
    if not found:
        return []
    kinds = (type(configuration.encoder).__name__, type(configuration.decoder).__name__)
    begin = next(i for i, part in enumerate(found) if isinstance(part, parts.Bridge)) + 1
    return [*_encoder(found[:begin], f"encoder.{kinds[0]}"), *_decoder(found[begin:], f"decoder.{kinds[1]}")]


def _encoder(found: tuple[parts.Part, ...], root: str) -> list[Place]:
    ends = {name: f"{root}.{name}" for name in ("embedding", "places", "norm", "bridge")}
    layers = []
    for i, part in enumerate(found[1:-1]):
        if isinstance(part, parts.RecurrentLayer):
            # The first layer adds nothing, whatever the others do.
            members = {"layer": f"{root}.layers.{i}"} | ({"residual": f"{root}.residual"} if i else {})
        else:
            members = {"block": f"{root}.blocks.{i}", "relations": f"{root}.relations"}
        layers.append(Place(part, members, (0, i + 1)))
    return [Place(found[0], ends, (0, 0)), *layers, Place(found[-1], ends, (0,))]


def _decoder(found: tuple[parts.Part, ...], root: str) -> list[Place]:
    ends = ("embedding", "places", "norm", "output", "of_hidden", "of_context")
    members = {name: f"{root}.{name}" for name in ends}
    middle = []
    for i, part in enumerate(found[1:-1]):
        own = {"decoder": root, "relations": f"{root}.relations"}
        own |= {"mixing": f"{root}.mixing.{i}", "block": f"{root}.blocks.{i}"}
        middle.append(Place(part, own, (1, i + 2)))
    return [Place(found[0], members, (1, 0)), *middle, Place(found[-1], members, (1, 1))]


def _heads(groups: int) -> list[Any]:
    """Return heads of one group each and one of all, with keys of their own and shared."""
    return [attention.MultiHead(groups, 1), attention.MultiHead(groups, 2), attention.MultiHead(1, 1)]


def _dials(part: parts.EncoderBlock | parts.DecoderBlock) -> list[dict[str, Any]]:
    """Return dials of blocks that have, together, every kind that a block can be of."""
    heads, ratio = _heads(part.groups), part.hidden // part.size
    kinds = zip(heads, ("layer", "rms", "rms"), (True, False, False), ACTIVATIONS, strict=True)
    names = ("attention", "norm", "norm_first", "activation")
    shape = {"model_size": part.size, "num_layers": 1, "feed_forward_ratio": ratio}
    return [shape | dict(zip(names, own, strict=True)) for own in kinds]


def _relations(groups: int, buckets: int, *, causal: bool) -> Relations:
    kinds = (
        embeddings.Sinusoidal(),
        embeddings.NoPositions(),
        embeddings.Learned(),
        embeddings.Rotary(),
        embeddings.RelativeBias(buckets),
        embeddings.ALiBi(),
    )
    return Relations(kinds, groups, causal=causal)

"""A small model of each kind, and the programs that several tests run on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from automl.data.tokenizers import BOS, EOS, PAD
from automl.models.attention import Memory
from automl.models.dropout import Noise
from automl.models.facts import bind
from automl.models.parameters import declared, initialise
from automl.models.seq2seq import Seq2Seq
from automl.training.losses import smoothed_cross_entropy
from search_spaces import attention, decoders, embeddings, encoders, outputs, seq2seq

VOCABULARY = 12


def noise(
    rate: float = 0.0, seed: int = 0, *, locked: bool = False, tokens: float = 0.0, attention: float = 0.0
) -> Noise:
    """Dropout at a rate."""
    return Noise(jnp.uint32(seed), jnp.float32(rate), jnp.uint32(locked), jnp.float32(tokens), jnp.float32(attention))


SILENCE = noise()
HEADS = attention.MultiHead(2)
ENCODERS: dict[str, encoders.Encoder] = {
    "recurrent": encoders.Recurrent("lstm", 6, 2, True, True),
    "GRU": encoders.Recurrent("gru", 8, 1, False),
    "minGRU": encoders.Recurrent("mingru", 6, 1, True),
    "convolution": encoders.Convolution(6, 1, 3, embeddings.Learned(4)),
    "wide convolution": encoders.Convolution(8, 2, 5, embeddings.NoPositions(), "rms"),
    "transformer": encoders.Transformer(8, 1, 2, HEADS),
    "rotary transformer": encoders.Transformer(
        8, 1, 2, attention.MultiHead(4, 2), embeddings.Rotary(), "rms", False, "swiglu"
    ),
    "ALiBi transformer": encoders.Transformer(8, 1, 2, HEADS, embeddings.ALiBi(), "layer", False, "relu", 2),
    "relative transformer": encoders.Transformer(6, 1, 2, attention.MultiHead(1), embeddings.RelativeBias(8), "rms"),
    "learned transformer": encoders.Transformer(8, 1, 2, HEADS, embeddings.Learned(4)),
    "unordered transformer": encoders.Transformer(8, 1, 2, HEADS, embeddings.NoPositions()),
}
DECODERS: dict[str, decoders.Decoder] = {
    "recurrent, additive": decoders.Recurrent("lstm", 8, 2, attention.Additive(6)),
    "recurrent, multi-head": decoders.Recurrent("gru", 8, 1, HEADS),
    "recurrent, general": decoders.Recurrent("gru", 8, 1, attention.General()),
    "recurrent, concat": decoders.Recurrent("lstm", 8, 1, attention.Concat(6)),
    "recurrent, dot": decoders.Recurrent("gru", 8, 2, attention.Dot()),
    "recurrent, local": decoders.Recurrent("lstm", 8, 1, attention.Local(2)),
    "transformer": decoders.Transformer(8, 1, 2, HEADS),
    "relative transformer": decoders.Transformer(8, 2, 2, HEADS, embeddings.RelativeBias(8)),
    "rotary transformer": decoders.Transformer(
        8, 1, 2, attention.MultiHead(4, 2), embeddings.Rotary(), "rms", False, "swiglu", 2
    ),
    "ALiBi transformer": decoders.Transformer(8, 1, 2, HEADS, embeddings.ALiBi(), "layer", False, "relu"),
    "learned transformer": decoders.Transformer(8, 1, 2, HEADS, embeddings.Learned(4)),
    "unordered transformer": decoders.Transformer(8, 1, 2, HEADS, embeddings.NoPositions()),
    "simple recurrent": decoders.SimpleRecurrent(8, 2, 2, HEADS),
}
PAIRS = (
    ("recurrent", "recurrent, additive"),
    ("recurrent", "relative transformer"),
    ("minGRU", "recurrent, multi-head"),
    ("convolution", "recurrent, general"),
    ("GRU", "recurrent, concat"),
    ("wide convolution", "recurrent, dot"),
    ("ALiBi transformer", "recurrent, local"),
    ("transformer", "rotary transformer"),
    ("rotary transformer", "simple recurrent"),
    ("learned transformer", "ALiBi transformer"),
    ("unordered transformer", "learned transformer"),
    ("relative transformer", "unordered transformer"),
)
ALONE = ("recurrent, dot", "transformer", "simple recurrent")
"""Decoders without an encoder; the other positions and cells are those of the pairs."""


@dataclass(frozen=True)
class Case:
    """A model with values for its parameters."""

    configuration: seq2seq.Seq2Seq

    @cached_property
    def model(self) -> Seq2Seq:
        return Seq2Seq(self.configuration, VOCABULARY, VOCABULARY)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        return {name: jnp.asarray(value) for name, value in initialise(self.model, 0).items()}

    @cached_property
    def loss_and_gradient(self) -> Any:
        """Program of (parameters, source, target) and (source of the padding, its encoding): what the mask hides."""

        def loss(parameters: Any, source: Any, target: Any, hidden: tuple[Any, Any]) -> Any:
            model, mask = bind(self.model, parameters), source != PAD
            states = model.encoder.pick(lambda encoder: encoder(jnp.where(mask, source, hidden[0]), mask, None))
            memory = Memory(jnp.where(mask[:, :, None], states, hidden[1]), mask, source)
            logits = model.decoder.pick(lambda decoder: decoder.outputs(memory, inputs_of(target), None))
            return smoothed_cross_entropy(logits, target, target != PAD, jnp.float32(0.1))

        return jax.jit(jax.value_and_grad(loss))

    @cached_property
    def logits(self) -> Any:
        """Program of (parameters, source, inputs, noise): logits of the whole target at once, and step by step."""

        def both(parameters: Any, source: Any, inputs: Any, noise: Noise) -> Any:
            model = bind(self.model, parameters)
            memory = model.encode(source, copies=source)
            decoder = model.decoder.pick(lambda member: member)

            def step(carry: Any, item: Any) -> Any:
                return decoder.step(memory, carry, *item)

            items = (inputs.T, jnp.arange(inputs.shape[1]))
            _, stepped = jax.lax.scan(step, decoder.start(memory, inputs.shape[1]), items)
            return model(source, inputs, noise, source), jnp.swapaxes(stepped, 0, 1)

        program = jax.jit(both)
        return lambda parameters, source, inputs, noise=SILENCE: program(parameters, source, inputs, noise)


COPYING = (outputs.Softmax(), outputs.PointerGenerator())
CASES = {
    f"{encoder} -> {decoder}": Case(
        seq2seq.Seq2Seq(ENCODERS[encoder], DECODERS[decoder], COPYING[place % 2], tied_embeddings=place % 3 == 0)
    )
    for place, (encoder, decoder) in enumerate(PAIRS)
}
VALUES = {
    "cell": {"lstm", "gru", "mingru"},
    "norm": {"layer", "rms"},
    "activation": {"relu", "gelu", "swiglu"},
    **{field: {True, False} for field in ("bidirectional", "residual", "norm_first")},
}
LANGUAGE_MODELS = {name: Case(seq2seq.Seq2Seq(encoders.Identity(), DECODERS[name])) for name in ALONE}


def assert_every_kind(configurations: Iterable[seq2seq.Seq2Seq]) -> None:
    """Check that no kind of a family, nor value of a block's dial, is missing from configurations."""
    found = list(configurations)
    sides = [side for c in found for side in (c.encoder, c.decoder)]
    assert {*get_args(encoders.Encoder), *get_args(decoders.Decoder)} == {type(side) for side in sides}
    for field, family in (("attention", attention.Attention), ("positions", embeddings.Positions)):
        assert set(get_args(family)) == {type(getattr(side, field)) for side in sides if hasattr(side, field)}
    for field, values in VALUES.items():
        assert values == {getattr(side, field) for side in sides if hasattr(side, field)}
    assert set(get_args(outputs.Output)) == {type(c.output) for c in found}
    assert {c.tied_embeddings for c in found} == {True, False}


def inputs_of(target: Any) -> Any:
    """What a decoder is fed for targets that end in `EOS` and padding."""
    begins = jnp.full((target.shape[0], 1), BOS, jnp.int32)
    return jnp.where(target == PAD, PAD, jnp.concatenate([begins, target[:, :-1]], axis=1))


def tokens(
    rows: int, lengths: tuple[int, ...], size: int, *, end: bool = False, seed: int = 0, most: int = VOCABULARY
) -> Any:
    """Random rows of the lengths given in turn, padded to a size; with `end`, the last token is `EOS`."""
    drawn = np.random.default_rng(seed).integers(4, most, (rows, size)).astype(np.int32)
    for row, length in zip(drawn, lengths * rows, strict=False):
        row[length:] = PAD
        if end:
            row[length - 1] = EOS
    return drawn


def widened(array: Any, columns: int) -> Any:
    """Add columns of padding."""
    return np.pad(array, ((0, 0), (0, columns)), constant_values=PAD)


def filled(module: Any, seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """A module whose every parameter is random, biases and scales too; and those values."""
    generator = np.random.default_rng(seed)
    values = {
        name: generator.normal(size=param.get_value().shape).astype(np.float32)
        for name, param in declared(module).items()
    }
    return bind(module, {name: jnp.asarray(value) for name, value in values.items()}), values


def random(*shape: int, seed: int = 1) -> Any:
    """Random numbers around 0."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

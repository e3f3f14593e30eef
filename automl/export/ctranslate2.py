"""CTranslate2: Transformers as its own engine runs them, without JAX, in float32 or int8."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.bundle import Bundle
from automl.data.tokenizers import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, Tokenizer
from automl.description import MOST_LENGTH, described
from automl.export.arrays import ROWS
from automl.export.runtimes import Form, Runtime, Spoken, in_batches
from automl.hardware import cores
from automl.lengths import Limits
from search_spaces import decoders, embeddings, encoders
from search_spaces.outputs import PointerGenerator
from search_spaces.seq2seq import Seq2Seq
from search_spaces.stems import Tokens

Block = encoders.Transformer | decoders.Transformer
ADDED = (embeddings.Sinusoidal, embeddings.Learned, embeddings.NoPositions)
MOST_FILE = "most"
NEVER = -1e9


def refusal(members: Sequence[Seq2Seq]) -> str | None:
    """Return what a model has that the engine does not know, or nothing."""
    configuration, *others = members
    if not isinstance(configuration.stem, Tokens):
        return "it reads images"
    if others:  # it steps one decoder, and has nothing that averages several
        return "it is an ensemble, which no single trial of --trial is"
    return next(_unknown((configuration.encoder, configuration.decoder), configuration.output), None)


def _unknown(sides: Sequence[Any], output: Any) -> Iterator[str]:
    for side, name in zip(sides, ("encoder", "decoder"), strict=True):
        if not isinstance(side, Block):
            yield f"its {name} is {type(side).__name__}"
            continue
        if not isinstance(side.positions, ADDED):
            yield f"the positions of its {name} are {type(side.positions).__name__}"
        if side.window:
            yield f"its {name} sees a window"
    if isinstance(output, PointerGenerator):
        yield "it copies"


def write(bundle: Bundle, folder: Path, quantization: str | None = None) -> None:
    """Write a model of the engine."""
    from ctranslate2 import specs

    description = described(bundle.config)
    configuration = description.configuration
    encoder, decoder = configuration.encoder, configuration.decoder
    assert isinstance(encoder, encoders.Transformer)
    assert isinstance(decoder, decoders.Transformer)
    spec = specs.TransformerSpec(
        specs.TransformerEncoderSpec(encoder.num_layers, encoder.attention.num_heads, **_kinds(encoder)),
        specs.TransformerDecoderSpec(decoder.num_layers, decoder.attention.num_heads, **_kinds(decoder)),
    )
    weights = Weights(bundle.weights)
    _fill_encoder(spec.encoder, weights.under("encoder.Transformer."), encoder, description.longest)
    _fill_decoder(spec.decoder, weights, decoder, description.limits.usual)
    if configuration.tied_embeddings:
        spec.decoder.projection.weight = weights["decoder.Transformer.embedding.table"]
    else:
        spec.decoder.projection.weight = weights["decoder.Transformer.output.kernel"].T.copy()
    bias = weights["decoder.Transformer.output.bias"].copy()
    bias[[PAD, BOS, UNK]] = NEVER  # no output may hold them, and log-probabilities are of what is left
    spec.decoder.projection.bias = bias
    _save(spec, bundle, folder, quantization)
    (folder / MOST_FILE).write_text(json.dumps(replace(description.limits, grows=False).to_mapping()))


def _save(spec: Any, bundle: Bundle, folder: Path, quantization: str | None) -> None:
    spec.config.bos_token, spec.config.eos_token = SPECIAL_TOKENS[BOS], SPECIAL_TOKENS[EOS]
    spec.config.unk_token, spec.config.decoder_start_token = SPECIAL_TOKENS[UNK], SPECIAL_TOKENS[BOS]
    spec.config.layer_norm_epsilon = 1e-6
    spec.register_source_vocabulary(_vocabulary(bundle.source_tokenizer))
    spec.register_target_vocabulary(_vocabulary(bundle.target_tokenizer))
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def _vocabulary(document: str) -> list[str]:
    return [token for token, _ in sorted(Tokenizer.from_json(document).vocabulary.items(), key=lambda item: item[1])]


def _kinds(side: Block) -> dict[str, Any]:
    from ctranslate2.specs import common_spec

    activations = {
        "relu": common_spec.Activation.RELU,
        "gelu": common_spec.Activation.GELUTanh,
        "swiglu": common_spec.Activation.SWISH,
    }
    return {
        "pre_norm": side.norm_first,
        "activation": activations[side.activation],
        "ffn_glu": side.activation == "swiglu",
        "rms_norm": side.norm == "rms",
    }


class Weights:
    """Arrays by dotted name below a prefix."""

    def __init__(self, values: Mapping[str, NDArray[np.float32]], prefix: str = "") -> None:
        self._values, self._prefix = values, prefix

    def under(self, prefix: str) -> "Weights":
        """Return those below a further prefix."""
        return Weights(self._values, self._prefix + prefix)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Return a copy of an array, which the engine's converter may write into."""
        return np.array(self._values[self._prefix + name])

    def get(self, name: str) -> NDArray[np.float32] | None:
        """Return an array, or nothing where there is none."""
        return self._values.get(self._prefix + name)


def _fill_encoder(spec: Any, weights: Weights, kind: encoders.Transformer, longest: int) -> None:
    spec.embeddings[0].weight = weights["embedding.table"]
    spec.position_encodings.encodings = _places(kind, weights, longest)
    if kind.norm_first:
        _norm(spec.layer_norm, weights.under("norm.norm."))
    for index, layer in enumerate(spec.layer):
        block = weights.under(f"blocks.{index}.")
        _self_attention(layer.self_attention, block.under("attention."), kind)
        _feed_forward(layer.ffn, block.under("feed_forward."))


def _fill_decoder(spec: Any, weights: Weights, kind: decoders.Transformer, most: int) -> None:
    own = weights.under("decoder.Transformer.")
    spec.embeddings.weight = own["embedding.table"]
    spec.position_encodings.encodings = _places(kind, own, most + 1)
    if kind.norm_first:
        _norm(spec.layer_norm, own.under("norm.norm."))
    for index, layer in enumerate(spec.layer):
        _self_attention(layer.self_attention, own.under(f"mixing.{index}."), kind)
        block = own.under(f"blocks.{index}.")
        _source_attention(layer.attention, block.under("source."), kind, weights.under("encoder.Transformer.bridge."))
        _feed_forward(layer.ffn, block.under("feed_forward."))


def _norm(spec: Any, weights: Weights) -> None:
    spec.gamma = weights["scale"]
    if weights.get("bias") is not None:
        spec.beta = weights["bias"]


def _linear(spec: Any, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    spec.weight, spec.bias = np.ascontiguousarray(kernel.T), bias


def _feed_forward(spec: Any, weights: Weights) -> None:
    _norm(spec.layer_norm, weights.under("residual.norm."))
    for name, place in (("linear_0", "widen"), ("linear_1", "narrow"), ("linear_0_noact", "gate")):
        inner = weights.under(f"inner.{place}.")
        if inner.get("kernel") is not None:
            _linear(getattr(spec, name), inner["kernel"], inner["bias"])


def _self_attention(spec: Any, weights: Weights, kind: Block) -> None:
    _norm(spec.layer_norm, weights.under("residual.norm."))
    inner = weights.under("inner.")
    key, value, value_bias = (_of_each_head(inner[name], kind) for name in ("key", "value", "value_bias"))
    kernel = np.concatenate([inner["query"], key, value], axis=1)
    bias = np.concatenate([inner["query_bias"], np.zeros_like(value_bias), value_bias])
    _linear(spec.linear[0], kernel, bias)
    _linear(spec.linear[1], inner["out"], inner["out_bias"])


def _source_attention(spec: Any, weights: Weights, kind: Block, bridge: Weights) -> None:
    """Fill in attention to the source; a map between encoder and decoder becomes part of its keys and values."""
    _norm(spec.layer_norm, weights.under("residual.norm."))
    inner = weights.under("inner.")
    key, value, value_bias = (_of_each_head(inner[name], kind) for name in ("key", "value", "value_bias"))
    key_bias = np.zeros_like(value_bias)
    if bridge.get("linear.kernel") is not None:
        between, shift = bridge["linear.kernel"], bridge["linear.bias"]
        key_bias, value_bias = shift @ key, value_bias + shift @ value
        key, value = between @ key, between @ value
    _linear(spec.linear[0], inner["query"], inner["query_bias"])
    _linear(spec.linear[1], np.concatenate([key, value], axis=1), np.concatenate([key_bias, value_bias]))
    _linear(spec.linear[2], inner["out"], inner["out_bias"])


def _of_each_head(array: NDArray[np.float32], kind: Block) -> NDArray[np.float32]:
    """Give every head the columns of keys or values that it shares with its group."""
    shared, heads = kind.attention.key_value_heads, kind.attention.num_heads
    parts = array.reshape(*array.shape[:-1], shared, -1)
    repeated = np.repeat(parts, heads // shared, axis=-2)
    return np.ascontiguousarray(repeated.reshape(*array.shape[:-1], -1))


def _places(kind: Block, weights: Weights, length: int) -> NDArray[np.float32]:
    """Return what is added to the tokens at each position."""
    size = kind.model_size
    if isinstance(kind.positions, embeddings.Learned):
        table = weights["places.table"]
        return np.ascontiguousarray(table[np.minimum(np.arange(length), len(table) - 1)])
    if isinstance(kind.positions, embeddings.NoPositions):
        return np.zeros((length, size), np.float32)
    rates = np.exp(np.arange(0, size, 2, dtype=np.float32) * np.float32(-np.log(10_000.0) / size))
    angles = np.arange(length, dtype=np.float32)[:, None] * rates
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :size].astype(np.float32)


def open_folder(folder: Path, compute_type: str = "float32") -> Runtime:
    """Return the runtime of a folder that `write` made."""
    import ctranslate2

    # A thread a batch: threads inside of one cost models of this size more than they give.
    at_once = cores()
    translator = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=compute_type, inter_threads=at_once, intra_threads=1
    )
    names = {side: _names(folder, side) for side in ("source", "target")}
    numbers = {name: number for number, name in enumerate(names["target"])}
    limits = Limits.from_mapping(json.loads((folder / MOST_FILE).read_text()), MOST_LENGTH)

    def run(sources: list[list[int]]) -> Spoken:
        """Run sources, the shorter ones first, those of one limit together."""
        parts = [list(group) for _, group in groupby(sources, lambda source: limits.of(len(source)))]
        spoken = [run_alike(part) for part in parts]
        return Spoken(
            list(chain.from_iterable(s.tokens for s in spoken)), list(chain.from_iterable(s.scores for s in spoken))
        )

    def run_alike(sources: list[list[int]]) -> Spoken:
        results = translator.translate_batch(
            [[names["source"][token] for token in source] for source in sources],
            beam_size=1,
            length_penalty=0,
            min_decoding_length=0,
            max_decoding_length=limits.of(len(sources[0])),
            max_input_length=0,
            return_scores=True,
            max_batch_size=ROWS,
        )
        found = [[numbers[name] for name in result.hypotheses[0]] for result in results]
        return Spoken(found, [result.scores[0] for result in results])

    return lambda sources: in_batches(sources, run, ROWS * at_once)


def _names(folder: Path, side: str) -> list[str]:
    own, shared = folder / f"{side}_vocabulary.json", folder / "shared_vocabulary.json"
    names: list[str] = json.loads((own if own.exists() else shared).read_text(encoding="utf-8"))
    return names


def _form(write_it: Callable[[Bundle, Path], None], compute_type: str, agreement: float, tolerance: float) -> Form:
    return Form(
        ("ctranslate2",), refusal, write_it, partial(open_folder, compute_type=compute_type), agreement, tolerance
    )


CTRANSLATE2 = _form(write, "float32", 1.0, 1e-3)
CTRANSLATE2_INT8 = _form(partial(write, quantization="int8"), "int8", 0.8, 10.0)

"""The whole configuration of a sequence-to-sequence model and its training."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from search_spaces import decoders, encoders, stems, tokenizers
from search_spaces.augmentation import Augmentation, Unchanged, Varied
from search_spaces.decoders import Decoder
from search_spaces.dials import Value, choice, later, later_kind, one_of, uniform
from search_spaces.encoders import Encoder
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon, Optimizer
from search_spaces.outputs import Output, PointerGenerator, Softmax
from search_spaces.schedules import (
    Averaging,
    Cosine,
    ExponentialAverage,
    InverseSquareRoot,
    Linear,
    PolynomialAverage,
    Schedule,
    WarmupStableDecay,
)
from search_spaces.tokenizers import TargetTokenizer, Tokenizer

RECIPE = (
    "optimizer",
    "schedule",
    "averaging",
    "batch_tokens",
    "clipping",
    "dropout",
    "dropout_kind",
    "token_dropout",
    "attention_dropout",
    "label_smoothing",
    "augmentation",
    "lora_rank",
    "lora_alpha",
)
"""The fields that say how a model is trained; the others say what it is, and what it reads."""
DRAWN = "drawn"
"""The `start` of parameters that nobody has trained before."""
LATER: Mapping[str, Value] = {
    "history_turns": 0,
    "length_slack": 2.0,
    "start": DRAWN,
    "tuned": "whole",
    "lora_rank": 8,
    "lora_alpha": 16,
    "stem": "Tokens",
    "augmentation": "Unchanged",
}
"""Dials that a space leaves alone unless it is told of them → what they are then."""
BESIDE: Mapping[str, tuple[str, Value]] = {"lora_rank": ("tuned", "lora"), "lora_alpha": ("tuned", "lora")}
"""Dials that mean something beside one value of another one → that dial and value; elsewhere they are as in `LATER`."""
RANKS, ALPHAS = (2, 4, 8, 16, 32), (4, 8, 16, 32, 64)
"""Ranks of what LoRA adds to matrices, and what it is multiplied by where its rank is 1."""
READING = ("source_tokens", "target_tokens", "history_turns", "length_slack", "start", "tuned")
"""The fields that say how texts become what it reads and says, and where its training begins."""
BEGUN = (*RECIPE, "start", "tuned", "length_slack")
"""The fields that are free where the shape of a model is given, because its training has begun before."""


@dataclass(frozen=True)
class Seq2Seq:
    """Any encoder with any decoder, and the recipe that trains them.

    Dropout zeroes entries of activations by themselves (Srivastava et al., 2014) or, `locked`, the same ones at every
    position of a sequence (Gal and Ghahramani, 2016); token dropout whole tokens, attention dropout single weights.
    Of a conversation the last `history_turns` turns are read, or with 0 all; an image enters by a `stem`, and is varied
    in training by an `augmentation`. A target may have `length_slack` times the tokens that train has for sources of
    like length, and a few. Parameters `start` drawn at random, from a bundle, or from a pre-training by one of three
    objectives; then the whole model is `tuned`, its decoder alone, or what `lora` adds to its matrices: a product of
    rank `lora_rank`, times `lora_alpha` over that rank (Hu et al., 2021, section 4.1). `batch_tokens` are target tokens
    a step, `clipping` the largest global norm of a gradient (Pascanu et al., 2013).
    """

    encoder: Encoder = one_of(encoders.Recurrent, encoders.Transformer, encoders.Convolution, encoders.Identity)
    decoder: Decoder = one_of(decoders.Recurrent, decoders.Transformer, decoders.SimpleRecurrent)
    output: Output = one_of(Softmax, PointerGenerator)
    tied_embeddings: bool = choice(False, False, True)
    optimizer: Optimizer = one_of(AdamW, Lion, Adafactor, Muon)
    schedule: Schedule = one_of(WarmupStableDecay, InverseSquareRoot, Cosine, Linear)
    averaging: Averaging = one_of(PolynomialAverage, ExponentialAverage)
    batch_tokens: int = choice(512, 256, 512, 1024, 2048, 4096)
    clipping: float = uniform(1.0, 0.1, 10.0, log=True)
    dropout: float = uniform(0.3, 0.0, 0.5)
    dropout_kind: str = choice("elementwise", "elementwise", "locked")
    token_dropout: float = uniform(0.0, 0.0, 0.2)
    attention_dropout: float = uniform(0.0, 0.0, 0.2)
    label_smoothing: float = uniform(0.1, 0.0, 0.2)
    source_tokens: Tokenizer = one_of(*tokenizers.SOURCE, tokenizers.Whole, tokenizers.Pixels)
    target_tokens: TargetTokenizer = one_of(
        *tokenizers.SOURCE, tokenizers.LikeSource, tokenizers.Whole, tokenizers.Boxes
    )
    history_turns: int = later(0, 0, 1, 2, 4, 8)
    length_slack: float = later(2.0, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
    start: str = later(DRAWN, DRAWN, "bundle", "denoising", "masked", "causal")
    tuned: str = later("whole", "whole", "decoder", "lora")
    lora_rank: int = later(8, *RANKS)
    lora_alpha: int = later(16, *ALPHAS)
    stem: stems.Stem = later_kind(stems.Tokens, stems.Convolutions, stems.Patches)
    augmentation: Augmentation = later_kind(Unchanged, Varied)


MODEL = tuple(field.name for field in fields(Seq2Seq) if field.name not in RECIPE)


def without_recipe(configuration: Seq2Seq) -> tuple[object, ...]:
    """Return what a model is and reads, without how it is trained."""
    return tuple(getattr(configuration, name) for name in MODEL)

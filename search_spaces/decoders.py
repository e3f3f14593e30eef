"""Decoders: from the encoded source and the target so far to the next token."""

from dataclasses import dataclass

from search_spaces.attention import Additive, Attention, Concat, Dot, General, Local, MultiHead
from search_spaces.dials import choice, one_of
from search_spaces.embeddings import ALiBi, Learned, NoPositions, Positions, RelativeBias, Rotary, Sinusoidal


@dataclass(frozen=True)
class Recurrent:
    """A gated recurrent network that is fed the last context (Luong et al., 2015, section 3.3)."""

    cell: str = choice("gru", "lstm", "gru")
    hidden_size: int = choice(128, 32, 64, 128, 256, 512)
    num_layers: int = choice(1, 1, 2, 3)
    attention: Attention = one_of(Additive, Dot, General, Concat, MultiHead, Local)


@dataclass(frozen=True)
class Transformer:
    """Self-attention, attention to the source and feed-forward (Vaswani et al., 2017), normalised before each or after.

    With a `window`, a position sees so many before it; with 0, all.
    """

    model_size: int = choice(128, 32, 64, 128, 256, 512)
    num_layers: int = choice(2, 1, 2, 3, 4, 6)
    feed_forward_ratio: int = choice(4, 2, 4)
    attention: MultiHead = one_of(MultiHead)
    positions: Positions = one_of(Sinusoidal, NoPositions, Learned, Rotary, RelativeBias, ALiBi)
    norm: str = choice("layer", "layer", "rms")
    norm_first: bool = choice(True, True, False)
    activation: str = choice("gelu", "relu", "gelu", "swiglu")
    window: int = choice(0, 0, 4, 16)


@dataclass(frozen=True)
class SimpleRecurrent:
    """A Transformer with a simpler simple recurrent unit for self-attention (SSRU; Kim et al., 2019): decodes fast."""

    model_size: int = choice(128, 32, 64, 128, 256, 512)
    num_layers: int = choice(2, 1, 2, 3, 4)
    feed_forward_ratio: int = choice(4, 2, 4)
    attention: MultiHead = one_of(MultiHead)
    norm: str = choice("layer", "layer", "rms")
    norm_first: bool = choice(True, True, False)
    activation: str = choice("gelu", "relu", "gelu", "swiglu")


Decoder = Recurrent | Transformer | SimpleRecurrent


def size_of(kind: Decoder) -> int:
    """Return the size of a decoder's vectors, to which the encoded source is brought."""
    return kind.hidden_size if isinstance(kind, Recurrent) else kind.model_size

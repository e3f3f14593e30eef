"""Decoders: from the encoded source and the target so far to the next token."""

from dataclasses import dataclass

from search_spaces.attention import Additive, Attention, MultiHead
from search_spaces.dials import choice, one_of


@dataclass(frozen=True)
class Recurrent:
    """A gated recurrent network that is fed the last context (Luong et al., 2015, section 3.3)."""

    cell: str = choice("lstm", "lstm", "gru")
    hidden_size: int = choice(128, 64, 128, 256)
    num_layers: int = choice(1, 1, 2)
    attention: Attention = one_of(Additive, MultiHead)


@dataclass(frozen=True)
class Transformer:
    """Self-attention, attention to the source and feed-forward, normalised before each (Vaswani et al., 2017)."""

    model_size: int = choice(128, 64, 128, 256)
    num_layers: int = choice(2, 1, 2, 3, 4)
    feed_forward_ratio: int = choice(4, 2, 4)
    attention: MultiHead = one_of(MultiHead)


Decoder = Recurrent | Transformer

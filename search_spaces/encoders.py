"""Encoders: from source tokens to one vector a position."""

from dataclasses import dataclass

from search_spaces.attention import MultiHead
from search_spaces.dials import choice, one_of


@dataclass(frozen=True)
class Recurrent:
    """A gated recurrent network (Hochreiter and Schmidhuber, 1997; Cho et al., 2014).

    The size is that of one direction.
    """

    cell: str = choice("lstm", "lstm", "gru")
    hidden_size: int = choice(128, 64, 128, 256)
    num_layers: int = choice(1, 1, 2, 3)
    bidirectional: bool = choice(True, True, False)


@dataclass(frozen=True)
class Transformer:
    """Self-attention and feed-forward blocks, normalised before each (Vaswani et al., 2017; Xiong et al., 2020)."""

    model_size: int = choice(128, 64, 128, 256)
    num_layers: int = choice(3, 1, 2, 3, 4)
    feed_forward_ratio: int = choice(4, 2, 4)
    attention: MultiHead = one_of(MultiHead)


Encoder = Recurrent | Transformer

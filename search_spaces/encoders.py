"""Encoders: from source tokens to one vector a position."""

from dataclasses import dataclass

from search_spaces.attention import MultiHead
from search_spaces.dials import choice, one_of
from search_spaces.embeddings import Added, ALiBi, Learned, NoPositions, Positions, RelativeBias, Rotary, Sinusoidal


@dataclass(frozen=True)
class Recurrent:
    """A gated recurrent network (Hochreiter and Schmidhuber, 1997; Cho et al., 2014; Feng et al., 2024, for minGRU).

    The size is that of one direction. With `residual`, every layer but the first adds its input to its output.
    """

    cell: str = choice("gru", "lstm", "gru", "mingru")
    hidden_size: int = choice(128, 32, 64, 128, 256, 512)
    num_layers: int = choice(1, 1, 2, 3, 4)
    bidirectional: bool = choice(True, True, False)
    residual: bool = choice(False, False, True)


@dataclass(frozen=True)
class Transformer:
    """Self-attention and feed-forward blocks (Vaswani et al., 2017), normalised before or after (Xiong et al., 2020).

    With a `window`, a position sees so many on either side; with 0, all.
    """

    model_size: int = choice(128, 32, 64, 128, 256, 512)
    num_layers: int = choice(3, 1, 2, 3, 4, 6)
    feed_forward_ratio: int = choice(4, 2, 4)
    attention: MultiHead = one_of(MultiHead)
    positions: Positions = one_of(Sinusoidal, NoPositions, Learned, Rotary, RelativeBias, ALiBi)
    norm: str = choice("layer", "layer", "rms")
    norm_first: bool = choice(True, True, False)
    activation: str = choice("gelu", "relu", "gelu", "swiglu")
    window: int = choice(0, 0, 4, 16)


@dataclass(frozen=True)
class Convolution:
    """Gated convolutions over neighbouring positions (Dauphin et al., 2017; Gehring et al., 2017)."""

    model_size: int = choice(128, 32, 64, 128, 256, 512)
    num_layers: int = choice(3, 1, 2, 3, 4, 6)
    kernel_size: int = choice(3, 3, 5, 7)
    positions: Added = one_of(Sinusoidal, NoPositions, Learned)
    norm: str = choice("layer", "layer", "rms")


@dataclass(frozen=True)
class Identity:
    """No encoder: the decoder is a language model (Bengio et al., 2003)."""


Encoder = Recurrent | Transformer | Convolution | Identity

"""Attention: how a decoder looks at the encoded source."""

from dataclasses import dataclass

from search_spaces.dials import choice


@dataclass(frozen=True)
class Additive:
    """A one-layer network scores each source position (Bahdanau et al., 2015)."""

    size: int = choice(128, 64, 128, 256)


@dataclass(frozen=True)
class MultiHead:
    """Scaled dot products in several heads (Vaswani et al., 2017)."""

    num_heads: int = choice(4, 1, 2, 4, 8)


Attention = Additive | MultiHead

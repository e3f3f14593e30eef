"""Attention: how a decoder looks at the encoded source, and how positions look at each other."""

from dataclasses import dataclass
from math import gcd

from search_spaces.dials import choice


@dataclass(frozen=True)
class Additive:
    """A one-layer network scores each source position (Bahdanau et al., 2015)."""

    size: int = choice(128, 32, 64, 128, 256)


@dataclass(frozen=True)
class Dot:
    """The score of a source position is its product with the query (Luong et al., 2015, section 3.1)."""


@dataclass(frozen=True)
class General:
    """A dot product with a learned matrix in between (Luong et al., 2015, section 3.1)."""


@dataclass(frozen=True)
class Concat:
    """A one-layer network without biases scores query and position side by side (Luong et al., 2015, section 3.1)."""

    size: int = choice(128, 32, 64, 128, 256)


@dataclass(frozen=True)
class Local:
    """A general score, of the positions around the place of the target token alone (Luong et al., 2015, local-m)."""

    window: int = choice(4, 2, 4, 8)


@dataclass(frozen=True)
class MultiHead:
    """Scaled dot products in several heads (Vaswani et al., 2017), of which a group shares keys (Ainslie et al., 2023).

    `group` query heads share the keys and values of one head, or as many as divide the number of heads.
    """

    num_heads: int = choice(4, 1, 2, 4, 8)
    group: int = choice(1, 1, 2, 4)

    @property
    def key_value_heads(self) -> int:
        """Number of heads that keys and values have."""
        return self.num_heads // gcd(self.num_heads, self.group)


Attention = Additive | Dot | General | Concat | MultiHead | Local

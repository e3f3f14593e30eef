"""Positions: how a model that reads all tokens at once knows their order."""

from dataclasses import dataclass

from search_spaces.dials import choice


@dataclass(frozen=True)
class NoPositions:
    """No positions: what the masks and the convolutions give away is all there is (Haviv et al., 2022)."""


@dataclass(frozen=True)
class Sinusoidal:
    """Sines and cosines of the position are added to the tokens (Vaswani et al., 2017, section 3.5)."""


@dataclass(frozen=True)
class Learned:
    """A learned vector for each position is added to the tokens (Gehring et al., 2017); the last serves all beyond."""

    length: int = choice(256, 64, 256, 1024)


@dataclass(frozen=True)
class Rotary:
    """Queries and keys are turned by angles that grow with the position (Su et al., 2021)."""


@dataclass(frozen=True)
class RelativeBias:
    """A learned number for each head and bucket of distances is added to the scores (Raffel et al., 2020)."""

    buckets: int = choice(32, 16, 32)


@dataclass(frozen=True)
class ALiBi:
    """Scores fall linearly with the distance, by a slope for each head (Press et al., 2022)."""


Positions = NoPositions | Sinusoidal | Learned | Rotary | RelativeBias | ALiBi
Added = Sinusoidal | NoPositions | Learned

"""Stems: how what a model reads becomes positions. Height, width and channels of images are those of the data."""

from dataclasses import dataclass
from typing import assert_never

from search_spaces.dials import choice

SMALLEST, LARGEST = 4, 224
"""Pixels of a side."""
SIDES = tuple(range(SMALLEST, LARGEST + 1))
MOST_POSITIONS, FEWEST_POSITIONS = 200, 4


@dataclass(frozen=True)
class Tokens:
    """No image: each token is a position (Bahdanau et al., 2015)."""


@dataclass(frozen=True)
class Convolutions:
    """Stages of 3 × 3 convolutions (Xiao et al., 2021), each of half the rows and columns, twice the filters.

    Each is followed by `blocks` (He et al., 2016, here normalised over the filters of each place).
    """

    height: int = choice(32, *SIDES)
    width: int = choice(32, *SIDES)
    channels: int = choice(1, 1, 3)
    stages: int = choice(2, 1, 2, 3, 4)
    filters: int = choice(32, 16, 32, 64)
    blocks: int = choice(1, 1, 2)

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of each stage."""
        return tuple(self.filters * 2**stage for stage in range(self.stages))


@dataclass(frozen=True)
class Patches:
    """Squares of pixels beside each other, each mapped linearly to a position (Dosovitskiy et al., 2021, 3.1)."""

    height: int = choice(32, *SIDES)
    width: int = choice(32, *SIDES)
    channels: int = choice(1, 1, 3)
    side: int = choice(4, 2, 4, 8, 16)


Image = Convolutions | Patches
Stem = Tokens | Image


def cell(stem: Image) -> int:
    """Return the pixels that a position is wide and high."""
    match stem:
        case Convolutions():
            return int(2**stem.stages)
        case Patches():
            return stem.side
        case other:
            assert_never(other)


def grid(stem: Image) -> tuple[int, int]:
    """Return how many positions lie below and beside each other; the last ones may reach over the edge."""
    side = cell(stem)
    return -(-stem.height // side), -(-stem.width // side)


def positions(stem: Stem, tokens: int) -> int:
    """Return the positions that so many source tokens become."""
    if isinstance(stem, Tokens):
        return tokens
    rows, columns = grid(stem)
    return rows * columns


def narrowing(height: int, width: int, channels: int) -> dict[str, object]:
    """Return what is left of the dials for images of a size: cells of which neither too many nor too few fill one."""
    left: dict[str, object] = {"stem": [kind.__name__ for kind in (Convolutions, Patches)]}
    for kind in (Convolutions, Patches):
        shape = {"height": height, "width": width, "channels": channels}
        left |= {f"stem.{kind.__name__}.{name}": value for name, value in shape.items()}
    left["stem.Convolutions.stages"] = _fitting({stages: 2**stages for stages in (1, 2, 3, 4)}, height, width)
    left["stem.Patches.side"] = _fitting({side: side for side in (2, 4, 8, 16)}, height, width)
    return left


def _fitting(cells: dict[int, int], height: int, width: int) -> list[int]:
    counts = {value: -(-height // side) * -(-width // side) for value, side in cells.items()}
    fitting = [value for value, count in counts.items() if FEWEST_POSITIONS <= count <= MOST_POSITIONS]
    return fitting or [min(counts, key=lambda value: abs(counts[value] - MOST_POSITIONS))]

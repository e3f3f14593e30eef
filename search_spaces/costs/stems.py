"""The work of stems."""

from typing import assert_never

from search_spaces import stems
from search_spaces.costs.blocks import embedding, placed
from search_spaces.costs.work import NONE, Work, each, linear, norm
from search_spaces.embeddings import Positions

GELU = (8, 14, 2)


def entered(stem: stems.Stem, added: Positions, rows: int, length: int, size: int) -> Work:
    """Return what turns `length` source tokens of each row into vectors, their positions and dropout included."""
    if isinstance(stem, stems.Tokens):
        return embedding(added, rows * length * size)
    pixels = each(rows * stem.height * stem.width * stem.channels, 2, 0, 1)
    places = stems.positions(stem, length)
    return pixels + _mapped(stem, rows, size) + placed(added, rows * places * size)


def _mapped(stem: stems.Image, rows: int, size: int) -> Work:
    match stem:
        case stems.Patches():
            below, beside = stems.grid(stem)
            return linear(rows * below * beside, stem.side**2 * stem.channels, size)
        case stems.Convolutions():
            return _stages(stem, rows, size)
        case other:
            assert_never(other)


def _stages(stem: stems.Convolutions, rows: int, size: int) -> Work:
    height, width, inputs = stem.height, stem.width, stem.channels
    work = NONE
    for filters in stem.widths:
        height, width = -(-height // 2), -(-width // 2)
        work += linear(rows * height * width, 4 * inputs, filters)
        work += _block(rows, height, width, filters) * stem.blocks
        inputs = filters
    return work + norm("layer", rows * height * width, inputs) + linear(rows * height * width, inputs, size)


def _block(rows: int, height: int, width: int, filters: int) -> Work:
    """Return a block; what lies beyond the edge is multiplied in the gradient of the kernel alone."""
    places = rows * height * width
    inside = (3 * height - 2) * (3 * width - 2) * rows * filters * filters * 2
    windows = each(places * filters, 0, 9, 11)
    return (
        norm("layer", places, filters)
        + Work(inside, inside + 2 * 9 * places * filters * filters)
        + windows
        + each(places * filters, 2, 3)
        + each(places * filters, *GELU)
    )

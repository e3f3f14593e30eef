"""Pixels: images as the tokens that a model reads, all of one size."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data.tokenizers import SPECIAL_TOKENS, Tokenizer
from automl.errors import InputError
from search_spaces import tokenizers as kinds
from search_spaces.stems import LARGEST, SMALLEST

LEVELS = 256


class Canvas(NamedTuple):
    """The size that every image of a task is brought to, and its channels: 1 of grey or 3 of colours."""

    height: int
    width: int
    channels: int

    @property
    def values(self) -> int:
        """Bytes of an image."""
        return self.height * self.width * self.channels

    def is_sound(self) -> bool:
        """Say whether a model could read it."""
        sides = all(type(side) is int and SMALLEST <= side <= LARGEST for side in (self.height, self.width))
        return sides and self.channels in (1, 3)


def is_image(source: object) -> bool:
    """Say whether a row of tokens is an image: an array of bytes, each of which stands for a token."""
    return isinstance(source, np.ndarray) and source.dtype == np.uint8


def ids(source: Any) -> Any:
    """Return the ids of a row of tokens."""
    return source.astype(np.int32) + len(SPECIAL_TOKENS) if is_image(source) else source


class Pixels(Tokenizer):
    """Maps images to rows of bytes, a token each; the ids begin behind the special ones."""

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(kinds.Pixels, None)
        self.canvas = canvas

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Pixels":
        """Read what `to_json` wrote.

        Raises:
            ValueError: It describes no canvas.
        """
        canvas = Canvas(*(document[name] for name in Canvas._fields))
        if not canvas.is_sound():
            raise ValueError("no size of images")
        return cls(canvas)

    def to_json(self) -> str:
        """Write the canvas."""
        return json.dumps({"model": {"type": "Pixels", **self.canvas._asdict()}})

    @property
    def size(self) -> int:
        """Number of ids, the special ones included."""
        return LEVELS + len(SPECIAL_TOKENS)

    @property
    def vocabulary(self) -> dict[str, int]:
        """No token has a text."""
        return {}

    def encode_batch(self, texts: Sequence[Any]) -> list[Any]:
        """Turn paths, or arrays of `[height, width]` or `[height, width, channels]` bytes, into rows of bytes.

        Raises:
            InputError: One is no image.
        """
        return [row for row, _ in map(self.sized, texts)]

    def sized(self, image: Any) -> tuple[NDArray[np.uint8], float]:
        """Return an image as a row of bytes, and by how much it was made larger or smaller.

        Raises:
            InputError: It is none.
        """
        from automl.data.images import fitted, read_sized

        read, smaller = read_sized(image)
        found, scale = fitted(read, self.canvas)
        return found.reshape(-1), smaller * scale

    def decode_batch(self, rows: Iterable[Iterable[int]]) -> list[str]:
        """Refuse: no text stands for pixels."""
        del rows
        raise InputError("pixels are no text")

    def tokens(self, text: str) -> list[str]:
        """Refuse: no text stands for pixels."""
        del text
        raise InputError("pixels are no text")


def laid_out(images: Sequence[NDArray[np.uint8]], canvas: Canvas) -> NDArray[np.uint8]:
    """Return images that fit a canvas as `[images, values]`."""
    return np.stack(images).reshape(len(images), canvas.values)

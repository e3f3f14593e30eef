"""Boxes: objects of an image as the tokens that a model says (Chen et al., 2022, Pix2Seq, section 2)."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from automl.boxes import Box, read_text, to_text
from automl.data.pieces import Flat, flat
from automl.data.pixels import Canvas
from automl.data.tokenizers import SPECIAL_TOKENS, UNK, Said, Tokenizer
from search_spaces import tokenizers as kinds

PER_OBJECT = 5
"""Tokens of an object: its upper and left edge, its lower and right edge, its class."""
LEAST_SCORE = 0.01
"""Probability of another class for it to be named."""
MOST_BINS, MOST_CLASSES = 1024, 2**16


class Boxes(Tokenizer):
    """Maps texts of boxes to tokens and back: coordinates in so many steps along each side, then the class."""

    def __init__(self, canvas: Canvas, bins: int, classes: Sequence[str]) -> None:
        super().__init__(kinds.Boxes, None)
        self.canvas, self.bins, self.classes = canvas, bins, tuple(classes)
        self._first_class = len(SPECIAL_TOKENS) + bins
        self._numbers = {label: self._first_class + place for place, label in enumerate(self.classes)}

    @classmethod
    def learnt(cls, kind: kinds.Boxes, canvas: Canvas, texts: Iterable[str]) -> "Boxes":
        """Learn the classes of train."""
        return cls(canvas, kind.bins, sorted({box.label for text in texts for box in read_text(text)}))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Boxes":
        """Read what `to_json` wrote.

        Raises:
            ValueError: It describes no boxes.
        """
        canvas = Canvas(*(document[name] for name in Canvas._fields))
        bins, classes = document["bins"], document["classes"]
        sound = canvas.is_sound() and type(bins) is int and 2 <= bins <= MOST_BINS
        if not sound or len(classes) > MOST_CLASSES or not all(isinstance(label, str) for label in classes):
            raise ValueError("no boxes")
        return cls(canvas, bins, classes)

    def to_json(self) -> str:
        """Write canvas, bins and classes."""
        own = {"type": "Boxes", "bins": self.bins, "classes": self.classes, **self.canvas._asdict()}
        return json.dumps({"model": own}, ensure_ascii=False)

    @property
    def size(self) -> int:
        """Number of ids, the special ones included."""
        return self._first_class + len(self.classes)

    @property
    def vocabulary(self) -> dict[str, int]:
        """No token has a text of its own."""
        return {}

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts of boxes into ids, without begin and end."""
        return [[token for box in read_text(text) for token in self._tokens(box)] for text in texts]

    def encode(self, texts: Sequence[str]) -> Flat:
        """Turn texts of boxes into ids, end to end."""
        return flat(self.encode_batch(texts))

    def _tokens(self, box: Box) -> list[int]:
        height, width, _ = self.canvas
        edges = (
            box.upper / height,
            box.left / width,
            (box.upper + box.height) / height,
            (box.left + box.width) / width,
        )
        last = self.bins - 1
        upper, left, lower, right = (min(max(round(edge * last), 0), last) for edge in edges)
        lower, right = max(lower, min(upper + 1, last)), max(right, min(left + 1, last))
        places = (min(upper, lower - 1), min(left, right - 1), lower, right)  # at least a step, however small it is
        return [*(len(SPECIAL_TOKENS) + place for place in places), self._numbers.get(box.label, UNK)]

    def decode_batch(self, rows: Iterable[Iterable[int]]) -> list[str]:
        """Turn ids into texts; what is no whole box of some area is left out."""
        return self.said(map(Said, map(list, rows)))

    def said(self, answers: Iterable[Said]) -> list[str]:
        """Turn what was said into texts; the score of a box is the probability of its class.

        Where ends are late (`automl.decoding.steps`), it holds how likely it is that there is one more object at all.
        """
        return [to_text(self._boxes(answer)) for answer in answers]

    def _boxes(self, answer: Said) -> Iterable[Box]:
        tokens, scores, instead = answer
        place = 0
        while place + PER_OBJECT <= len(tokens):
            *edges, label = tokens[place : place + PER_OBJECT]
            whole = all(len(SPECIAL_TOKENS) <= edge < self._first_class for edge in edges)
            if not whole or not self._first_class <= label < self.size:
                place += 1
                continue
            place += PER_OBJECT
            upper, left, lower, right = self._pixels(edges)
            if lower > upper and right > left:
                score = math.exp(scores[place - 1]) if place <= len(scores) else None
                others = () if instead is None else self._others(instead[0][place - 1], instead[1][place - 1], label)
                own = self.classes[label - self._first_class]
                yield Box(own, left, upper, right - left, lower - upper, score, others)

    def _others(self, tokens: Sequence[int], scores: Sequence[float], label: int) -> tuple[tuple[str, float], ...]:
        """Return the other classes that an object may be of, with their scores."""
        pairs = ((token, math.exp(score)) for token, score in zip(tokens, scores, strict=True) if token != label)
        likely = [(token - self._first_class, score) for token, score in pairs if score >= LEAST_SCORE]
        return tuple((self.classes[place], score) for place, score in likely if place >= 0)

    def _pixels(self, edges: Sequence[int]) -> list[float]:
        sides = (self.canvas.height, self.canvas.width) * 2
        shares = ((edge - len(SPECIAL_TOKENS)) / (self.bins - 1) for edge in edges)
        return [share * side for share, side in zip(shares, sides, strict=True)]

    def tokens(self, text: str) -> list[str]:
        """Return each box of a text as one."""
        return [to_text([box]) for box in read_text(text)]

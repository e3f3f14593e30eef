"""Pairs of texts that have no targets: a part of each text is hidden, and the model says the whole or the rest.

What is hidden follows from the text alone, so that the same file gives the same pairs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from automl.data.forms import Form
from automl.data.lines import lines
from automl.data.sources import Columns, Pairs, Row, check_file, collect
from automl.data.tokenizers import normalise
from automl.errors import InputError

MASK = "\ue002"
"""Stands for what is hidden: a character of private use, which is no token of train, so that it is read as unknown."""
LONGEST = 400
"""Characters of a text, about; longer ones are cut between words."""
FEWEST = 4
"""Words of a text of which words are hidden; of a shorter one, characters are."""
HIDDEN, SPAN = 0.3, 3.0
"""Share of a text that spans hide, and their mean length (Lewis et al., 2020, section 3)."""
MASKED = 0.15
"""Share of a text that is hidden word by word (Devlin et al., 2019, section 3.1)."""

Units = Sequence[str]
Hide = Callable[[Units, np.random.Generator], tuple[list[str], list[str]]]


def denoising(units: Units, draw: np.random.Generator) -> tuple[list[str], list[str]]:
    """Hide spans, each behind one mask, and say the whole: span corruption as text infilling (Lewis et al., 2020)."""
    wanted, hidden = max(round(HIDDEN * len(units)), 1), np.zeros(len(units), np.bool_)
    while hidden.sum() < wanted:
        length = min(max(int(draw.poisson(SPAN)), 1), wanted - int(hidden.sum()))
        begin = int(draw.integers(len(units) - length + 1))
        hidden[begin : begin + length] = True
    first = hidden & ~np.concatenate([[False], hidden[:-1]])
    return [
        MASK if begins else unit for unit, h, begins in zip(units, hidden, first, strict=True) if begins or not h
    ], [*units]


def masked(units: Units, draw: np.random.Generator) -> tuple[list[str], list[str]]:
    """Hide units one by one, and say the whole (Devlin et al., 2019; with a decoder, Song et al., 2019)."""
    hidden = draw.random(len(units)) < MASKED
    hidden[draw.integers(len(units))] = True
    return [MASK if h else unit for unit, h in zip(units, hidden, strict=True)], [*units]


def causal(units: Units, draw: np.random.Generator) -> tuple[list[str], list[str]]:
    """Read the beginning and say the rest: a language model behind a prefix (Raffel et al., 2020, section 3.2.3)."""
    cut = int(draw.integers(1, len(units)))
    return [*units[:cut]], [*units[cut:]]


def read(path: Path, columns: Columns, *, hide: Hide) -> Pairs:
    """Read a file of one text a line as pairs.

    Raises:
        InputError: The file cannot be read, names columns, or holds no text of two characters.
    """
    check_file(path, SUFFIXES)
    if columns != Columns():
        raise InputError(f"{path}: a .txt file has no columns; leave [data] source, target and weight out")
    return collect(path, _rows(path, hide))


def _rows(path: Path, hide: Hide) -> Iterator[Row]:
    for number, line in enumerate(lines(path), start=1):
        for piece in pieces(normalise(line)):
            words = piece.split(" ")
            units, divider = (words, " ") if len(words) >= FEWEST else (list(piece), "")
            if len(units) < 2:
                yield Row(number, [""], [piece])
                continue
            seed = int.from_bytes(blake2b(piece.encode(), digest_size=8).digest(), "big")
            source, target = hide(units, np.random.default_rng(seed))
            yield Row(number, [divider.join(source)], [divider.join(target)])


def pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces of at most `LONGEST` characters, divided between words where there are any."""
    while len(text) > LONGEST:
        space = text.rfind(" ", 1, LONGEST + 1)
        end = space if space > 0 else LONGEST
        yield text[:end]
        text = text[end:].strip()
    yield text


SUFFIXES = (".txt",)
HELD_OUT = 500
"""Pieces that a pre-training is scored on, at most: it is compared with nothing, and its looks cost training."""
TEXTS: Mapping[str, Form] = {
    hide.__name__: Form(f"texts, {hide.__name__}", partial(read, hide=hide), SUFFIXES, most_held_out=HELD_OUT)
    for hide in (denoising, masked, causal)
}
"""Ways to make pairs of texts → how files are read so."""

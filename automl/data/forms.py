"""Forms of data: how the files of a kind of task become pairs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.data.sources import READERS, Columns, Pairs, check_file, read_pairs
from automl.data.tokenizers import normalise

MOST_HELD_OUT = 2_000
"""Sources of valid, and of test, that are held out of train."""


def _same(text: str, scale: float) -> str:
    del scale
    return text


def _alone(path: Path) -> Iterable[Path]:
    del path
    return ()


def _nothing(files: Mapping[str, Pairs]) -> Sequence[str]:
    del files
    return ()


@dataclass(frozen=True)
class Form:
    """How files become pairs.

    Attributes:
        name: Two forms of other names read the same files otherwise.
        read: Reads one file.
        suffixes: Of the files that it reads.
        inspect: Takes what was read of each split and returns what a person should know, one sentence each; raises
            `InputError` where a result would mislead.
        prepare: Turns what a prediction is asked for into a source as `read` gives it.
        recurring: Whether sources of train may be in valid or test too, as greetings are in conversations.
        most_held_out: Sources that valid and test each have at most where they are held out of train.
        reads_folders: Whether a folder may stand for a file.
        reads_images: Whether its sources are images.
        parts: Further files that belong to one.
        scaled: Returns a target for an image that is so many times as large.
        version: Grows when JSON lines, or files of images, are read otherwise than before.
        has_sources: Whether something is read before the target is said; else a source stands for its target.
    """

    name: str = "pairs"
    read: Callable[[Path, Columns], Pairs] = read_pairs
    suffixes: tuple[str, ...] = tuple(READERS)
    inspect: Callable[[Mapping[str, Pairs]], Sequence[str]] = _nothing
    prepare: Callable[[str], str] = normalise
    recurring: bool = False
    most_held_out: int = MOST_HELD_OUT
    has_sources: bool = True
    reads_folders: bool = False
    reads_images: bool = False
    parts: Callable[[Path], Iterable[Path]] = _alone
    scaled: Callable[[str, float], str] = _same
    version: int = 1

    def check(self, path: Path) -> None:
        """Make sure that data of this form may be at a path.

        Raises:
            InputError: Nothing is there, or something else.
        """
        if not (self.reads_folders and path.is_dir()):
            check_file(path, self.suffixes)


PAIRS = Form()

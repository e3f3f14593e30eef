"""Loading: the folder of a winner as a model that predicts, its compiled programs kept in the user's cache."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

from automl.bundle import Bundle, Shapes, read_bundle
from automl.decoding.reading import TooLong
from automl.description import Description
from automl.errors import InputError
from automl.inference import Model
from automl.segments import ProgramFolder
from automl.settings import Settings
from automl.training.cache import program_folder
from automl.training.decoders import check_once
from automl.training.programs import Programs
from automl.training.signature import signature


def load(
    folder: str | Path,
    *,
    too_long: TooLong = "refuse",
    settings: Settings | None = None,
    on_notice: Callable[[str], None] = warnings.warn,
) -> Model:
    """Load a bundle; neither the task document nor the database is needed.

    Args:
        folder: What `automl export` wrote.
        too_long: Whether a source of more tokens than the model reads is refused, or read in part with a warning.
        settings: Where compiled programs are kept; those of the environment where absent.
        on_notice: Told of sources that are read in part, and of what a file lacks that is scored.

    Raises:
        InputError: The folder is not a whole bundle, or is larger than the memory that there is.
    """
    programs = program_folder(settings or Settings())
    return Model(_read(Path(folder), programs), programs, too_long=too_long, on_notice=on_notice)


def _read(folder: Path, kept: ProgramFolder) -> Bundle:
    """Read a bundle whose parameters are known to be those of its model before they are held in memory."""
    programs = Programs(kept, logging.getLogger(__name__).warning)

    def check(description: Description, shapes: Shapes) -> None:
        sizes = description.source_vocabulary, description.target_vocabulary
        check_once(programs, signature(description.configuration, *sizes, 0, description.others), shapes)

    try:
        return read_bundle(folder, check)
    except MemoryError as error:
        raise InputError(f"{folder}: takes more memory than there is; load it on a larger machine") from error

"""Settings of this installation, from the environment: `AUTOML_STORAGE`, `AUTOML_CACHE` and so on."""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_data_path
from pydantic import ByteSize, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from automl.errors import InputError
from storage.buckets import Bucket
from storage.objects import Place, place

SQLITE = "sqlite:///"


class Settings(BaseSettings):
    """Where things lie and how much of the machine is used.

    Attributes:
        storage: URL of the database.
        cache: Folder for what can be made again: token tables and compiled programs.
        checkpoints: Folder of checkpoint bytes, or a URL that fsspec knows such as `s3://bucket/folder`; beside the
            database file when that is SQLite.
        program_key: File of the key that seals compiled programs; not in the cache, which may be moved or restored.
        resident_bytes: Size of the token ids that may lie on a device, such as `4GiB`; a larger train is streamed. A
            quarter of an accelerator's memory, a twentieth of the machine's, where absent.
        program_bytes: Size of the compiled programs that are kept, such as `2GiB`.
        workers: Processes that train at the same time; one a processor core, or one for each accelerator.
        memory: Gigabytes that one of them may use; an equal share of the machine's where absent.
        compile_seconds: Seconds that one compilation may take.
        step_seconds: Seconds in which a trial that trains must get on by a step.
        segment_seconds: Seconds that a job without a limit of its own may take.
        trackers: Names of trackers that are told of every search, separated by commas.
        runs: Folder of the trackers that write files.
    """

    model_config = SettingsConfigDict(env_prefix="AUTOML_")

    storage: str = "sqlite:///automl.db"
    cache: Path = Field(default_factory=lambda: user_cache_path("automl"))
    checkpoints: str | None = None
    program_key: Path = Field(default_factory=lambda: user_data_path("automl") / "programs.key")
    program_bytes: ByteSize = Field(default=ByteSize(2 * 1024**3), ge=0)
    resident_bytes: ByteSize | None = Field(default=None, ge=0)
    workers: int | None = Field(default=None, ge=1)
    memory: float | None = Field(default=None, gt=0)
    compile_seconds: float = Field(default=600.0, gt=0)
    step_seconds: float = Field(default=300.0, gt=0)
    segment_seconds: float = Field(default=86_400.0, gt=0)
    trackers: str = ""
    runs: Path = Path("runs")

    @property
    def tracker_names(self) -> tuple[str, ...]:
        """The names in `trackers`."""
        return tuple(name.strip() for name in self.trackers.split(",") if name.strip())

    @property
    def privacy_keys(self) -> Path:
        """Folder of the keys of private searches, beside the owner's other key."""
        return self.program_key.parent / "privacy"


def checkpoint_folder(storage: str, settings: Settings) -> Place:
    """Return where checkpoint bytes lie: as set, or beside an SQLite file, or in the current folder.

    Raises:
        StorageError: It is a URL of a protocol that is not known or not installed.
    """
    if settings.checkpoints is not None:
        return place(settings.checkpoints)
    if storage.startswith(SQLITE) and storage != SQLITE:
        return Path(storage.removeprefix(SQLITE)).with_suffix(".checkpoints")
    return Path("automl.checkpoints")


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter; return it.

    Raises:
        InputError: It cannot be made or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: the folder cannot be made ({error.strerror}); name another") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{path}: the folder cannot be written; name another or change its permissions")
    return path


def private_place(place: Place) -> Place:
    """Make a folder of checkpoints that only its owner can enter, where they lie on disk.

    Raises:
        InputError: It cannot be made or written.
    """
    return private_folder(place) if isinstance(place, Path) else place


def check_shared(place: Place, executor: str) -> None:
    """Refuse a place in memory that trainers in other processes could not see.

    Raises:
        InputError: They could not.
    """
    if isinstance(place, Bucket) and place.protocol == "memory" and executor != "inline":
        raise InputError(f"checkpoints at {place} are seen by one process only; use --executor inline, or another URL")

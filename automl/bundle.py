"""The winner's folder: weights, configuration, tokenizers, scores, card, and a manifest of their bytes.

It is data only: JSON and safetensors. Whatever reads it checks every byte against the manifest, and
builds the model from names in our own registries.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from automl.description import Description, described
from automl.errors import InputError
from automl.weights import HEAD_BYTES, MOST_HEADER_BYTES, quantised, read_weights, shapes_of
from storage.objects import flush

VERSION = 1
MOST_JSON_BYTES = 32 * 2**20
MOST_VALUES, MOST_CONTAINERS = 2**19, 2**18
"""Of a JSON document: each takes far more memory than its bytes."""
MOST_DOCUMENT_BYTES = 2**20
FILES = ("config.json", "metrics.json", "model.safetensors", "tokenizer.source.json", "tokenizer.target.json")
CARD = "README.md"
FORM_FOLDERS = ("int8", "stablehlo", "onnx", "ctranslate2", "ctranslate2-int8")
"""What an export may have put beside the files of a bundle."""
FORM_SUFFIXES = (".json", ".onnx", ".bin", ".stablehlo", ".safetensors", "")
"""Of the files in one of these folders."""
MANIFEST = "MANIFEST.json"

Shapes = Mapping[str, tuple[int, ...]]
"""Of parameters, by name."""


@dataclass(frozen=True)
class Bundle:
    """A model and all that predicting from raw input needs.

    Attributes:
        config: `kind` of the task, `configuration` of the model, `vocabulary` sizes, `decoding`, `data` columns; with
            `weights` of `int8`, matrices are written so.
        weights: Parameters by dotted name.
        source_tokenizer: `tokenizer.json` of sources.
        target_tokenizer: `tokenizer.json` of targets.
        metrics: Scores on valid and test, and how they came about.
        card: The model card, in Markdown.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.float32]]
    source_tokenizer: str
    target_tokenizer: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write a bundle, whole or not at all; an older bundle in its place is replaced.

    Raises:
        InputError: The folder holds something else, or cannot be written.
    """
    check_replaceable(folder)
    contents = _contents(bundle)
    try:
        place = resolved(folder)
        with parents_of(place):
            _write_whole(contents, place)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name a folder that can") from error


def _write_whole(contents: Mapping[str, bytes], folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, data in contents.items():
            _write_durably(scratch / name, data)
        scratch.chmod(0o755)
        put_in_place(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def parents_of(folder: Path) -> Iterator[None]:
    """Make the folders above one that is to be; those that were missing go again where it fails."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise


def check_replaceable(folder: Path) -> None:
    """Make sure that a bundle could be written to a folder, before the work that goes into it.

    Raises:
        InputError: The folder holds something else, or cannot be written.
    """
    place = resolved(folder)
    if place.exists() and not _replaceable(place):
        raise InputError(f"{folder}: holds something that is not a bundle; name a new or an empty folder")
    if place.exists() and Path(os.path.realpath(os.curdir)).is_relative_to(place):
        raise InputError(f"{folder}: is the folder that you are in; name another one, or call from outside of it")
    nearest = next(parent for parent in place.parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: cannot be written ({nearest} is closed to you); name a folder that can")


def resolved(folder: Path) -> Path:
    """Return where a folder is, links followed.

    Raises:
        InputError: A link leads to itself.
    """
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:  # Python below 3.13 has another error for it
        raise InputError(f"{folder}: is a link that leads to itself; name a folder") from error


def read_bundle(folder: Path, check: Callable[[Description, Shapes], None] = lambda *_: None) -> Bundle:
    """Read a bundle and check all of its bytes.

    Nothing is believed before it is checked: files are plain ones of the folder itself, as large as the manifest says
    and not larger than what they describe could be; what they hold is JSON and numbers.

    Args:
        folder: What `write_bundle` wrote.
        check: Told what the model is and which parameters there are, before these are held in memory; it may raise.

    Raises:
        InputError: It is not a whole bundle of this version.
    """
    files = _manifest(folder)
    config = _json(folder, "config.json", _checked(folder, "config.json", files, MOST_DOCUMENT_BYTES))
    description = described(config)
    most = dict.fromkeys(FILES, MOST_JSON_BYTES) | {"metrics.json": MOST_DOCUMENT_BYTES}
    most["model.safetensors"] = 4 * description.parameters + MOST_HEADER_BYTES
    check(description, shapes_of(_read(folder, "model.safetensors", most["model.safetensors"], up_to=HEAD_BYTES)))
    data = {name: _checked(folder, name, files, most[name]) for name in FILES if name != "config.json"}
    return Bundle(
        config=config,
        weights=read_weights(data["model.safetensors"], description.parameters),
        source_tokenizer=_tokenizer(folder, "tokenizer.source.json", data, description.source_vocabulary),
        target_tokenizer=_tokenizer(folder, "tokenizer.target.json", data, description.target_vocabulary),
        metrics=_json(folder, "metrics.json", data["metrics.json"]),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Read the `config.json` of a bundle alone, and check its bytes.

    Raises:
        InputError: It is not that of a bundle of this version.
    """
    return _json(folder, "config.json", _checked(folder, "config.json", _manifest(folder), MOST_DOCUMENT_BYTES))


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the `metrics.json` of a bundle alone, and check its bytes.

    Raises:
        InputError: It is not that of a bundle of this version.
    """
    return _json(folder, "metrics.json", _checked(folder, "metrics.json", _manifest(folder), MOST_DOCUMENT_BYTES))


def _manifest(folder: Path) -> Any:
    """Return what the manifest of a bundle of this version says of its files."""
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: is not a bundle ({MANIFEST} is missing); name a folder that `automl export` wrote")
    manifest = _json(folder, MANIFEST, _read(folder, MANIFEST, MOST_DOCUMENT_BYTES))
    if manifest.get("version") != VERSION:
        raise InputError(
            f"{folder}: is a bundle of version {str(manifest.get('version'))[:40]}; this program reads {VERSION}"
        )
    return manifest.get("files")


def _contents(bundle: Bundle) -> dict[str, bytes]:
    stored = quantised(bundle.weights) if bundle.config.get("weights") == "int8" else bundle.weights
    contents = {
        "config.json": _dumped({"version": VERSION, **bundle.config}),
        "metrics.json": _dumped({"version": VERSION, **bundle.metrics}),
        "model.safetensors": save({name: np.ascontiguousarray(value) for name, value in stored.items()}),
        "tokenizer.source.json": bundle.source_tokenizer.encode(),
        "tokenizer.target.json": bundle.target_tokenizer.encode(),
        CARD: bundle.card.encode(),
    }
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}
    return {**contents, MANIFEST: _dumped({"version": VERSION, "files": files})}


def _dumped(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or a bundle of any version with nothing in it that no export has written."""
    return folder.is_dir() and (not any(folder.iterdir()) or _is_exported(folder))


def _is_exported(folder: Path) -> bool:
    try:
        manifest = _json(folder, MANIFEST, _read(folder, MANIFEST, MOST_DOCUMENT_BYTES))
    except InputError:
        return False
    files = manifest.get("files")
    if type(manifest.get("version")) is not int or not isinstance(files, dict) or not {*FILES} <= files.keys():
        return False
    if not all(isinstance(entry, dict) and {"sha256", "bytes"} <= entry.keys() for entry in files.values()):
        return False
    return all(
        _is_form(path) if path.name in FORM_FOLDERS else path.is_file() and path.name in (MANIFEST, *files)
        for path in folder.iterdir()
    )


def _is_form(folder: Path) -> bool:
    """Whether a folder holds what an export has put into one of its name, or nothing."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    if (folder / MANIFEST).exists():
        return _is_exported(folder)
    return all(path.is_file() and path.suffix in FORM_SUFFIXES for path in folder.iterdir())


def put_in_place(scratch: Path, folder: Path) -> None:
    """Let a folder that is whole take the place of another, which stays where that fails."""
    if folder.exists():
        old = scratch.with_name(f"{scratch.name}-old")
        folder.rename(old)
        try:
            scratch.rename(folder)
        except BaseException:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        scratch.rename(folder)
    flush(folder.parent)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _checked(folder: Path, name: str, files: Any, most: int) -> bytes:
    entry = files.get(name) if isinstance(files, dict) else None
    if not isinstance(entry, dict):
        raise InputError(f"{folder / MANIFEST}: does not list {name}; export the model again")
    return _read(folder, name, most, entry)


def _read(folder: Path, name: str, most: int, said: Mapping[str, Any] | None = None, up_to: int | None = None) -> bytes:
    """Return the bytes of a plain file, the first of them or all, without following links and of no more than `most`.

    Where it is said how many bytes there are, and their sum, both are checked before they are held.
    """
    path = folder / name
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path}: is no plain file; export the model again")
            wrong = said is not None and status.st_size != said.get("bytes")
            if not wrong and status.st_size > most:
                raise InputError(f"{path}: is larger than {most:,} bytes; export the model again")
            if wrong or (said is not None and hashlib.file_digest(file, "sha256").hexdigest() != said.get("sha256")):
                raise InputError(f"{path}: is not what the manifest says; export the model again")
            file.seek(0)
            return file.read(most + 1 if up_to is None else up_to)
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {what}; export the model again") from error


def _tokenizer(folder: Path, name: str, data: Mapping[str, bytes], vocabulary: int) -> str:
    """Return a tokenizer's document.

    That it is JSON of a sane depth, and has no more tokens than its model, is known before any other program reads it.
    """
    model = _json(folder, name, data[name]).get("model")
    tokens = model.get("vocab", ()) if isinstance(model, dict) else ()
    if not isinstance(tokens, list | dict | tuple) or len(tokens) > vocabulary:
        raise InputError(f"{folder / name}: has other tokens than config.json describes; export the model again")
    return data[name].decode()


def _json(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    if data.count(b",") > MOST_VALUES or data.count(b"[") + data.count(b"{") > MOST_CONTAINERS:
        raise InputError(f"{folder / name}: holds more than {MOST_VALUES:,} values; export the model again")
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder / name}: is not JSON; export the model again") from error
    if not isinstance(document, dict):
        raise InputError(f"{folder / name}: is not a JSON object; export the model again")
    return document

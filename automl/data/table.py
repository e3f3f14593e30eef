"""The token table: every split as memory-mapped token ids, built once for the same data and tokens."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl.data.sources import Columns, check_file, read_pairs, unreadable
from automl.data.splits import Part, Splits, split
from automl.data.tokenizers import UNK, Tokenizer, TokenizerKind, automatic_kind
from automl.errors import InputError
from storage.objects import flush

FORMAT_VERSION = 2
SPLITS = ("train", "valid", "test")
BATCH = 10_000
OUTLIER_LENGTH, OUTLIER_FACTOR = 64, 4
OUTLIER = "more than four times as long as 99 of 100 others"

Meta = dict[str, Any]


class DataDescription(Protocol):
    """The `[data]` part of a task document, as far as the table depends on it."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Files of `train` and, where given, `valid` and `test`."""

    @property
    def columns(self) -> Columns:
        """Where rows keep source and targets."""

    @property
    def source_tokens(self) -> str:
        """A `TokenizerKind` or `auto`."""

    @property
    def target_tokens(self) -> str:
        """A `TokenizerKind` or `auto`."""


class Described(Protocol):
    """Whatever holds a `[data]` part, such as a task document."""

    @property
    def data(self) -> DataDescription:
        """The `[data]` part."""


@dataclass(frozen=True)
class Split:
    """Token ids without begin and end: row i is `source[source_offsets[i]:source_offsets[i + 1]]`, likewise `target`.

    In train a row is a (source, acceptable target) pair; in valid and test a source with its first reference.
    """

    source: NDArray[np.int32]
    source_offsets: NDArray[np.int64]
    target: NDArray[np.int32]
    target_offsets: NDArray[np.int64]
    rows: int


class TokenTable:
    """A table that lies complete in its folder; arrays and texts are read when asked for."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder = folder
        self.meta = meta

    @property
    def digest(self) -> str:
        """Sha256 over the contents of the files, the columns, the token choices and the format of the table."""
        return str(self.meta["digest"])

    @property
    def notices(self) -> list[str]:
        """What was dropped, held out or unknown, one sentence each."""
        return list(self.meta["notices"])

    @cached_property
    def source_tokenizer(self) -> Tokenizer:
        """The tokenizer of sources."""
        return Tokenizer.from_json((self.folder / "tokenizer.source.json").read_text(encoding="utf-8"))

    @cached_property
    def target_tokenizer(self) -> Tokenizer:
        """The tokenizer of targets."""
        return Tokenizer.from_json((self.folder / "tokenizer.target.json").read_text(encoding="utf-8"))

    def split(self, name: str) -> Split:
        """The arrays of `train`, `valid` or `test`, mapped from disk."""
        arrays = {key: np.load(self.folder / f"{name}.{key}.npy", mmap_mode="r") for key in _ARRAYS}
        return Split(**arrays, rows=len(arrays["source_offsets"]) - 1)

    def sources(self, name: str) -> list[str]:
        """The texts of the sources of `valid` or `test`, in the order of `split(name)`."""
        return [record["source"] for record in self._texts(name)]

    def references(self, name: str) -> list[list[str]]:
        """The acceptable targets of each source of `valid` or `test`, in the order of `split(name)`."""
        return [record["references"] for record in self._texts(name)]

    def _texts(self, name: str) -> Iterator[dict[str, Any]]:
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            yield from map(json.loads, file)


_ARRAYS = ("source", "source_offsets", "target", "target_offsets")


def open_table(folder: Path) -> TokenTable:
    """Open a table that `build_table` wrote.

    Raises:
        InputError: The folder holds no whole table of this format.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        whole = meta["version"] == FORMAT_VERSION and all(
            (folder / name).stat().st_size == entry["bytes"] for name, entry in meta["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(f"{folder}: not a whole token table; run the search again to rebuild it")
    return TokenTable(folder, meta)


def build_table(document: Described, cache: Path) -> TokenTable:
    """Build the table of a document's data under `cache/tables/`, or open it where it was built before.

    Raises:
        InputError: A file is wrong (see `automl.data.sources`), or the cache cannot be written.
    """
    digest = data_digest(document.data)
    folder = cache / "tables" / digest
    if (table := _intact(folder)) is not None:
        return table
    splits = _read(document.data)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))  # mode 0700
        try:
            _write(scratch, digest, document.data, splits)
            _publish(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{cache}: the token table cannot be written there ({error.strerror})") from error
    return open_table(folder)


def data_digest(data: DataDescription) -> str:
    """Sha256 over the contents of the files, the columns, the token choices and the format of the table.

    Raises:
        InputError: A file is missing, unreadable or of an unknown kind.
    """
    for path in data.files.values():
        check_file(path)
    digests = {name: _file_sha256(path) for name, path in data.files.items()}
    suffixes = {name: path.suffix.lower() for name, path in data.files.items()}
    columns = [data.columns.source, data.columns.target]
    choices = [FORMAT_VERSION, digests, suffixes, columns, data.source_tokens, data.target_tokens]
    return sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _intact(folder: Path) -> TokenTable | None:
    try:
        table = open_table(folder)
        whole = all(_file_sha256(folder / name) == entry["sha256"] for name, entry in table.meta["files"].items())
    except InputError:
        return None
    return table if whole else None


def _read(data: DataDescription) -> Splits:
    return split(**{name: read_pairs(path, data.columns) for name, path in data.files.items()})


def _publish(scratch: Path, folder: Path) -> None:
    """Move a finished table into place; whatever lies there is damaged, or whole and the same by another process."""
    if folder.exists() and _intact(folder) is None:
        folder.rename(scratch.with_name(f"{scratch.name}-damaged"))
        shutil.rmtree(scratch.with_name(f"{scratch.name}-damaged"), ignore_errors=True)
    try:
        scratch.rename(folder)
    except OSError:
        if _intact(folder) is None:
            raise


def _write(folder: Path, digest: str, data: DataDescription, splits: Splits) -> None:
    rows = {name: _rows(name, splits.parts[name]) for name in SPLITS}
    tokenizers = {}
    for side, index, wish in (("source", 0, data.source_tokens), ("target", 1, data.target_tokens)):
        texts = [row[index] for row in rows["train"]]
        kind = automatic_kind(texts) if wish == "auto" else TokenizerKind(wish)
        tokenizers[side] = Tokenizer.learn(kind, texts)
        (folder / f"tokenizer.{side}.json").write_text(tokenizers[side].to_json(), encoding="utf-8")
    rows["train"], overlong = _without_outliers(rows["train"], tokenizers)
    counts = {name: _write_split(folder, name, rows[name], splits.parts[name], tokenizers) for name in SPLITS}
    meta: Meta = {
        "version": FORMAT_VERSION,
        "digest": digest,
        "splits": counts,
        "dropped": {
            **splits.dropped,
            "train": {**splits.dropped["train"], **({OUTLIER: overlong} if overlong else {})},
        },
        "tokens": {side: str(tokenizer.kind) for side, tokenizer in tokenizers.items()},
        "vocabulary": {side: tokenizer.size for side, tokenizer in tokenizers.items()},
        "max_source_length": 4 * counts["train"]["source"]["max_length"] + 100,
        "max_target_length": 2 * counts["train"]["target"]["max_length"] + 10,
    }
    said = [f"train: {overlong:,} {'pair' if overlong == 1 else 'pairs'} dropped: {OUTLIER}"] if overlong else []
    meta["notices"] = [*splits.notices, *said, *_unknown(counts), *_too_long(counts, meta["max_target_length"])]
    meta["files"] = {
        path.name: {"bytes": path.stat().st_size, "sha256": _file_sha256(path)} for path in sorted(folder.iterdir())
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    for path in folder.iterdir():
        flush(path)


def _without_outliers(
    rows: list[tuple[str, str]], tokenizers: Mapping[str, Tokenizer]
) -> tuple[list[tuple[str, str]], int]:
    """Leave out pairs that would make every batch as long as they are; return the rest, and how many went."""
    keep = np.ones(len(rows), bool)
    for index, side in enumerate(("source", "target")):
        lengths = np.diff(_encode(tokenizers[side], [row[index] for row in rows])[1])
        keep &= lengths <= max(OUTLIER_LENGTH, OUTLIER_FACTOR * float(np.quantile(lengths, 0.99)))
    return [row for row, kept in zip(rows, keep, strict=True) if kept], int((~keep).sum())


def _rows(name: str, part: Part) -> list[tuple[str, str]]:
    if name == "train":
        return [(source, target) for source, targets in part.references.items() for target in targets]
    return [(source, targets[0]) for source, targets in part.references.items()]


def _write_split(
    folder: Path, name: str, rows: Sequence[tuple[str, str]], part: Part, tokenizers: Mapping[str, Tokenizer]
) -> Meta:
    counts: Meta = {"rows": len(rows), "sources": len(part.references), "rows_of_file": part.rows}
    for index, side in enumerate(("source", "target")):
        flat, offsets = _encode(tokenizers[side], [row[index] for row in rows])
        np.save(folder / f"{name}.{side}.npy", flat)
        np.save(folder / f"{name}.{side}_offsets.npy", offsets)
        lengths = np.diff(offsets)
        counts[side] = {
            "tokens": len(flat),
            "max_length": int(lengths.max()),
            "mean_length": float(lengths.mean()),
            "unknown": int((flat == UNK).sum()),
        }
    if name != "train":
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for source, references in part.references.items():
                file.write(json.dumps({"source": source, "references": references}, ensure_ascii=False) + "\n")
    return counts


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    batches, lengths = [], [0]
    for start in range(0, len(texts), BATCH):
        encoded = tokenizer.encode_batch(texts[start : start + BATCH])
        lengths += map(len, encoded)
        batches.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in encoded]))
    return np.concatenate(batches), np.cumsum(lengths, dtype=np.int64)


def _unknown(counts: Mapping[str, Meta]) -> list[str]:
    return [
        f"{name}: {side} tokens unknown to train: {counts[name][side]['unknown']:,} of {counts[name][side]['tokens']:,}"
        for name in ("valid", "test")
        for side in ("source", "target")
        if counts[name][side]["unknown"]
    ]


def _too_long(counts: Mapping[str, Meta], limit: int) -> list[str]:
    return [
        f"{name}: its longest target is {counts[name]['target']['max_length']:,} tokens; a model says {limit:,} at most"
        for name in ("valid", "test")
        if counts[name]["target"]["max_length"] > limit
    ]

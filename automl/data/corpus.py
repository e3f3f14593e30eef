"""The corpus: the pairs of a task, read and split once; token tables are built from it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from automl.data import artifact
from automl.data.artifact import Meta
from automl.data.forms import PAIRS, Form
from automl.data.images import Image, canvas_of, fit, fitted, said_of
from automl.data.pixels import Canvas, laid_out
from automl.data.sources import Columns, unreadable
from automl.data.splits import Part, Splits, split
from automl.data.tokenizers import Tokenizer, automatic_tokens
from automl.errors import InputError
from search_spaces import stems
from search_spaces.tokenizers import called, narrowing

FORMAT_VERSION = 5
SPLITS = ("train", "valid", "test")
PARAMETERS = "parameters.safetensors"
NO_SOURCE = "»"
"""Source of every text where nothing is read: one token that no decoder looks at."""


class DataDescription(Protocol):
    """The `[data]` part of a task document, as far as the corpus depends on it."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Files of `train` and, where given, `valid` and `test`."""

    @property
    def columns(self) -> Columns:
        """Where rows keep source and targets."""

    @property
    def source_tokens(self) -> str:
        """A key of `search_spaces.tokenizers.KINDS`, or `auto`."""

    @property
    def target_tokens(self) -> str:
        """A key of `search_spaces.tokenizers.KINDS`, or `auto`."""


class Given(NamedTuple):
    """What a model brings along whose training has begun: its tokenizers as `tokenizer.json`, its parameters if any."""

    source_tokenizer: str
    target_tokenizer: str
    parameters: Mapping[str, NDArray[np.float32]] = {}

    @property
    def digest(self) -> str:
        """Sha256 over all of it."""
        found = sha256(f"{self.source_tokenizer}\0{self.target_tokenizer}".encode())
        for name, value in sorted(self.parameters.items()):
            found.update(f"\0{name}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        return found.hexdigest()


class Described(Protocol):
    """Whatever holds a `[data]` part, such as a task document."""

    @property
    def data(self) -> DataDescription:
        """The `[data]` part."""

    @property
    def form(self) -> Form:
        """How its files become pairs."""

    @property
    def given(self) -> Given | None:
        """What a model brings along that is trained further; nothing where one is begun."""


class Corpus:
    """A corpus that lies complete in its folder; texts are read when asked for."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder = folder
        self.meta = meta

    @property
    def digest(self) -> str:
        """Sha256 over the contents of the files, the columns, the token choices and the format of the corpus."""
        return str(self.meta["digest"])

    @property
    def notices(self) -> list[str]:
        """What was dropped or held out, one sentence each."""
        return [*self.meta["notices"], *self.meta.get("scaled", ())]

    @property
    def tokens(self) -> tuple[str, str]:
        """What source and target tokens are, as keys of `search_spaces.tokenizers.KINDS`."""
        return self.meta["tokens"]["source"], self.meta["tokens"]["target"]

    @property
    def narrowing(self) -> dict[str, Any]:
        """What is left of the dials of a space for its tokens and its images."""
        images = {} if self.canvas is None else stems.narrowing(*self.canvas)
        return {**narrowing(*self.tokens), **images}

    @cached_property
    def tokenizers(self) -> dict[str, Tokenizer] | None:
        """The tokenizers that a model brings along, by side; none where they are learnt."""
        if not self.meta["given"]:
            return None
        files = {side: self.folder / f"tokenizer.{side}.json" for side in ("source", "target")}
        return {side: Tokenizer.from_json(path.read_text(encoding="utf-8")) for side, path in files.items()}

    @property
    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """The parameters that a model brings along, by name."""
        return load_file(self.folder / PARAMETERS)

    @property
    def canvas(self) -> Canvas | None:
        """The size of its images; nothing where sources are texts."""
        return Canvas(*self.meta["canvas"]) if "canvas" in self.meta else None

    def images(self, name: str) -> NDArray[np.uint8]:
        """Return the images of a split as rows of bytes, in the order of `sources`, mapped from disk."""
        found: NDArray[np.uint8] = np.load(self.folder / f"{name}.images.npy", mmap_mode="r")
        return found

    def sources(self, name: str) -> list[str]:
        """The distinct sources of a split."""
        return [record["source"] for record in self._records(name)]

    def references(self, name: str) -> list[list[str]]:
        """The acceptable targets of each source of a split, in the order of `sources`."""
        return [record["references"] for record in self._records(name)]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Every (source, acceptable target) of train; each source of valid or test with its first reference."""
        last = None if name == "train" else 1
        return [(record["source"], target) for record in self._records(name) for target in record["references"][:last]]

    def weights(self, name: str) -> list[float]:
        """How much each of `pairs` counts; empty where all count the same."""
        if not self.meta["weighted"]:
            return []
        last = None if name == "train" else 1
        return [weight for record in self._records(name) for weight in record["weights"][:last]]

    def _records(self, name: str) -> Iterator[dict[str, Any]]:
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus that `build_corpus` wrote.

    Raises:
        InputError: The folder holds no whole corpus of this format.
    """
    meta = artifact.read_meta(folder, FORMAT_VERSION)
    if meta is None:
        raise InputError(f"{folder}: not a whole corpus; run the search again to rebuild it")
    return Corpus(folder, meta)


def build_corpus(document: Described, cache: Path) -> Corpus:
    """Read and split a document's data into `cache/corpora/`, or open it where that was done before.

    Raises:
        InputError: A file is wrong (see `automl.data.sources`), or the cache cannot be written.
    """
    data, given = document.data, document.given
    digest = data_digest(data, document.form, given)
    folder = corpus_folder(cache, digest)
    if not artifact.is_intact(folder, FORMAT_VERSION):
        files = {name: document.form.read(path, data.columns) for name, path in data.files.items()}
        seen = document.form.inspect(files)
        splits = split(**files, recurring=document.form.recurring)
        images = {source: image for pairs in files.values() for source, image in pairs.images.items()}
        notices = [*splits.notices, *seen]

        def write(scratch: Path) -> Meta:
            written = _write(scratch, document, splits, notices, images)
            return {"digest": digest, **written, **_write_given(scratch, given)}

        artifact.build(folder, FORMAT_VERSION, write, cache)
    return open_corpus(folder)


def corpus_folder(cache: Path, digest: str) -> Path:
    """Return where a corpus lies."""
    return cache / "corpora" / digest


def data_digest(data: DataDescription, form: Form = PAIRS, given: Given | None = None) -> str:
    """Sha256 over the contents of the files, their form, columns, token choices, what is given, and the format.

    Raises:
        InputError: A file is missing, unreadable or of an unknown kind.
    """
    for path in data.files.values():
        form.check(path)
    digests = {name: _sha256(path, form) for name, path in data.files.items()}
    suffixes = {name: path.suffix.lower() for name, path in data.files.items()}
    columns = [data.columns.sources, data.columns.target, data.columns.weight]
    choices = [FORMAT_VERSION, form.name, digests, suffixes, columns, data.source_tokens, data.target_tokens]
    if given is not None:
        choices.append(given.digest)
    return sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path, form: Form) -> str:
    try:
        if path.is_dir():
            return artifact.sha256_of_all(path)
        return "".join(map(artifact.sha256_of, (path, *form.parts(path))))
    except OSError as error:
        raise unreadable(path, error) from error


def _write(
    folder: Path, document: Described, splits: Splits, notices: Sequence[str], images: Mapping[str, Image]
) -> Meta:
    data, form = document.data, document.form
    sized = _write_images(folder, splits, images) if images else {}
    splits = splits if not images else replace(splits, parts=_scaled(splits, images, Canvas(*sized["canvas"]), form))
    for name in SPLITS:
        _write_texts(folder / f"{name}.jsonl", splits.parts[name], has_sources=form.has_sources)
    train = splits.parts["train"].references
    texts: tuple[Sequence[str], Sequence[str]] = (list(train), list(chain.from_iterable(train.values())))
    wishes = (data.source_tokens, data.target_tokens)
    words = [automatic_tokens(side) if wish == "auto" else wish for side, wish in zip(texts, wishes, strict=True)]
    said = [
        f"{side}: running text, so that subwords are searched; [data] {side}_tokens pins others"
        for side, word, wish in zip(("source", "target"), words, wishes, strict=True)
        if word == "subwords" != wish and (form.has_sources or side == "target")
    ]
    return {
        "rows_of_file": {name: splits.parts[name].rows for name in SPLITS},
        "weighted": data.columns.weight is not None,
        "dropped": {name: dict(reasons) for name, reasons in splits.dropped.items()},
        "tokens": {"source": words[0], "target": words[1]},
        "notices": [*notices, *said],
        **sized,
    }


def _scaled(splits: Splits, images: Mapping[str, Image], canvas: Canvas, form: Form) -> dict[str, Part]:
    """Return the parts with targets for images as they lie on the canvas."""

    def own(source: str, targets: list[str]) -> list[str]:
        scale = fit(images[source], canvas)
        return [form.scaled(target, scale) for target in targets]

    return {
        name: replace(part, references={source: own(source, targets) for source, targets in part.references.items()})
        for name, part in splits.parts.items()
    }


def _write_images(folder: Path, splits: Splits, images: Mapping[str, Image]) -> Meta:
    """Write the images of each split, brought to one size; return that, and what is to be said."""
    shown = {name: {source: images[source] for source in splits.parts[name].references} for name in SPLITS}
    canvas = canvas_of(shown["train"].values())
    for name, own in shown.items():
        np.save(folder / f"{name}.images.npy", laid_out([fitted(image, canvas)[0] for image in own.values()], canvas))
    return {
        "canvas": list(canvas),
        "scaled": [said for name, own in shown.items() for said in said_of(own, canvas, name)],
    }


def _write_given(folder: Path, given: Given | None) -> Meta:
    if given is None:
        return {"given": False}
    documents = {"source": given.source_tokenizer, "target": given.target_tokenizer}
    for side, document in documents.items():
        (folder / f"tokenizer.{side}.json").write_text(document, encoding="utf-8")
    if given.parameters:
        save_file(dict(given.parameters), folder / PARAMETERS)
    kinds = {side: Tokenizer.from_json(document).kind for side, document in documents.items()}
    return {"given": True, "tokens": {side: called(kind) for side, kind in kinds.items()}}


def _write_texts(path: Path, part: Part, *, has_sources: bool) -> None:
    with path.open("w", encoding="utf-8") as file:
        for source, references in part.references.items():
            record: Meta = {"source": source if has_sources else NO_SOURCE, "references": references}
            if source in part.weights:
                record["weights"] = part.weights[source]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

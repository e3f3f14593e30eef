"""The corpus: the pairs of a task, read and split once; token tables are built from it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from itertools import chain, islice
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from automl.data import artifact
from automl.data.advance import tell
from automl.data.artifact import DIGESTS, Digests, Meta
from automl.data.canaries import Canaries, canaries
from automl.data.forms import PAIRS, Form
from automl.data.images import Image, canvas_of, fit, fitted, said_of
from automl.data.lines import unreadable
from automl.data.pixels import Canvas, laid_out
from automl.data.sources import Columns
from automl.data.splits import Part, Record, Splits, split
from automl.data.tokenizers import Tokenizer, automatic_tokens
from automl.errors import InputError
from search_spaces import stems
from search_spaces.tokenizers import called, narrowing

FORMAT_VERSION, DIGEST_VERSION = 6, 5
"""Of the files of a corpus, and of what tells data apart, by which searches know theirs."""
SPLITS = ("train", "valid", "test")
PARAMETERS = "parameters.safetensors"
BATCH = 10_000
"""Pairs that are held at once."""
MOST_LOOKED_AT = 1_000_000
"""Texts by which tokens are chosen, at most: an even sample."""
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

    @property
    def planted(self) -> Sequence[int]:
        """In how many pairs of train each canary stands."""


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
    def contents(self) -> Mapping[str, str]:
        """Sha256 of each file that it was read from, by the split that the file is."""
        contents: Mapping[str, str] = self.meta["contents"]
        return contents

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

    @property
    def canaries(self) -> Canaries | None:
        """The canaries that stand in train, if any."""
        return Canaries.of(self.meta["canaries"]) if "canaries" in self.meta else None

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
        return [pair for _, pair in self.numbered(name)]

    def numbered(self, name: str) -> Iterator[tuple[int, tuple[str, str]]]:
        """Yield `pairs`, each with the place of its source among `sources`."""
        last = None if name == "train" else 1
        for number, record in enumerate(self._records(name)):
            for target in record["references"][:last]:
                yield number, (record["source"], target)

    def batches(self, name: str) -> Iterator[tuple[list[int], list[tuple[str, str]]]]:
        """Yield `numbered` so many at a time."""
        left = self.numbered(name)
        while batch := [*islice(left, BATCH)]:
            numbers, pairs = (list(each) for each in zip(*batch, strict=True))
            yield numbers, pairs

    def texts(self, side: str) -> Iterator[str]:
        """Yield the distinct sources of train, or the targets of its pairs."""
        if side == "source":
            return (record["source"] for record in self._records("train"))
        return (target for _, (_, target) in self.numbered("train"))

    def weights(self, name: str) -> Iterator[float]:
        """Yield how much each of `pairs` counts; nothing where all count the same."""
        last = None if name == "train" else 1
        records = self._records(name) if self.meta["weighted"] else ()
        return (weight for record in records for weight in record["weights"][:last])

    def _records(self, name: str) -> Iterator[dict[str, Any]]:
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            yield from (record for record, _ in map(json.JSONDecoder().raw_decode, file))


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus that `build_corpus` wrote.

    Raises:
        InputError: The folder holds no whole corpus of this format.
    """
    meta = artifact.read_meta(folder, FORMAT_VERSION)
    if meta is None:
        raise InputError(f"{folder}: not a whole corpus; run the search again to rebuild it")
    corpus = Corpus(folder, meta)
    with suppress(OSError):
        artifact.held(folder, corpus)
    return corpus


def build_corpus(document: Described, cache: Path) -> Corpus:
    """Read and split a document's data into `cache/corpora/`, or open it where that was done before.

    Raises:
        InputError: A file is wrong (see `automl.data.sources`), or the cache cannot be written.
    """
    data, given = document.data, document.given
    digests = Digests(cache / DIGESTS)
    digest = data_digest(data, document.form, given, digests.of)
    folder = corpus_folder(cache, digest)
    if not artifact.is_intact(folder, FORMAT_VERSION):
        files = {name: document.form.read(path, data.columns) for name, path in data.files.items()}
        seen = document.form.inspect(files)
        splits = split(**files, recurring=document.form.recurring, most_held_out=document.form.most_held_out)
        images = {source: image for pairs in files.values() for source, image in pairs.images.items()}
        notices = [*splits.notices, *seen]

        def write(scratch: Path) -> Meta:
            written = _write(scratch, document, splits, notices, images)
            contents = file_digests(data, document.form, digests.of)
            return {"digest": digest, "contents": contents, **written, **_write_given(scratch, given)}

        artifact.build(folder, FORMAT_VERSION, write, cache)
    digests.keep()
    return open_corpus(folder)


def corpus_folder(cache: Path, digest: str) -> Path:
    """Return where a corpus lies."""
    return cache / "corpora" / digest


def data_digest(
    data: DataDescription,
    form: Form = PAIRS,
    given: Given | None = None,
    known: Callable[[Path], str] = artifact.sha256_of,
) -> str:
    """Sha256 over the contents of the files, their form, columns, token choices, what is given, and the format.

    That of the bytes of one file is what `known` says.

    Raises:
        InputError: A file is missing, unreadable or of an unknown kind.
    """
    digests = file_digests(data, form, known)
    suffixes = {name: path.suffix.lower() for name, path in data.files.items()}
    columns: list[Any] = [data.columns.sources, data.columns.target, data.columns.weight]
    if not data.columns.further and not data.columns.named and len(data.columns.target or ()) == 1:
        columns.append("no further targets")
    choices = [DIGEST_VERSION, form.name, digests, suffixes, columns, data.source_tokens, data.target_tokens]
    if given is not None:
        choices.append(given.digest)
    if data.planted:
        choices.append([*data.planted])
    reread = {*suffixes.values()} != {".npz"} if form.reads_images else ".jsonl" in suffixes.values()
    if form.version > 1 and reread:
        choices.append(form.version)
    return sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


def file_digests(
    data: DataDescription, form: Form = PAIRS, known: Callable[[Path], str] = artifact.sha256_of
) -> dict[str, str]:
    """Return the sha256 of the contents of each file, by the split that it is.

    Raises:
        InputError: A file is missing, unreadable or of an unknown kind.
    """
    for path in data.files.values():
        form.check(path)
    return {name: _sha256(path, form, known) for name, path in data.files.items()}


def _sha256(path: Path, form: Form, known: Callable[[Path], str]) -> str:
    try:
        if path.is_dir():
            return artifact.sha256_of_all(path)
        return "".join(map(known, (path, *form.parts(path))))
    except OSError as error:
        raise unreadable(path, error) from error


def _write(
    folder: Path, document: Described, splits: Splits, notices: Sequence[str], images: Mapping[str, Image]
) -> Meta:
    data, form = document.data, document.form
    sized = _write_images(folder, splits, images) if images else {}
    wishes = {"source": data.source_tokens, "target": data.target_tokens}
    train = splits.parts["train"]
    words = [automatic_tokens(_looked_at(train, side)) if wish == "auto" else wish for side, wish in wishes.items()]
    planted = None
    if data.planted:
        read = _looked_at(train, "source") if form.has_sources else None
        planted = canaries(data.planted, _looked_at(train, "target"), read, words, NO_SOURCE)
    for name, part in splits.parts.items():
        records = _scaled(part.records(), images, Canvas(*sized["canvas"]), form) if images else part.records()
        if planted is not None and name == "train":
            records = chain(records, planted.records(weighted=data.columns.weight is not None))
        _write_texts(folder / f"{name}.jsonl", records, len(part), has_sources=form.has_sources)
    said = [
        f"{side}: running text, so that subwords are searched; [data] {side}_tokens pins others"
        for (side, wish), word in zip(wishes.items(), words, strict=True)
        if word == "subwords" != wish and (form.has_sources or side == "target")
    ]
    return {
        "rows_of_file": {name: splits.parts[name].rows for name in SPLITS},
        "weighted": data.columns.weight is not None,
        "dropped": {name: dict(reasons) for name, reasons in splits.dropped.items()},
        "tokens": {"source": words[0], "target": words[1]},
        "notices": [*notices, *said, *_planted_said(planted)],
        **sized,
        **({} if planted is None else {"canaries": planted.to_mapping()}),
    }


def _looked_at(train: Part, side: str) -> Iterator[str]:
    """Yield the texts by which a side is judged."""
    targets = (target for record in train.records() for target in record.references)
    texts, count = (train.sources(), len(train)) if side == "source" else (targets, train.targets)
    return islice(texts, 0, None, -(-count // MOST_LOOKED_AT))


def _planted_said(planted: Canaries | None) -> list[str]:
    if planted is None:
        return []
    return [f"train: {planted.pairs:,} pairs of {len(planted.each)} canaries are planted, to see what is remembered"]


def _scaled(records: Iterable[Record], images: Mapping[str, Image], canvas: Canvas, form: Form) -> Iterator[Record]:
    """Yield records with targets for images as they lie on the canvas."""
    for record in records:
        scale = fit(images[record.source], canvas)
        yield record._replace(references=[form.scaled(target, scale) for target in record.references])


def _write_images(folder: Path, splits: Splits, images: Mapping[str, Image]) -> Meta:
    """Write the images of each split, brought to one size; return that, and what is to be said."""
    shown = {name: {source: images[source] for source in splits.parts[name].sources()} for name in SPLITS}
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


def _write_texts(path: Path, records: Iterable[Record], count: int, *, has_sources: bool) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, (source, references, weights) in enumerate(records):
            if number % BATCH == 0:
                tell("writing texts", number / count)
            said = ", ".join(map(encode_basestring, references))
            counted = f', "weights": {weights}' if weights else ""
            read = encode_basestring(source if has_sources else NO_SOURCE)
            file.write(f'{{"source": {read}, "references": [{said}]{counted}}}\n')
    tell("writing texts", 1.0)

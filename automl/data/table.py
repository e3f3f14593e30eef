"""The token table: a corpus as memory-mapped token ids, built once for each choice of tokenizers."""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automl.data import artifact, subwords
from automl.data.advance import tell
from automl.data.artifact import Meta
from automl.data.boxes import Boxes
from automl.data.columns import Column, blocks, part
from automl.data.corpus import SPLITS, Corpus, Described, build_corpus, open_corpus
from automl.data.pixels import Pixels
from automl.data.tokenizers import MOST_SYMBOLS, SPECIAL_TOKENS, UNK, Tokenizer, copies
from automl.data.turns import recent
from automl.errors import InputError
from automl.lengths import Lengths, Limits, constant
from search_spaces import tokenizers as kinds
from search_spaces.dials import to_dict
from search_spaces.seq2seq import LATER, Seq2Seq
from search_spaces.tokenizers import LikeSource

FORMAT_VERSION = 4
OUTLIER_LENGTH, OUTLIER_FACTOR = 64, 4
MOST_STRANGE = 0.5
"""Share of the target tokens of train that a model that is trained further may not know, at most."""
OUTLIER = "more than four times as long as 99 of 100 others"


class Tokens(NamedTuple):
    """What source and target fall into, and how many turns of a conversation are read; 0 for all."""

    source: kinds.Tokenizer
    target: kinds.TargetTokenizer
    history: int = 0


@dataclass(frozen=True)
class Encoded:
    """A split whose ids are written: how many each row has by side, and a number for the text of its source."""

    lengths: Mapping[str, NDArray[np.int64]]
    keys: NDArray[np.int64]


def tokens_of(configuration: Seq2Seq) -> Tokens:
    """Return how a configuration reads."""
    return Tokens(configuration.source_tokens, configuration.target_tokens, configuration.history_turns)


@dataclass(frozen=True)
class Split:
    """Token ids without begin and end: row i is `source[source_offsets[i]:source_offsets[i + 1]]`, likewise `target`.

    In train a row is a (source, acceptable target) pair; in valid and test a source with its first reference. Of
    images, `source` holds bytes, whose ids are greater by the number of special tokens. `weights` say how much rows
    count, where they count differently; in train their mean over target tokens is 1.
    """

    source: NDArray[Any]
    source_offsets: NDArray[np.int64]
    target: NDArray[np.int32]
    target_offsets: NDArray[np.int64]
    rows: int
    weights: NDArray[np.float32] | None = None

    @property
    def effective_rows(self) -> int:
        """The rows of one weight that a mean is as sure by as by these (Kish, 1965)."""
        if self.weights is None:
            return self.rows
        weights = np.asarray(self.weights, np.float64)
        return round(float(weights.sum() ** 2 / max(np.square(weights).sum(), 1e-30)))

    @property
    def bytes(self) -> int:
        """Size of the ids on a device, about."""
        return self.source.nbytes + self.target.nbytes

    def some(self, rows: NDArray[np.int64]) -> "Split":
        """Return some rows in their order, read from disk."""

        def side(values: NDArray[Any], offsets: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
            begins, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
            ends = np.append(0, lengths.cumsum())
            return values[np.repeat(begins - ends[:-1], lengths) + np.arange(ends[-1])], ends

        weights = None if self.weights is None else self.weights[rows]
        sides = *side(self.source, self.source_offsets), *side(self.target, self.target_offsets)
        return Split(*sides, rows=len(rows), weights=weights)


class TokenTable:
    """A table that lies complete in its folder, inside that of its corpus; arrays and texts are read when asked for."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder = folder
        self.meta = meta

    @property
    def digest(self) -> str:
        """Sha256 over the corpus, the tokenizers and the format of the table."""
        return str(self.meta["digest"])

    @property
    def notices(self) -> list[str]:
        """What was dropped, held out or unknown, one sentence each."""
        return [*self.corpus.notices, *self.meta["notices"]]

    @cached_property
    def corpus(self) -> Corpus:
        """The texts that it was made of."""
        return open_corpus(self.folder.parent.parent)

    @cached_property
    def source_tokenizer(self) -> Tokenizer:
        """The tokenizer of sources."""
        return Tokenizer.from_json((self.folder / "tokenizer.source.json").read_text(encoding="utf-8"))

    @cached_property
    def target_tokenizer(self) -> Tokenizer:
        """The tokenizer of targets."""
        return Tokenizer.from_json((self.folder / "tokenizer.target.json").read_text(encoding="utf-8"))

    @cached_property
    def copies(self) -> NDArray[np.int32]:
        """For each source id, the target id of the same text, or `PAD`."""
        return copies(self.source_tokenizer, self.target_tokenizer)

    def split(self, name: str) -> Split:
        """The arrays of `train`, `valid` or `test`, mapped from disk; of rows that count the same, no weights."""
        arrays = {key: np.load(self.folder / f"{name}.{key}.npy", mmap_mode="r") for key in _ARRAYS}
        weights = self.folder / f"{name}.weights.npy"
        own = np.load(weights, mmap_mode="r") if self.corpus.meta["weighted"] else None
        return Split(**arrays, rows=len(arrays["source_offsets"]) - 1, weights=own)

    def limits(self, slack: float) -> Limits:
        """How many tokens a target may have; a class is one."""
        if self.target_tokenizer.kind is kinds.Whole:
            return constant(1)
        return Lengths.from_mapping(self.meta["lengths"]).limits(slack)

    def said_tokens(self, name: str) -> int:
        """Number of target tokens of a split, ends included."""
        counts = self.meta["splits"][name]
        return int(counts["target"]["tokens"] + counts["rows"])

    def references(self, name: str) -> list[list[str]]:
        """The acceptable targets of each source of `valid` or `test`, in the order of `split(name)`."""
        return self.corpus.references(name)


_ARRAYS = ("source", "source_offsets", "target", "target_offsets")


def open_table(folder: Path) -> TokenTable:
    """Open a table that `tokenized` wrote.

    Raises:
        InputError: The folder holds no whole table of this format.
    """
    meta = artifact.read_meta(folder, FORMAT_VERSION)
    if meta is None:
        raise InputError(f"{folder}: not a whole token table; run the search again to rebuild it")
    return TokenTable(folder, meta)


def build_table(document: Described, cache: Path) -> TokenTable:
    """Build the corpus of a document under `cache`, and its table by the default tokenizers of the document.

    Raises:
        InputError: A file is wrong (see `automl.data.sources`), or the cache cannot be written.
    """
    corpus = build_corpus(document, cache)
    return tokenized(corpus, Tokens(*kinds.default(*corpus.tokens)))


def tokenized(corpus: Corpus, tokens: Tokens) -> TokenTable:
    """Build the table of a corpus by some tokenizers, or open it where it was built before.

    Raises:
        InputError: The cache cannot be written.
    """
    tokens = Tokens(*tokens)
    digest = _digest(corpus, tokens)
    folder = corpus.folder / "tables" / digest
    if not artifact.is_intact(folder, FORMAT_VERSION):
        artifact.build(
            folder, FORMAT_VERSION, lambda scratch: _write(scratch, digest, corpus, tokens), corpus.folder.parent.parent
        )
    return open_table(folder)


def _digest(corpus: Corpus, tokens: Tokens) -> str:
    source, target, history = tokens
    shared = isinstance(target, LikeSource) and target.shared
    own = source if isinstance(target, LikeSource) else target
    choices = [FORMAT_VERSION, corpus.digest, to_dict(source), to_dict(own), shared, history]
    if isinstance(own, kinds.Boxes):
        choices.append("a step at least")
    return sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


def _learnt(tokens: Tokens, corpus: Corpus) -> dict[str, Tokenizer]:
    source, target, history = tokens
    canvas = corpus.canvas
    if canvas is not None and not isinstance(target, LikeSource):
        boxes = Boxes.learnt(target, canvas, corpus.texts("target")) if isinstance(target, kinds.Boxes) else None
        return {"source": Pixels(canvas), "target": boxes or Tokenizer.learn(target, corpus.texts("target"))}
    if isinstance(target, LikeSource):
        if target.shared:
            both = Tokenizer.learn(source, _sampled(source, corpus, history, ("source", "target")))
            return {"source": both, "target": both}
        target = source
    return {
        "source": Tokenizer.learn(source, _sampled(source, corpus, history, ("source",))),
        "target": Tokenizer.learn(target, _sampled(target, corpus, history, ("target",))),
    }


def _sampled(kind: kinds.Tokenizer, corpus: Corpus, history: int, sides: Sequence[str]) -> Iterator[str]:
    """Yield the texts of train that a vocabulary is learnt from: of subwords an even sample, else all."""

    def texts() -> Iterator[str]:
        return chain.from_iterable(_distinct(corpus, history) if s == "source" else corpus.texts(s) for s in sides)

    return subwords.sample(texts) if isinstance(kind, kinds.LEARNT) else texts()


def _distinct(corpus: Corpus, history: int) -> Iterator[str]:
    """Yield the sources of train, of which the last turns alone may be the same."""
    sources = corpus.texts("source")
    if history:
        return iter(dict.fromkeys(recent(source, history) for source in sources))
    return (source for source, _ in groupby(sources))  # those that stand for nothing are all the same


def _write(folder: Path, digest: str, corpus: Corpus, tokens: Tokens) -> Meta:
    tokenizers = corpus.tokenizers or _learnt(tokens, corpus)
    for side, tokenizer in tokenizers.items():
        (folder / f"tokenizer.{side}.json").write_text(tokenizer.to_json(), encoding="utf-8")
    encoded = {name: _encode(folder, name, corpus, tokenizers, tokens.history) for name in SPLITS}
    keep = _are_usual(encoded["train"])
    weights = {name: np.fromiter(corpus.weights(name), np.float32) for name in SPLITS}
    overlong = int((~keep).sum())
    if overlong:
        weights["train"] = weights["train"][keep] if weights["train"].size else weights["train"]
        encoded["train"] = _only(folder, "train", encoded["train"], keep)
    counts = {name: _counted(folder, name, encoded[name]) for name in SPLITS}
    if corpus.meta["weighted"]:
        weights["train"] /= np.average(weights["train"], weights=encoded["train"].lengths["target"] + 1)
        for name in SPLITS:
            np.save(folder / f"{name}.weights.npy", weights[name])
    _refuse_strange(corpus, counts)
    for name, number in corpus.meta["rows_of_file"].items():
        counts[name]["rows_of_file"] = number
    dropped = corpus.meta["dropped"]
    lengths = Lengths.learn(*encoded["train"].lengths.values())
    said = [f"train: {overlong:,} {'pair' if overlong == 1 else 'pairs'} dropped: {OUTLIER}"] if overlong else []
    return {
        "digest": digest,
        "splits": counts,
        "dropped": {**dropped, "train": {**dropped["train"], **({OUTLIER: overlong} if overlong else {})}},
        "tokens": {side: kinds.name(tokenizer.kind) for side, tokenizer in tokenizers.items()},
        "vocabulary": {side: tokenizer.size for side, tokenizer in tokenizers.items()},
        "max_source_length": 4 * counts["train"]["source"]["max_length"] + 100,
        "lengths": lengths.to_mapping(),
        "notices": [
            *said,
            *_sizes_said(corpus, tokens, tokenizers),
            *_unknown(counts, given=corpus.tokenizers is not None),
            *_too_long(encoded, lengths),
        ],
    }


def _encode(folder: Path, name: str, corpus: Corpus, tokenizers: Mapping[str, Tokenizer], history: int) -> Encoded:
    """Write the ids of a split as its pairs are read."""
    types = {"source": np.int32 if corpus.canvas is None else np.uint8, "target": np.int32}
    lengths: dict[str, list[NDArray[np.int64]]] = {side: [np.empty(0, np.int64)] for side in types}
    keys = array("q")
    with ExitStack() as files:
        columns = {
            side: files.enter_context(Column(folder / f"{name}.{side}.npy", kind)) for side, kind in types.items()
        }
        for own, batch in _batches(name, corpus, tokenizers, history):
            keys.extend(own)
            for side, (ids, counts) in batch.items():
                columns[side].append(ids)
                lengths[side].append(counts)
    whole = {side: np.concatenate(own) for side, own in lengths.items()}
    return _with_offsets(folder, name, Encoded(whole, np.asarray(keys)))


def _batches(
    name: str, corpus: Corpus, tokenizers: Mapping[str, Tokenizer], history: int
) -> Iterator[tuple[Iterable[int], Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]]]:
    """Yield a number for each source, and the ids of both sides; of images, bytes in place of ids."""
    rows = max(corpus.meta["rows_of_file"][name], 1)
    images = None if corpus.canvas is None else corpus.images(name)
    for numbers, pairs in corpus.batches(name):
        tell(f"tokenizing {name}", numbers[0] / rows)
        sources = [recent(source, history) for source, _ in pairs]
        read = tokenizers["source"].encode(sources) if images is None else _pixels(images[numbers])
        yield map(hash, sources), {"source": read, "target": tokenizers["target"].encode([said for _, said in pairs])}
    tell(f"tokenizing {name}", 1.0)


def _pixels(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return images.reshape(-1), np.full(len(images), images.shape[1])


def _with_offsets(folder: Path, name: str, encoded: Encoded) -> Encoded:
    for side, lengths in encoded.lengths.items():
        np.save(folder / f"{name}.{side}_offsets.npy", np.append(0, lengths.cumsum()))
    return encoded


def _are_usual(encoded: Encoded) -> NDArray[np.bool_]:
    """Say of each pair whether it would not make every batch as long as it is."""
    lengths = [*encoded.lengths.values()]
    limits = [max(OUTLIER_LENGTH, OUTLIER_FACTOR * float(np.quantile(side, 0.99))) for side in lengths]
    usual: NDArray[np.bool_] = np.all([side <= limit for side, limit in zip(lengths, limits, strict=True)], axis=0)
    return usual


def _only(folder: Path, name: str, encoded: Encoded, keep: NDArray[np.bool_]) -> Encoded:
    """Leave some rows of a split that is written."""
    for side, lengths in encoded.lengths.items():
        whole, path = folder / f"{name}.{side}.whole.npy", folder / f"{name}.{side}.npy"
        path.rename(whole)
        with Column(path, part(whole, slice(0)).dtype) as column:
            for rows, tokens in blocks(lengths):
                column.append(part(whole, tokens)[np.repeat(keep[rows], lengths[rows])])
        whole.unlink()
    left = Encoded({side: lengths[keep] for side, lengths in encoded.lengths.items()}, encoded.keys[keep])
    return _with_offsets(folder, name, left)


def _counted(folder: Path, name: str, encoded: Encoded) -> Meta:
    counts: Meta = {"rows": len(encoded.keys), "sources": len(np.unique(encoded.keys))}
    for side, lengths in encoded.lengths.items():
        path = folder / f"{name}.{side}.npy"
        ids = (part(path, tokens) for _, tokens in blocks(lengths))
        counts[side] = {
            "tokens": int(lengths.sum()),
            "max_length": int(lengths.max()),
            "mean_length": float(lengths.mean()),
            "unknown": sum(0 if block.dtype == np.uint8 else int((block == UNK).sum()) for block in ids),
        }
    return counts


def _sizes_said(corpus: Corpus, tokens: Tokens, tokenizers: Mapping[str, Tokenizer]) -> list[str]:
    return _sizes(tokens, tokenizers) if corpus.tokenizers is None else []


def _refuse_strange(corpus: Corpus, counts: Mapping[str, Meta]) -> None:
    """Refuse data whose targets a model that is trained further cannot say, since it keeps its tokenizer."""
    said = counts["train"]["target"]
    if corpus.tokenizers is not None and said["unknown"] > MOST_STRANGE * said["tokens"]:
        raise InputError(
            f"train: {said['unknown']:,} of {said['tokens']:,} target tokens are unknown to the model that is trained "
            "further, which keeps its tokenizer; begin with a model of such targets"
        )


def _sizes(tokens: Tokens, tokenizers: Mapping[str, Tokenizer]) -> list[str]:
    """Say where a vocabulary is smaller than was asked for, or than train would make it."""
    said = []
    for side, wanted in (("source", tokens.source), ("target", tokens.target)):
        kind = tokens.source if isinstance(wanted, LikeSource) else wanted
        size = tokenizers[side].size
        if isinstance(kind, kinds.LEARNT) and size < kind.vocabulary_size:
            said.append(f"train: {side} gives {size:,} subwords; every larger vocabulary is the same")
        elif size - len(SPECIAL_TOKENS) == MOST_SYMBOLS:
            said.append(
                f'train: {side} tokens beyond the {MOST_SYMBOLS:,} most frequent are unknown; "subwords" has none'
            )
    return said


def _unknown(counts: Mapping[str, Meta], *, given: bool) -> list[str]:
    known, splits = ("the model", SPLITS) if given else ("train", SPLITS[1:])
    sides = [(name, side, counts[name][side]) for name in splits for side in ("source", "target")]
    return [
        f"{name}: {side} tokens unknown to {known}: {count['unknown']:,} of {count['tokens']:,}"
        for name, side, count in sides
        if count["unknown"]
    ]


def _too_long(encoded: Mapping[str, Encoded], lengths: Lengths) -> list[str]:
    limits = lengths.limits(float(LATER["length_slack"]))
    counts = {
        name: sum(said > limits.of(read) for read, said in zip(*_sizes_of(encoded[name]), strict=True))
        for name in ("valid", "test")
    }
    return [
        f"{name}: targets that are longer than a model says for sources of their length: {count:,}, which no "
        "likelihood counts; [space] length_slack lets it say more"
        for name, count in counts.items()
        if count
    ]


def _sizes_of(encoded: Encoded) -> list[list[int]]:
    return [lengths.tolist() for lengths in encoded.lengths.values()]

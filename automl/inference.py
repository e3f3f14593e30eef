"""Inference: a bundle that predicts from raw input.

Programs that an earlier process compiled are found on disk, and run without a model being built.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from automl.boxes import scaled
from automl.bundle import Bundle
from automl.data.boxes import Boxes
from automl.data.fields import Raw
from automl.data.pixels import Pixels
from automl.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer, copies, normalise
from automl.decoding.answers import (
    Answer,
    Bounds,
    Lot,
    Thoughts,
    allotted,
    answered,
    batches,
    padded,
    rows_for,
    side_by_side,
)
from automl.decoding.explained import Explained, explained
from automl.decoding.generation import PLAIN, Generation
from automl.decoding.reading import Reader, SourceTooLong, TooLong, text_of
from automl.decoding.texts import Pieces, cut_at
from automl.decoding.writing import Asked, Writer
from automl.description import described, described_columns
from automl.errors import InputError
from automl.segments import ProgramFolder
from automl.training.decoders import Decoders, check_once, drawn
from automl.training.programs import Programs
from automl.training.signature import signature
from search_spaces import encoders, tokenizers
from search_spaces.decoding import Beam, Decoding
from search_spaces.stems import Tokens

if TYPE_CHECKING:
    from automl.data.splits import Part
    from automl.metrics import Likelihood

SOURCES_AT_ONCE = 1024
PIECE_TOKENS = 8


class Candidate(NamedTuple):
    """One of the likeliest outputs of a source, and its log-probability."""

    output: str
    score: float


class Model:
    """A winner, loaded; safe to use from several threads."""

    def __init__(
        self,
        bundle: Bundle,
        programs: ProgramFolder | None = None,
        *,
        too_long: TooLong = "refuse",
        on_notice: Callable[[str], None] = warnings.warn,
    ) -> None:
        """Build the model of a bundle.

        Args:
            bundle: What was exported.
            programs: Where compiled programs are kept between processes.
            too_long: Whether a source of more tokens than the model reads is refused or read in part.
            on_notice: Told of sources that are read in part, and of what a file lacks that is scored.

        Raises:
            InputError: Its configuration or its weights are not of a model that we know.
        """
        if too_long not in get_args(TooLong):
            raise InputError(f"too_long is {too_long!r}; it is one of {', '.join(get_args(TooLong))}")
        self.config = bundle.config
        self.metrics = bundle.metrics
        description = described(bundle.config)
        self.decoding = description.decoding
        self._source = Tokenizer.from_json(bundle.source_tokenizer)
        self._target = Tokenizer.from_json(bundle.target_tokenizer)
        self._copies = jax.device_put(copies(self._source, self._target))
        sizes = self._source.size, self._target.size
        if sizes != (description.source_vocabulary, description.target_vocabulary):
            raise InputError("config.json: describes other vocabularies than the tokenizers'; export the model again")
        stem, canvas = description.configuration.stem, getattr(self._source, "canvas", None)
        if (None if isinstance(stem, Tokens) else (stem.height, stem.width, stem.channels)) != canvas:
            raise InputError("config.json: describes images of another size than the tokenizer's; export it again")
        self._static = signature(description.configuration, *sizes, 0, description.others)
        self._programs = Programs(programs, logging.getLogger(__name__).warning)
        self._longest = description.longest
        self._on_notice = on_notice
        self._reader = Reader(
            self._source,
            not isinstance(description.configuration.encoder, encoders.Identity),
            described_columns(bundle.config),
            description.configuration.history_turns if bundle.config.get("kind") == "dialogue" else None,
            description.longest,
            too_long,
            on_notice,
        )
        check_once(self._programs, self._static, {name: value.shape for name, value in bundle.weights.items()})
        self._parameters = jax.device_put(dict(bundle.weights))
        doubts = self._target.kind is tokenizers.Boxes
        self._writer = Writer(self._target, description.limits)
        self._decoders = Decoders(self._programs, self._static, description.limits, doubts=doubts, refuses=True)
        self._footprint = self._decoders.footprint

    @property
    def has_source(self) -> bool:
        """Whether it reads a source at all."""
        return self._reader.has_source

    @property
    def reads_images(self) -> bool:
        """Whether its sources are images: paths, or arrays of pixels."""
        return isinstance(self._source, Pixels)

    def predict(
        self,
        sources: Iterable[Any],
        decoding: Decoding | None = None,
        *,
        prefix: str = "",
        allowed: Sequence[str] | None = None,
    ) -> list[str]:
        """Return one output for each source, decoded as the bundle says unless told otherwise.

        A source is a text; of a model that reads images, the path of one, or an array of its pixels. A source of
        several columns is a mapping of their names to texts, or one text: the columns in the order of the document with
        tabs between, or a JSON object. What is drawn for a source follows from it and the seed alone.

        Args:
            sources: The sources.
            decoding: How outputs are made.
            prefix: Text that every output begins with; it is part of the output.
            allowed: Tokens that may be said after the prefix; any where absent.

        Raises:
            TypeError: `sources` is one text, or one mapping, whose parts would be taken for sources.
            InputError: A source is longer than the model reads, and such are refused, or has other columns; decoding it
                takes too much memory; prefix or an allowed token is none of the model's, or the prefix is too long.
        """
        return list(self.predict_batch(sources, decoding, prefix=prefix, allowed=allowed))

    def predict_batch(
        self,
        sources: Iterable[Any],
        decoding: Decoding | None = None,
        *,
        prefix: str = "",
        allowed: Sequence[str] | None = None,
    ) -> Iterator[str]:
        """Yield one output for each source of any number, of which few are held in memory at a time; see `predict`."""
        if isinstance(sources, str | Mapping):
            raise TypeError("predict takes a list of sources; put the one source in a list")
        stream, done = iter(sources), 0
        while chunk := list(islice(stream, SOURCES_AT_ONCE)):
            try:
                encoded, sizes = self._reader.sized(chunk)
            except SourceTooLong as error:
                raise error.after(done) from None
            done += len(chunk)
            bounds = self._bounds(encoded, prefix, allowed)
            answers = self.answers(encoded, decoding or self.decoding, bounds=bounds)
            said = self._target.said(best.said for best, *_ in answers)
            yield from (self._scaled(text, 1 / size) for text, size in zip(said, sizes, strict=True))

    def candidates(
        self,
        sources: Sequence[Raw],
        count: int,
        beam: Beam | None = None,
        *,
        prefix: str = "",
        allowed: Sequence[str] | None = None,
    ) -> list[list[Candidate]]:
        """Return the likeliest outputs of each source that a beam finds, the best first, at most `count`.

        There are fewer where a beam can find no more. Prefix and allowed tokens are those of `predict`.

        Raises:
            InputError: As of `predict`, or `count` is below 1.
        """
        _check_count(count)
        search = beam or (self.decoding if isinstance(self.decoding, Beam) else Beam())
        search = replace(search, beam=max(search.beam, count))
        encoded, sizes = self._reader.sized(sources)
        found = self.answers(encoded, search, count, self._bounds(encoded, prefix, allowed))
        return [
            [Candidate(self._scaled(text, 1 / size), score) for text, score in self._told(answers)]
            for answers, size in zip(found, sizes, strict=True)
        ]

    def score(self, sources: Sequence[Raw], targets: Sequence[str]) -> list[float]:
        """Return the log-probability of each target given its source, the end included, in nats.

        Raises:
            InputError: There are not as many targets as sources.
        """
        pairs = self._pairs(sources, targets)
        scores = [0.0] * len(pairs)
        for members, rows, _ in self._scored(pairs):
            inputs = self._forced([pairs[i] for i in members], rows)
            found = np.asarray(self._decoders.run("score", inputs))
            for row, index in enumerate(members):
                scores[index] = float(found[row, : len(pairs[index][1]) + 1].sum())
        return scores

    def attention(self, source: str, target: str | None = None) -> Explained:
        """Return where the model looks as it says a target, its own output where absent.

        Raises:
            InputError: The model reads no source, or images.
        """
        if not self.has_source:
            raise InputError("this model reads no source, so that it attends to none")
        return self.explained([source], None if target is None else [target])[0]

    def explained(self, sources: Sequence[str], targets: Sequence[str] | None = None) -> list[Explained]:
        """Return what the model makes of each target given its source, of its own outputs where absent.

        Raises:
            InputError: There are not as many targets as sources, or the model reads images.
        """
        if isinstance(self._source, Pixels):
            raise InputError("this model looks at places of images; attention is shown for texts alone")
        if targets is None:
            encoded = self._reader.encoded(sources)
            said = self.answers(encoded, self.decoding)
            pairs = [(source, best.tokens) for source, (best, *_) in zip(encoded, said, strict=True)]
            targets = self._target.decode_batch([tokens for _, tokens in pairs])
        else:
            pairs = self._pairs(sources, targets)
        found: dict[int, Explained] = {}
        source_names, names = _names(self._source) if self.has_source else None, _names(self._target)
        for members, rows, _ in self._scored(pairs):
            thoughts = self._decoders.run("thoughts", self._forced([pairs[i] for i in members], rows))
            for index, *row in zip(members, *map(np.asarray, thoughts), strict=False):
                source, target = pairs[index]
                shown = [] if source_names is None else [source_names[token] for token in source]
                found[index] = explained(targets[index], shown, target, Thoughts(*row), names)
        return [found[index] for index in range(len(pairs))]

    def gist(self, sources: Sequence[str]) -> NDArray[np.float32]:
        """Return for each source the mean of the vectors that it is encoded as."""
        encoded = self._reader.encoded(sources)
        gists: dict[int, NDArray[np.float32]] = {}
        for members, rows, _ in batches(
            encoded, self._longest, row_bytes=lambda length: self._footprint.scoring(length, 1)
        ):
            inputs = self._parameters, jax.device_put(padded([encoded[i] for i in members], rows))
            gists |= dict(zip(members, np.asarray(self._decoders.run("gist", inputs)), strict=False))
        return np.array([gists[index] for index in range(len(encoded))])

    def generate(self, source: str = "", how: Generation = PLAIN, count: int = 1) -> list[str]:
        """Return `count` outputs that are drawn for one source.

        Raises:
            InputError: The prefix or an allowed token is none of the model's, the prefix is too long, `count` is below
                1, or an output takes too much memory.
        """
        _check_count(count)
        [encoded], [size] = self._reader.sized([source])
        (asked, taken), drawn_tokens = self._asked(how, encoded), []
        rows = rows_for(count, taken)
        request = jax.device_put(asked.request(rows))
        for begin in range(0, count, rows):
            sources = padded([encoded] * min(rows, count - begin), rows)
            draw = drawn(how.sampling, [encoded] * rows, range(begin, begin + rows))
            inputs = self._parameters, jax.device_put(sources), self._copies, request, draw
            found = self._decoders.run("sampling", inputs, asked.length)
            drawn_tokens += [answers[0].tokens for answers in answered(found)]
        texts = self._target.decode_batch(drawn_tokens[:count])
        return [self._scaled(cut_at(text, how.stops), 1 / size) for text in texts]

    def stream(self, source: str = "", how: Generation = PLAIN) -> Iterator[str]:
        """Yield an output that is drawn for a source in pieces, as soon as they are certain; equal to `generate`'s."""
        encoded, [size] = self._reader.sized([source])
        (asked, _), draw = self._asked(how, encoded[0]), drawn(how.sampling, encoded, [0])
        *inputs, request = jax.device_put((padded(encoded, 1), self._copies, asked.request(1)))
        stand = self._decoders.run("begin", (self._parameters, *inputs), asked.length)
        pieces, most = Pieces(how.stops), asked.most
        for until in range(PIECE_TOKENS, most + PIECE_TOKENS, PIECE_TOKENS):
            arguments = (self._parameters, stand, *inputs, request, draw, np.int32(until))
            stand, tokens, ended = self._decoders.run("advance", arguments, asked.length)
            last = bool(np.asarray(ended)[0]) or until >= most
            said = [int(token) for token in np.asarray(tokens)[0] if token != PAD]
            if isinstance(self._target, Boxes) and not last:  # a list of boxes does not grow at its end
                continue
            if piece := pieces.take(self._scaled(self._target.decode_batch([said])[0], 1 / size), last=last):
                yield piece
            if last or pieces.ended:
                return

    def evaluate(self, data: Path, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Score a file that has the task's columns, or a folder of images.

        Args:
            data: What `[data] test` names one.
            metrics: Names of metrics; those of the search when none are named.

        Returns:
            `metrics` (name → value), `signatures` of those that packages compute, `rows`, the number of distinct
            sources, and `dropped`, the rows left out by reason. What the file lacks is said.

        Raises:
            InputError: The file or a metric is wrong, or a row takes too much memory.
        """
        from automl.metrics import LikelihoodMetric, TextMetric, metric, misplaced, signatures

        if problem := misplaced(metrics, self.config["metrics"], boxes=isinstance(self._target, Boxes)):
            raise InputError(f"metric: {problem}")
        chosen = [metric(name) for name in metrics or self.config["metrics"]]
        part, sources, dropped = self._file(data)
        encoded, sizes = self._reader.sized(sources, refuse=False)
        self._say_unsaid(part, sum(len(tokens) > self._longest for tokens in encoded))
        weights = [counts[0] for counts in part.weights.values()] or None
        acceptable = [
            [self._scaled(text, size) for text in texts]
            for texts, size in zip(part.references.values(), sizes, strict=True)
        ]
        scores: dict[str, float] = {}
        if of_texts := [m for m in chosen if isinstance(m, TextMetric)]:
            answers = self.answers(encoded, self.decoding)
            outputs = self._target.said(best.said for best, *_ in answers)
            scores |= {m.name: m.score(outputs, acceptable, self._target.tokens, weights) for m in of_texts}
        if of_likelihood := [m for m in chosen if isinstance(m, LikelihoodMetric)]:
            found = self._likelihood(encoded, [texts[0] for texts in acceptable], weights)
            scores |= {m.name: m.function(found) for m in of_likelihood}
        return {
            "metrics": {m.name: scores[m.name] for m in chosen},
            "signatures": signatures(scores, acceptable),
            "rows": len(acceptable),
            "dropped": dropped,
        }

    def references(self, data: Path) -> Mapping[str, list[str]]:
        """Return the acceptable targets of each source of a file that has the task's columns.

        Raises:
            InputError: The file is wrong.
        """
        return self._file(data)[0].references

    def _file(self, data: Path) -> tuple["Part", Iterable[Any], dict[str, int]]:
        """Return the sources of a file with their targets, what the model reads of them, and the rows left out."""
        from automl.data.sources import columns_of
        from automl.data.splits import DUPLICATE, group, lacks
        from automl.tasks import TASKS

        form = TASKS[self.config["kind"]].form
        form.check(data)
        pairs = form.read(data, columns_of({"further": True, **self.config["data"]}))
        part, repeated = group(pairs)
        dropped = {**pairs.dropped, **({DUPLICATE: repeated} if repeated else {})}
        for notice in (*lacks(pairs, dropped), *pairs.notices):
            self._on_notice(notice)
        read = [pairs.images[source] for source in part.references] if pairs.images else part.references
        return part, read, dropped

    def _say_unsaid(self, part: "Part", unread: int) -> None:
        """Say how many sources are too long, or have no target that the model has tokens for, such as another class."""
        texts = part.references.values()
        tokens = iter(self._target.encode_batch([normalise(text) for acceptable in texts for text in acceptable]))
        unsaid = sum(all(UNK in said for said in list(islice(tokens, len(acceptable)))) for acceptable in texts)
        name, count = part.pairs.path.name, f"of {len(texts):,} sources"
        if unsaid:
            self._on_notice(f"{name}: {unsaid:,} {count} have no target that this model can say")
        if unread:
            self._on_notice(f"{name}: {unread:,} {count} are too long for this model, and their outputs empty")

    def source_tokens(self, source: str) -> list[str]:
        """Split a source into tokens, whether the model knows them or not."""
        return self._source.tokens(self._reader.prepared(source))

    def target_tokens(self, target: str) -> list[str]:
        """Split a target into tokens, whether the model knows them or not."""
        return self._target.tokens(normalise(target))

    def _likelihood(
        self, sources: Sequence[Any], texts: Sequence[str], weights: Sequence[float] | None
    ) -> "Likelihood":
        """Return what the model makes of one text for each source; what it cannot read or say is left out, and told.

        Raises:
            InputError: A source with its text takes too much memory.
        """
        from automl.data.batching import Bucket
        from automl.data.table import Split
        from automl.metrics import Likelihood
        from automl.training.arrays import on_device
        from automl.training.evaluation import batch_fits, flat, forced_sums, shapes

        targets = self._target.encode_batch(texts)
        if len(kept := self._sayable(sources, targets)) < len(texts):
            self._on_notice(f"too long, with their targets, to count: {len(texts) - len(kept):,} sources")
            chosen = None if weights is None else [weights[place] for place in kept]
            return self._likelihood([sources[place] for place in kept], [texts[place] for place in kept], chosen)
        split = Split(*flat(sources), *flat(targets), rows=len(texts))
        whole = Bucket(max(1, *map(len, sources)), max(map(len, targets)) + 1)
        device = on_device(split, np.asarray(self._copies))
        counted = np.array([[len(text) + 1 for text in texts]] * 3, np.float64)
        for shape, rows in shapes(split, whole, batch_fits(self._static, whole)):
            self._footprint.scoring(shape.source, shape.target)  # refuses what takes too much
            sums = forced_sums(self._programs, self._static, self._parameters, device, rows, shape)
            counted[:2, rows] = [np.asarray(each)[: len(rows)] for each in (sums.loss, sums.tokens)]
        return Likelihood(*(counted * (1 if weights is None else weights)).sum(axis=1).tolist())

    def _sayable(self, sources: Sequence[Any], targets: Sequence[Sequence[int]]) -> list[int]:
        """Return the places of the pairs that the model can read and say, as a search counts them."""
        pairs = enumerate(zip(sources, targets, strict=True))
        most, longest = self._writer.limits.of, self._longest
        kept = [i for i, (read, said) in pairs if len(read) <= longest and len(said) <= most(len(read))]
        if not kept:
            raise InputError("all rows are too long for this model; shorten them")
        return kept

    def _told(self, answers: Sequence[Answer]) -> list[tuple[str, float]]:
        """Return the texts of answers with their log-probabilities."""
        texts = self._target.said(answer.said for answer in answers)
        return list(zip(texts, (answer.score for answer in answers), strict=True))

    def _scaled(self, text: str, size: float) -> str:
        return scaled(text, size) if isinstance(self._target, Boxes) else text

    def answers(
        self, encoded: Sequence[Any], decoding: Decoding, wanted: int = 1, bounds: Bounds | None = None
    ) -> list[list[Answer]]:
        """Return target tokens and log-probabilities for sources as tokens, the best first."""
        program = self._decoders.program(decoding, wanted, bounds)
        answers: list[list[Answer]] = [[Answer([], -np.inf)]] * len(encoded)

        def run(lot: Lot) -> list[list[Answer]]:
            batch = jax.device_put(padded([encoded[i] for i in lot.members], lot.rows, lot.length))
            return answered(program.run(self._parameters, batch, self._copies))

        lots = list(batches(encoded, self._longest, row_bytes=program.row_bytes))
        for lot, found in zip(lots, side_by_side(run, lots), strict=True):
            for index, of_row in zip(lot.members, found, strict=False):
                answers[index] = of_row[:wanted]
        return answers

    def _asked(self, how: Generation, encoded: Sized) -> tuple[Asked, int]:
        """Return what is asked of outputs for a source, and the bytes that each takes."""
        asked = self._writer.asked(how, encoded if self.has_source else None)
        return asked, self._footprint.decoding(allotted(len(encoded)), asked.length)

    def _bounds(self, encoded: Sequence[Any], prefix: str, allowed: Sequence[str] | None) -> Bounds | None:
        """Return what outputs for all of some sources have to be; nothing where they are free."""
        if not prefix and allowed is None:
            return None
        read = [source for source in encoded if len(source)]  # of the others nothing is said
        shortest = min(map(self._writer.most, read), default=self._writer.limits.usual)
        return self._writer.bounds(prefix, allowed, shortest)

    def _scored(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[Lot]:
        """Yield batches of pairs of sources and targets."""
        target = allotted(max((len(target) for _, target in pairs), default=0) + 1)
        sources = [source for source, _ in pairs]
        return batches(sources, self._longest, row_bytes=lambda length: self._footprint.scoring(length, target))

    def _pairs(self, sources: Sequence[Raw], targets: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        if len(sources) != len(targets):
            raise InputError(f"there are {len(sources)} sources and {len(targets)} targets; give one target a source")
        encoded, sizes = self._reader.sized(sources)
        texts = map(self._scaled, targets, sizes)
        return list(zip(encoded, self._target.encode_batch(list(map(normalise, map(text_of, texts)))), strict=True))

    def _forced(self, pairs: Sequence[tuple[list[int], list[int]]], rows: int) -> tuple[Any, ...]:
        """Return parameters, sources, copies, and targets behind the begin and before the end."""
        length = allotted(max(len(target) for _, target in pairs) + 1)
        inputs = padded([[BOS, *target] for _, target in pairs], rows, length)
        targets = padded([[*target, EOS] for _, target in pairs], rows, length)
        sources = padded([source for source, _ in pairs], rows)
        return self._parameters, *jax.device_put((sources, self._copies, inputs, targets))


def _check_count(count: int) -> None:
    if count < 1:
        raise InputError(f"count is {count}; it is a number of outputs from 1")


def _names(tokenizer: Tokenizer) -> dict[int, str]:
    return {index: token for token, index in tokenizer.vocabulary.items()}

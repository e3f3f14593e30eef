"""Decoders: the compiled programs that decode one model; the model is built only where one is not found compiled."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from zlib import crc32

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from automl.data.pixels import ids
from automl.data.tokenizers import PAD
from automl.decoding.answers import (
    Bounds,
    Decoded,
    Draw,
    Hypotheses,
    Penalty,
    Program,
    Request,
    allotted,
    padded,
)
from automl.errors import InputError
from automl.lengths import Limits
from automl.training.programs import Programs
from automl.training.signature import Signature
from search_spaces.decoding import Beam, Decoding, Greedy, Sampling

Parameters = Mapping[str, Float[Array, "..."]]


class Decoders:
    """The ways to decode the models of one signature, up to the limits of targets; each is compiled for each shape."""

    def __init__(
        self,
        programs: Programs,
        signature: Signature,
        limits: Limits,
        *,
        doubts: bool = False,
        refuses: bool = False,
    ) -> None:
        """Compile nothing yet.

        A model that `doubts` may find what it says unknown: that lessens the probability of what is said instead; and
        it ends late. One that `refuses` decodes no row that alone takes too much memory.
        """
        self._doubt: Any = np.bool_(True) if doubts else None
        self._programs = programs
        self._signature = signature
        self.footprint = signature.footprint(refuses=refuses)
        self.limits = limits

    def asked(self, source: Int[Array | np.ndarray, "batch source"], bounds: Bounds | None = None) -> Request:
        """Return the request for targets up to what each source allows, and within bounds if there are any."""
        lengths = (np.asarray(source) != PAD).sum(axis=1)
        most: Any = np.array([self.limits.of(int(length)) for length in lengths], np.int32)
        if bounds is None:
            return Request(most, doubt=self._doubt)
        rows = len(lengths)
        prefix: Any = padded([bounds.prefix] * rows, rows, self.length(source.shape[1]))
        allowed: Any = bounds.allowed
        return Request(most, prefix, allowed, doubt=self._doubt)

    def length(self, source: int) -> int:
        """Return the length of the arrays that hold the targets of sources padded to a length."""
        return allotted(self.limits.of(source))

    def key(self, kind: str, *static: Any) -> str:
        """Return what a program is known by."""
        return _key(kind, self._signature, *static)

    def run(self, kind: str, inputs: tuple[Any, ...], *static: Any) -> Any:
        """Run the program of a kind, a function `KIND_program` of `automl.decoding.programs`.

        What is static comes last: of a program that says something the length of its arrays, of a beam its size too.
        """
        return self._programs.get(self.key(kind, *static), partial(self._build, kind, *static), inputs)(*inputs)

    def _build(self, kind: str, *static: Any) -> Any:
        from automl.decoding import programs
        from automl.training.executables import model_of

        return getattr(programs, f"{kind}_program")(model_of(replace(self._signature, batch_size=0)), *static)

    def program(self, decoding: Decoding, wanted: int = 1, bounds: Bounds | None = None) -> Program:
        """Return the program of a way to decode; a beam gives its `wanted` best, and all keep to the bounds."""
        match decoding:
            case Greedy():
                return Program(partial(self._greedy, bounds), self._row_bytes)
            case Beam():
                return Program(
                    partial(self._search, decoding, wanted, bounds), partial(self._row_bytes, beam=decoding.beam)
                )
            case Sampling():
                return Program(partial(self._sample, decoding, bounds), self._row_bytes)

    def _row_bytes(self, source: int, beam: int = 1) -> int:
        return self.footprint.decoding(source, self.length(source), beam)

    def _greedy(self, bounds: Bounds | None, parameters: Parameters, source: Any, copies: Any) -> Decoded:
        inputs = (parameters, source, copies, self.asked(source, bounds))
        decoded: Decoded = self.run("greedy", inputs, self.length(source.shape[1]))
        return decoded

    def _search(
        self, beam: Beam, wanted: int, bounds: Bounds | None, parameters: Parameters, source: Any, copies: Any
    ) -> Hypotheses:
        numbers: tuple[Any, Any] = np.float32(beam.length_penalty), np.int32(wanted)
        inputs = (parameters, source, copies, self.asked(source, bounds), Penalty(*numbers))
        found: Hypotheses = self.run("beam", inputs, self.length(source.shape[1]), beam.beam)
        return found

    def _sample(
        self, sampling: Sampling, bounds: Bounds | None, parameters: Parameters, source: Any, copies: Any
    ) -> Decoded:
        draw = drawn(sampling, np.asarray(source), [0] * source.shape[0])
        inputs = (parameters, source, copies, self.asked(source, bounds), draw)
        decoded: Decoded = self.run("sampling", inputs, self.length(source.shape[1]))
        return decoded


def check_once(programs: Programs, signature: Signature, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Build a model to see that it can be, and has parameters of such shapes, unless a process before has done so.

    Raises:
        InputError: It cannot, or it has others.
    """
    struct: Any = jax.ShapeDtypeStruct
    key, inputs = _key("checked", signature), ({name: struct(shape, np.float32) for name, shape in shapes.items()},)
    if programs.is_noted(key, inputs):
        return
    from automl.models.parameters import declared
    from automl.training.executables import model_of

    try:
        known = declared(model_of(replace(signature, batch_size=0)))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"config.json: describes a model that cannot be built ({type(error).__name__})") from error
    if {name: tuple(param.get_value().shape) for name, param in known.items()} != dict(shapes):
        raise InputError("model.safetensors: holds other parameters than config.json describes; export the model again")
    programs.note(key, inputs)


def _key(kind: str, signature: Signature, *static: Any) -> str:
    return repr((kind, replace(signature, batch_size=0), *static))


def drawn(sampling: Sampling, sources: Iterable[Any], places: Iterable[int]) -> Draw:
    """Return the inputs by which rows are drawn: of a source the same for the same seed, whatever is in its batch.

    Where a source has several rows, each has another place among them, and gives another target.
    """
    first = sampling.seed * 0x9E3779B1
    pairs = zip(sources, places, strict=True)
    seeds: Any = np.array([(first + _mark(source) + place) % 2**32 for source, place in pairs], np.uint32)
    numbers: tuple[Any, ...] = np.float32(sampling.temperature), np.int32(sampling.top_k), np.float32(sampling.top_p)
    return Draw(seeds, *numbers)


def _mark(source: Any) -> int:
    """Return a number that tells a source from others, however padded."""
    tokens = np.asarray(ids(source), np.int32)
    return crc32(tokens[tokens != PAD].astype("<i4").tobytes())

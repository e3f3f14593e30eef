"""Chains: a model as stages that run one after another, each a program that other models share.

The same numbers come out as from the program of the whole model, but for rounding. A model whose stages have all been
seen before compiles nothing, whatever its depth, its kinds inside them and its recipe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float
from numpy.typing import NDArray

from automl.data.batching import BatchPlan, Bucket, rounded
from automl.models.dropout import GOLDEN, Noise
from automl.models.facts import facts
from automl.models.parameters import cut, declared, laid
from automl.models.seq2seq import Seq2Seq
from automl.models.stages import Place, places, stage
from automl.training import links
from automl.training.executables import Chunk, DeviceSplit, TrainState, filled
from automl.training.links import SHARED, TERMS, Backward, Dials, Drawn, Moved, Numbers
from automl.training.losses import TokenCounts
from automl.training.matrices import Stack
from automl.training.optimizers import Moments
from automl.training.programs import Program, Programs
from automl.training.schedules import Pace
from search_spaces import seq2seq as spaces
from search_spaces.optimizers import Optimizer
from search_spaces.parts import Head

BITS = 0xFFFFFFFF


@dataclass(frozen=True)
class Link:
    """A stage where it stands in one model.

    Attributes:
        place: Which stage, and where.
        module: It, its parameters still shapes.
        numbers: Its facts that are data, on the device.
        paths: Paths in the stage → paths in the model.
    """

    place: Place
    module: nnx.Module
    numbers: Any
    paths: Mapping[str, str]

    @staticmethod
    def of(place: Place, true: Mapping[str, int | str]) -> "Link":
        """Return the link of a model that has the `true` facts."""
        module = stage(place.part)
        paths = {own: place.path(own) for own in declared(module)}
        numbers = links.numbers_of(module, {own: true[path] for own, path in _facts(module, place) if path in true})
        return Link(place, module, jax.device_put(numbers), paths)

    def noise(self, noise: Noise, seed: int) -> Noise:
        """Return the stage's noise in a batch, whose seed is given."""
        for number in self.place.noise:
            seed = mixed(seed + (number + 1) * GOLDEN)
        own: Any = np.uint32(seed)
        return noise._replace(seed=own)


def _facts(module: nnx.Module, place: Place) -> list[tuple[str, str]]:
    return [(own, place.path(own)) for own in facts(module)]


def mixed(x: int) -> int:
    """Return what `dropout.mixed` does."""
    x &= BITS
    x = (x ^ (x >> 16)) * 0x7FEB352D & BITS
    x = (x ^ (x >> 15)) * 0x846CA68B & BITS
    return x ^ (x >> 16)


class Passed(NamedTuple):
    """What a stage was given on the way forwards, and what it kept for the way back."""

    given: tuple[Any, ...]
    kept: list[Any]


@dataclass
class Chain:
    """The stages of one architecture on one task.

    Attributes:
        programs: Where their programs are.
        configuration: The architecture.
        vocabularies: Number of source and of target tokens.
        optimizers: Those that its updates know.
    """

    programs: Programs
    configuration: spaces.Seq2Seq
    vocabularies: tuple[int, int]
    optimizers: tuple[type[Optimizer], ...]
    _ready: dict[Any, Program] = field(default_factory=dict)
    _prepared: set[Bucket] = field(default_factory=set)

    @cached_property
    def model(self) -> Seq2Seq:
        """The whole model, its parameters still shapes."""
        return Seq2Seq(self.configuration, *self.vocabularies)

    @cached_property
    def links(self) -> list[Link]:
        """The stages in order, the last one with the loss."""
        true = facts(self.model)
        return [Link.of(place, true) for place in places(self.configuration, *self.vocabularies)]

    @cached_property
    def frames(self) -> dict[str, nnx.Param[Any]]:
        """The parameters as the stages hold them, by their paths in the model."""
        return {path: param for link in self.links for param, path in _framed(link)}

    @cached_property
    def absent(self) -> dict[str, Any]:
        """Parameters of stages that this model does not have: 0."""
        true = declared(self.model)
        none = {path: np.zeros(p.get_value().shape, np.float32) for path, p in self.frames.items() if path not in true}
        placed: dict[str, Any] = jax.device_put(none)
        return placed

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """True rows and columns of each parameter, on the device."""
        found = {}
        for path, param in declared(self.model).items():
            stack = Stack.of(param.get_metadata("form"), param.get_value().shape)
            found[path] = np.asarray((stack.rows, stack.columns), np.int32)
        placed: dict[str, Any] = jax.device_put(found)
        return placed

    def laid(self, state: TrainState) -> TrainState:
        """Return a state at true shapes as the stages hold it."""
        return self._each(state, lambda values: laid(values, declared(self.model), self._kept_frames))

    def cut(self, state: TrainState) -> TrainState:
        """Return a state of the stages at true shapes."""
        return self._each(state, lambda values: cut(values, declared(self.model), self._kept_frames))

    @cached_property
    def _kept_frames(self) -> dict[str, nnx.Param[Any]]:
        return {path: self.frames[path] for path in declared(self.model)}

    def _each(self, state: TrainState, change: Callable[[Any], Any]) -> TrainState:
        parts = (state.parameters, *state.optimizer, state.average)
        arrays = (change({path: np.asarray(value) for path, value in part.items()}) for part in parts)
        parameters, first, second, average = (jax.device_put(part, may_alias=False) for part in arrays)
        return TrainState(parameters, Moments(first, second), average, state.step)

    def train(
        self, state: TrainState, data: DeviceSplit, chunk: Chunk, bucket: Bucket
    ) -> tuple[TrainState, Float[np.ndarray, "taken"]]:
        """Take the steps of a chunk; return the state after it, and their losses."""
        training = Training(self, state, data, jax.device_get(chunk), bucket)
        losses = [training.step(index) for index in range(int(chunk.steps))]
        return training.state, np.asarray(jax.device_get(losses), np.float32)

    def prepare(self, state: TrainState, data: DeviceSplit, chunk: Chunk, bucket: Bucket) -> None:
        """Find or compile all that training on a shape takes; the state stays as it is."""
        Training(self, state, data, jax.device_get(chunk), bucket).prepare()
        self._prepared.add(bucket)

    def is_prepared(self, bucket: Bucket) -> bool:
        """Say whether training on a shape compiles nothing."""
        return bucket in self._prepared

    def counts(
        self, parameters: Mapping[str, Any], split: DeviceSplit, rows: NDArray[np.int32], bucket: Bucket
    ) -> TokenCounts:
        """Score rows, as batches, given the true target so far; the parameters are as the stages hold them."""
        whole = {**parameters, **self.absent}
        found = []
        for members in rows:
            batch = self.draw(split, members, bucket)
            passed = self.forwards(whole, batch, silent(), 0, bucket)
            place = ("judge", len(self.links) - 1, bucket)
            found.append(self.call(place, links.judge, passed[-1].given, batch.targets))
        columns: tuple[Any, ...] = tuple(np.concatenate(part) for part in zip(*jax.device_get(found), strict=True))
        return TokenCounts(*columns)

    def draw(self, split: DeviceSplit, rows: NDArray[np.int32], bucket: Bucket) -> Drawn:
        """Gather the rows of a batch."""
        inputs = (split, rows)
        program = self.ready(("draw", bucket, len(rows), split.source.shape), lambda: links.drawn(bucket), inputs)
        drawn: Drawn = program(*inputs)
        return drawn

    def forwards(
        self, parameters: Mapping[str, Any], batch: Drawn, noise: Noise, seed: int, bucket: Bucket
    ) -> list[Passed]:
        """Run all stages but the last; also return what that one is to be given."""
        passed: list[Passed] = []
        carry, memory = None, None
        for number, link in enumerate(self.links):
            own = {name: parameters[path] for name, path in link.paths.items()}
            given = (own, link.numbers, carry, memory, batch.inputs, link.noise(noise, seed))
            if isinstance(link.place.part, Head):
                return [*passed, Passed(given, [])]
            carry, kept = self.call(("forward", number, bucket), links.forward, *given)
            passed.append(Passed(given, kept))
            if link.place.is_encoded:
                carry, memory = None, carry
        raise AssertionError("the last stage of every model is a head")

    def call(self, key: tuple[str, int, Bucket], build: Callable[..., Any], *inputs: Any) -> Any:
        """Run a program of a stage; find or compile it the first time."""
        program = self._ready.get(key)
        if program is None:
            part = self.links[key[1]].place.part
            program = self._ready[key] = self.programs.get(repr((key[0], part)), partial(build, part), inputs)
        return program(*inputs)

    def ready(self, key: Any, build: Callable[[], Any], inputs: tuple[Any, ...]) -> Program:
        """Return another program; find or compile it the first time."""
        program = self._ready.get(key)
        if program is None:
            program = self._ready[key] = self.programs.get(repr(key), build, inputs)
        return program


class Training:
    """Steps of one chunk."""

    def __init__(self, chain: Chain, state: TrainState, data: DeviceSplit, chunk: Chunk, bucket: Bucket) -> None:
        self.chain = chain
        self.data = data
        self.bucket = bucket
        self.chunk = chunk
        self.first_step = int(state.step)
        self.step_count = 0
        self.seed = int(chunk.noise.seed)
        self.noise: Noise = jax.device_put(chunk.noise)
        self.parameters = dict(state.parameters)
        self.first, self.second = map(dict, state.optimizer)
        self.average = dict(state.average)
        shapes = {path: param.get_value().shape for path, param in chain.frames.items()}
        self.gradients: dict[str, Any] = jax.device_put({p: np.zeros(s, np.float32) for p, s in shapes.items()})
        self.nothing = jax.device_put(np.zeros((), np.float32))

    @property
    def state(self) -> TrainState:
        """The state after the steps so far."""
        step: Any = jax.device_put(np.int32(self.first_step + self.step_count))
        return TrainState(self.parameters, Moments(self.first, self.second), self.average, step)

    def step(self, index: int) -> Any:
        """Take a step of the chunk; return its loss."""
        seed = mixed(self.seed + self.first_step + self.step_count)
        numbers = jax.device_put(Numbers(self.chunk.recipe.label_smoothing, self.chunk.tokens[index]))
        begin, end = (int(bound) for bound in self.chunk.bounds[index : index + 2])
        loss, squares = self.nothing, [self.nothing]
        for number in range(begin, end):
            loss, squares = self._batch(number, mixed(seed + number - begin), numbers, loss)
        self._update(index, squares)
        self.step_count += 1
        return loss

    def _batch(self, number: int, seed: int, numbers: Numbers, loss: Any) -> tuple[Any, list[Any]]:
        """Add the gradients of one batch; return the loss with its own, and the sums of squares."""
        chain, bucket = self.chain, self.bucket
        batch = chain.draw(self.data, np.asarray(self.chunk.rows[number]), bucket)
        *passed, last = chain.forwards({**self.parameters, **chain.absent}, batch, self.noise, seed, bucket)
        place = len(passed)
        inputs: tuple[Any, ...] = (last.given, batch.targets, numbers, loss, self._of(place))
        loss, back = chain.call(("head", place, bucket), links.head, *inputs)
        self._take(place, back)
        squares, carry, memory = [back.squares], back.carry, self._no_memory(passed)
        while passed:
            place, now = len(passed) - 1, passed.pop()
            if chain.links[place].place.is_encoded:
                carry, memory = memory, None
            inputs = (now.given, now.kept, carry, memory, self._of(place))
            back = chain.call(("backward", place, bucket), links.backward, *inputs)
            self._take(place, back)
            squares.append(back.squares)
            carry, memory = back.carry if back.carry is not None else carry, back.memory
        squares[-1].block_until_ready()  # or programs of many batches would wait, and their arrays take memory
        return loss, squares

    def _no_memory(self, passed: Sequence[Passed]) -> Any:
        encoded = passed[-1].given[3]
        return jax.device_put(np.zeros(encoded.shape, encoded.dtype))

    def _of(self, place: int) -> dict[str, Any]:
        return {own: self.gradients[path] for own, path in self.chain.links[place].paths.items()}

    def _take(self, place: int, back: Backward) -> None:
        for own, path in self.chain.links[place].paths.items():
            self.gradients[path] = back.gradients[own]

    def prepare(self) -> None:
        """Take one batch forwards and backwards, and get the updates ready."""
        numbers = jax.device_put(Numbers(self.chunk.recipe.label_smoothing, self.chunk.tokens[0]))
        _, squares = self._batch(0, 0, numbers, self.nothing)
        for _, key, build, inputs in self._updates(0, squares):
            self.chain.ready(key, build, inputs)

    def _update(self, index: int, squares: list[Any]) -> None:
        for path, key, build, inputs in self._updates(index, squares):
            moved = self.chain.ready(key, build, inputs)(*inputs)
            self.parameters[path], self.first[path], self.second[path] = moved.parameter, moved.first, moved.second
            self.average[path], self.gradients[path] = moved.average, moved.gradient

    def _updates(self, index: int, squares: list[Any]) -> Iterator[tuple[str, Any, Callable[[], Any], Any]]:
        """Yield for each parameter its path, and the key, the builder and the inputs of its program."""
        chain = self.chain
        shared = [g for path, g in self.gradients.items() if path.endswith(SHARED) and path in chain.sizes]
        squares += [chain.ready(("square", g.shape), links.square, (g,))(g) for g in shared]
        squares += [self.nothing] * (-len(squares) % TERMS)
        inputs: tuple[Any, ...] = (squares, self.chunk.recipe.clipping)
        clip = chain.ready(("clip", len(squares)), links.clip, inputs)(*inputs)
        matrices, rest = self._dials(index)
        kinds = chain.optimizers
        for path, size in chain.sizes.items():
            form = chain.frames[path].get_metadata("form")
            kept = (self.parameters, self.first, self.second, self.average, self.gradients)
            now = Moved(*(part[path] for part in kept))
            dials = matrices if form.kind == "matrix" else rest
            key = ("update", form, kinds, now.parameter.shape)
            yield path, key, partial(links.update, form, kinds), (now, dials, clip, size)

    def _dials(self, index: int) -> tuple[Dials, Dials]:
        recipe, none = self.chunk.recipe, np.zeros((), np.float32)
        pace: Pace = jax.tree.map(lambda numbers: numbers[index], self.chunk.pace)
        decays: tuple[Any, Any] = (recipe.weight_decay, none)
        of_matrices = Dials(pace.matrices, pace.average, decays[0], recipe.kind)
        matrices, rest = jax.device_put((of_matrices, Dials(pace.rest, pace.average, decays[1], recipe.kind)))
        return matrices, rest


def scorer(chain: Chain, parameters: Mapping[str, Any], plan: BatchPlan) -> Callable[..., TokenCounts]:
    """Return what counts the right tokens of rows, in a shape that is trained on where they fit into it."""

    def counted(split: DeviceSplit, rows: int, shape: Bucket) -> TokenCounts:
        batches = -(-rows // plan.batch_size)
        numbers = filled(np.arange(rows), batches * plan.batch_size, -1).reshape(batches, -1)
        own = Bucket(rounded(shape.source), rounded(shape.target))
        return chain.counts(parameters, split, numbers, plan.largest if own.fits(plan.largest) else own)

    return counted


def silent() -> Noise:
    """Return noise that drops nothing."""
    none: tuple[Any, ...] = (np.uint32(0), np.float32(0), np.uint32(0), np.float32(0), np.float32(0))
    return Noise(*none)


def _framed(link: Link) -> list[tuple[nnx.Param[Any], str]]:
    return [(param, link.paths[own]) for own, param in declared(link.module).items()]

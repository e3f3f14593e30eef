"""Slots: so many trials in one program, each in a place of its own that is filled and emptied without compiling."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from automl.data.batching import Bucket
from automl.training.arrays import DeviceSplit
from automl.training.hulls import Hull
from automl.training.programs import Program, Programs
from automl.training.steps import Chunk, TrainState, training
from search_spaces.optimizers import Optimizer
from search_spaces.seq2seq import Seq2Seq

TRIALS = "trials"
"""The axis that slots lie along, over the devices."""


class Kind(NamedTuple):
    """What is static to a program of slots: trials of one kind can train together."""

    hull: Hull
    bucket: Bucket
    optimizers: tuple[type[Optimizer], ...]
    adapted: bool = False


class Tenant(NamedTuple):
    """What lies in each slot beside the state: which of a hull's models it is, and what factors are added to."""

    given: Mapping[str, Any]
    sizes: Mapping[str, Any]
    base: Mapping[str, Any] | None = None


@cache
def slots_program(kind: Kind, count: int) -> Any:
    """Return the program that takes a chunk of steps in each slot; it consumes the states.

    A slot whose chunk has no steps stays as it is. One slot alone is not mapped over: `lax.cond` stays a condition.
    """
    train = training(kind.hull.model, kind.bucket, kind.optimizers)

    def steps(state: TrainState, split: DeviceSplit, chunk: Chunk, tenant: Tenant) -> tuple[TrainState, Any]:
        return train(state, split, chunk, *tenant)

    if count == 1:

        def alone(state: Any, split: DeviceSplit, chunk: Any, tenant: Any) -> Any:
            own = jax.tree.map(lambda stack: stack[0], (state, chunk, tenant))
            return jax.tree.map(lambda leaf: leaf[None], steps(own[0], split, own[1], own[2]))

        return jax.jit(alone, donate_argnums=0)
    return jax.jit(jax.vmap(steps, in_axes=(0, None, 0, 0)), donate_argnums=0)


@cache
def _filling() -> Any:
    def fill(stack: Any, own: Any, slot: Any) -> Any:
        return jax.tree.map(lambda all_, one: all_.at[slot].set(one), stack, own)

    return jax.jit(fill, donate_argnums=0)


@cache
def _taking() -> Any:
    return jax.jit(lambda stack, slot: jax.tree.map(lambda all_: all_[slot], stack))


def mesh_of(count: int) -> Mesh:
    """Return the devices that so many slots are spread over evenly: as many as divide them."""
    devices = jax.local_devices()
    shared = max(size for size in range(1, len(devices) + 1) if count % size == 0)
    return Mesh(np.array(devices[:shared]), (TRIALS,))


@dataclass(eq=False)
class Slots:
    """Places for trials of one kind, whose states lie together on the devices.

    Attributes:
        programs: Where the programs are.
        kind: What all trials have in common.
        count: Number of places.
        compiling: Entered while a program is made that is not at hand.
    """

    programs: Programs
    kind: Kind
    count: int
    compiling: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        mesh = mesh_of(self.count)
        along: Any = PartitionSpec
        self._along, self._everywhere = NamedSharding(mesh, along(TRIALS)), NamedSharding(mesh, along())
        hull = self.kind.hull
        empty = hull.empty(adapted=self.kind.adapted)
        base = empty.average if self.kind.adapted else None
        nothing = Tenant(hull.given(hull.members[-1]), hull.sizes(hull.members[-1]), base)
        self._state, self._tenants = self._stacked(empty), self._stacked(nothing)
        self._data: tuple[Any, Any] = (None, None)
        self.taken: dict[int, Seq2Seq] = {}
        self.has_trained = False

    @property
    def free(self) -> int | None:
        """The first place in which no trial lies."""
        return next((slot for slot in range(self.count) if slot not in self.taken), None)

    @property
    def is_lost(self) -> bool:
        """Whether the states are gone, since a program that failed had consumed them."""
        return any(leaf.is_deleted() for leaf in jax.tree.leaves(self._state))

    def put(self, slot: int, state: TrainState, configuration: Seq2Seq, base: Mapping[str, Any] | None = None) -> None:
        """Lay a trial into a free place, and what its factors are added to."""
        hull, place = self.kind.hull, np.int32(slot)
        own = None if base is None else hull.padded(base, configuration)
        tenant = Tenant(hull.given(configuration), hull.sizes(configuration), own)
        self._state = self._fill(self._state, hull.laid(state, configuration), place)
        self._tenants = self._fill(self._tenants, tenant, place)
        self.taken[slot] = configuration

    def get(self, slot: int) -> TrainState:
        """Return the state of a trial at its true shapes; it stays where it is."""
        arguments = (self._state, np.int32(slot))
        program = self._program(repr(("slot taken", self.kind.hull.members, self.count)), _taking, arguments)
        return self.kind.hull.cut(jax.device_get(program(*arguments)), self.taken[slot])

    def train(self, split: DeviceSplit, chunks: Mapping[int, Chunk]) -> Mapping[int, Float[np.ndarray, "steps"]]:
        """Take a chunk of steps in some places; return the losses of each, in nats a token."""
        real = jax.device_get(dict(chunks))
        idle = jax.tree.map(np.zeros_like, next(iter(real.values())))
        rows = [real.get(slot, idle) for slot in range(self.count)]
        stacked = jax.tree.map(lambda *own: jax.device_put(np.stack(own), self._along), *rows)
        arguments = (self._state, self._everywhere_(split), stacked, self._tenants)
        key = repr(("slots", self.kind, self.count))
        program = self._program(key, lambda: slots_program(self.kind, self.count), arguments)
        self._state, losses = program(*arguments)
        self.has_trained = True
        found = np.asarray(losses)
        return {slot: found[slot] for slot in chunks}

    def _stacked(self, one: Any) -> Any:
        return jax.tree.map(
            lambda leaf: jax.device_put(np.broadcast_to(leaf, (self.count, *np.shape(leaf))), self._along), one
        )

    def _fill(self, stack: Any, own: Any, slot: Any) -> Any:
        arguments = (stack, own, slot)
        name = repr(("slot filled", self.kind.hull.members, self.count, type(own).__name__))
        return self._program(name, _filling, arguments)(*arguments)

    def _program(self, name: str, build: Callable[[], Any], arguments: tuple[Any, ...]) -> Program:
        with nullcontext() if self.programs.at_hand(name, arguments) else self.compiling():
            return self.programs.get(name, build, arguments)

    def _everywhere_(self, split: DeviceSplit) -> DeviceSplit:
        if self._data[0] is not split:
            self._data = (split, jax.device_put(split, self._everywhere))
        placed: DeviceSplit = self._data[1]
        return placed

"""A population: trials that train at the same time, each in a thread of its own, their chunks taken by one program.

Continuous batching, as inference servers do it (Yu et al., 2022): a trial joins and leaves between chunks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from automl.models.parameters import Parameters
from automl.segments import Beat, Report
from automl.training.arrays import DeviceSplit
from automl.training.programs import Programs
from automl.training.slots import Kind, Slots
from automl.training.steps import Chunk, TrainState
from automl.training.stream import together
from search_spaces.seq2seq import Seq2Seq

COUNTS = (1, 4, 16, 64, 256)
"""Slots that a program may have."""
GAIN = 1.1
"""A wider program must take so many times more steps a second than a narrower one."""


@dataclass
class Pace:
    """Steps a second of all slots together, by their number, as measured.

    Attributes:
        ceiling: The most that memory allows.
    """

    ceiling: int = COUNTS[-1]
    rates: dict[int, float] = field(default_factory=dict)

    def count(self, trials: int) -> int:
        """Return the slots of a program for so many trials: enough, unless fewer were measured to be as fast."""
        allowed = [count for count in COUNTS if count <= self.ceiling]
        enough = [count for count in allowed if count < trials]
        enough += allowed[len(enough) : len(enough) + 1]
        if enough[-1] not in self.rates:
            return enough[-1]
        best, *wider = [count for count in enough if count in self.rates]
        for count in wider:
            best = count if self.rates[count] >= GAIN * self.rates[best] else best
        return best

    def measured(self, count: int, steps: int, seconds: float) -> None:
        """Take a measurement; of several, the fastest counts, for then most slots were in use."""
        self.rates[count] = max(self.rates.get(count, 0.0), steps / seconds)

    def exhausted(self, count: int) -> None:
        """Note that so many slots, more than one, were too many for the memory."""
        self.ceiling = max(fewer for fewer in COUNTS if fewer < count)


def _silent(beat: Beat) -> None:
    """Stand for a report that nobody reads."""


@dataclass(eq=False)
class Lane:
    """A trial among the others.

    Attributes:
        configuration: What the trial is.
        state: Its state where it lies in no slot; none yet while it is being made.
        base: What its factors are added to, where it trains such.
        chunk: What it waits for, while it waits.
        losses: What came of that.
        error: Why nothing did.
        bank: Where its state lies, in the place `slot`.
        report: Told when others compile while it waits.
        compiling: Seconds that this took, of the last chunk.
        crowd: Trials of its kind that trained when an error arose.
    """

    configuration: Seq2Seq
    state: TrainState | None
    base: Parameters | None = None
    split: Any = None
    chunk: Chunk | None = None
    losses: Float[np.ndarray, "steps"] | None = None
    error: Exception | None = None
    bank: Slots | None = None
    slot: int = 0
    report: Report = _silent
    compiling: float = 0.0
    crowd: int = 0

    @property
    def is_lost(self) -> bool:
        """Whether its state is gone with a program that failed."""
        return self.state is None and self.bank is None

    def outcome(self) -> Float[np.ndarray, "steps"]:
        """Return the losses of the last chunk, or raise why there are none."""
        if self.error is not None:
            raise self.error
        assert self.losses is not None
        return self.losses


class Population:
    """The trials of one kind; safe to use from as many threads as there are trials."""

    def __init__(self, programs: Programs, kind: Kind, most: int = COUNTS[-1], *, own_pairs: bool = False) -> None:
        """Train at most so many at a time, on the same pairs or each on some of its own."""
        self._own_pairs = own_pairs
        self.pace = Pace(next((count for count in COUNTS if count >= most), COUNTS[-1]))
        self._programs, self._kind = programs, kind
        self._lanes: list[Lane] = []
        self._banks: list[Slots] = []
        self._widest = 0
        self._turn = Condition()

    @property
    def counts(self) -> list[int]:
        """The slots of each program that trials lie in."""
        return [bank.count for bank in self._banks]

    @contextmanager
    def lane(
        self,
        begin: Callable[[], TrainState],
        configuration: Seq2Seq,
        base: Parameters | None = None,
        report: Report = _silent,
    ) -> Iterator[Lane]:
        """Join with a trial, and with what its factors are added to; it leaves at the end of the context.

        As long as there is no program it counts before it has its state, which `begin` returns: the first program has a
        slot for each that has joined by then. With the last one the places for states go from the device.
        """
        early = begin() if self._widest else None  # those that train already wait for nobody
        lane = Lane(configuration, early, base, report=report)
        with self._turn:
            self._lanes.append(lane)
        try:
            if early is None:
                late = begin()
                with self._turn:
                    lane.state = late
            yield lane
        finally:
            with self._turn:
                self._free(lane)
                self._lanes.remove(lane)
                self._lead()
                self._banks = self._banks if self._lanes else []

    def train(self, lane: Lane, split: DeviceSplit, chunk: Chunk) -> Float[np.ndarray, "steps"]:
        """Take a chunk of steps with all that train at the same time; return the losses.

        Raises:
            Exception: Whatever the program raised, of which the trial's state may be lost: then it says so each time.
        """
        with self._turn:
            if lane.is_lost:
                return lane.outcome()
            lane.split, lane.chunk, lane.losses, lane.error, lane.compiling = split, chunk, None, None, 0.0
            self._lead()
            self._turn.wait_for(lambda: lane.chunk is None)
            return lane.outcome()

    def state(self, lane: Lane) -> TrainState:
        """Return a trial's state at its true shapes."""
        with self._turn:
            if lane.bank is not None:
                return lane.bank.get(lane.slot)
            assert lane.state is not None
            return lane.state

    def slots(self, lane: Lane) -> int:
        """Return how many slots the program has that a trial was trained by."""
        with self._turn:
            return lane.bank.count if lane.bank is not None else 0

    def _lead(self) -> None:
        """Take the chunks if every trial waits for one: whoever came last does it for all."""
        if any(lane.chunk is None for lane in self._lanes):
            return
        while waiting := [lane for lane in self._lanes if lane.chunk is not None]:
            count = self.pace.count(max(len(self._lanes), self._widest))  # what is compiled is kept to
            try:
                self._settle(count)
                self._step(waiting)
            except Exception as error:
                self._recover(count, waiting, error)
        self._turn.notify_all()

    def _settle(self, count: int) -> None:
        """Lay the trials into programs of so many slots."""
        if any(bank.count != count for bank in self._banks):
            for lane in self._lanes:
                self._take_out(lane)
            self._banks = []
        for lane in self._lanes:
            if lane.state is not None:
                self._put(lane, count)

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """Let every trial that waits say what for."""
        waiting, begun = [lane for lane in self._lanes if lane.chunk is not None], time.monotonic()
        for lane in waiting:
            lane.report(Beat("compiling"))
        try:
            yield
        finally:
            for lane in waiting:
                lane.compiling += time.monotonic() - begun
                lane.report(Beat("training"))

    def _put(self, lane: Lane, count: int) -> None:
        bank = next((own for own in self._banks if own.free is not None), None)
        if bank is None:
            bank = Slots(self._programs, self._kind, count, self._compiling)
            self._banks.append(bank)
            self._widest = max(self._widest, count)
        slot = bank.free
        assert slot is not None
        assert lane.state is not None
        bank.put(slot, lane.state, lane.configuration, lane.base)
        lane.bank, lane.slot, lane.state = bank, slot, None

    def _step(self, waiting: list[Lane]) -> None:
        for bank in self._banks:
            own = [lane for lane in waiting if lane.bank is bank]
            chunks = {lane.slot: lane.chunk for lane in own if lane.chunk is not None}
            if not chunks:
                continue
            begun, was_compiled, pairs = time.monotonic(), bank.has_trained, own[0].split
            if self._own_pairs and bank.count > 1:
                pairs, chunks = together(bank.count, {lane.slot: lane.split for lane in own}, chunks)
            losses = bank.train(pairs, chunks)
            if was_compiled:
                steps = sum(int(chunk.steps) for chunk in chunks.values())
                self.pace.measured(bank.count, steps, time.monotonic() - begun)
            for lane in own:
                lane.losses, lane.chunk = losses[lane.slot], None

    def _recover(self, count: int, waiting: list[Lane], error: Exception) -> None:
        """After a failure go on with fewer slots if memory was too small, and with nobody whose state is gone."""
        lost, crowd = [bank for bank in self._banks if bank.is_lost], len(self._lanes)
        fewer = count > 1 and isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
        if fewer:
            self.pace.exhausted(count)
        for lane in self._lanes:
            is_hit = lane.bank in lost
            if is_hit or (lane in waiting and lane.chunk is not None and not fewer):
                lane.error, lane.chunk, lane.crowd = error, None, crowd
            if is_hit:
                lane.bank = None
        self._banks = [bank for bank in self._banks if bank not in lost]

    def _take_out(self, lane: Lane) -> None:
        if lane.bank is not None:
            lane.state = lane.bank.get(lane.slot)
            self._free(lane)

    def _free(self, lane: Lane) -> None:
        if lane.bank is not None:
            lane.bank.taken.pop(lane.slot, None)
            lane.bank = None

"""Trials that train together train as each does alone."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event
from time import sleep
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from automl.data.batching import Bucket, plan
from automl.errors import FailureReason, TrialFailure
from automl.models.parameters import initialise
from automl.segments import Segment, SegmentResult
from automl.training.checkpoints import read_tensors
from automl.training.hulls import Hull
from automl.training.population import COUNTS, Pace, Population
from automl.training.population_trainer import PopulationTrainer
from automl.training.programs import Programs
from automl.training.slots import Kind, Slots
from automl.training.steps import Chunk, TrainState, new_state
from search_spaces.optimizers import AdamW, Lion
from tests.automl.training.devices import on_devices
from tests.automl.training.trials import CHUNK, CONFIGURATION, ROWS, never, onward, segment, silent, trained

SMALL = replace(
    CONFIGURATION,
    encoder=replace(CONFIGURATION.encoder, hidden_size=32),
    decoder=replace(CONFIGURATION.decoder, attention=replace(CONFIGURATION.decoder.attention, size=32)),
)
LARGER = replace(SMALL, encoder=replace(SMALL.encoder, hidden_size=64))
VARIED = [SMALL, LARGER, replace(SMALL, dropout=0.4, batch_tokens=1024), replace(SMALL, optimizer=Lion(0.001))]
TOKENS = 6_000


@pytest.fixture(scope="module")
def together(workload) -> PopulationTrainer:
    return in_short_chunks(PopulationTrainer(replace(workload, slots=4)))


def in_short_chunks(trainer: PopulationTrainer) -> PopulationTrainer:
    trainer.dataset(SMALL).plan = plan(trainer.table.split("train"), ROWS, CHUNK)
    return trainer


def in_few_slots(trainer: PopulationTrainer, monkeypatch: pytest.MonkeyPatch) -> list[Population]:
    """Train in up to four slots that nobody has trained in; return them once they are there."""
    few: list[Population] = []

    def population(kind: Any, *_: Any) -> Population:
        if not few:
            few.append(Population(trainer.programs, kind, 4))
        return few[0]

    monkeypatch.setattr(trainer, "population", population)
    return few


def at_once(trainer: PopulationTrainer, jobs: list[Segment]) -> list[SegmentResult]:
    with ThreadPoolExecutor(len(jobs)) as threads:
        found: list[Any] = list(threads.map(lambda job: trainer.run(job, silent, never), jobs))
    return found


def jobs(**values: Any) -> list[Segment]:
    return [segment(each, trial=n, seed=n, to_tokens=TOKENS, **values) for n, each in enumerate(VARIED)]


def assert_alike(workload: Any, one: SegmentResult, other: SegmentResult) -> None:
    assert (one.step, one.tokens) == (other.step, other.tokens)
    assert one.scores["loss"] == pytest.approx(other.scores["loss"], abs=1e-3)
    mine, theirs = (read_tensors(Path(workload.checkpoints), each.checkpoint) for each in (one, other))
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(value, theirs[name], atol=5e-3, err_msg=name)


@pytest.fixture(scope="module")
def found(together) -> list[SegmentResult]:
    return at_once(together, jobs())


def test_trials_of_other_sizes_recipes_and_seeds_train_as_each_does_alone(workload, trainer, found):
    for job, result in zip(jobs(), found, strict=True):
        assert_alike(workload, result, trained(trainer, job))


def test_a_segment_says_by_what_it_was_trained(trainer, found):
    assert found[0].execution["program"] == "hull"
    assert found[0].execution["slots"] in (1, 4)
    assert found[0].execution["padding"] > found[1].execution["padding"] > 1
    alone = trained(trainer, jobs()[0]).execution
    assert (alone["program"], alone["slots"]) == ("alone", 1)
    assert 1 < alone["padding"] < 1.6


def test_a_trial_that_is_thawed_among_others_goes_on_as_alone_and_nothing_is_compiled(
    workload, trainer, together, found
):
    before = together.programs.counts.compiled
    thawed = [
        onward(result, configuration=each, trial=n, seed=n, to_tokens=2 * TOKENS)
        for n, (each, result) in enumerate(zip(VARIED, found, strict=True))
    ]
    again = at_once(together, thawed[:3])
    assert together.programs.counts.compiled == before
    assert_alike(workload, again[1], trained(trainer, thawed[1]))


def test_a_program_that_is_too_large_for_the_memory_is_halved_and_no_trial_notices(together, found, monkeypatch):
    real, tried = Slots.train, []

    def small(self: Slots, split: Any, chunks: Any) -> Any:
        tried.append(self.count)
        if self.count > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return real(self, split, chunks)

    monkeypatch.setattr(Slots, "train", small)
    few = in_few_slots(together, monkeypatch)
    results = at_once(together, jobs()[:2])
    assert 4 in tried
    assert (tried[-1], few[0].pace.ceiling) == (1, 1)
    for one, other in zip(results, found, strict=False):
        assert one.scores["loss"] == pytest.approx(other.scores["loss"], abs=1e-3)


def test_no_trial_is_to_blame_where_the_first_program_for_many_is_too_large(together, monkeypatch):
    def large(self: Slots, *_: Any) -> Any:
        jax.tree.map(lambda leaf: leaf.delete(), self._state)
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    real, both = together._begin, Barrier(2)

    def begin(*given: Any) -> Any:
        both.wait(60.0)
        return real(*given)

    few = in_few_slots(together, monkeypatch)
    monkeypatch.setattr(Slots, "train", large)
    monkeypatch.setattr(together, "_begin", begin)
    with ThreadPoolExecutor(2) as threads, pytest.raises(TrialFailure) as failure:
        list(threads.map(lambda job: together.run(job, silent, never), jobs()[:2]))
    assert (failure.value.reason, few[0].pace.ceiling) == (FailureReason.STOPPED, 1)


def test_slots_are_as_many_as_there_are_trials_for_unless_fewer_are_as_fast():
    pace = Pace()
    assert [pace.count(trials) for trials in (1, 2, 16, 17, 300)] == [1, 4, 16, 64, 256]
    pace.measured(1, 100, 1.0)
    pace.measured(4, 105, 1.0)
    assert pace.count(4) == 1
    assert pace.count(5) == 16
    pace.measured(16, 900, 1.0)
    assert pace.count(5) == 16


def test_a_program_has_room_for_as_many_as_may_train(together):
    kind = Kind(Hull.of(SMALL, 11, 9), Bucket(8, 8), (AdamW, Lion))
    assert [Population(together.programs, kind, most).pace.count(most) for most in (1, 3, 8, 256)] == [1, 4, 16, 256]


def test_a_trial_whose_state_was_lost_hears_why_each_time(together, monkeypatch):
    def lose(self: Slots, *_: Any) -> Any:
        jax.tree.map(lambda leaf: leaf.delete(), self._state)
        raise ValueError("the device is gone")

    monkeypatch.setattr(Slots, "train", lose)
    kind = Kind(Hull.of(SMALL, 11, 9), Bucket(8, 8), (AdamW, Lion))
    population, nothing = Population(together.programs, kind, 1), Chunk._make([None] * len(Chunk._fields))
    with population.lane(lambda: new_state(initialise(kind.hull.true(SMALL), 0)), SMALL) as lane:
        for _ in range(2):
            with pytest.raises(ValueError, match="the device is gone"):
                population.train(lane, together.dataset(SMALL).data, nothing)


class PretendingSlots:
    """Places without a device; who trains in them first waits for a compilation."""

    is_lost = False

    def __init__(self, programs: Any, kind: Any, count: int, compiling: Any) -> None:
        self.count, self.compiling, self.has_trained = count, compiling, False
        self.taken: dict[int, Any] = {}

    @property
    def free(self) -> int | None:
        return next((slot for slot in range(self.count) if slot not in self.taken), None)

    def put(self, slot: int, *laid: Any) -> None:
        self.taken[slot] = laid

    def train(self, split: Any, chunks: Any) -> Any:
        if not self.has_trained:
            with self.compiling():
                self.has_trained = True
        return {slot: np.zeros(1) for slot in chunks}


@pytest.fixture
def pretending(monkeypatch: pytest.MonkeyPatch) -> Population:
    monkeypatch.setattr("automl.training.population.Slots", PretendingSlots)
    return Population(Programs(), Kind(Hull.of(SMALL, 11, 9), Bucket(8, 8), (AdamW, Lion)), 4)


@pytest.fixture(scope="module")
def state() -> TrainState:
    return new_state(initialise(Hull.of(SMALL, 11, 9).true(SMALL), 0))


def taken(population: Population, split: Any, *lanes: Any) -> None:
    chunk = Chunk._make([np.int32(1)] * len(Chunk._fields))
    with ThreadPoolExecutor(len(lanes)) as threads:
        list(threads.map(lambda lane: population.train(lane, split, chunk), lanes))


def test_places_leave_the_device_with_the_last_trial_and_come_back_as_many(pretending, state, together):
    split = together.dataset(SMALL).data
    with pretending.lane(lambda: state, SMALL) as one, pretending.lane(lambda: state, SMALL) as other:
        taken(pretending, split, one, other)
        assert pretending.counts == [4]
    assert pretending.counts == []
    with pretending.lane(lambda: state, SMALL) as again:
        taken(pretending, split, again)
        assert pretending.counts == [4]


def test_a_trial_that_has_joined_is_waited_for_while_it_draws_its_parameters(pretending, state, together):
    """A program for the first of many alone would be compiled for nothing."""
    split, joined, is_awaited, widths = together.dataset(SMALL).data, Event(), Event(), []

    def late() -> TrainState:
        joined.set()
        is_awaited.wait(10.0)
        return state

    def second() -> None:
        with pretending.lane(late, SMALL) as lane:
            taken(pretending, split, lane)

    with ThreadPoolExecutor(2) as threads, pretending.lane(lambda: state, SMALL) as lane:
        threads.submit(second)
        joined.wait(10.0)
        first = threads.submit(taken, pretending, split, lane)
        while lane.chunk is None and not first.done():
            sleep(0.001)
        widths += pretending.counts
        is_awaited.set()
        first.result()
        assert (widths, pretending.counts) == ([], [4])


def test_every_trial_that_waits_for_a_compilation_says_so_and_for_how_long(pretending, state, together, monkeypatch):
    split = together.dataset(SMALL).data
    monkeypatch.setattr("automl.training.population.time.monotonic", itertools.count(0.0).__next__)
    said: list[str] = []
    lanes = [pretending.lane(lambda: state, SMALL, report=lambda beat: said.append(beat.phase)) for _ in range(2)]
    with lanes[0] as one, lanes[1] as other:
        taken(pretending, split, one, other)
        assert sorted(said) == ["compiling", "compiling", "training", "training"]
        assert min(one.compiling, other.compiling) >= 1
        taken(pretending, split, one, other)
        assert (len(said), one.compiling, other.compiling) == (4, 0.0, 0.0)


def test_a_program_that_is_at_hand_is_not_waited_for():
    entered = []
    slots = SimpleNamespace(programs=Programs(), compiling=lambda: nullcontext(entered.append(1)))
    for _ in range(2):
        Slots._program(slots, "negated", lambda: jax.jit(lambda values: -values), (np.ones(2, np.float32),))
    assert entered == [1]


def test_what_is_compiled_in_a_later_chunk_is_not_counted_as_training(together, found, monkeypatch):
    real = Population.train

    def late(self: Population, lane: Any, *given: Any) -> Any:
        losses = real(self, lane, *given)
        lane.compiling = 1_000.0
        return losses

    monkeypatch.setattr(Population, "train", late)
    seconds = at_once(together, jobs()[:1])[0].seconds
    assert seconds["compiling"] >= 1_000 > seconds["training"]


def test_memory_sets_a_ceiling():
    pace = Pace()
    pace.exhausted(64)
    assert pace.count(300) == 16
    assert max(count for count in COUNTS if count <= pace.ceiling) == 16


ON_EIGHT = """
import sys
from automl.training.slots import mesh_of
print(mesh_of(16).size, mesh_of(4).size, mesh_of(1).size)
from automl.segments import Workload
from automl.training.population_trainer import PopulationTrainer
from tests.automl.training.test_slots import at_once, in_short_chunks, jobs
table, folder = sys.argv[1:]
trainer = in_short_chunks(PopulationTrainer(Workload(table, folder, ("sequence_error_rate",), slots=16)))
many = jobs() * 2
results = at_once(trainer, many)
for one, other in zip(results, results[4:]):
    assert one.checkpoint == other.checkpoint or abs(one.scores["loss"] - other.scores["loss"]) < 1e-3
print(*(round(r.scores["loss"], 3) for r in results[:4]))
"""


def test_slots_lie_over_all_devices_and_train_as_on_one(workload, found, tmp_path):
    sizes, losses = on_devices(8, ON_EIGHT, workload.table, str(tmp_path)).splitlines()
    assert sizes == "8 4 1"
    assert list(map(float, losses.split())) == pytest.approx([each.scores["loss"] for each in found], abs=2e-3)

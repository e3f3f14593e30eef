"""What is streamed from disk trains as what lies on the device."""

from dataclasses import replace
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.table import Split
from automl.segments import Workload
from automl.training.arrays import gather, on_device
from automl.training.population_trainer import PopulationTrainer
from automl.training.steps import Chunk
from automl.training.stream import most_bytes, streamed, together
from automl.training.trainer import Trainer
from tests.automl.training.test_slots import SMALL, assert_alike, at_once, in_short_chunks
from tests.automl.training.trials import After, new_trainer, onward, segment, trained

COPIES = np.zeros(12, np.int32)


def test_rows_are_had_from_disk_in_any_order() -> None:
    offsets = np.array([0, 2, 3, 6])
    split = Split(
        np.arange(6, dtype=np.int32), offsets, np.arange(6, dtype=np.int32), offsets, 3, np.float32([1, 2, 3])
    )
    some = split.some(np.array([2, 0]))
    assert some.source.tolist() == some.target.tolist() == [3, 4, 5, 0, 1]
    assert some.source_offsets.tolist() == [0, 3, 5]
    assert (some.rows, some.weights.tolist()) == (2, [3, 1])


def test_every_run_has_the_pairs_of_its_rows_in_arrays_of_one_size(trainer: Trainer) -> None:
    dataset = trainer.dataset(SMALL)
    order, train = dataset.plan, dataset.table.split("train")
    whole, shapes = on_device(train, dataset.table.copies), set()
    had = jax.jit(gather, static_argnums=2)
    runs = zip(order.runs(5, 3), streamed(order, train, dataset.table.copies, 5, 3), strict=False)
    for run, (own, pairs) in islice(runs, 6):
        shapes.add(tuple(each.shape for each in jax.tree.leaves(pairs)))
        assert (run.bucket, run.first_step, run.tokens.tolist()) == (own.bucket, own.first_step, own.tokens.tolist())
        rows, numbers = (jnp.asarray(each.rows.reshape(-1)) for each in (run, own))
        both = (jax.tree.leaves(had(*each, run.bucket)) for each in ((whole, rows), (pairs, numbers)))
        for one, other in zip(*both, strict=True):
            present = np.asarray(rows >= 0)
            np.testing.assert_array_equal(np.asarray(one)[present], np.asarray(other)[present])
    assert len(shapes) == 1


def test_a_streamed_trial_is_the_same_to_the_bit_and_goes_on_in_the_middle_of_an_epoch(
    workload: Workload, trainer: Trainer
) -> None:
    stream = new_trainer(replace(workload, resident=0))
    assert stream.dataset(SMALL).is_streamed
    assert not trainer.dataset(SMALL).is_streamed
    job = segment(to_tokens=9_000)
    begun = trained(stream, job, stop=After(2))
    assert begun.step % stream.dataset(SMALL).plan.steps_per_epoch > 0
    rest = trained(stream, onward(begun, to_tokens=9_000))
    assert rest.checkpoint == trained(trainer, job).checkpoint


def test_pairs_of_trials_that_train_together_lie_behind_each_other(trainer: Trainer) -> None:
    dataset, had = trainer.dataset(SMALL), jax.jit(gather, static_argnums=2)
    runs = streamed(dataset.plan, dataset.table.split("train"), dataset.table.copies, 5, 0)
    own = {slot: next(runs) for slot in (0, 2)}
    chunks = {slot: Chunk(jnp.asarray(run.rows), *[None] * 7) for slot, (run, _) in own.items()}
    pairs, moved = together(4, {slot: each for slot, (_, each) in own.items()}, chunks)
    for slot, (run, alone) in own.items():
        rows = (jnp.reshape(each.rows, -1) for each in (chunks[slot], moved[slot]))
        for one, other in zip(had(alone, next(rows), run.bucket), had(pairs, next(rows), run.bucket), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_streamed_trials_train_together_as_each_does_alone(workload: Workload, trainer: Trainer) -> None:
    population = in_short_chunks(PopulationTrainer(replace(workload, slots=4, resident=0)))
    jobs = [segment(SMALL, trial=n, seed=n, to_tokens=3_000) for n in range(3)]
    for job, result in zip(jobs, at_once(population, jobs), strict=True):
        assert_alike(workload, result, trained(trainer, job))


def test_little_data_lies_on_the_device(workload: Workload) -> None:
    assert most_bytes() > 2**26
    assert Workload(workload.table, "", ()).resident is None

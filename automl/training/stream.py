"""Pairs that do not fit the device: what each run trains on goes there from disk, a few runs ahead.

The order is that of the plan: a trial is the same to the bit wherever its pairs lie, and goes on from any step. What is
dropped of a private pair follows from its number among all, which is brought along.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from automl.data.batching import BatchPlan, Run
from automl.data.table import Split
from automl.training.arrays import DeviceSplit, Room, on_device
from automl.training.sampling import PoissonPlan
from automl.training.steps import Chunk

DEVICE_SHARE, MACHINE_SHARE = 0.25, 0.05
"""Share of an accelerator's memory that ids may take, and of a machine's, whose processes have copies each."""
AHEAD, RUNS = 4, 1024
"""Runs that are on the device before they are trained, and that are handed to the reader at once; of a private search,
where each is drawn among all pairs, no more than are ahead."""


def most_bytes() -> int:
    """Return how many bytes of ids may lie on the device."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is not None:
        return int(DEVICE_SHARE * limit)
    return int(MACHINE_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def room_of(order: BatchPlan | PoissonPlan, run: Run) -> Room:
    """Return the room that the pairs of any run need, or of this one where that is more."""
    rows = order.capacity(int(np.any(run.rows >= 0, axis=2).sum())) * order.batch_size
    return Room(rows * max(order.hull.source, order.hull.target) + 1, rows)


def streamed(
    order: BatchPlan | PoissonPlan, split: Split, copies: NDArray[np.int32], seed: int, from_step: int
) -> Iterator[tuple[Run, DeviceSplit]]:
    """Yield the runs of an order without end, their rows numbered anew, each with the pairs of those alone."""
    import grain

    runs, is_private = order.runs(seed, from_step), isinstance(order, PoissonPlan)
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)

    def placed(run: Run) -> tuple[Run, DeviceSplit]:
        present = run.rows >= 0
        numbers = np.full_like(run.rows, -1)
        numbers[present] = np.arange(present.sum())
        own, room = run.rows[present], room_of(order, run)
        pairs = on_device(split.some(own.astype(np.int64)), copies, room)
        if is_private:
            pairs = pairs.known_by(own)
        return Run(run.bucket, numbers, run.first_step, run.tokens), pairs

    while True:
        some = [*islice(runs, AHEAD if is_private else RUNS)]
        yield from grain.MapDataset.source(some).map(placed).to_iter_dataset(options)


def together(
    count: int, pairs: Mapping[int, DeviceSplit], chunks: Mapping[int, Chunk]
) -> tuple[DeviceSplit, dict[int, Chunk]]:
    """Lay the pairs of trials that train together behind each other, in as many places as there are slots."""
    first = next(iter(pairs.values()))
    size = len(first.weights)
    moved = {slot: np.asarray(chunk.rows) for slot, chunk in chunks.items()}
    numbered = {slot: np.where(rows >= 0, rows + slot * size, -1).astype(np.int32) for slot, rows in moved.items()}
    return (
        _joined([pairs.get(slot, first) for slot in range(count)]),
        {slot: chunk._replace(rows=jnp.asarray(numbered[slot])) for slot, chunk in chunks.items()},
    )


@jax.jit
def _joined(splits: Sequence[DeviceSplit]) -> DeviceSplit:
    first = splits[0]
    moved = [
        split._replace(
            source_starts=split.source_starts + place * len(first.source),
            target_starts=split.target_starts + place * len(first.target),
        )
        for place, split in enumerate(splits)
    ]
    whole: DeviceSplit = jax.tree.map(lambda *own: jnp.concatenate(own), *moved)
    return whole._replace(copies=first.copies)

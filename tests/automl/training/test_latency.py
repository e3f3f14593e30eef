import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, local

import pytest

from automl.training.latency import DECODES, median_seconds, of_median_length, one_core
from tests.automl.training.trials import After, new_trainer, segment, trained


def test_sources_of_median_length_are_chosen_and_come_again_where_there_are_few():
    lengths = [1, 9, 5, 5, 6, 2, 30]
    chosen = of_median_length(lengths, most=20)
    assert len(chosen) == DECODES
    assert chosen[:4] == [2, 3, 4, 5]
    assert 6 not in chosen


def test_what_is_compiled_for_a_length_is_no_part_of_the_seconds():
    decoded = []
    median_seconds(decoded.append, [[1], [1, 2], [1]], pin=False)
    assert decoded == [[1], [1, 2], [1], [1, 2], [1]]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only where threads can be kept on a core")
def test_all_threads_are_kept_on_one_core_and_let_go_again():
    before = os.sched_getaffinity(0)
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only where threads can be kept on a core")
def test_threads_that_measure_at_the_same_time_leave_all_cores_free():
    before = os.sched_getaffinity(0)
    inside, most, own, both = [], [], local(), Barrier(2)

    def decode(source: Sequence[int]) -> None:
        if not hasattr(own, "compiled"):  # which is no part of what is timed
            own.compiled = True
            both.wait(10)
            return
        inside.append(source)
        time.sleep(0.05)
        most.append(len(inside))
        inside.pop()

    with ThreadPoolExecutor(2) as threads:
        measured = [threads.submit(median_seconds, decode, [[1, 2]] * 3, pin=True) for _ in range(2)]
    assert all(each.result() >= 0 for each in measured)
    assert most == [1] * 6
    assert os.sched_getaffinity(0) == before


def test_a_segment_measures_the_latency_where_it_is_wanted(workload, trainer):
    wanted = new_trainer(replace(workload, latency=True))
    wanted.programs, wanted.compiled = trainer.programs, trainer.compiled
    scores = trained(wanted, segment(), stop=After(1)).scores
    assert 0 < scores["latency"] < 1
    assert "latency" not in trained(trainer, segment(), stop=After(1)).scores

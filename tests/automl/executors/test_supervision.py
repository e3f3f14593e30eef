from dataclasses import replace

import pytest

from automl.errors import FailureReason
from automl.executors.limits import Limits, out_of_memory_kills, share_of_memory
from automl.executors.supervision import Supervision, ending
from automl.segments import Beat, Evaluation, Job
from tests.automl.executors.pretending import segment

LIMITS = Limits(starting=10, tokenizing=40, compiling=20, step=5, evaluating=30, segment=100, drain=8)


class Watched:
    """A job under supervision, and a clock that stands still."""

    def __init__(self, job: Job | None = None, memory: int | None = None) -> None:
        self.now = 0.0
        self.supervision = Supervision(job or segment("end"), LIMITS, memory, clock=lambda: self.now)

    def reason(self, memory: int = 0) -> FailureReason | None:
        violation = self.supervision.violation(memory)
        return violation and violation.reason

    def beats(self, phase, steps, seconds):
        for step in steps:
            self.now += seconds
            self.supervision.note(Beat(phase, step))
            if self.reason():
                return self.reason()
        return None


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [("starting", 10), ("tokenizing", 40), ("compiling", 20), ("training", 5), ("evaluating", 30), ("writing", 30)],
)
def test_each_phase_may_last_so_long(phase, seconds):
    watched = Watched()
    watched.supervision.note(Beat(phase))
    watched.now += seconds
    assert watched.reason() is None
    watched.now += 0.1
    assert watched.reason() is FailureReason.TIMEOUT


def test_a_step_that_grows_moves_the_deadline_and_one_that_stands_still_does_not():
    assert Watched().beats("training", range(16, 400, 16), 4.0) is None
    assert Watched().beats("training", [16] * 9, 2.0) is FailureReason.TIMEOUT


def test_a_segment_has_an_end_however_well_it_gets_on():
    assert Watched().beats("training", range(100), 2.0) is FailureReason.TIMEOUT


def test_a_segment_with_its_own_seconds_ends_with_what_may_come_around_them():
    assert LIMITS.deadline(segment("end")) == 100
    limits = Limits(starting=1, compiling=2, evaluating=3, segment=7)
    assert limits.deadline(replace(segment("end"), seconds=10.0)) == 18
    assert limits.deadline(Evaluation(1, {}, "digest")) == 8


def test_scoring_that_gets_on_part_by_part_may_last_for_long():
    watched = Watched()
    for part in range(9):
        watched.now += 10
        watched.supervision.note(Beat("evaluating", part=part))
        assert watched.reason() is None
    watched.now += 20  # 110 s in all, where the job has 100
    assert watched.reason() is None
    watched.now += 11
    assert watched.reason() is FailureReason.TIMEOUT


def test_a_job_that_was_told_to_stop_has_the_seconds_of_a_drain_from_the_first_time():
    watched = Watched()
    watched.supervision.note(Beat("evaluating"))
    watched.now = 1.0
    watched.supervision.told_to_stop()
    watched.now = 8.0
    watched.supervision.told_to_stop()
    assert watched.reason() is None
    watched.now = 9.5
    assert watched.reason() is FailureReason.STOPPED


def test_memory_is_limited_only_where_a_limit_is_known():
    assert Watched(memory=1000).reason(memory=1001) is FailureReason.OUT_OF_MEMORY
    assert Watched(memory=1000).reason(memory=1000) is None
    assert Watched().reason(memory=1 << 60) is None


def test_a_process_that_the_system_killed_ran_out_of_memory():
    assert ending(-9, out_of_memory=True).reason is FailureReason.OUT_OF_MEMORY
    assert ending(-9).reason is FailureReason.WORKER_LOST
    assert ending(-11, out_of_memory=True).reason is FailureReason.WORKER_LOST


@pytest.fixture
def cgroups(tmp_path):
    """Write what the kernel counts in a cgroup, and return what is read of it by a process that is in another one."""

    def kills(own, **counted):
        for path, text in counted.items():
            file = tmp_path / "mounted" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (tmp_path / "own").write_text(own)
        return out_of_memory_kills(tmp_path / "mounted", tmp_path / "own")

    return kills


TWO = "low 0\nhigh 0\nmax 9\noom 7\noom_kill 3\noom_group_kill 0\n"
ONE = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"


def test_kills_for_want_of_memory_are_counted_in_our_own_cgroup(cgroups):
    theirs = {"else/memory.events": "oom_kill 99\n", "memory.events": "oom_kill 99\n"}
    assert cgroups("0::/ours\n", **{**theirs, "ours/memory.events": TWO}) == 3


def test_kills_below_our_cgroup_are_not_ours(cgroups):
    below = {"ours/memory.events": "oom_kill 99\n", "ours/memory.events.local": TWO}
    assert cgroups("0::/ours\n", **below) == 3


def test_in_a_container_our_cgroup_is_what_is_mounted(cgroups):
    assert cgroups("0::/docker/abc\n", **{"memory.events": TWO}) == 3
    assert cgroups("4:memory:/docker/abc\n0::/\n", **{"memory/memory.oom_control": ONE}) == 2


def test_the_first_version_of_cgroups_counts_too(cgroups):
    counted = {"memory/ours/memory.oom_control": ONE, "memory/memory.oom_control": "oom_kill 99\n"}
    assert cgroups("5:cpu:/\n4:memory:/ours\n0::/\n", **counted) == 2


def test_where_nobody_counts_for_our_cgroup_no_kill_is_known(cgroups, tmp_path):
    assert cgroups("5:cpu:/\n0::/\n") == 0
    assert cgroups("0::/ours\n", **{"ours/memory.events": "low 0\n"}) == 0
    assert out_of_memory_kills(tmp_path, tmp_path / "no such file") == 0


def test_the_machines_memory_is_shared_out_equally():
    whole = share_of_memory(1)
    assert whole is not None
    assert whole > 1 << 28
    assert share_of_memory(4) == pytest.approx(whole / 4, abs=4)

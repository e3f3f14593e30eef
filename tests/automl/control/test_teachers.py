"""Where a model is to be distilled, the best trials say what they expect, and the winner stays alone."""

import pytest

from automl.errors import FailureReason, TrialFailure
from automl.segments import Teaching, TeachingResult
from tests.automl.control.pretended_search import Bench
from tests.automl.control.test_companions import PINNED, answering

PLAN = {"ensembles": True, "distils": True, "reserve": 54.0, "space": PINNED}


def teaching(bench: Bench, tokens: int = 9, failures: tuple[FailureReason, ...] = ()) -> list[Teaching]:
    """Let teachers answer, once so many have failed; return the jobs that asked them."""
    asked, plain, left = [], bench.executor.submit, list(failures)

    def submit(job):
        future = plain(job)
        if isinstance(job, Teaching):
            asked.append(job)
            bench.executor.flights.pop()
            if left:
                future.set_exception(TrialFailure(left.pop(0), "as the test wants it"))
            else:
                future.set_result(TeachingResult(job.trial, "f" * 64, tokens))
        return future

    bench.executor.submit = submit
    return asked


def test_those_that_are_best_together_teach(bench: Bench) -> None:
    answering(bench, valid=0.001)
    asked = teaching(bench)
    best = bench.run(**PLAN).best
    (job,) = asked
    assert (best.members, best.single, best.parameters) == ((), None, 1000)
    assert best.scores["sequence_error_rate"] > 0.001 == best.teacher["scores"]["sequence_error_rate"]
    assert best.teacher["soft_targets"] == "f" * 64
    assert [best.trial, *best.teacher["trials"][1:]] == best.teacher["trials"]
    assert len(best.teacher["trials"]) == len(job.members) == 2
    assert job.members[0].checkpoint == best.checkpoint
    assert 0 < job.seconds < 20


def test_the_winner_teaches_alone_where_no_other_helps(bench: Bench) -> None:
    answering(bench, valid=0.9)
    asked = teaching(bench)
    best = bench.run(**PLAN).best
    assert [len(job.members) for job in asked] == [1]
    assert best.teacher["trials"] == [best.trial]
    assert best.teacher["scores"] == best.scores


@pytest.mark.parametrize(
    ("tokens", "failures"), [(0, ()), (9, (FailureReason.CORRUPT_CHECKPOINT,)), (9, (FailureReason.BAD_DATA,))]
)
def test_without_an_answer_nothing_is_taught(bench: Bench, tokens: int, failures: tuple) -> None:
    answering(bench, valid=0.9)
    asked = teaching(bench, tokens, failures)
    outcome = bench.run(**PLAN)
    assert (outcome.state, outcome.best.teacher, len(asked)) == ("finished", None, 1)


def test_a_lost_worker_is_asked_again(bench: Bench) -> None:
    answering(bench, valid=0.9)
    asked = teaching(bench, failures=(FailureReason.WORKER_LOST,))
    assert bench.run(**PLAN).best.teacher is not None
    assert len(asked) == 2

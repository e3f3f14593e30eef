"""How the winner decodes is found once, and from then on used by everything that is said of it."""

from dataclasses import dataclass, field

import pytest

from automl.budget import Budget
from automl.control.criteria import Criteria
from automl.metrics import metric
from automl.segments import Evaluation, EvaluationResult, Segment, SegmentResult
from storage.searches import get_search
from tests.automl.control.pretended_search import CURVES, Bench, NoMirror
from tests.automl.control.pretended_training import PretendingExecutor

WAYS = {(4, 1.0): 0.03, (4, 0.6): 0.02, (8, 1.0): 0.025}
"""Token error on valid of each beam; greedily it is above them."""
BEST = {"method": "beam", "beam": 4, "length_penalty": 0.6}


@dataclass
class Decoding(PretendingExecutor):
    """Scores token errors: those of the curves while it trains, afterwards those of the beam that it is told."""

    lasting: float = 1.0
    is_mute: bool = False
    asked: list = field(default_factory=list)

    def duration(self, job):
        if not isinstance(job, Evaluation):
            return super().duration(job)
        return self.lasting * (job.decoding or {}).get("beam", 1)

    def result(self, flight):
        found = super().result(flight)
        if isinstance(found, SegmentResult):
            error = found.scores.pop("sequence_error_rate")
            if flight.job.decodes and not self.is_mute:
                found.scores["token_error_rate"] = error
            found.seconds["evaluating"] = self.lasting
            return found
        way = flight.job.decoding
        self.asked.append((flight.job.split, way))
        error = WAYS[way["beam"], way["length_penalty"]] if way else 0.5
        return EvaluationResult(flight.job.trial, {"token_error_rate": error + (flight.job.split == "test")}, rows=10)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr("automl.control.mirror.Mirror", NoMirror)
    found = Bench(tmp_path)
    found.plan = found.plan.__class__(
        found.plan.space, Criteria(metric("token_error_rate")), Budget(time=180.0), tmp_path / "objects", 20_000,
        reserve=18.0,
    )  # fmt: skip
    found.executor = Decoding(tmp_path / "objects", CURVES)
    yield found
    found.database.close()


def test_the_beam_that_gains_most_on_valid_is_kept_and_test_is_scored_by_it(bench):
    outcome = bench.run()
    *tried, last = bench.executor.asked
    assert {split for split, _ in tried} == {"valid"}
    assert last == ("test", outcome.best.decoding)
    assert outcome.best.decoding == BEST
    assert outcome.best.scores["token_error_rate"] == 0.02
    assert outcome.best.test_scores == {"token_error_rate": 1.02}
    assert bench.executor.now <= 180


def test_no_beam_is_tried_for_outputs_of_one_token(bench):
    outcome = bench.run(says_texts=False)
    assert bench.executor.asked == [("test", None)]
    assert outcome.best.decoding is None


def test_a_look_at_an_early_rung_decodes_nothing(bench):
    bench.run()
    rung = get_search(bench.database, "dates").rung_tokens
    jobs = [job for job in bench.executor.jobs if isinstance(job, Segment)]
    late = [job.cooldown or (job.to_tokens or 0) >= 4 * rung for job in jobs]
    assert [job.decodes for job in jobs] == late
    assert {True, False} == set(late)


def test_a_winner_that_was_never_decoded_is_scored_on_valid_before_test(bench):
    bench.executor.is_mute = True  # so that whatever is to be decoded fails
    outcome = bench.run()
    assert bench.executor.asked == [("valid", None), ("test", None)]
    assert outcome.best.scores["token_error_rate"] == 0.5
    assert outcome.why.startswith("trial 0") or "won with token_error_rate 0.5 on valid" in outcome.why


@pytest.mark.parametrize("lasting", [2.0, 8.0])
def test_trying_beams_stays_within_the_time(bench, lasting):
    bench.executor.lasting = lasting
    outcome = bench.run()
    assert outcome.state == "finished"
    assert len(bench.executor.asked) < 4
    assert bench.executor.now <= 180


def test_what_no_beam_improves_is_scored_greedily(bench, monkeypatch):
    monkeypatch.setitem(WAYS, (4, 0.6), 9.0)
    monkeypatch.setitem(WAYS, (4, 1.0), 9.0)
    monkeypatch.setitem(WAYS, (8, 1.0), 9.0)
    outcome = bench.run()
    assert (outcome.best.decoding, bench.executor.asked[-1]) == (None, ("test", None))
    assert outcome.best.test_scores == {"token_error_rate": 1.5}

from dataclasses import replace

import pytest

from automl.control.curves import Candidate, Point
from automl.control.decisions import Outlook, Prospect, Start, Thaw
from automl.control.scheduler import decide
from automl.control.widening import ENOUGH

OUTLOOK = Outlook(2, seconds_left=560.0, seconds_total=600.0, rung_tokens=100, max_tokens=4000, branching=True)
NEEDED = ENOUGH * 4000
WIDER = Prospect(tokens_per_second=NEEDED / 150, wider_than=0)


def trial(number, tokens, objective, state="paused", wider=False):
    """A trial that has seen ten tokens a second, measured at each rung."""
    seen = [tokens // 2**k for k in range(8) if tokens // 2**k >= 100][::-1]
    points = tuple(Point(t, t / 10, t / 10, objective * tokens / t, objective * tokens / t) for t in seen)
    return Candidate(number, state, points, is_wider=wider)


LEADER = trial(0, 200, 0.4, "running")
COPY = replace(trial(2, 800, 0.2, "finished"), parent=0)
"""Cooled down, so that no other is begun."""


def test_a_wider_version_of_the_best_begins_where_there_is_time_to_train_it():
    decision = decide([LEADER], OUTLOOK, [Prospect(), WIDER])
    assert isinstance(decision, Start)
    assert decision.prospect == 1
    assert decision.reason == "started a wider version of 0, the leader: there is time to train it"


@pytest.mark.parametrize(
    ("outlook", "prospect"),
    [
        (replace(OUTLOOK, branching=False), WIDER),
        (replace(OUTLOOK, workers=1), WIDER),
        (replace(OUTLOOK, max_tokens=40_000), WIDER),
        (OUTLOOK, replace(WIDER, delay=300.0)),
        (OUTLOOK, replace(WIDER, tokens_per_second=NEEDED / 500)),
        (OUTLOOK, replace(WIDER, wider_than=None)),
        (OUTLOOK, replace(WIDER, wider_than=1)),
    ],
)
def test_none_begins_as_a_duty_where_there_is_not(outlook, prospect):
    decision = decide([LEADER], outlook, [prospect])
    assert "wider" not in decision.reason


def test_it_goes_on_until_it_can_be_judged():
    decision = decide([LEADER, trial(1, 200, 0.5, wider=True)], OUTLOOK, [Prospect(tokens_per_second=1e9)])
    assert isinstance(decision, Thaw)
    assert (decision.trial, decision.to_tokens) == (1, 400)
    assert decision.reason == "continued 1: wider than the leader, at 200 tokens"
    leader = trial(0, 800, 0.2, "running")
    assert decide([leader, trial(1, 400, 0.39, wider=True), COPY], OUTLOOK, [Prospect()]).trial == 1
    judged = trial(1, 1600, 0.2, wider=True)
    assert "wider" not in decide([leader, judged, COPY], OUTLOOK, [Prospect()]).reason


def test_it_is_not_gone_on_with_where_it_stands_still_or_can_no_longer_be_judged():
    leader, young = trial(0, 800, 0.2, "running"), trial(1, 400, 0.39, wider=True)
    assert "wider" in decide([leader, young, COPY], replace(OUTLOOK, seconds_left=220.0), [Prospect()]).reason
    assert "wider" not in decide([leader, young, COPY], replace(OUTLOOK, seconds_left=200.0), [Prospect()]).reason
    best = replace(young.points[0], loss=0.1, objective=0.1)
    flat = replace(young, points=(best, *(replace(best, tokens=100 + n, loss=0.2) for n in (1, 2, 3))))
    assert "wider" not in decide([leader, flat, COPY], OUTLOOK, [Prospect()]).reason


def test_one_that_learns_no_more_from_as_many_tokens_is_given_up():
    leader = trial(0, 800, 0.2, "running")
    good, bad = (trial(1, 400, objective, wider=True) for objective in (0.39, 0.41))
    assert decide([leader, good, COPY], OUTLOOK, [Prospect()]).trial == 1
    assert "wider" not in decide([leader, bad, COPY], OUTLOOK, [Prospect()]).reason


def test_one_at_a_time_is_trained():
    running = trial(1, 200, 0.5, "running", wider=True)
    workers = replace(OUTLOOK, workers=3)
    assert "wider" not in decide([LEADER, running], workers, [WIDER]).reason

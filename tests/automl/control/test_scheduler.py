import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.control.curves import Candidate, Point, relative, smooth_scores
from automl.control.decisions import LONGEST, Branch, Finish, Outlook, Prospect, Start, Thaw, TrainOut, Wait
from automl.control.exploration import best_move
from automl.control.forecast import Forecaster
from automl.control.scheduler import FINAL_SHARE, decide, final_share, find_leader
from tests.automl.control.simulation import Curve, Simulation, space_of, trained_throughout

DEFAULT = Curve(floor=0.08, scale=12_000.0)
TWICE_AS_GOOD = Curve(floor=0.04, scale=6_000.0)
OUTLOOK = Outlook(workers=2, seconds_left=500.0, seconds_total=600.0, rung_tokens=100)

searches = st.builds(
    Simulation,
    curves=st.builds(space_of, st.integers(0, 10_000), st.just(DEFAULT)),
    workers=st.integers(1, 5),
    total=st.sampled_from([None, 45.0, 180.0, 900.0]),
    trials=st.integers(1, 12),
    max_tokens=st.just(200_000),
)


def candidate(number, tokens, objective, state="paused", speed=10.0):
    """A trial measured at every rung up to `tokens`; its error halves with every rung."""
    rungs = [100 * 2**k for k in range(12) if 100 * 2**k <= tokens]
    points = [
        Point(t, t / speed + 3, t / speed, objective * tokens / t, min(1.0, objective * tokens / t)) for t in rungs
    ]
    return Candidate(number, state, tuple(points))


def test_the_first_segment_of_a_search_takes_a_thirtieth_of_the_time():
    decision = decide([], Outlook(workers=2, seconds_left=600.0, seconds_total=600.0))
    assert decision == Start(None, 20.0, "started the default")


@pytest.mark.parametrize(("total", "seconds"), [(30.0, 2.0), (36_000.0, 120.0)])
def test_the_first_segment_is_neither_too_short_nor_too_long(total, seconds):
    assert decide([], Outlook(workers=1, seconds_left=total, seconds_total=total)).seconds == seconds


def test_the_only_trials_are_waited_for_until_they_are_measured():
    outlook = Outlook(workers=2, seconds_left=500.0, seconds_total=600.0, trials_left=0)
    assert decide([Candidate(0, "running")], outlook) == Wait("the first scores are awaited")
    assert decide([Candidate(0, "failed")], outlook) == Finish("no trial is left that could have a first score")


def test_the_leader_goes_on_to_the_next_rung_first():
    decision = decide([candidate(0, 400, 0.5)], OUTLOOK)
    assert decision == Thaw(0, 800, 350.0, "continued 0: the leader at 400 tokens")


def looked_at(number, tokens, loss, speed=10.0):
    """A trial of which nothing was decoded yet."""
    point = Point(tokens, tokens / speed + 3, tokens / speed, loss, 1.0, is_measured=False)
    return Candidate(number, "paused", (point,))


@pytest.mark.parametrize(("loss", "leads"), [(0.9, False), (0.1, True)])
def test_a_leader_that_was_not_decoded_yet_is_challenged_by_the_loss(loss, leads):
    trials = [looked_at(0, 200, 0.5, speed=1.0), candidate(1, 400, 0.9, speed=2.0)]
    point = replace(trials[1].points[-1], loss=loss)
    trials[1] = replace(trials[1], points=(*trials[1].points[:-1], point))
    assert (find_leader(trials, OUTLOOK).number == 1) == leads


def test_the_paused_trial_that_promises_most_is_thawed_and_the_reason_says_so():
    others = [candidate(n, 100, 0.9 + n / 100) for n in range(1, 6)]
    decision = decide([candidate(0, 400, 0.2, "running"), *others], OUTLOOK)
    assert isinstance(decision, Thaw)
    assert (decision.trial, decision.to_tokens) == (1, 200)
    assert decision.reason.startswith("thawed 1: 2nd of 6 at 100 tokens, still falling, a chance of ")


def test_a_first_look_has_time_where_none_came_to_its_rung_yet():
    slow = [candidate(0, 400, 0.9, "running"), candidate(1, 100, 0.95, speed=0.2)]
    slow = [replace(each, points=(replace(each.points[0], tokens=50),)) for each in slow]
    decision = decide(slow, OUTLOOK, [Prospect()])
    assert isinstance(decision, Start)
    assert decision.seconds == 4 * 2 * min(each.points[0].seconds for each in slow)


@given(st.floats(1e-6, 20), st.floats(1e-6, 20))
def test_scores_keep_their_order_and_small_ones_differ_by_shares(one, other):
    assert (relative(one) < relative(other)) <= (one < other)
    assert relative(0.2) - relative(0.1) == pytest.approx(relative(0.02) - relative(0.01)) == pytest.approx(math.log(2))
    assert relative(3.0) - relative(2.0) == 1.0


def test_a_leader_far_ahead_of_many_is_no_further_ahead_than_its_losses():
    points = [Point(t, t, t, loss, error) for t, loss, error in ((1, 0.3, 0.4), (2, 0.27, 0.3), (4, 0.24, 0.26))]
    others = [Candidate(n, "paused", (Point(1, 1, 1, 0.35 + n / 150, 0.6 + n / 1000),)) for n in range(1, 60)]
    others.append(Candidate(60, "paused", (Point(1, 1, 1, 1.5, 1.0),)))  # the worst, next to which errors say little
    curve = [score for _, score in smooth_scores([Candidate(0, "paused", tuple(points)), *others])[0]]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] - curve[-1] < 4 * math.log(0.3 / 0.24)


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_a_trial_far_behind_promises_as_little_however_small_the_losses_are(scale):
    trials = [candidate(0, 800, 0.2 * scale), candidate(1, 100, 3.0 * scale)]
    move = best_move(trials, trials, (), OUTLOOK, Forecaster(), 500.0)
    assert move.candidate.number == 0


def test_a_new_trial_starts_when_it_promises_more_a_second_than_those_that_are_paused():
    trials = [candidate(0, 400, 0.2, "running"), candidate(1, 100, 0.95), candidate(2, 100, 0.97, speed=0.4)]
    quick, slow = Prospect(tokens_per_second=10.0), Prospect(tokens_per_second=10.0, delay=1e4)
    assert isinstance(decide(trials, OUTLOOK, [slow]), Thaw)
    decision = decide(trials[::2], OUTLOOK, [slow, quick])
    assert isinstance(decision, Start)
    assert (decision.prospect, decision.to_tokens) == (1, 100)
    assert decision.reason.startswith("started a new trial: a chance of ")


def test_a_configuration_like_one_that_did_well_is_begun_first():
    def at(place, number, objective):
        return replace(candidate(number, 800, objective), dials=(place,))

    trials = [at(0.0, 0, 0.5), at(0.5, 1, 0.3), at(0.9, 2, 0.1), at(0.1, 3, 0.45)]
    trials = [replace(trial, state="running") for trial in trials]
    prospects = [Prospect((place,)) for place in (0.05, 0.3, 0.95, 0.45)]
    assert decide(trials, OUTLOOK, prospects).prospect == 2


def test_the_default_leads_until_another_is_measured_to_be_better():
    better, worse = candidate(1, 400, 0.1), candidate(1, 400, 0.4)
    assert find_leader([candidate(0, 400, 0.3), worse], OUTLOOK).number == 0
    assert find_leader([candidate(0, 400, 0.3), better], OUTLOOK).number == 1


def test_a_lead_on_a_low_rung_does_not_count():
    assert find_leader([candidate(0, 200, 0.3), candidate(1, 200, 0.1)], OUTLOOK).number == 0


def test_a_challenger_that_is_behind_must_be_able_to_catch_up_in_time():
    leader, challenger = candidate(0, 1600, 0.1), candidate(1, 400, 0.1)
    late = Outlook(workers=2, seconds_left=200.0, seconds_total=600.0, rung_tokens=100)
    assert find_leader([leader, challenger], OUTLOOK).number == 1
    assert find_leader([leader, challenger], late).number == 0


def test_a_challenger_that_is_better_by_tokens_but_not_by_seconds_does_not_lead():
    leader, slow = candidate(0, 1600, 0.2), candidate(1, 800, 0.25, speed=4.0)
    assert find_leader([leader, slow], OUTLOOK).number == 0


def test_a_trial_without_improvement_is_not_continued():
    flat = Candidate(0, "paused", tuple(Point(100 * 2**k, 10.0 + k, 9.0 + k, 1.0, 0.5) for k in range(4)))
    assert isinstance(decide([flat], OUTLOOK), TrainOut)
    crowded = Outlook(workers=2, seconds_left=250.0, seconds_total=600.0, rung_tokens=100)
    assert isinstance(decide([flat], crowded, [Prospect()]), Start)


@pytest.mark.parametrize(("objective", "leads"), [(0.098, True), (0.102, False)])
def test_who_is_better_than_the_leader_has_ever_been_leads_however_far_behind(objective, leads):
    flat = tuple(replace(point, objective=max(point.objective, 0.1)) for point in candidate(0, 3200, 0.1).points)
    leader, challenger = Candidate(0, "paused", flat), candidate(1, 400, objective)
    late = replace(OUTLOOK, seconds_left=151.0)
    assert (find_leader([leader, challenger], late).number == 1) == leads


@pytest.mark.parametrize(("later", "leads"), [(0.09, True), (0.3, False)])
def test_who_leads_goes_on_for_longer_and_still_leads_unless_it_gets_worse(later, leads):
    former, points = candidate(0, 800, 0.2), candidate(1, 800, 0.1).points
    last = Point(3200, 323.0, 320.0, later, later)
    assert find_leader([former, Candidate(1, "paused", (*points, last))], OUTLOOK).number == int(leads)


def test_in_the_final_share_the_leader_is_trained_out_before_the_runner_up():
    final = Outlook(workers=2, seconds_left=150.0, seconds_total=600.0, rung_tokens=100)
    first = decide([candidate(0, 400, 0.2), candidate(1, 400, 0.3)], final)
    second = decide([candidate(0, 400, 0.2, "running"), candidate(1, 400, 0.3)], final)
    assert (type(first), first.trial, first.to_tokens) == (TrainOut, 0, 400 + 1350)
    assert (type(second), second.trial) == (TrainOut, 1)


def test_too_little_time_for_another_finalist_ends_the_search():
    late = Outlook(workers=2, seconds_left=40.0, seconds_total=600.0, rung_tokens=100)
    trials = [candidate(0, 400, 0.2, "finished"), candidate(1, 400, 0.3)]
    assert isinstance(decide(trials, late), Finish)
    assert isinstance(decide([*trials, candidate(2, 400, 0.3, "running")], late), Wait)


def test_without_a_time_budget_the_leader_is_trained_out_over_a_quarter_of_its_tokens():
    spent = Outlook(workers=1, trials_left=0, rung_tokens=100, max_tokens=800)
    decision = decide([candidate(0, 800, 0.2)], spent)
    assert isinstance(decision, TrainOut)
    assert decision.to_tokens == pytest.approx(800 + 0.9 * 200)
    assert isinstance(decide([candidate(0, 800, 0.2, "finished")], spent), Finish)


@given(searches)
@settings(max_examples=12, deadline=None)
def test_every_search_ends_and_only_paused_trials_go_on(search):
    search.run()
    assert all(c.points and c.state in ("paused", "finished") for c in search.candidates)
    assert any(c.state == "finished" for c in search.candidates)


@given(searches)
@settings(max_examples=12, deadline=None)
def test_a_trials_tokens_only_grow_and_its_rungs_are_passed_in_order(search):
    search.run()
    for trial in search.candidates:
        assert all(a.tokens < b.tokens for a, b in itertools.pairwise(trial.points))


@given(searches)
@settings(max_examples=12, deadline=None)
def test_budgets_are_respected(search):
    search.run()
    assert len(search.candidates) <= search.trials
    assert search.total is None or search.now <= search.total + 4.0


@pytest.mark.parametrize("seed", range(8))
def test_no_worker_waits_before_the_final_share_of_a_time_budget(seed):
    search = Simulation(space_of(seed, DEFAULT), workers=3).run()
    before_final = [d for now, d in search.decisions if search.total - now > (FINAL_SHARE + 0.01) * search.total]
    waiting = [d for d in before_final if isinstance(d, Wait | Finish)]
    assert before_final
    assert not waiting


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("total", [60.0, 600.0])
def test_two_workers_never_end_below_the_default_trained_throughout(seed, total):
    search = Simulation(space_of(seed, DEFAULT), workers=2, total=total).run()
    assert search.best() <= 1.02 * trained_throughout(DEFAULT, total)


@pytest.mark.parametrize("seed", range(8))
def test_a_configuration_twice_as_good_is_found_and_trained_out(seed):
    search = Simulation(space_of(seed, DEFAULT, [TWICE_AS_GOOD]), workers=4).run()
    assert search.best() < 0.7 * trained_throughout(DEFAULT, 600.0)


@pytest.mark.parametrize("seed", range(4))
def test_with_one_worker_the_leader_gets_at_least_half_of_the_time_and_others_some_of_it(seed):
    search = Simulation(space_of(seed, DEFAULT), workers=1).run()
    leader, *others = search.candidates
    assert leader.latest.seconds >= 0.5 * search.now
    assert sum(other.latest.seconds for other in others) >= 0.07 * search.now


@pytest.mark.parametrize("seed", range(4))
def test_one_worker_stays_with_a_leader_that_is_still_learning_fast(seed):
    slow = Curve(floor=0.08, scale=30_000.0)
    search = Simulation(space_of(seed, slow), workers=1).run()
    assert search.best() <= 1.1 * trained_throughout(slow, 600.0)


def test_with_one_worker_failures_do_not_keep_the_leader_waiting():
    leader = Candidate(0, "paused", (Point(1000, 20.0, 20.0, 2.0, 1.0),))
    failed = [Candidate(number, "failed") for number in range(1, 9)]
    outlook = Outlook(workers=1, seconds_left=500.0, seconds_total=600.0, rung_tokens=1000)
    decision = decide([leader, *failed], outlook, [Prospect()])
    assert isinstance(decision, Thaw)
    assert decision.trial == 0


def test_with_two_workers_the_leader_never_rests():
    search = Simulation(space_of(1, DEFAULT), workers=2).run()
    assert search.candidates[0].latest.seconds >= 0.95 * search.now


class TestTheShareOfTheFinalists:
    outlook = Outlook(workers=2, seconds_left=300.0, seconds_total=600.0, rung_tokens=1000)

    def candidates(self, *errors):
        points = [tuple(Point(1000 * 2**k, 1.0 + k, 1.0 + k, e, e) for k in range(4)) for e in errors]
        return [Candidate(number, "paused", curve) for number, curve in enumerate(points)]

    def test_is_a_quarter_while_there_are_no_more_rivals_than_workers(self):
        assert final_share(self.candidates(0.1, 0.1, 0.5), self.outlook) == 0.25

    def test_grows_with_every_rival_that_the_curves_leave_in_the_race(self):
        shares = [final_share(self.candidates(*[0.1] * count), self.outlook) for count in (2, 3, 4, 9)]
        assert shares == [0.25, 0.3125, 0.375, 0.375]

    def test_leaves_out_who_has_hardly_begun(self):
        early = Candidate(7, "paused", (Point(1000, 1.0, 1.0, 0.1, 0.1),))
        assert final_share([*self.candidates(0.1, 0.1), early], self.outlook) == 0.25


class TestACopyOfTheLeader:
    outlook = replace(OUTLOOK, branching=True)

    def branch(self, number, tokens, state="finished"):
        return replace(candidate(number, tokens, 0.2, state), parent=0)

    def test_is_cooled_down_while_the_leader_goes_on(self):
        decision = decide([candidate(0, 400, 0.2, "running")], self.outlook)
        assert isinstance(decision, Branch)
        assert (decision.trial, decision.to_tokens) == (0, 500)
        assert decision.reason == "cools a copy of 0 down at 400 tokens: a finished model is at hand early"

    def test_is_cooled_down_once_at_each_rung_and_one_at_a_time(self):
        leader = candidate(0, 800, 0.2, "running")
        assert isinstance(decide([leader, self.branch(1, 400)], self.outlook), Branch)
        assert not isinstance(decide([leader, self.branch(1, 800)], self.outlook, [Prospect()]), Branch)
        assert not isinstance(decide([leader, self.branch(1, 400, "running")], self.outlook, [Prospect()]), Branch)

    @pytest.mark.parametrize(
        "outlook",
        [OUTLOOK, replace(outlook, workers=1), replace(outlook, seconds_left=160.0), Outlook(2, branching=True)],
    )
    def test_is_not_wanted_where_nothing_is_won_by_it(self, outlook):
        assert not isinstance(decide([candidate(0, 400, 0.2, "running")], outlook, [Prospect()]), Branch)

    def test_is_not_wanted_on_a_rung_where_the_objective_says_nothing(self):
        assert not isinstance(decide([candidate(0, 200, 0.2, "running")], self.outlook, [Prospect()]), Branch)

    def test_that_was_stopped_is_cooled_down_again(self):
        decision = decide([candidate(0, 800, 0.2, "running"), self.branch(1, 400, "paused")], self.outlook)
        assert isinstance(decision, TrainOut)
        assert (decision.trial, decision.to_tokens) == (1, 500)

    def test_neither_leads_nor_counts_as_a_trial_that_was_trained_out(self):
        final = replace(self.outlook, seconds_left=150.0)
        assert find_leader([candidate(0, 400, 0.2)], final).number == 0
        decision = decide([candidate(0, 400, 0.2), self.branch(1, 400)], final)
        assert (type(decision), decision.trial) == (TrainOut, 0)

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("total", [60.0, 600.0])
    def test_costs_the_winner_nothing(self, seed, total):
        search = Simulation(space_of(seed, DEFAULT), workers=2, total=total, branching=True).run()
        assert search.best() <= 1.02 * trained_throughout(DEFAULT, total)
        assert search.candidates[0].latest.seconds >= 0.95 * search.now

    def test_has_by_half_time_what_the_leader_has_not(self):
        def best_at_half_time(branching):
            search = Simulation(space_of(0, DEFAULT), workers=2, branching=branching).run()
            before = [c for c in search.candidates if c.state == "finished" and c.parent is not None]
            points = [p for c in search.candidates[:1] for p in c.points if p.seconds <= 300.0]
            return min(p.objective for p in [*points, *(c.latest for c in before if c.latest.seconds <= 300.0)])

        assert best_at_half_time(branching=True) < 0.9 * best_at_half_time(branching=False)


def test_a_segment_that_is_not_the_last_has_two_hours_at_most():
    total = 400_000.0
    outlook = Outlook(2, seconds_left=0.9 * total, seconds_total=total, rung_tokens=100)
    leader = Candidate(0, "paused", (Point(6_400, 64.0, 64.0, 1.0, 0.5), Point(12_800, 128.0, 128.0, 0.9, 0.4)))
    decision = decide([leader], outlook)
    assert isinstance(decision, Thaw)
    assert decision.seconds == LONGEST


def test_what_goes_on_in_the_place_of_an_end_is_not_compared_with_ends():
    outlook = Outlook(1, seconds_left=3_000.0, seconds_total=3_600.0, trials_left=0, rung_tokens=100)
    point = Point(6_400, 64.0, 64.0, 1.0, 0.3)
    going_on = Candidate(5, "paused", (replace(point, tokens=3_200, objective=0.4), point), is_continued=True)
    ended = Candidate(3, "finished", (replace(point, objective=0.28),))
    assert isinstance(decide([going_on, ended], outlook), Thaw)
    assert isinstance(decide([replace(going_on, is_continued=False), ended], outlook), Finish)

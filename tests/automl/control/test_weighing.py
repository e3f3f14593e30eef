import pytest

from automl.control.curves import Candidate, Point
from automl.control.weighing import weighed, weights_of


def candidate(number, error, size):
    return Candidate(number, "paused", (Point(100, 1.0, 1.0, loss=3 * error, objective=error, others=(size,)),))


CANDIDATES = [candidate(0, 0.1, 100.0), candidate(1, 0.2, 50.0), candidate(2, 0.5, 10.0), candidate(3, 0.6, 60.0)]


def best(weights):
    return min(weighed(CANDIDATES, weights), key=lambda c: c.standing).number


def test_every_other_decision_asks_for_the_first_objective_alone():
    assert {weights_of(number, 3) for number in range(0, 40, 2)} == {(1.0, 0.0, 0.0)}
    assert weighed(CANDIDATES, (1.0, 0.0)) == CANDIDATES


@pytest.mark.parametrize("objectives", [2, 3, 5])
def test_weights_sum_up_to_one_and_reach_every_side(objectives):
    drawn = [weights_of(number, objectives) for number in range(1, 200, 2)]
    assert all(sum(weights) == pytest.approx(1.0) for weights in drawn)
    assert all(max(weights[axis] for weights in drawn) > 1.2 / objectives for axis in range(objectives))


def test_one_objective_has_all_the_weight():
    assert weights_of(3, 1) == (1.0,)


def test_all_on_the_front_are_best_under_some_weights_and_nothing_else_is():
    found = {best(weights_of(number, 2)) for number in range(60)}
    assert found == {0, 1, 2}


def test_values_stay_on_the_scale_of_the_first_objective():
    for each in weighed(CANDIDATES, (0.5, 0.5)):
        assert 0.1 <= each.latest.objective <= 0.1 + 0.5 * 1.1

import math

import pytest

from automl.control.encoding import KIND_DISTANCE, encoder
from search_spaces.dials import Choice, Uniform
from search_spaces.spaces import space

SPACE = space()
ENCODE = encoder(SPACE.ranges)


def test_every_configuration_has_as_many_coordinates():
    points = [ENCODE(SPACE.parameters(configuration)) for configuration in SPACE.defaults()]
    assert len({len(point) for point in points}) == 1
    assert len(set(points)) == len(points)
    assert all(0 <= x <= 1 for point in points for x in point)


@pytest.mark.parametrize(
    ("dial", "value", "place"),
    [
        (Uniform(0.0, 0.5), 0.125, 0.25),
        (Uniform(1e-4, 1e-2, log=True), 1e-3, 0.5),
        (Choice((64, 128, 256)), 128, 0.5),
        (Choice((2, 3, 4)), 3, 0.5),
    ],
)
def test_a_number_lies_where_its_place_in_the_range_is(dial, value, place):
    assert encoder({"dial": dial})({"dial": value}) == pytest.approx((place,))


def test_two_kinds_lie_as_far_apart_as_any_other_two():
    encode = encoder({"cell": Choice(("lstm", "gru", "lru"))})
    points = [encode({"cell": name}) for name in ("lstm", "gru", "lru")]
    assert [math.dist(a, b) for a in points for b in points if a != b] == pytest.approx([KIND_DISTANCE] * 6)


def test_what_is_pinned_or_absent_says_nothing():
    assert encoder({"layers": Choice((2,)), "size": Uniform(1.0, 1.0)})({"layers": 2, "size": 1.0}) == ()
    assert encoder({"dropout": Uniform(0.0, 0.4)})({}) == (0.5,)

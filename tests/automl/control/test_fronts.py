import math

from hypothesis import given
from hypothesis import strategies as st

from automl.control.fronts import crowding, front, layers

POINTS = st.lists(st.tuples(*[st.integers(0, 5)] * 2), min_size=1, max_size=12)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points):
    assert front(points) == [i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)]


@given(POINTS)
def test_each_layer_is_the_front_of_what_is_left_without_those_before(points):
    found = layers(points)
    for number in range(max(found) + 1):
        left = [i for i, layer in enumerate(found) if layer >= number]
        assert [left[i] for i in front([points[i] for i in left])] == [i for i in left if found[i] == number]


def test_the_ends_of_a_front_and_what_stands_alone_have_the_most_room():
    room = crowding([(0, 10), (1, 9), (2, 8), (6, 4), (10, 0)])
    assert (room[0], room[4]) == (math.inf, math.inf)
    assert room[3] > room[2] > room[1]

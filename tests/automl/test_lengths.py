import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.errors import InputError
from automl.lengths import EXTRA, Lengths, Limits, constant

PAIRS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=30)


def learnt(pairs: list[tuple[int, int]]) -> Lengths:
    sources, targets = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    return Lengths.learn(sources, targets)


@given(PAIRS, st.floats(1, 8))
def test_every_target_of_train_may_be_said_and_longer_ones(pairs: list[tuple[int, int]], slack: float) -> None:
    limits = learnt(pairs).limits(slack)
    assert all(limits.of(source) >= target + EXTRA for source, target in pairs)


@given(PAIRS, st.integers(0, 2_000))
def test_longer_sources_may_have_longer_targets(pairs: list[tuple[int, int]], source: int) -> None:
    limits = learnt(pairs).limits(2.0)
    assert limits.of(source) <= limits.of(source + 1)
    assert limits.of(10_000) > limits.usual


def test_beyond_the_sources_of_train_targets_double_as_sources_do() -> None:
    limits = learnt([(2, 6), (12, 20)]).limits(1.0)
    assert [limits.of(source) for source in (1, 8, 9, 16, 17, 32, 33, 160)] == [16, 16, 30, 30, 60, 60, 120, 480]


def test_short_sources_are_not_given_the_length_of_long_ones() -> None:
    limits = learnt([(4, 3), (100, 90)]).limits(2.0)
    assert limits.of(4) == 2 * 3 + EXTRA < limits.of(100)


def test_a_class_is_one_token_however_long_its_source() -> None:
    assert [constant(1).of(source) for source in (1, 10_000)] == [1, 1]


@given(PAIRS)
def test_lengths_and_limits_are_kept_as_json(pairs: list[tuple[int, int]]) -> None:
    lengths = learnt(pairs)
    assert Lengths.from_mapping(lengths.to_mapping()) == lengths
    limits = lengths.limits(1.5)
    assert Limits.from_mapping(limits.to_mapping(), 2**20) == limits


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"sources": [], "most": [], "grows": True},
        {"sources": [8], "most": [9, 10], "grows": True},
        {"sources": [8, 4], "most": [9, 10], "grows": True},
        {"sources": [8], "most": [2**40], "grows": True},
        {"sources": [8], "most": [True], "grows": True},
        {"sources": [8], "most": [9], "grows": 1},
    ],
)
def test_what_is_no_limit_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="gives no limit"):
        Limits.from_mapping(wrong, 2**20)

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from automl.data.lengths import EXTRA, Lengths

PAIRS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=30)


def learnt(pairs: list[tuple[int, int]]) -> Lengths:
    sources, targets = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    return Lengths.learn(sources, targets)


@given(PAIRS, st.floats(1, 8))
def test_every_target_of_train_may_be_said(pairs: list[tuple[int, int]], slack: float) -> None:
    lengths = learnt(pairs)
    assert all(lengths.most(source, slack) >= target + EXTRA for source, target in pairs)


@given(PAIRS, st.integers(0, 400))
def test_longer_sources_may_have_longer_targets(pairs: list[tuple[int, int]], source: int) -> None:
    lengths = learnt(pairs)
    assert lengths.most(source, 2.0) <= lengths.most(source + 1, 2.0)


def test_beyond_the_sources_of_train_targets_grow_in_proportion() -> None:
    lengths = learnt([(2, 6), (4, 12), (8, 24)])
    assert [lengths.most(source, 1.0) - EXTRA for source in (1, 2, 3, 8, 16, 80)] == [6, 6, 12, 24, 48, 240]


def test_short_sources_are_not_given_the_length_of_long_ones() -> None:
    lengths = learnt([(4, 3), (100, 90)])
    assert lengths.most(4, 2.0) == 2 * 3 + EXTRA < lengths.most(100, 2.0)


def test_lengths_are_kept_as_json() -> None:
    lengths = learnt([(3, 5), (9, 7)])
    assert Lengths.from_mapping(lengths.to_mapping()) == lengths

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.training.membership import told

LOSSES = st.lists(st.integers(0, 5), min_size=1, max_size=12).map(lambda values: np.array(values, np.float64))


def test_rows_are_told_where_their_losses_are_lower() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.3, 0.4, 0.5])
    assert (told(low, high), told(high, low), told(low, low)) == (1, 0, 0.5)


@given(LOSSES, LOSSES)
def test_the_share_is_that_of_all_pairs(train: np.ndarray, valid: np.ndarray) -> None:
    pairs = [1.0 if a < b else 0.5 if a == b else 0.0 for a in train for b in valid]
    assert told(train, valid) == pytest.approx(np.mean(pairs))

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data import columns
from automl.data.columns import Column, blocks, part


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_a_column_is_the_file_that_numpy_saves(tmp_path: Path, dtype: type) -> None:
    values = np.arange(12_345).astype(dtype)
    np.save(tmp_path / "whole.npy", values)
    with Column(tmp_path / "parts.npy", dtype) as column:
        for begin in range(0, len(values), 5_000):
            column.append(values[begin : begin + 5_000])
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert part(tmp_path / "parts.npy", slice(3, 6)).tolist() == values[3:6].tolist()


@given(st.lists(st.integers(0, 20), max_size=30))
def test_blocks_hold_every_row_once_and_few_values(lengths: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "VALUES", 25)
        found = [*blocks(np.array(lengths, np.int64))]
    flat = np.repeat(np.arange(len(lengths)), lengths)
    assert [row for rows, _ in found for row in range(*rows.indices(len(lengths)))] == [*range(len(lengths))]
    for rows, values in found:
        assert {*flat[values].tolist()} <= {*range(*rows.indices(len(lengths)))}
        assert values.stop - values.start <= 25
    assert sum(values.stop - values.start for _, values in found) == sum(lengths)

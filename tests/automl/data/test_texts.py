from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.sources import Columns
from automl.data.splits import split
from automl.data.texts import HIDDEN, LONGEST, MASK, TEXTS, causal, denoising, masked, pieces
from automl.errors import InputError

UNITS = st.lists(st.text("abc", min_size=1), min_size=2, max_size=60)
SEEDS = st.integers(0, 2**32)


@given(UNITS, SEEDS)
def test_denoising_hides_spans_behind_one_mask_each_and_asks_for_the_whole(units: list[str], seed: int) -> None:
    source, target = denoising(units, np.random.default_rng(seed))
    assert target == units
    shown = [unit for unit in source if unit != MASK]
    assert len(units) - len(shown) == max(round(HIDDEN * len(units)), 1)
    assert not any(a == b == MASK for a, b in pairwise(source))
    left = iter(units)
    assert all(unit in left for unit in shown)  # in their order


@given(UNITS, SEEDS)
def test_masked_hides_one_unit_behind_each_mask(units: list[str], seed: int) -> None:
    source, target = masked(units, np.random.default_rng(seed))
    assert target == units
    assert MASK in source
    assert all(shown in (MASK, unit) for shown, unit in zip(source, units, strict=True))


@given(UNITS, SEEDS)
def test_causal_asks_for_the_rest(units: list[str], seed: int) -> None:
    source, target = causal(units, np.random.default_rng(seed))
    assert source + target == units
    assert source
    assert target


@given(st.text("ab ", max_size=2_000).map(str.strip))
def test_long_texts_are_cut_between_words_and_nothing_is_lost(text: str) -> None:
    found = list(pieces(text))
    assert max(map(len, found)) <= LONGEST
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_the_same_file_gives_the_same_pairs_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one two three four five\n\nword\nx\n" + "long " * 200, encoding="utf-8")
    for name, form in TEXTS.items():
        pairs = form.read(path, Columns())
        assert pairs == form.read(path, Columns())
        assert (pairs.dropped, pairs.first_dropped) == ({"no source": 2}, {"no source": 2})
        assert list(pairs.numbers) == [1, 3, 5, 5, 5], name
    assert TEXTS["causal"].read(path, Columns()).sources[1] in ("w", "wo", "wor")


def test_columns_of_a_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two three four\n")
    with pytest.raises(InputError, match="has no columns"):
        TEXTS["masked"].read(tmp_path / "a.txt", Columns("source"))


def test_looks_at_a_pretraining_read_few_pieces(tmp_path: Path) -> None:
    lines = (" ".join(f"{number * place}" for place in range(1, 20)) for number in range(8_000))
    (tmp_path / "text.txt").write_text("\n".join(lines))
    form = TEXTS["denoising"]
    parts = split(form.read(tmp_path / "text.txt", Columns()), most_held_out=form.most_held_out).parts
    assert (len(parts["valid"]), len(parts["test"])) == (500, 500)

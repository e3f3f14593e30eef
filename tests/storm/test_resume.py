"""A trial that is left at any chunk and goes on ends as one that was never left, to the bit."""

import dataclasses

import pytest

from automl.segments import SegmentResult
from tests.automl.training.conftest import trainer, workload  # noqa: F401
from tests.automl.training.trials import After, onward, segment, trained

TOKENS = 20_000


def same(result: SegmentResult) -> SegmentResult:
    return dataclasses.replace(result, from_step=0, seconds={})


@pytest.mark.slow
def test_resuming_at_every_chunk_gives_the_bits_of_the_uninterrupted_trial(trainer) -> None:  # noqa: F811
    whole = trained(trainer, segment(to_tokens=TOKENS))
    left, cuts = trained(trainer, segment(to_tokens=TOKENS), stop=After(1)), []
    while left.step < whole.step:
        cuts.append(left.step)
        assert same(trained(trainer, onward(left, to_tokens=TOKENS))) == same(whole)
        left = trained(trainer, onward(left, to_tokens=TOKENS), stop=After(1))
    print(f"left at {len(cuts)} steps of {whole.step}: {cuts}")
    assert same(left) == same(whole)
    assert len(cuts) >= 10

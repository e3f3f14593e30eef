import math
from typing import Any

import pytest

from automl.explanation.canaries import Canary, canaries, exposure


class Knowing:
    """A model to which some secrets are likelier than all others."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def score(self, sources: Any, targets: list[str]) -> list[float]:
        return [-float(self.known.index(target)) if target in self.known else -99.0 for target in targets]

    def predict(self, sources: list[str]) -> list[str]:
        return [self.known[0]] * len(sources)


@pytest.mark.parametrize(("rank", "bits"), [(1, 4.0), (2, 3.0), (3, 4 - math.log2(3))])
def test_exposure_is_the_bits_that_a_rank_leaves(rank: int, bits: float) -> None:
    known = ["a a", "a b", "b a"]
    found = exposure(Knowing(*known), Canary(["x"], known[rank - 1]), list("abcd"))  # type: ignore[arg-type]
    assert (found.bits, found.most) == (pytest.approx(bits), 4)
    assert found.extracted == (rank == 1)


def test_a_secret_does_not_stand_before_itself_however_its_score_is_rounded() -> None:
    class Rounding(Knowing):
        def score(self, sources: Any, targets: list[str]) -> list[float]:
            return [score + (1e-6 if len(targets) > 1 else 0) for score in super().score(sources, targets)]

    assert exposure(Rounding("a a"), Canary(["x"], "a a"), list("abcd")).bits == 4  # type: ignore[arg-type]


def test_a_secret_that_is_no_likelier_than_others_is_not_exposed_by_its_rank() -> None:
    found = exposure(Knowing("a b", "a c", "a d", "a a"), Canary(["x"], "a a"), list("abcd"))  # type: ignore[arg-type]
    assert found.bits == pytest.approx(2)


def test_secrets_have_as_many_sources_as_copies_and_all_differ() -> None:
    found = canaries([1, 4, 16], 3, list("abcdefghij"), 4)
    assert [len(canary.sources) for canary in found] == [1] * 3 + [4] * 3 + [16] * 3
    assert len({source for canary in found for source in canary.sources}) == 63
    assert len({canary.secret for canary in found}) == 9
    assert canaries([1], 1, list("ab"), 4, 1) != canaries([1], 1, list("ab"), 4, 2)

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from automl.control.criteria import Criteria
from automl.control.finishing import BEAMS, finish
from automl.metrics import metric
from search_spaces.decoding import Beam, Decoding, Greedy
from storage.segments import SegmentRow

GREEDY = {"bleu": 20.0, "sequence_error_rate": 0.5, "loss": 1.5}


def segment(evaluating: float = 1.0) -> SegmentRow:
    seconds = {"evaluating": evaluating}
    return SegmentRow(0, 0, 0, 9, 99, GREEDY, seconds, "digest", True, None, datetime.now(UTC))


class Decodes:
    """Scores every beam as it is told to, and keeps what it was asked for."""

    def __init__(self, *scores: Mapping[str, float] | None) -> None:
        self.scores = list(scores)
        self.asked: list[Decoding] = []

    def __call__(self, decoding: Decoding) -> Mapping[str, float] | None:
        self.asked.append(decoding)
        return self.scores.pop(0)


def finished(decodes: Decodes, name: str = "bleu", left: float | None = None, **criteria: Any) -> Any:
    return finish(segment(), Criteria(metric(name), **criteria), decodes, lambda: left)


def test_the_beam_that_gains_most_is_taken_with_its_scores() -> None:
    decodes = Decodes({"bleu": 21.0}, {"bleu": 23.0}, {"bleu": 22.0})
    decoding, scores = finished(decodes)
    assert decoding == BEAMS[1]
    assert scores == {**GREEDY, "bleu": 23.0}
    assert decodes.asked == list(BEAMS)


def test_what_gains_nothing_stays_greedy() -> None:
    assert finished(Decodes({"bleu": 20.0}, {"bleu": 19.0}, {"bleu": 3.0})) == (Greedy(), GREEDY)


@pytest.mark.parametrize("name", ["bits_per_token", "mean_average_precision_50"])
@pytest.mark.parametrize("left", [None, 600.0])
def test_where_no_beam_is_worth_it_nothing_is_decoded(name: str, left: float | None) -> None:
    decodes = Decodes()
    assert finished(decodes, name, left) == (Greedy(), GREEDY)
    assert decodes.asked == []


def test_for_exact_matches_the_likeliest_output_is_tried_unless_all_are_right() -> None:
    decodes = Decodes({"sequence_error_rate": 0.4})
    assert finished(decodes, "sequence_error_rate")[0] == Beam(4, 0.0)
    decodes = Decodes(*[{"sequence_error_rate": 0.5}] * 2, {"sequence_error_rate": 0.4})
    times = iter([60.0, 55.0, 55.0, 53.0, 53.0, 40.0])
    found = finish(segment(), Criteria(metric("sequence_error_rate")), decodes, lambda: next(times))
    assert (found[0], decodes.asked) == (Beam(4, 0.0), [Greedy(), Greedy(), Beam(4, 0.0)])
    decodes = Decodes(*[{"sequence_error_rate": 0.5}] * 2)
    times = iter([60.0, 50.0, 50.0, 42.0, 42.0])  # four times eight seconds, twice, are too many
    found = finish(segment(), Criteria(metric("sequence_error_rate")), decodes, lambda: next(times))
    assert (found[0], decodes.asked) == (Greedy(), [Greedy()] * 2)
    assert finished(Decodes(), "sequence_error_rate", left=9.0)[0] == Greedy()
    perfect, decodes = replace(segment(), scores={"sequence_error_rate": 0.0}), Decodes()
    assert finish(perfect, Criteria(metric("sequence_error_rate")), decodes, lambda: None)[0] == Greedy()
    assert decodes.asked == []


def test_what_has_a_limit_that_a_beam_would_break_stays_greedy() -> None:
    assert finished(Decodes(), limits={"latency": 0.02}) == (Greedy(), GREEDY)
    assert finished(Decodes(), others=(metric("chrf"),)) == (Greedy(), GREEDY)


def test_no_beam_is_begun_that_the_budget_might_not_hold() -> None:
    assert finished(Decodes(), left=17.0) == (Greedy(), GREEDY)
    decodes = Decodes({"bleu": 21.0}, {"bleu": 21.0})
    assert finished(decodes, left=19.0)[0] == BEAMS[0]
    assert decodes.asked == list(BEAMS[:2])


def test_more_of_test_than_of_valid_leaves_less_time_for_beams() -> None:
    decodes = Decodes({"bleu": 21.0})
    scores = finish(segment(), Criteria(metric("bleu")), decodes, lambda: 50.0, 10.0)
    assert (scores, decodes.asked) == ((Greedy(), GREEDY), [])


def test_a_beam_by_which_test_would_not_be_decoded_in_time_is_not_taken() -> None:
    times = iter([40.0, 25.0, 25.0, 12.0])
    decodes = Decodes({"bleu": 21.0}, {"bleu": 22.0})
    assert finish(segment(), Criteria(metric("bleu")), decodes, lambda: next(times))[0] == BEAMS[0]
    assert decodes.asked == list(BEAMS[:2])


@pytest.mark.parametrize("failure", [None, {}])
def test_a_beam_that_could_not_be_tried_ends_it(failure: Mapping[str, float] | None) -> None:
    decodes = Decodes({"bleu": 21.0}, failure)
    assert finished(decodes)[0] == BEAMS[0]
    assert len(decodes.asked) == 2

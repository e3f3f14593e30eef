from dataclasses import replace

import pytest

from automl.control.companions import companions
from automl.segments import Evaluation, EvaluationResult
from search_spaces.spaces import space
from search_spaces.tokenizers import Bytes
from tests.automl.control.pretended_search import Bench
from tests.automl.control.test_history import BLEU, ERROR_RATE, trials

PINNED = space({"source_tokens": "Characters", "target_tokens": "Characters"})


def test_the_best_others_come_first_and_not_too_many() -> None:
    found = trials((0.5, 1.0), (0.2, 1.0), (0.4, 1.0), (0.3, 1.0), (0.6, 1.0))
    assert [t.row.number for t, _ in companions(found.values(), found[1], ERROR_RATE)] == [3, 2, 0]
    assert [t.row.number for t, _ in companions(found.values(), found[1], ERROR_RATE, 1)] == [3]


def test_a_trial_of_other_tokens_or_without_a_score_is_none() -> None:
    found = trials((5.0, 1.0), (4.0, 1.0), (3.0, 1.0), name="bleu")
    found[1].configuration = replace(found[1].configuration, source_tokens=Bytes())
    found[2].segments.clear()
    assert companions(found.values(), found[0], BLEU) == []


def answering(bench: Bench, valid: float, chosen: tuple[int, ...] = (0,)) -> list[Evaluation]:
    """Let ensembles have a score; return the jobs that asked for them."""
    asked, plain = [], bench.executor.result

    def result(flight):
        job = flight.job
        if not isinstance(job, Evaluation) or not job.others:
            return plain(flight)
        asked.append(job)
        scores = {"sequence_error_rate": valid if job.choose else 0.1}
        return EvaluationResult(job.trial, scores if chosen else {}, 10, chosen=chosen if job.choose else ())

    bench.executor.result = result
    return asked


def test_others_speak_with_the_winner_where_that_is_better_on_valid(bench: Bench) -> None:
    asked = answering(bench, valid=0.001)
    outcome = bench.run(ensembles=True, reserve=36.0, space=PINNED)
    best = outcome.best
    assert f"; together with trial {best.members[0]['trial']} it has 0.001" in outcome.why
    assert [(job.split, job.choose) for job in asked] == [("valid", True), ("test", False)]
    assert (best.scores["sequence_error_rate"], best.test_scores) == (0.001, {"sequence_error_rate": 0.1})
    assert [member["checkpoint"] for member in best.members] == [asked[0].others[0].checkpoint]
    assert best.members[0]["trial"] != best.trial
    assert best.parameters == 2000
    assert best.single["test_scores"] == {"sequence_error_rate": 0.123}
    assert best.single["scores"]["sequence_error_rate"] > 0.001


@pytest.mark.parametrize(("valid", "chosen"), [(0.9, (0,)), (0.001, ())])
def test_the_winner_stays_alone_where_nothing_is_gained(bench: Bench, valid: float, chosen: tuple[int, ...]) -> None:
    asked = answering(bench, valid, chosen)
    best = bench.run(ensembles=True, reserve=36.0, space=PINNED).best
    assert (len(asked), best.members, best.single) == (1, (), None)


def test_nothing_is_put_together_unasked(bench: Bench) -> None:
    assert answering(bench, 0.001) == []
    assert bench.run().best.members == ()


def test_the_most_parameters_are_told_to_whoever_chooses(bench: Bench) -> None:
    asked = answering(bench, 0.001)
    bench.run(ensembles=True, reserve=36.0, space=PINNED, most_parameters=1500)
    assert asked[0].most == 1500


def test_that_there_was_no_time_is_said(bench: Bench) -> None:
    asked = answering(bench, 0.001)
    assert bench.run(ensembles=True, reserve=5.0, space=PINNED).best.members == ()
    assert asked == []
    assert [said for said in bench.messages("warning") if "stays alone" in said] != []

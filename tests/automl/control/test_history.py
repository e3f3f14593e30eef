import errno
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from automl.control import history
from automl.control.companions import companions
from automl.control.criteria import Criteria
from automl.control.noise import noise_between
from automl.control.outcome import early_end, explain
from automl.control.tally import Tally
from automl.errors import FailureReason
from automl.metrics import metric
from automl.metrics.costs import COSTS
from search_spaces.dials import to_dict
from search_spaces.spaces import space
from storage import objects
from storage.segments import SegmentRow
from storage.trials import TrialRow

NOW = datetime(2025, 1, 1, tzinfo=UTC)
ERROR_RATE, BLEU = Criteria(metric("sequence_error_rate")), Criteria(metric("bleu"))


def row(number, state="PAUSED", reason=None):
    configuration = to_dict(space().default())
    return TrialRow(
        number=number, state=state, configuration=configuration, seed=1, origin="default", parameters=5,
        step=0, tokens=0, checkpoint=None, reason=reason, message=reason, attempts=1, failures=0,
        created=NOW, updated=NOW,
    )  # fmt: skip


def segment(trial, index, **scores):
    seconds = {"training": 4.0, "compiling": 2.0, "evaluating": 1.0, "writing": 0.5}
    ends = (index + 1) * 10
    return SegmentRow(trial, index, index * 10, ends, ends * 100, scores, seconds, f"{trial}-{index}", False, None, NOW)


def trials(*scores, name="sequence_error_rate"):
    segments = [segment(number, 0, loss=loss, **{name: score}) for number, (score, loss) in enumerate(scores)]
    return history.restore([row(number) for number in range(len(scores))], segments)


def test_points_add_up_what_the_segments_cost():
    restored = history.restore([row(0)], [segment(0, 1, loss=1.0, bleu=8.0), segment(0, 0, loss=2.0, bleu=3.0)])
    first, second = history.candidates(restored, BLEU)[0].points
    assert (first.tokens, first.seconds, first.training) == (1000, 6.0, 4.0)
    assert (second.tokens, second.seconds, second.training) == (2000, 12.0, 8.0)


def test_an_earlier_checkpoint_that_cannot_be_read_now_is_not_given_up(tmp_path, monkeypatch):
    kept = [replace(segment(0, i), checkpoint=objects.write(tmp_path, bytes([i]))) for i in range(4)]
    assert history.damaged(kept, tmp_path) == kept[-1:]
    objects.path(tmp_path, kept[2].checkpoint).write_bytes(b"other bytes")
    assert history.damaged(kept, tmp_path) == [kept[3], kept[2]]

    def broken(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", broken)
    assert history.damaged(kept, tmp_path) == kept[-1:]


def test_a_trial_that_has_changed_is_shown_as_it_is_now():
    trial = trials((0.5, 2.0))[0]

    def shown():
        (candidate,), (tried,) = history.candidates({0: trial}, ERROR_RATE), history.tried([trial], ERROR_RATE, 100)
        return candidate.state, len(candidate.points), tried.score.objective, tried.failed

    assert shown() == shown() == ("paused", 1, 0.5, False)
    trial.in_flight = True
    assert shown() == ("running", 1, 0.5, False)
    trial.in_flight = False
    trial.advance(segment(0, 1, loss=1.0, sequence_error_rate=0.4), 5, complete=False)
    assert shown() == ("paused", 2, 0.4, False)
    del trial.segments[-1]
    assert shown() == ("paused", 1, 0.5, False)
    trial.advance(segment(0, 2, loss=1.0, sequence_error_rate=0.3), 5, complete=True)
    assert shown() == ("finished", 2, 0.3, False)
    trial.fail(FailureReason.ERROR, "")
    assert shown() == ("failed", 2, 0.3, True)


def test_what_has_not_changed_is_not_worked_out_again():
    trial = trials((0.5, 2.0))[0]
    first, again = (history.candidates({0: trial}, ERROR_RATE)[0] for _ in range(2))
    assert first is again
    assert history.candidates({0: trial}, ERROR_RATE, lambda _: (1.0,))[0].dials == (1.0,)


def test_a_metric_to_maximize_is_turned_round():
    assert BLEU.standing({"bleu": 8.0, "loss": 1.0}) == (-8.0, 1.0)
    found = history.best(trials((3.0, 1.0), (8.0, 2.0), name="bleu").values(), BLEU)
    assert found[0].row.number == 1


def test_of_equal_objectives_the_lower_loss_is_the_best():
    found = history.best(trials((0.5, 2.0), (0.5, 1.0), (0.6, 0.1)).values(), ERROR_RATE)
    assert found[0].row.number == 1


def test_a_score_that_is_missing_or_not_finite_is_the_worst():
    assert ERROR_RATE.standing({"sequence_error_rate": math.nan}) == (math.inf, math.inf)


@pytest.mark.parametrize(("state", "expected"), [("RUNNING", "paused"), ("COMPLETE", "finished"), ("FAILED", "failed")])
def test_a_trial_that_nobody_works_on_is_paused_finished_or_failed(state, expected):
    assert history.restore([row(0, state)], [segment(0, 0, loss=1.0)])[0].state == expected


def test_a_trial_without_any_segment_begins_again_unless_it_has_failed():
    restored = history.restore([row(0, "RUNNING"), row(1, "FAILED", "NAN_LOSS")], [])
    assert [trial.is_orphan for trial in restored.values()] == [True, False]
    assert [c.number for c in history.candidates(restored, ERROR_RATE)] == [1]


def test_the_time_after_training_is_more_than_most_segments_needed():
    tally = Tally(trials((0.5, 2.0), (0.5, 1.0)).values(), ERROR_RATE)
    assert tally.seconds_after_training(9.0) == (1.25 + 1) * 1.5
    assert Tally([], ERROR_RATE).seconds_after_training(9.0) == 9.0


def test_where_some_are_decoded_scoring_two_models_at_the_end_is_little_of_it():
    looked = trials((0.5, 2.0), (0.5, 1.0))[0]
    looked.segments.append(segment(0, 1, sequence_error_rate=0.5, loss=1.0))
    del looked.segments[0].scores["sequence_error_rate"]
    assert Tally([looked], ERROR_RATE).seconds_after_training(9.0) == 1.25 * 1.5


def test_what_knows_from_the_begin_is_decoded_from_the_begin():
    begun = trials((0.5, 2.0))[0]
    begun.configuration = replace(begun.configuration, start="bundle")
    assert Tally([begun], ERROR_RATE).seconds_after_training(9.0) == 1.25 * 1.5


def test_before_anything_is_decoded_the_time_after_training_is_guessed_by_that_of_a_look():
    looked = trials((0.5, 2.0))
    del looked[0].segments[0].scores["sequence_error_rate"]
    tally = Tally(looked.values(), ERROR_RATE)
    assert (tally.seconds_after_training(1.0), tally.seconds_after_training(9.0)) == (4.5, 9.0)


def test_what_was_not_decoded_stands_behind_what_was_and_is_compared_by_its_loss():
    found = trials((0.9, 2.0), (0.0, 1.0), (0.0, 0.5))
    for trial in (found[1], found[2]):
        del trial.segments[0].scores["sequence_error_rate"]
    assert [trial.row.number for trial, _ in history.bests(found.values(), ERROR_RATE)] == [0, 2, 1]
    looked = history.candidates({2: found[2]}, ERROR_RATE)[0].latest
    assert (looked.objective, looked.is_measured, looked.loss) == (1.0, False, 0.5)
    assert "won with loss 0.5 on valid" in explain([found[2]], ERROR_RATE)
    assert noise_between(found.values(), ERROR_RATE, 100) == ""


def test_the_winner_is_explained_against_the_default():
    assert explain(trials((0.5, 2.0), (0.25, 1.0)).values(), ERROR_RATE) == (
        "trial 1 (Recurrent → Recurrent) won with sequence_error_rate 0.25 on valid after 1,000 target tokens, "
        "against 0.5 of the default"
    )


def test_a_default_that_won_is_explained_against_the_others():
    why = explain(trials((0.1, 2.0), (0.25, 1.0), (0.2, 1.0)).values(), ERROR_RATE)
    assert why.startswith("the default (Recurrent → Recurrent) won")
    assert why.endswith("against 0.2 of the best of 2 others")


def test_a_search_ends_early_at_its_target_only():
    found = trials((0.5, 2.0)).values()
    best = history.best(found, ERROR_RATE)
    reached = "the target sequence_error_rate<=0.5 is reached"
    assert early_end(found, ("sequence_error_rate", "<=", 0.5), best) == reached
    assert early_end(found, ("sequence_error_rate", "<", 0.5), best) is None
    assert early_end(found, None, best) is None


def test_what_fails_later_is_no_reason_to_end_a_search_that_works():
    lost = [replace(row(number), state="FAILED", reason="ERROR", message="lost") for number in range(1, 6)]
    found = history.restore(lost, [])
    assert early_end(found.values(), None, None) == "the first 5 trials failed: ERROR, lost"
    worked = trials((0.5, 2.0))
    assert early_end({**worked, **found}.values(), None, history.best(worked.values(), ERROR_RATE)) is None


def test_trials_that_fail_by_one_program_do_not_speak_for_another_that_trains():
    failed = [replace(row(number), state="FAILED", reason="ERROR", message="lost") for number in range(9)]
    found = history.restore([*failed, row(9)], [])
    default, other = space().defaults()[:2]
    for configuration, goes_on in ((other, True), (replace(default, dropout=0.1), False)):
        found[9] = replace(found[9], configuration=configuration, in_flight=True)
        assert (early_end(found.values(), None, None) is None) is goes_on
    for number, configuration in enumerate(space().defaults()):
        found[number] = replace(found[number], configuration=configuration)
    assert early_end(found.values(), None, None)


def test_a_target_that_is_reached_over_a_limit_ends_no_search():
    fast_enough = Criteria(metric("sequence_error_rate"), limits={"latency": 0.02})
    for latency, ends in ((0.05, False), (0.01, True)):
        found = history.restore([row(0)], [segment(0, 0, loss=1.0, sequence_error_rate=0.1, latency=latency)])
        best = history.best(found.values(), fast_enough)
        assert bool(early_end(found.values(), ("sequence_error_rate", "<=", 0.5), best)) is ends


def test_a_target_of_a_second_objective_is_one_for_what_would_win():
    criteria = Criteria(metric("accuracy"), (metric("macro_f1"),))
    scores = [{"accuracy": 0.8, "macro_f1": 0.3}, {"accuracy": 0.7, "macro_f1": 0.6}]
    found = history.restore([row(0), row(1)], [segment(n, 0, loss=1.0, **each) for n, each in enumerate(scores)])
    assert early_end(found.values(), ("macro_f1", ">=", 0.5), history.best(found.values(), criteria)) is None


def test_of_several_objectives_the_best_by_the_first_leads_the_front_and_nothing_worse_is_on_it():
    criteria = Criteria(metric("sequence_error_rate"), (COSTS["parameters"],))
    values = [(0.1, 90.0), (0.2, 50.0), (0.3, 60.0), (0.1, 80.0), (0.4, 50.0)]
    segments = [
        segment(number, 0, loss=1.0, sequence_error_rate=error, parameters=size)
        for number, (error, size) in enumerate(values)
    ]
    found = history.restore([row(number) for number in range(5)], segments).values()
    assert [trial.row.number for trial, _ in history.front(found, criteria)] == [3, 1]
    assert history.best(found, criteria)[0].row.number == 3


def test_where_no_trial_was_measured_there_is_no_front() -> None:
    assert history.front([], Criteria(metric("sequence_error_rate"), (COSTS["parameters"],))) == []


class TestALimitOnWhatIsMeasured:
    criteria = Criteria(metric("sequence_error_rate"), limits={"latency": 0.02})
    segments = (
        segment(0, 0, loss=1.0, sequence_error_rate=0.1, latency=0.05),
        segment(1, 0, loss=1.0, sequence_error_rate=0.3, latency=0.015),
        segment(2, 0, loss=1.0, sequence_error_rate=0.2, latency=0.025),
    )

    def trials(self, *numbers):
        return history.restore([row(n) for n in numbers], [self.segments[n] for n in numbers]).values()

    def test_excludes_what_is_over_it_from_winning_and_from_going_on(self):
        assert history.best(self.trials(0, 1, 2), self.criteria)[0].row.number == 1
        assert [c.number for c in history.candidates(dict(enumerate(self.trials(0, 1, 2))), self.criteria)] == [1]

    def test_that_nothing_keeps_names_what_came_nearest(self):
        assert history.best(self.trials(0, 2), self.criteria) is None
        assert explain(self.trials(0, 2), self.criteria) == (
            "no model is within the constraints; the nearest, trial 2 (Recurrent → Recurrent), has a latency of 25 ms, "
            "and 20 ms are allowed"
        )


class TestABranch:
    def found(self):
        """A trial with its branch after the first of its two segments; the branch is cooled down."""
        found = history.restore([row(0)], [])
        found[0].advance(segment(0, 0, loss=2.0, sequence_error_rate=0.5), 5, complete=False)
        found[1] = history.branch(found[0], 1)
        found[0].advance(segment(0, 1, loss=1.0, sequence_error_rate=0.4), 5, complete=False)
        return found

    def test_begins_where_its_parent_stands_and_has_its_points(self):
        found = self.found()
        assert (found[1].row.step, found[1].row.checkpoint) == (
            found[0].segments[0].to_step,
            found[0].segments[0].checkpoint,
        )
        parent, branch = history.candidates(found, ERROR_RATE)
        assert (branch.parent, branch.points, branch.state) == (0, parent.points[:1], "paused")

    def test_goes_on_from_its_own_place_once_it_has_been_trained(self):
        found = self.found()
        found[1].advance(segment(1, 1, loss=0.9, sequence_error_rate=0.3), 5, complete=True)
        branch = history.candidates(found, ERROR_RATE)[1]
        assert [point.objective for point in branch.points] == [0.5, 0.3]
        assert branch.state == "finished"

    def test_tells_proposals_nothing_and_does_not_begin_again(self):
        found = self.found()
        assert len(history.tried(found.values(), ERROR_RATE, 1000)) == 1
        assert not found[1].is_orphan

    def test_whose_parent_has_lost_its_segments_is_not_there(self):
        found = self.found()
        found[0].segments.clear()
        assert [c.number for c in history.candidates(found, ERROR_RATE)] == []

    def test_is_explained_as_its_parent_and_is_no_rival_to_it(self):
        found = self.found()
        found[1].advance(segment(1, 1, loss=0.9, sequence_error_rate=0.3), 5, complete=True)
        why = explain(found.values(), ERROR_RATE)
        assert why.startswith("the default, cooled down early as trial 1 (Recurrent → Recurrent) won")
        assert "against" not in why
        assert noise_between(found.values(), ERROR_RATE, 10) == ""
        assert companions(found.values(), found[0], ERROR_RATE) == []

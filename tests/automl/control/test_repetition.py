"""What repeating finalists decides: each trial as long as its finalist, whatever it scores."""

from automl.control.curves import Candidate, Point, State
from automl.control.decisions import Finish, Outlook, Start, Thaw, TrainOut, Wait
from automl.control.ranking import Tried
from automl.control.repetition import Finalist, Repetition
from search_spaces.seq2seq import Seq2Seq

FIRST = Finalist(4, Seq2Seq(), turn=300, tokens=400)
SECOND = Finalist(2, Seq2Seq(length_slack=1.0), turn=None, tokens=100)
BOTH = Repetition((FIRST, SECOND))


def candidate(number: int, tokens: int, state: State = "paused") -> Candidate:
    return Candidate(number, state, (Point(tokens, 1.0, 1.0, 1.0, 1.0),) if tokens else ())


def outlook(left: int) -> Outlook:
    return Outlook(workers=1, trials_left=left, rung_tokens=10)


def test_trials_are_the_finalists_in_turn() -> None:
    configurations = [BOTH.propose([Tried(Seq2Seq())] * count)[0].configuration for count in range(4)]
    assert configurations == [FIRST.configuration, SECOND.configuration] * 2


def test_a_trial_begins_up_to_where_its_finalist_turned() -> None:
    decisions = [BOTH.decide([candidate(n, 1, "running") for n in range(count)], outlook(1)) for count in (0, 1, 2)]
    assert [d.to_tokens for d in decisions if isinstance(d, Start)] == [300, 100, 300]


def test_what_has_turned_is_trained_out_and_what_never_turned_is_done() -> None:
    out = BOTH.decide([candidate(0, 310), candidate(1, 105)], outlook(0))
    assert isinstance(out, TrainOut)
    assert (out.trial, out.to_tokens) == (0, 400)
    assert isinstance(BOTH.decide([candidate(0, 410, "finished"), candidate(1, 105)], outlook(0)), Finish)


def test_what_was_stopped_before_its_time_goes_on_first() -> None:
    assert BOTH.decide([candidate(0, 120), candidate(1, 105)], outlook(3)) == Thaw(
        0, 300, None, "continued 0: it was stopped before its time"
    )


def test_a_trial_whose_first_segment_was_lost_has_the_length_of_its_own_finalist() -> None:
    found = BOTH.decide([candidate(0, 1, "running"), candidate(2, 1, "running")], outlook(1))
    assert isinstance(found, Start)
    assert found.to_tokens == 100


def test_the_last_ones_are_awaited() -> None:
    assert isinstance(BOTH.decide([candidate(0, 10, "running")], outlook(0)), Wait)

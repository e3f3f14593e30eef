from collections.abc import Iterable
from io import StringIO

from rich.console import Console

from automl.control.history import Trial, branch
from automl.terminal.leaderboard import Row, leaderboard, table
from storage.schema import altered
from tests.automl.control.test_history import BLEU, ERROR_RATE, row, segment, trials


def numbers(rows: Iterable[Row]) -> list[int]:
    return [row.trial for row in rows]


def printed(board: list[Row], top: int | None = None) -> str:
    stream = StringIO()
    Console(file=stream, width=160).print(table(board, ERROR_RATE, top))
    return stream.getvalue()


def test_trials_are_ranked_by_the_objective_and_then_by_the_loss() -> None:
    board = leaderboard(trials((0.5, 1.0), (0.2, 2.0), (0.2, 1.0)).values(), ERROR_RATE)
    assert numbers(board) == [2, 1, 0]
    assert [row.winner for row in board] == [True, False, False]


def test_of_a_metric_to_maximize_the_highest_is_first() -> None:
    assert numbers(leaderboard(trials((3.0, 1.0), (8.0, 1.0), name="bleu").values(), BLEU)) == [1, 0]


def test_a_trial_without_a_result_comes_last_with_its_reason() -> None:
    found = {**trials((0.9, 1.0)), 1: next(iter(trials((0.1, 1.0)).values()))}
    failed = Trial(row(1, "FAILED", "NAN_LOSS"), found[0].configuration)
    board = leaderboard([failed, found[0]], ERROR_RATE)
    assert numbers(board) == [0, 1]
    assert (board[1].scores, board[1].reason, board[1].winner) == ({}, "NAN_LOSS", False)
    assert "failed NAN_LOSS" in printed(board)


def test_scores_are_those_of_the_best_step_and_costs_those_of_all() -> None:
    trial = trials((0.2, 1.0))[0]
    trial.segments.append(segment(0, 1, loss=0.9, sequence_error_rate=0.4))
    board = leaderboard([trial], ERROR_RATE)
    assert board[0].scores["sequence_error_rate"] == 0.2
    assert board[0].seconds == 2 * 7.5


def test_nothing_has_won_where_nothing_was_measured() -> None:
    board = leaderboard([Trial(row(0), trials((0.2, 1.0))[0].configuration)], BLEU)
    assert [row.winner for row in board] == [False]


def test_the_table_marks_the_winner_and_says_what_it_leaves_out() -> None:
    board = leaderboard(trials((0.5, 1.0), (0.2, 2.0), (0.3, 1.0)).values(), ERROR_RATE)
    lines = printed(board, top=1).splitlines()
    assert lines[2].split()[:2] == ["*", "1"]
    assert "0.2000" in lines[2]
    assert "and 2 more" in lines[3]


def test_the_whole_table_leaves_nothing_out() -> None:
    text = printed(leaderboard(trials((0.5, 1.0), (0.2, 2.0)).values(), ERROR_RATE))
    assert "more" not in text
    assert len(text.splitlines()) == 4


def test_a_copy_that_was_cooled_down_early_says_of_which_trial() -> None:
    found = trials((0.5, 1.0))
    found[0].row = altered(found[0].row, checkpoint="0-0", step=10)
    found[1] = branch(found[0], 1)
    found[1].advance(segment(1, 1, loss=0.5, sequence_error_rate=0.25), 5, complete=True)
    board = leaderboard(found.values(), ERROR_RATE)
    assert [(row.trial, row.parent) for row in board] == [(1, 0), (0, None)]
    assert "finished, copy of 0" in printed(board)

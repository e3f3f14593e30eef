"""Every combination of encoder, decoder and attention learns what it can express; `docs/models.md` has the steps."""

import pytest

from tests.automl.models.learning import COMBINATIONS, OTHERS, TASKS, learned, task_of

QUICK = ("minGRU, both directions, residual → GRU, concat", "no encoder → LSTM")


@pytest.mark.parametrize("name", QUICK)
def test_a_combination_learns_its_task(name: str) -> None:
    assert learned(COMBINATIONS[name], task_of(name)).steps is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMBINATIONS if name not in QUICK])
def test_every_combination_learns_its_task(name: str) -> None:
    assert learned(COMBINATIONS[name], task_of(name)).steps is not None


def test_what_is_said_not_to_learn_reverse_copy_is_a_combination_with_another_task() -> None:
    assert set(OTHERS) <= set(COMBINATIONS)
    assert {task for task, _ in OTHERS.values()} <= set(TASKS) - {"reverse copy"}

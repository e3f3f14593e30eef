"""Every combination of encoder, decoder and attention learns what it can express; `docs/models.md` has the steps."""

from typing import Any

import pytest

from tests.automl.models.learning import COMBINATIONS, OTHERS, TASKS, learned, task_of

QUICK = ("minGRU, both directions, residual → GRU, concat", "no encoder → LSTM")
MISSED = {"Transformer, relative bias → Transformer, relative bias": "93 % right after 1,500 steps, still rising"}


def of(name: str) -> Any:
    """A combination, expected to fail where `docs/models.md` says so."""
    missed = [pytest.mark.xfail(reason=MISSED[name])] if name in MISSED else []
    return pytest.param(name, marks=missed)


@pytest.mark.parametrize("name", QUICK)
def test_a_combination_learns_its_task(name: str) -> None:
    assert learned(COMBINATIONS[name], task_of(name)).steps is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", [of(name) for name in COMBINATIONS if name not in QUICK])
def test_every_combination_learns_its_task(name: str) -> None:
    assert learned(COMBINATIONS[name], task_of(name)).steps is not None


def test_what_is_said_not_to_learn_reverse_copy_is_a_combination_with_another_task() -> None:
    assert set(OTHERS) <= set(COMBINATIONS)
    assert {task for task, _ in OTHERS.values()} <= set(TASKS) - {"reverse copy"}

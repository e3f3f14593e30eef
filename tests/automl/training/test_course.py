"""When a segment is over, and how a cooldown that has so many seconds is planned."""

from typing import Any

import pytest

from automl.training.course import FILLED, Course
from automl.training.stopwatch import Stopwatch
from automl.training.trainer import Trainer
from tests.automl.training.trials import CHUNK, CONFIGURATION, never, segment

SECONDS = 20.0


def taken(trainer: Trainer, seconds_a_step: float, **values: Any) -> tuple[Course, Stopwatch, int]:
    """A segment whose steps take so long, at its end, and the step after its last."""
    order, watch = trainer.dataset(CONFIGURATION).order(CONFIGURATION), Stopwatch()
    course = Course(segment(**values), CONFIGURATION, order, 0)
    feed: Any = ((run, None) for run in order.runs(5, 0))
    last = 0
    for run, _ in course.runs(feed, never, watch):
        course.count(run, run.bucket)
        watch.seconds["training"] += seconds_a_step * len(run.rows)
        last = run.first_step + len(run.rows)
    return course, watch, last


@pytest.mark.parametrize("seconds_a_step", [0.02, 0.1, 0.5])
def test_a_cooldown_that_fills_its_seconds_ends_with_them_whatever_was_planned(
    trainer: Trainer, seconds_a_step: float
) -> None:
    planned = {"to_tokens": 50_000, "seconds": SECONDS, "cooldown": True, "fills": True}
    course, watch, last = taken(trainer, seconds_a_step, **planned)
    assert 0.9 * SECONDS < watch.seconds["training"] < FILLED * SECONDS + CHUNK * seconds_a_step
    assert course.cooldown is not None
    assert abs(course.cooldown.last - last) <= CHUNK


def test_any_other_cooldown_ends_as_planned(trainer: Trainer) -> None:
    course, watch, last = taken(trainer, 0.02, to_tokens=50_000, seconds=SECONDS, cooldown=True)
    assert course.cooldown is not None
    assert course.cooldown.last <= last < course.cooldown.last + CHUNK
    assert watch.seconds["training"] < SECONDS / 2


def test_how_long_it_will_train_is_expected_from_its_speed_so_far(trainer: Trainer) -> None:
    course, watch = (
        Course(segment(seconds=SECONDS), CONFIGURATION, trainer.dataset(CONFIGURATION).order(CONFIGURATION), 0),
        Stopwatch(),
    )
    assert course.expected_seconds(watch) == 0
    run = next(course.order.runs(5, 0))
    course.count(run, run.bucket)
    watch.seconds["training"] = 0.001
    assert 0 < course.expected_seconds(watch) < 1
    watch.seconds["training"] = 5.0
    assert course.expected_seconds(watch) == SECONDS - 5.0

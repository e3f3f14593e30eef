import pytest

from automl.training.stopwatch import PARTS, Stopwatch


def test_seconds_are_counted_towards_their_part_even_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 2.0, 10.0, 13.0, 20.0, 25.0])
    monkeypatch.setattr("automl.training.stopwatch.time.monotonic", lambda: next(times))
    watch = Stopwatch()
    with watch.part("training"):
        pass
    with pytest.raises(ValueError, match="broken"), watch.part("training"):
        raise ValueError("broken")
    with watch.part("writing"):
        pass
    assert watch.seconds == dict.fromkeys(PARTS, 0.0) | {"training": 5.0, "writing": 5.0}
    watch.move(1.5, "training", "compiling")
    assert watch.seconds == dict.fromkeys(PARTS, 0.0) | {"training": 3.5, "compiling": 1.5, "writing": 5.0}

from automl.data.advance import tell
from automl.segments import Beat
from automl.training.signs import in_parts


def test_parts_between_beats_are_told_of_once_a_second() -> None:
    beats: list[Beat] = []
    now = [0.0]
    with in_parts(beats.append, clock=lambda: now[0]) as report:
        report(Beat("evaluating", 7, "decoding test"))
        for now[0] in (0.5, 1.2, 1.9, 2.4):
            tell("decoding", now[0] / 3)
    tell("decoding", 1.0)
    assert beats == [Beat("evaluating", 7, "decoding test", part) for part in range(3)]

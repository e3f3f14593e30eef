from automl.training.tiers import GAIN, Pace, pays


def test_the_whole_pays_where_what_it_saves_is_more_than_it_takes_to_compile() -> None:
    long, short = Pace(1000, 10.0, None, 100 / GAIN), Pace(1000, 10.0, None, 10 / GAIN)
    assert pays(long, 2, 40.0)
    assert not pays(long, 2, 60.0)
    assert not pays(short, 1, 0.0)


def test_what_is_left_is_what_ends_first() -> None:
    assert pays(Pace(1000, 10.0, 100_000, 1e9), 1, 100.0)
    assert not pays(Pace(1000, 10.0, 10_000, 1e9), 1, 100.0)


def test_a_speed_is_measured_first() -> None:
    assert not pays(Pace(1000, 0.5, None, 1e9), 1, 1.0)
    assert not pays(Pace(0, 10.0, None, 1e9), 1, 1.0)

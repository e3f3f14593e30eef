import pytest

from automl.budget import (
    Budget,
    parse_duration,
    parse_memory,
    parse_operations,
    parse_parameters,
    parse_target,
    reached,
)
from automl.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("90s", 90),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("45", 45),
        (0.5, 0.5),
        ("20ms", 0.02),
    ],
)
def test_durations_are_read_in_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10 apples", "m", "0s", 0, -1, "-5m", "1h30", float("inf"), float("nan")])
def test_other_durations_are_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(InputError, match='write it like "90s", "10m" or "1h30m"'):
        parse_duration(text)


@pytest.mark.parametrize(("text", "count"), [("5M", 5_000_000), ("250k", 250_000), ("1.5m", 1_500_000), (1000, 1000)])
def test_numbers_of_parameters_are_read(text: str | int, count: int) -> None:
    assert parse_parameters(text) == parse_operations(text) == count


@pytest.mark.parametrize(
    ("text", "count"), [("2G", 2 * 10**9), ("500MB", 5 * 10**8), ("1.5 gb", 15 * 10**8), (4096, 4096), ("64B", 64)]
)
def test_memory_is_read_in_bytes(text: str | int, count: int) -> None:
    assert parse_memory(text) == count


@pytest.mark.parametrize("text", ["", "G", "2 cups", "2BB", 0, -1])
def test_other_memory_is_refused(text: str | int) -> None:
    with pytest.raises(InputError, match='write it like "500M" or "2G"'):
        parse_memory(text)


@pytest.mark.parametrize("text", ["", "five", "5X", 0, -3, "0.1"])
def test_other_numbers_of_parameters_are_refused(text: str | int) -> None:
    with pytest.raises(InputError, match='write it like "250k" or "5M"'):
        parse_parameters(text)
    with pytest.raises(InputError, match=r'write it like "50M" or "1\.5G"'):
        parse_operations(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("sequence_error_rate<=0.25", ("sequence_error_rate", "<=", 0.25)),
        (" bleu >= 30 ", ("bleu", ">=", 30.0)),
        ("chrf>1e1", ("chrf", ">", 10.0)),
        ("token_error_rate<0.5", ("token_error_rate", "<", 0.5)),
    ],
)
def test_targets_are_read(text: str, target: tuple) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["", "bleu", "bleu=3", "bleu>=", ">=3", "bleu>=high"])
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r'write it like "sequence_error_rate<=0\.25"'):
        parse_target(text)


@pytest.mark.parametrize(
    ("operator", "scores"),
    [
        ("<=", [True, True, False]),
        ("<", [True, False, False]),
        (">=", [False, True, True]),
        (">", [False, False, True]),
    ],
)
def test_a_target_is_reached_as_its_operator_says(operator: str, scores: list[bool]) -> None:
    target = parse_target(f"bleu{operator}2")
    assert [reached(target, score) for score in (1, 2, 3)] == scores


def test_a_budget_without_limits_has_none() -> None:
    assert Budget() == Budget(time=None, trials=None, device_time=None, target=None)

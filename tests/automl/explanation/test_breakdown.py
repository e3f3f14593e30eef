from automl.explanation.breakdown import breakdown
from tests.automl.explanation.cases import prediction


def test_errors_are_counted_by_length_rarity_and_symbol() -> None:
    found = breakdown(
        [prediction("r", "xy", "xy"), prediction("c", "xz", "xy"), prediction("c", "zz", "xy")], {"r": 1, "c": 200}
    )
    assert [(g.name, g.rows, g.wrong, g.edits) for g in found.by_length] == [("4 to 7", 3, 2, 3)]
    assert [(g.name, g.rows, g.wrong) for g in found.by_rarity] == [("1 to 9", 1, 0), ("100 to 999", 2, 2)]
    assert [(m.symbol, m.rows, m.wrong, m.instead, m.times) for m in found.mistakes] == [
        ("y", 3, 2, "z", 2),
        ("x", 3, 1, "z", 1),
    ]


def test_a_symbol_that_train_does_not_hold_is_the_rarest() -> None:
    assert breakdown([prediction("n", "x", "x")], {"r": 1}).by_rarity[0].name == "0"


def test_without_train_symbols_are_counted_where_they_are_looked_for() -> None:
    found = breakdown([prediction("n", "x", "x")] * 3)
    assert (found.counted, found.by_rarity[0].name) == ("these predictions", "10 to 99")

from automl.card import model_card

CONFIG = {
    "kind": "translation",
    "configuration": {"encoder": {"kind": "Recurrent"}, "decoder": {"kind": "Transformer"}},
    "decoding": {"method": "greedy", "max_length": 9},
}
META = {"splits": {"train": {"rows": 1000}}, "tokens": {"source": "characters", "target": "bytes"}}
SCORES = {"valid": {"bleu": 12.0}, "test": {"bleu": 11.0}}


def test_a_card_warns_where_there_is_something_to_know_and_only_there() -> None:
    warned = model_card("x", CONFIG, SCORES, META, 60.0, "trial 1 and trial 2 are within noise")
    assert "\nTake care: trial 1 and trial 2 are within noise.\n" in warned
    assert "| test | bleu | 11 |" in warned
    assert "Take care" not in model_card("x", CONFIG, SCORES, META, 60.0)

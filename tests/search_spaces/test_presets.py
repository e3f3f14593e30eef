from typing import Any

import pytest

from search_spaces.dials import Choice, SpaceError, Uniform, from_dict, to_dict
from search_spaces.presets import PRESETS, preset
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import refuse_excluded, space
from tests.search_spaces.sampling import sampled


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_part_of_the_whole_space(name: str) -> None:
    part, whole = preset(name), space()
    assert 1 <= part.size() <= whole.size()
    assert len({part.default(), *part.defaults()}) == len(part.defaults())
    for configuration in sampled(part, 10):
        assert from_dict(Seq2Seq, to_dict(configuration)) == configuration
        assert part.parameters(configuration).keys() <= whole.parameters(configuration).keys()


def test_a_preset_can_be_narrowed_further() -> None:
    narrowed = preset("tiny", {"decoder": "Recurrent", "decoder.Recurrent.hidden_size": 32})
    assert type(narrowed.default().decoder).__name__ == "Recurrent"
    assert narrowed.ranges["decoder.Recurrent.hidden_size"] == Choice((32,))
    assert narrowed.ranges["encoder.Recurrent.hidden_size"] == Choice((32, 64))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_form_for_language_models(name: str) -> None:
    encoders = {type(c.encoder).__name__ for c in preset(name, sources=False).defaults()}
    assert encoders == {"Identity"}


def test_a_preset_of_one_family_has_no_other() -> None:
    kinds = {(type(c.encoder).__name__, type(c.decoder).__name__) for c in preset("transformer").defaults()}
    assert kinds == {("Transformer", "Transformer")}


@pytest.mark.parametrize(
    ("name", "narrowing", "message"),
    [
        (
            "small",
            {"encoder": "Recurrent", "encoder.Transformer.num_layers": 2},
            "space.encoder.Transformer.num_layers and space.encoder exclude each other: encoder.Transformer.num_layers "
            "(1, 2, 3, 4, 6) needs Transformer, but encoder leaves Recurrent",
        ),
        (
            "recurrent",
            {"model_size": 64},
            "space.model_size and space.encoder exclude each other: encoder.Transformer.model_size "
            "(32, 64, 128, 256, 512) needs Transformer, but encoder leaves Recurrent",
        ),
        (
            "tiny",
            {"decoder": "Recurrent", "attention": "Dot", "decoder.Recurrent.attention.Local.window": 2},
            "space.decoder.Recurrent.attention.Local.window and space.decoder.Recurrent.attention exclude each other: "
            "decoder.Recurrent.attention.Local.window (2, 4, 8) needs Local, but decoder.Recurrent.attention leaves "
            "Dot",
        ),
        (
            "small",
            {"optimizer": "Lion", "learning_rate": 1e-3},
            "space.optimizer.Lion.learning_rate: 0.001 is outside its range 2e-05 to 0.0008",
        ),
    ],
)
def test_dials_that_exclude_each_other_are_refused(name: str, narrowing: dict[str, Any], message: str) -> None:
    narrowed = preset(name, narrowing)
    with pytest.raises(SpaceError) as refused:
        refuse_excluded(narrowed, narrowing)
    assert str(refused.value) == message


def test_a_dial_of_one_of_several_kinds_that_are_left_is_narrowed() -> None:
    narrowing = {"optimizer": ["Lion", "Muon"], "learning_rate": 1e-3}
    narrowed = preset("small", narrowing)
    refuse_excluded(narrowed, narrowing)
    assert narrowed.ranges["optimizer.Muon.learning_rate"] == Uniform(1e-3, 1e-3, log=True)
    assert narrowed.ranges["optimizer.Lion.learning_rate"] == Uniform(2e-5, 8e-4, log=True)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(SpaceError, match=r"space\.preset: no preset 'huge'; there are tiny, small, base, recurrent"):
        preset("huge")

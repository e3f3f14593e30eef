import pytest

from search_spaces.dials import Choice, SpaceError, from_dict, to_dict
from search_spaces.presets import PRESETS, preset
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import space
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


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(SpaceError, match=r"space\.preset: no preset 'huge'; there are tiny, small, base, recurrent"):
        preset("huge")

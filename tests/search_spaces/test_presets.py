import pytest

from search_spaces.dials import Choice, SpaceError
from search_spaces.presets import PRESETS, preset
from search_spaces.spaces import space
from tests.search_spaces.sampling import sampled


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_part_of_the_whole_space(name: str) -> None:
    part, whole = preset(name), space()
    assert 1 <= part.size() <= whole.size()
    assert len({part.default(), *part.defaults()}) == len(part.defaults())
    for configuration in sampled(part, 10):
        assert part.parameters(configuration).keys() <= whole.parameters(configuration).keys()


def test_a_preset_can_be_narrowed_further() -> None:
    narrowed = preset("tiny", {"decoder": "Recurrent", "decoder.Recurrent.hidden_size": 128})
    assert type(narrowed.default().decoder).__name__ == "Recurrent"
    assert narrowed.ranges["decoder.Recurrent.hidden_size"] == Choice((128,))
    assert narrowed.ranges["encoder.Recurrent.hidden_size"] == Choice((64,))


def test_a_preset_of_one_family_has_no_other() -> None:
    kinds = {(type(c.encoder).__name__, type(c.decoder).__name__) for c in preset("transformer").defaults()}
    assert kinds == {("Transformer", "Transformer")}


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(SpaceError, match=r"space\.preset: no preset 'huge'; there are tiny, small, recurrent"):
        preset("huge")

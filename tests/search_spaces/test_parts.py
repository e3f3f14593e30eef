from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from automl.control.draws import Evenly
from search_spaces import attention, decoders, embeddings, encoders, parts
from search_spaces.presets import preset
from search_spaces.seq2seq import Seq2Seq

BLOCKS = Seq2Seq(encoders.Transformer(), decoders.Transformer())


def drawn(number: int) -> Iterator[Seq2Seq]:
    """Configurations of the preset of every kind and of widths eight to one."""
    space, draw = preset("base"), Random(0)
    return (space.sample(Evenly(draw)) for _ in range(number))


def test_a_model_has_a_part_as_often_as_it_has_layers_of_it() -> None:
    deep = replace(BLOCKS, encoder=encoders.Transformer(num_layers=4))
    assert len(parts.parts(deep)) == 4 + 2 + 2 + 2
    assert set(parts.parts(deep)) == set(parts.parts(BLOCKS))


@pytest.mark.parametrize(
    "dials",
    [
        {"positions": embeddings.Rotary()},
        {"attention": attention.MultiHead(2, 2)},
        {"norm": "rms"},
        {"norm_first": False},
        {"activation": "swiglu"},
        {"window": 4},
        {"num_layers": 1},
    ],
)
def test_what_is_data_to_a_block_makes_no_other_part(dials: dict[str, object]) -> None:
    assert set(parts.parts(replace(BLOCKS, decoder=decoders.Transformer(**dials)))) <= {
        *parts.parts(BLOCKS),
        parts.Tokens("blocks", 0, 128),
    }


def test_most_architectures_drawn_later_have_parts_that_are_known() -> None:
    known: set[parts.Part] = set()
    new = []
    for configuration in drawn(200):
        own = set(parts.parts(configuration))
        new.append(len(own - known))
        known |= own
    assert sum(new[:20]) > 5 * sum(new[-20:])
    assert new[-50:].count(0) > 25


@pytest.mark.parametrize(
    ("vocabulary", "size"), [(0, 0), (1, 16), (16, 16), (17, 24), (25, 32), (67, 96), (8000, 8192)]
)
def test_vocabularies_are_rounded_to_one_of_few_sizes(vocabulary: int, size: int) -> None:
    assert parts.rounded(vocabulary) == size


def test_a_model_without_an_encoder_has_none() -> None:
    assert parts.parts(Seq2Seq(encoder=encoders.Identity())) == ()

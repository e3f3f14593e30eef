import pytest

from automl.models.parameters import declared
from automl.models.seq2seq import Seq2Seq as Model
from search_spaces import attention, decoders, embeddings, encoders, stems
from search_spaces.costs import Extent, parameters, step_memory
from search_spaces.dials import from_dict, to_dict
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import space
from tests.search_spaces import compiled
from tests.search_spaces.sampling import sampled
from tests.search_spaces.test_costs import assert_counted

ENCODER = encoders.Transformer(64, 1, 2, attention.MultiHead(4), embeddings.Learned(64))
KINDS = [stems.Convolutions(14, 12, 1, 2, 32, 1), stems.Convolutions(9, 13, 3, 2, 16, 2), stems.Patches(14, 12, 3, 4)]


def of_images(stem: stems.Image) -> Seq2Seq:
    return Seq2Seq(encoder=ENCODER, decoder=decoders.Recurrent("gru", 64), stem=stem)


def extent(stem: stems.Image) -> Extent:
    return Extent(260, 50, 8, stem.height * stem.width * stem.channels, 6)


@pytest.mark.parametrize("stem", KINDS)
def test_what_a_model_of_images_costs_is_counted(stem: stems.Image) -> None:
    configuration = of_images(stem)
    model = Model(configuration, 260, 50)
    assert parameters(configuration, 260, 50) == sum(p.get_value().size for p in declared(model).values())
    assert_counted(configuration, extent(stem))


def test_the_memory_of_a_step_on_images_is_bounded() -> None:
    configuration = of_images(KINDS[0])
    peak = compiled.peak_memory(configuration, extent(KINDS[0]))
    assert peak <= step_memory(configuration, extent(KINDS[0])) <= 2 * peak


@pytest.mark.parametrize("size", [(4, 4, 1), (8, 8, 1), (28, 28, 1), (64, 48, 3), (224, 224, 3), (224, 7, 3)])
def test_cells_are_left_to_a_size_that_give_few_positions_and_not_too_few(size: tuple[int, int, int]) -> None:
    chosen = space({"encoder": "Transformer", **stems.narrowing(*size)})
    for configuration in sampled(chosen, 20):
        stem = configuration.stem
        assert not isinstance(stem, stems.Tokens)
        assert (stem.height, stem.width, stem.channels) == size
        assert 4 <= stems.positions(stem, 0) <= stems.MOST_POSITIONS
        assert from_dict(Seq2Seq, to_dict(configuration)) == configuration

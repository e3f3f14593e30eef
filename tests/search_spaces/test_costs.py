import pytest

from automl.models.parameters import declared
from automl.models.seq2seq import Seq2Seq as Model
from search_spaces.costs import parameters
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import space
from tests.search_spaces.sampling import sampled


@pytest.mark.parametrize("configuration", [*space().defaults(), *sampled(space(), 60)])
def test_parameters_are_counted_exactly(configuration: Seq2Seq) -> None:
    model = Model(configuration, 41, 29)
    count = sum(param.get_value().size for param in declared(model).values())
    assert parameters(configuration, 41, 29) == count

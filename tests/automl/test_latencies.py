from automl.latencies import Latencies, counted
from search_spaces import decoders, encoders
from search_spaces.costs import Extent
from search_spaces.seq2seq import Seq2Seq

ROW = Extent(50, 50, 1, 10, 8)
SMALL = Seq2Seq(encoders.Recurrent(hidden_size=64), decoders.Recurrent(hidden_size=64))
LARGE = Seq2Seq(encoders.Recurrent(hidden_size=512, num_layers=2), decoders.Recurrent(hidden_size=512, num_layers=2))
OTHER = Seq2Seq(encoders.Transformer(), decoders.Transformer())


def test_nothing_is_foretold_before_the_first_measurement():
    assert Latencies().predict(SMALL, ROW) is None


def test_a_measurement_is_foretold_again_and_larger_models_take_longer():
    latencies = Latencies()
    latencies.learn(SMALL, ROW, 0.01)
    small, large = (latencies.predict(each, ROW) for each in (SMALL, LARGE))
    assert small == 0.01
    assert large > 0.015


def test_models_of_the_same_kinds_count_before_others():
    latencies = Latencies()
    latencies.learn(SMALL, ROW, 2 * counted(SMALL, ROW))
    latencies.learn(OTHER, ROW, 9 * counted(OTHER, ROW))
    assert latencies.predict(LARGE, ROW) == 2 * counted(LARGE, ROW)

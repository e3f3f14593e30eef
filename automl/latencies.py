"""How long a model will take to decode one source, foretold from counts and from what was measured in this search."""

from statistics import median

from search_spaces import decoders, encoders, stems
from search_spaces.costs import Extent, decoding_operations, forward_operations
from search_spaces.seq2seq import Seq2Seq

OPERATIONS_A_SECOND = 4e9
CALL_SECONDS = 4e-5
"""What one layer costs at one position, whatever its size: the middle of what small models take on a processor core."""


class Latencies:
    """Foretells the seconds of a greedy decode of one row; better with every measurement."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[Seq2Seq, Extent], float] = {}

    def learn(self, configuration: Seq2Seq, extent: Extent, seconds: float) -> None:
        """Take note of a measurement."""
        self._ratios[configuration, extent] = seconds / counted(configuration, extent)

    def predict(self, configuration: Seq2Seq, extent: Extent) -> float | None:
        """Return the seconds that are expected; nothing before the first measurement.

        What models of the same kinds have taken, in the middle, counts before what all have.
        """
        families = _families(configuration)
        alike = [ratio for (other, _), ratio in self._ratios.items() if _families(other) == families]
        ratios = alike or list(self._ratios.values())
        return median(ratios) * counted(configuration, extent) if ratios else None


def counted(configuration: Seq2Seq, extent: Extent) -> float:
    """Return seconds by counts alone: of operations, and of layers that run one after another."""
    said = extent.target * decoding_operations(configuration, extent)
    read = max(forward_operations(configuration, extent) - said, 0)
    return (read + said) / OPERATIONS_A_SECOND + CALL_SECONDS * _calls(configuration, extent)


def _calls(configuration: Seq2Seq, extent: Extent) -> int:
    """Return how often a layer is called, one after another."""
    encoder, decoder = configuration.encoder, configuration.decoder
    said = extent.target * (decoder.num_layers + 1)
    match encoder:
        case encoders.Recurrent():
            return said + stems.positions(configuration.stem, extent.source) * encoder.num_layers
        case encoders.Identity():
            return said
        case _:
            return said + encoder.num_layers


def _families(configuration: Seq2Seq) -> tuple[type[encoders.Encoder], type[decoders.Decoder]]:
    return type(configuration.encoder), type(configuration.decoder)

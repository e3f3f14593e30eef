"""The whole configuration of a sequence-to-sequence model and its training."""

from dataclasses import dataclass

from search_spaces import decoders, encoders
from search_spaces.decoders import Decoder
from search_spaces.dials import one_of, uniform
from search_spaces.encoders import Encoder
from search_spaces.optimizers import AdamW, Optimizer

RECIPE = ("optimizer", "dropout", "label_smoothing")
"""The fields that say how a model is trained; the others say what it is."""


@dataclass(frozen=True)
class Seq2Seq:
    """Any encoder with any decoder, and the recipe that trains them."""

    encoder: Encoder = one_of(encoders.Recurrent, encoders.Transformer)
    decoder: Decoder = one_of(decoders.Recurrent, decoders.Transformer)
    optimizer: Optimizer = one_of(AdamW)
    dropout: float = uniform(0.3, 0.0, 0.5)
    label_smoothing: float = uniform(0.1, 0.0, 0.2)

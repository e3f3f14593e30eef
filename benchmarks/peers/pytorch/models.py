"""The whole model: any encoder with any decoder."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from benchmarks.peers.pytorch.attention import Source
from benchmarks.peers.pytorch.decoders import decoder_of
from benchmarks.peers.pytorch.encoders import encoder_of
from benchmarks.peers.pytorch.layers import PAD, Dropout
from benchmarks.peers.pytorch.weights import Weights


class Seq2Seq(nn.Module):
    """An encoder-decoder with the weights that were handed over.

    Raises:
        NotImplementedError: A kind is not built here.
        ValueError: The model has no place for some of the weights.
    """

    def __init__(self, configuration: Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.encoder = encoder_of(configuration["encoder"], weights.at("encoder"))
        self.decoder = decoder_of(configuration["decoder"], configuration["output"], weights.at("decoder"))
        if left := weights.left():
            raise ValueError(f"no place for the weights {', '.join(left)}")

    def forward(self, source: Tensor, copies: Tensor, inputs: Tensor, dropout: Dropout) -> Tensor:
        """Return logits, `[batch, target, vocabulary]`, after each token of known targets."""
        mask = source != PAD
        encoded = Source.of(self.encoder(source, mask, dropout), mask, copies)
        logits: Tensor = self.decoder(encoded, inputs, dropout)
        return logits

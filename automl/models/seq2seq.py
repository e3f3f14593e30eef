"""The whole model: any encoder with any decoder."""

from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from automl.data.tokenizers import PAD
from automl.models.attention import Memory
from automl.models.decoders import build_decoder
from automl.models.encoders import build_encoder
from automl.models.layers import Noise
from search_spaces import seq2seq as spaces


class Seq2Seq(nnx.Module):
    """An encoder-decoder (Sutskever et al., 2014).

    Args:
        configuration: Kinds and sizes.
        source_vocabulary: Number of source tokens, the special ones included.
        target_vocabulary: Number of target tokens, the special ones included.
    """

    def __init__(self, configuration: spaces.Seq2Seq, source_vocabulary: int, target_vocabulary: int) -> None:
        self.encoder = build_encoder(configuration.encoder, source_vocabulary)
        self.decoder = build_decoder(configuration.decoder, target_vocabulary, self.encoder.width)

    def encode(self, source: Int[Array, "batch source"], noise: Noise | None = None) -> Memory:
        """Encode a batch that is padded with `PAD`."""
        mask: Bool[Array, "batch source"] = source != PAD
        return self.encoder(source, mask, noise and noise.at(0))

    def __call__(
        self, source: Int[Array, "batch source"], inputs: Int[Array, "batch target"], noise: Noise | None = None
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each input token of a known target."""
        return self.decoder.outputs(self.encode(source, noise), inputs, noise and noise.at(1))

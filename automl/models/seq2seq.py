"""The whole model: any encoder with any decoder."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Num

from automl.models.attention import Memory
from automl.models.decoders import build_decoder
from automl.models.dropout import Noise
from automl.models.encoders import build_encoder
from automl.models.outputs import OutputKinds
from automl.models.stems import seen
from search_spaces import decoders
from search_spaces import seq2seq as spaces
from search_spaces.stems import Tokens


class Seq2Seq(nnx.Module):
    """An encoder-decoder (Sutskever et al., 2014), or a decoder alone.

    Args:
        configurations: Kinds and sizes. Of several, the model is the hull: as large as the largest, of all of their
            kinds; it then computes what the one would that it is bound to (see `automl.models.facts`).
        source_vocabulary: Number of source tokens, the special ones included.
        target_vocabulary: Number of target tokens, the special ones included.
    """

    def __init__(
        self,
        configurations: spaces.Seq2Seq | Sequence[spaces.Seq2Seq],
        source_vocabulary: int,
        target_vocabulary: int,
    ) -> None:
        several = [configurations] if isinstance(configurations, spaces.Seq2Seq) else list(configurations)
        sizes = [decoders.size_of(c.decoder) for c in several]
        self.size = max(sizes)
        pairs = [(c.encoder, size) for c, size in zip(several, sizes, strict=True)]
        self.stem, *others = dict.fromkeys(c.stem for c in several)
        if others:
            raise ValueError("models of several stems share no program")
        self.encoder = build_encoder(pairs, source_vocabulary, self.size, self.stem)
        output = OutputKinds(target_vocabulary, [c.output for c in several], [c.tied_embeddings for c in several])
        self.decoder = build_decoder([c.decoder for c in several], output, attends=self.encoder is not None)

    def encode(
        self,
        source: Num[Array, "batch source"],
        noise: Noise | None = None,
        copies: Int[Array, "batch source"] | None = None,
    ) -> Memory:
        """Encode a batch that is padded with `PAD`; the tokens of an image may be numbers between two brightnesses.

        Args:
            copies: For each source token the target token that it could be copied as, or `PAD`.
        """
        mask = seen(self.stem, source)
        copies = copies if isinstance(self.stem, Tokens) else None
        if self.encoder is None:
            return Memory(jnp.zeros((*mask.shape, self.size)), mask, copies)
        states = self.encoder.pick(lambda encoder: encoder(source, mask, noise and noise.at(0)))
        return Memory(jnp.where(mask[:, :, None], states, 0.0), mask, copies)

    def __call__(
        self,
        source: Num[Array, "batch source"],
        inputs: Int[Array, "batch target"],
        noise: Noise | None = None,
        copies: Int[Array, "batch source"] | None = None,
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the logits after each input token of a known target."""
        memory = self.encode(source, noise, copies)
        logits: Array = self.decoder.pick(lambda decoder: decoder.outputs(memory, inputs, noise and noise.at(1)))
        return logits

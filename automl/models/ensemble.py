"""Ensembles: several models of the same tokens that speak as one, by the mean of their log-probabilities."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from automl.models.attention import Memory
from automl.models.decoders import Decoder
from automl.models.dropout import Noise
from automl.models.seq2seq import Seq2Seq
from search_spaces import seq2seq as spaces
from search_spaces.stems import Stem

T = TypeVar("T")
Memories = tuple[Memory, ...]
Carries = tuple[tuple[Any, ...], tuple[Any, ...]]


class Chorus:
    """The decoders of an ensemble, each with its own memory and carry; it takes the place of one of them."""

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        self.members = members

    def pick(self, call: Callable[["Chorus"], T]) -> T:
        """Call the chorus itself; there is only one."""
        return call(self)

    def start(self, memory: Memories, length: int) -> Carries:
        """Return what each member hands on before the first token, and what it computes once a source."""
        begun: list[Any] = []
        for member, own in zip(self.members, memory, strict=True):

            def start(decoder: Decoder, own: Memory = own) -> Any:
                return decoder.start(own, length)

            begun.append(member.decoder.pick(start))
        return tuple(carry for carry, _ in begun), tuple(constant for _, constant in begun)

    @property
    def grows(self) -> bool:
        """Whether any member hands on more with each token."""
        return any(member.decoder.pick(lambda decoder: decoder.grows) for member in self.members)

    def resized(self, carry: tuple[Any, ...], length: int) -> tuple[Any, ...]:
        """Return what each member hands on with room for `length` tokens."""
        found: list[Any] = []
        for member, own in zip(self.members, carry, strict=True):

            def resized(decoder: Decoder, own: Any = own) -> Any:
                speaking: Any = decoder
                return speaking.resized(own, length)

            found.append(member.decoder.pick(resized))
        return tuple(found)

    def step(
        self, memory: Memories, carry: Carries, tokens: Int[Array, "batch"], position: Int[Array, ""]
    ) -> tuple[Carries, Float[Array, "batch vocabulary"]]:
        """Return the carries after one token a row, and the mean log-probabilities of the next."""
        after, scores = [], []
        for member, own, changing, constant in zip(self.members, memory, *carry, strict=True):

            def step(decoder: Decoder, own: Memory = own, handed: Any = (changing, constant)) -> Any:
                return decoder.step(own, handed, tokens, position)

            (handed, _), logits = member.decoder.pick(step)
            after.append(handed)
            scores.append(jax.nn.log_softmax(logits, axis=-1))
        return (tuple(after), carry[1]), jnp.stack(scores).mean(axis=0)


class Ensemble(nnx.Module):
    """Models whose log-probabilities are averaged, as those of a product of experts (Hinton, 2002).

    Args:
        configurations: One of each model; all read and say the same tokens.
        source_vocabulary: Number of source tokens, the special ones included.
        target_vocabulary: Number of target tokens, the special ones included.
    """

    def __init__(
        self, configurations: Sequence[spaces.Seq2Seq], source_vocabulary: int, target_vocabulary: int
    ) -> None:
        self.members = nnx.List([Seq2Seq(c, source_vocabulary, target_vocabulary) for c in configurations])

    @property
    def decoder(self) -> Chorus:
        """What says the target."""
        return Chorus(list(self.members))

    @property
    def stem(self) -> Stem:
        """How sources enter, as texts or as images; those of all members are alike in that."""
        stem: Stem = self.members[0].stem
        return stem

    def encode(
        self,
        source: Int[Array, "batch source"],
        noise: Noise | None = None,
        copies: Int[Array, "batch source"] | None = None,
    ) -> Memories:
        """Encode a batch by each member."""
        return tuple(member.encode(source, noise, copies) for member in self.members)

    def __call__(
        self,
        source: Int[Array, "batch source"],
        inputs: Int[Array, "batch target"],
        noise: Noise | None = None,
        copies: Int[Array, "batch source"] | None = None,
    ) -> Float[Array, "batch target vocabulary"]:
        """Return the mean log-probabilities after each input token of a known target."""
        scores = [jax.nn.log_softmax(member(source, inputs, noise, copies), axis=-1) for member in self.members]
        return jnp.stack(scores).mean(axis=0)


Model = Seq2Seq | Ensemble
Speaker = Decoder | Chorus

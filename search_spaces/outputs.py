"""Outputs: from a decoder's vector to the probability of each target token."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Softmax:
    """A linear map and a softmax over the vocabulary (Bridle, 1990)."""


@dataclass(frozen=True)
class PointerGenerator:
    """A softmax mixed with copying from the source, in a share that the decoder chooses (See et al., 2017).

    What is copied is the target token of the same text as a source token.
    """


Output = Softmax | PointerGenerator

"""The program that is exported: greedy decoding of a bundle from source tokens to target tokens."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from automl.bundle import Bundle
from automl.data.tokenizers import PAD, Tokenizer, copies
from automl.decoding.answers import Request
from automl.decoding.programs import greedy
from automl.description import described
from automl.models.ensemble import Ensemble
from automl.models.facts import bind
from automl.models.seq2seq import Seq2Seq
from search_spaces.tokenizers import Boxes

Decoding = Callable[
    [Mapping[str, Float[Array, "..."]], Int[Array, "batch source"]],
    tuple[Int[Array, "batch target"], Float[Array, "batch"]],
]


def decoding_program(bundle: Bundle) -> Decoding:
    """Return what takes parameters and sources and returns tokens, padded with 0, and their log-probabilities.

    For sources longer than all of train it says no more than for the longest of these.
    """
    description = described(bundle.config)
    vocabularies = description.source_vocabulary, description.target_vocabulary
    members = description.configuration, *description.others
    model = Seq2Seq(members[0], *vocabularies) if len(members) == 1 else Ensemble(members, *vocabularies)
    tokenizers = map(Tokenizer.from_json, (bundle.source_tokenizer, bundle.target_tokenizer))
    source, target = tokenizers
    copied, limits = copies(source, target), description.limits
    doubt = jnp.asarray(np.bool_(True)) if target.kind is Boxes else None
    steps = np.diff([0, *limits.most]).tolist()  # by which the limit grows, beyond each length but the last

    def program(parameters: Any, source: Any) -> Any:
        lengths = (source != PAD).sum(axis=1)
        grown = (
            jnp.where(lengths > shorter, step, 0) for shorter, step in zip((-1, *limits.sources), steps, strict=False)
        )
        request = Request(sum(grown, jnp.zeros_like(lengths)).astype(jnp.int32), doubt=doubt)
        decoded = greedy(bind(model, parameters), source, jnp.asarray(copied)[source], limits.usual, request)
        return decoded.tokens, decoded.scores

    return program


def shapes(bundle: Bundle) -> dict[str, Any]:
    """Return the shapes of a bundle's parameters."""
    struct: Any = jax.ShapeDtypeStruct
    return {name: struct(value.shape, jnp.float32) for name, value in bundle.weights.items()}

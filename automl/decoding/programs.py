"""Programs: every way of decoding a model, and of scoring what it might have said, under `jax.jit`.

All take parameters, sources, and for each source token the target token that it could be copied as.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from automl.data.tokenizers import PAD
from automl.decoding.answers import Decoded, Draw, Hypotheses, Penalty, Request, Thoughts
from automl.decoding.beam import beam_search
from automl.decoding.sampling import drawing
from automl.decoding.steps import Choice, Walk, begin, likeliest, walk
from automl.models.attention import Memory
from automl.models.ensemble import Chorus, Memories, Model, Speaker
from automl.models.facts import bind
from automl.models.outputs import TINY
from automl.models.parameters import Parameters

KEPT = 10
"""The likeliest tokens that are kept in place of each where there is doubt."""

Tokens = Int[Array, "batch source"]
Copies = Int[Array, "source_vocabulary"]


def greedy(
    model: Model,
    source: Tokens,
    copies: Tokens,
    length: int,
    request: Request,
    choose: Choice = likeliest,
    kept: int = 0,
) -> Decoded:
    """Take the likeliest token at each step, until the end token or `request.most` tokens of the row.

    Where there is doubt the end is taken when it is unlikely that a row goes on (`steps.LEAST_GOING`).
    A row of padding alone ends at once. The tokens come in an array of `length`, and so many of the likeliest in place
    of each are `kept`. `copies` holds the target token that each source token could be copied as.
    """
    memory = model.encode(source, copies=copies)

    def decoded(decoder: Any) -> Decoded:
        return walk(decoder, memory, begin(decoder, memory, source, length, kept), choose, request).decoded

    found: Decoded = model.decoder.pick(decoded)
    return found


def greedy_program(model: Model, length: int) -> Callable[..., Decoded]:
    """Return greedy decoding of a `Request`, by default of up to `length` tokens."""

    def program(parameters: Parameters, source: Tokens, copies: Copies, request: Request | None = None) -> Decoded:
        asked = Request(jnp.asarray(np.int32(length))) if request is None else request
        kept = 0 if asked.doubt is None else KEPT
        return greedy(bind(model, parameters), source, copies[source], length, asked, kept=kept)

    return jax.jit(program)


def sampling_program(model: Model, length: int) -> Callable[..., Decoded]:
    """Return the decoding of a `Request` by a `Draw`."""

    def program(parameters: Parameters, source: Tokens, copies: Copies, request: Request, draw: Draw) -> Decoded:
        return greedy(bind(model, parameters), source, copies[source], length, request, drawing(draw))

    return jax.jit(program)


def beam_program(model: Model, length: int, beam: int) -> Callable[..., Hypotheses]:
    """Return the search for a `Request` with so many partial targets, compared by a `Penalty`."""

    def program(
        parameters: Parameters, source: Tokens, copies: Copies, request: Request, penalty: Penalty
    ) -> Hypotheses:
        bound = bind(model, parameters)
        memory = bound.encode(source, copies=copies[source])
        found: Hypotheses = bound.decoder.pick(
            lambda decoder: beam_search(decoder, memory, source, length, beam, penalty, request)
        )
        return found

    return jax.jit(program)


Leaves = tuple[Array, ...]


def begin_program(model: Model, length: int) -> Callable[..., Leaves]:
    """Return the encoding of sources and where their rows stand before the first token, for `advance_program`."""
    return jax.jit(lambda *inputs: tuple(jax.tree.leaves(_begun(model, length, *inputs))))


def _begun(
    model: Model, length: int, parameters: Parameters, source: Tokens, copies: Copies
) -> tuple[Memory | Memories, Walk]:
    bound = bind(model, parameters)
    memory = bound.encode(source, copies=copies[source])
    begun: Walk = bound.decoder.pick(lambda decoder: begin(decoder, memory, source, length))
    return memory, begun


def advance_program(model: Model, length: int) -> Callable[..., tuple[Leaves, Array, Array]]:
    """Return decoding from where rows stand up to a position, by a `Draw`; it consumes where they stood.

    The second output are the tokens so far, the third says which rows have ended. What a row stands at are bare
    arrays, so that who hands it on need not know the model.
    """

    def program(
        parameters: Parameters,
        stand: Leaves,
        source: Tokens,
        copies: Copies,
        request: Request,
        draw: Draw,
        until: Int[Array, ""],
    ) -> tuple[Leaves, Array, Array]:
        form = jax.tree.structure(
            jax.eval_shape(lambda *args: _begun(model, length, *args), parameters, source, copies)
        )
        memory, begun = jax.tree.unflatten(form, stand)
        bound = bind(model, parameters)
        after: Walk = bound.decoder.pick(lambda decoder: walk(decoder, memory, begun, drawing(draw), request, until))
        return tuple(jax.tree.leaves((memory, after))), after.decoded.tokens, after.ended

    return jax.jit(program, donate_argnums=1)


def thoughts_program(model: Model) -> Callable[..., Thoughts]:
    """Return what a model makes of known targets, token by token; it takes what `score_program` does.

    Of an ensemble, weights and shares that are copied are the means of its members'.
    """

    def program(
        parameters: Parameters, source: Tokens, copies: Copies, inputs: Int[Array, "batch target"], targets: Array
    ) -> Thoughts:
        bound = bind(model, parameters)
        memory = bound.encode(source, copies=copies[source])
        found: Told = bound.decoder.pick(lambda decoder: told(decoder, memory, inputs, targets))
        scores = found.scores
        own = jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
        likeliest = scores.argmax(axis=-1).astype(jnp.int32)
        return Thoughts(own, likeliest, scores.max(axis=-1), found.copied, found.weights)

    return jax.jit(program)


class Told(NamedTuple):
    """Log-probabilities after each token of known targets, what share of the next is copied, and where it looked."""

    scores: Float[Array, "batch target vocabulary"]
    copied: Float[Array, "batch target"]
    weights: Float[Array, "batch target source"]


def told(decoder: Speaker, memory: Memory | Memories, inputs: Int[Array, "batch target"], targets: Array) -> Told:
    """Return what a decoder, or each of an ensemble, makes of known targets."""
    if isinstance(decoder, Chorus):
        own: Any = memory  # one a member
        pairs = zip(decoder.members, own, strict=True)
        parts = [each.decoder.pick(partial(_told, its, inputs, targets)) for each, its in pairs]
        scores, copied, weights = (jnp.stack(each).mean(axis=0) for each in zip(*parts, strict=True))
        return Told(jax.nn.log_softmax(scores, axis=-1), copied, weights)
    assert isinstance(memory, Memory)
    x, weights = decoder.seen(memory, inputs)
    scores = jax.nn.log_softmax(decoder.output(x, decoder.embedding, weights, memory.copies), axis=-1)
    own = jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
    copied = decoder.output.copied(x, weights, memory.copies, targets) / jnp.maximum(jnp.exp(own), TINY)
    return Told(scores, jnp.minimum(copied, 1), weights)


def _told(memory: Memory, inputs: Array, targets: Array, decoder: Speaker) -> Told:
    return told(decoder, memory, inputs, targets)


def gist_program(model: Model) -> Callable[..., Float[Array, "batch size"]]:
    """Return the mean of the vectors that a source is encoded as; of an ensemble, those of its members end to end."""

    def program(parameters: Parameters, source: Tokens) -> Float[Array, "batch size"]:
        memory = bind(model, parameters).encode(source)
        of_each = [memory] if isinstance(memory, Memory) else memory
        count = jnp.maximum((source != PAD).sum(axis=1, keepdims=True), 1)
        means = [own.states.sum(axis=1) / count for own in of_each]  # what lies under the padding is 0
        return jnp.concatenate(means, axis=1)

    return jax.jit(program)


def score_program(model: Model) -> Callable[..., Float[Array, "batch target"]]:
    """Return the log-probability of each token of known targets, of all that the model might have said.

    It takes the targets behind `BOS` (`inputs`), and before `EOS` (`targets`).
    """

    def program(
        parameters: Parameters, source: Tokens, copies: Copies, inputs: Int[Array, "batch target"], targets: Array
    ) -> Float[Array, "batch target"]:
        logits = bind(model, parameters)(source, inputs, None, copies[source])
        scores = jax.nn.log_softmax(logits, axis=-1)
        return jnp.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]

    return jax.jit(program)

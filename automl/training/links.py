"""Links: a stage as compiled programs, forwards and backwards, shared by every trial that has such a stage.

What the backward program needs of the forward one is handed over as arrays, but for its inputs: it is given them again.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from automl.data.batching import Bucket
from automl.data.tokenizers import PAD
from automl.decoding.steps import sayable
from automl.models.facts import Fact, bind, encoded
from automl.models.parameters import Form, Parameters
from automl.models.stages import Inputs, Stage, stage
from automl.training.executables import Batch, DeviceSplit, gather
from automl.training.losses import TokenCounts, smoothed_cross_entropy, token_counts
from automl.training.optimizers import Moments, Recipe, stepped
from automl.training.schedules import Coefficients, Pace
from search_spaces.optimizers import Optimizer
from search_spaces.parts import Part

TRACED = ("num_heads", "key_value_heads", "window", "buckets", "length")
"""Numbers that are data to a stage; other sizes are its own."""
TERMS = 64
"""Sums of squares that are added up at once."""
SHARED = ("embedding.table", "relations.table")
"""Parameters that several stages of a model may have in common."""


class Drawn(NamedTuple):
    """A batch: what stages see of it, and the targets."""

    inputs: Inputs
    targets: Int[Array, "batch target"]


class Numbers(NamedTuple):
    """What the loss of a batch depends on besides."""

    smoothing: Float[Array, ""]
    tokens: Float[Array, ""]


class Backward(NamedTuple):
    """What a stage hands back: to the stage before it, to the encoder, and to the optimizer.

    Attributes:
        carry: Gradient of the stage's input.
        memory: Gradient of the encoded source, summed up so far.
        gradients: Of the stage's parameters, summed up so far.
        squares: Sum of the squares of those that are the stage's alone.
    """

    carry: Any
    memory: Any
    gradients: Parameters
    squares: Float[Array, ""]


def facts_of(module: nnx.Module) -> tuple[str, ...]:
    """Return the facts of a stage that are data, in the order of their numbers in one array."""
    return tuple(name for name, own in _declared_facts(module).items() if _is_data(name, own))


def numbers_of(module: nnx.Module, true: Mapping[str, int | str]) -> NDArray[np.int32]:
    """Return the facts of a stage that are data, of a model that has the `true` ones by the stage's paths."""
    known = encoded(module, true)
    return np.asarray([known[name] for name in facts_of(module)], np.int32)


def _declared_facts(module: nnx.Module) -> dict[str, Any]:
    flat = nnx.to_flat_state(nnx.state(module, Fact))
    return {".".join(map(str, path)): own for path, own in sorted(flat, key=lambda item: str(item[0]))}


def _is_data(name: str, own: Any) -> bool:
    among = own.get_metadata("names")
    return name.rpartition(".")[2] in TRACED or name == "output.size" if among is None else len(among) > 1


@cache
def _stage(part: Part) -> Stage:
    return stage(part)


def _bound(part: Part, parameters: Parameters, facts: Int[Array, "facts"]) -> Any:
    """Return the stage of a trial: facts that are data from the array, the others as the stage declares them."""
    module = _stage(part)
    own: dict[str, Any] = {name: declared.get_value() for name, declared in _declared_facts(module).items()}
    own |= {name: facts[place] for place, name in enumerate(facts_of(module))}
    return bind(module, parameters, own)


def _pulled(part: Part, given: Any) -> tuple[Any, Any, list[Any], list[int]]:
    """Run a stage; return its output, how to go back, what that needs, and which of it are inputs (else -1)."""
    parameters, facts, carry, memory, inputs, noise = given

    def run(parameters: Parameters, carry: Any, memory: Any) -> Any:
        return _bound(part, parameters, facts)(carry, memory, inputs, noise)

    output, pull = jax.vjp(run, parameters, carry, memory)
    needed, tree = jax.tree.flatten(pull)
    known = {id(leaf): place for place, leaf in enumerate(jax.tree.leaves(given))}
    return output, tree, needed, [known.get(id(leaf), -1) for leaf in needed]


def forward(part: Part) -> Callable[..., Any]:
    """Return the program of (parameters, facts, carry, memory, inputs, noise): the output, and what is to be kept."""

    def program(*given: Any) -> tuple[Any, list[Any]]:
        output, _, needed, places = _pulled(part, given)
        return output, [leaf for leaf, place in zip(needed, places, strict=True) if place < 0]

    return jax.jit(program)


def backward(part: Part) -> Callable[..., Any]:
    """Return the program of what `forward` was given, what it kept, the gradient of its output, and the sums so far."""

    def program(given: Any, kept: list[Any], cotangent: Any, memory: Any, gradients: Parameters) -> Backward:
        _, tree, _, places = _pulled(part, given)
        left, inputs = iter(kept), jax.tree.leaves(given)
        pull = jax.tree.unflatten(tree, [inputs[place] if place >= 0 else next(left) for place in places])
        own, carry, more = pull(cotangent)
        total = None if memory is None else memory + more
        return Backward(carry, total, *_summed(gradients, own))

    return jax.jit(program, donate_argnums=4)


def head(part: Part) -> Callable[..., Any]:
    """Return the program of the last stage: the loss, added up, and what goes back."""

    def program(
        given: Any, targets: Int[Array, "batch target"], numbers: Numbers, loss: Float[Array, ""], gradients: Parameters
    ) -> tuple[Float[Array, ""], Backward]:
        parameters, facts, carry, memory, inputs, noise = given

        def of(parameters: Parameters, carry: Any) -> Array:
            bound = _bound(part, parameters, facts)
            logits, size = bound(carry, memory, inputs, noise), bound.output.size.get_value()
            return smoothed_cross_entropy(
                logits, targets, targets != PAD, numbers.smoothing, size, tokens=numbers.tokens
            )

        own_loss, (own, back) = jax.value_and_grad(of, argnums=(0, 1))(parameters, carry)
        return loss + own_loss, Backward(back, None, *_summed(gradients, own))

    return jax.jit(program, donate_argnums=4)


def judge(part: Part) -> Callable[..., Any]:
    """Return the program of the last stage that counts what is right."""

    def program(given: Any, targets: Int[Array, "batch target"]) -> TokenCounts:
        parameters, facts, carry, memory, inputs, noise = given
        logits = _bound(part, parameters, facts)(carry, memory, inputs, noise)
        guesses = sayable(logits).argmax(axis=-1)
        return token_counts(logits, guesses, targets, targets != PAD)

    return jax.jit(program)


def _summed(gradients: Parameters, own: Parameters) -> tuple[Parameters, Float[Array, ""]]:
    total = {name: gradients[name] + own[name] for name in own}
    return total, sum((jnp.square(g).sum() for name, g in total.items() if name not in SHARED), jnp.zeros(()))


def drawn(bucket: Bucket) -> Callable[..., Any]:
    """Return the program that gathers the rows of a batch."""

    def program(split: DeviceSplit, rows: Int[Array, "batch"]) -> Drawn:
        batch: Batch = gather(split, rows, bucket)
        return Drawn(Inputs(batch.source, batch.copies, batch.inputs), batch.targets)

    return jax.jit(program)


def square() -> Callable[..., Any]:
    """Return the program that sums up squares."""
    return jax.jit(lambda gradient: jnp.square(gradient).sum())


def clip() -> Callable[..., Any]:
    """Return the program of sums of squares and the largest norm: what clips the gradients to it."""

    def program(squares: list[Float[Array, ""]], largest: Float[Array, ""]) -> Float[Array, ""]:
        total = sum(squares, jnp.zeros(()))
        return largest / jnp.maximum(jnp.sqrt(total), largest)

    return jax.jit(program)


class Moved(NamedTuple):
    """All that an optimizer keeps of one parameter; the gradient is 0 after a step."""

    parameter: Float[Array, "..."]
    first: Float[Array, "..."]
    second: Float[Array, "..."]
    average: Float[Array, "..."]
    gradient: Float[Array, "..."]


class Dials(NamedTuple):
    """The numbers of one step for one kind of parameter.

    Attributes:
        coefficients: Of the moments and the rate.
        average: Share of the new parameters in the average.
        decay: Weight decay.
        kind: Which optimizer.
    """

    coefficients: Coefficients
    average: Float[Array, ""]
    decay: Float[Array, ""]
    kind: Int[Array, ""]


def update(form: Form, kinds: tuple[type[Optimizer], ...]) -> Callable[..., Any]:
    """Return the program that takes a step with one parameter."""

    def program(now: Moved, dials: Dials, clip: Float[Array, ""], size: Int[Array, "2"]) -> Moved:
        zero = jnp.zeros(())
        parameters, moments = stepped(
            {"": now.parameter},
            {"": clip * now.gradient},
            Moments({"": now.first}, {"": now.second}),
            Pace(dials.coefficients, dials.coefficients, dials.average),
            Recipe(dials.kind, dials.decay, zero, zero),
            {"": form},
            sizes={"": (size[0], size[1])},
            kinds=kinds,
        )
        new = parameters[""]
        average = now.average + dials.average * (new - now.average)
        return Moved(new, moments.first[""], moments.second[""], average, jnp.zeros_like(now.gradient))

    return jax.jit(program, donate_argnums=0)

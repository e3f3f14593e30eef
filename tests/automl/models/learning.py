"""Tasks on random strings, and the steps that a combination of encoder, decoder and attention takes to learn one.

`python -m tests.automl.models.learning` prints the table in `docs/models.md`.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from automl.data.tokenizers import BOS, EOS
from automl.models.facts import bind
from automl.models.parameters import forms, initialise
from automl.models.seq2seq import Seq2Seq as Model
from automl.training.layout import Layout
from automl.training.losses import smoothed_cross_entropy
from automl.training.optimizers import Recipe, initial_moments, updated
from automl.training.schedules import pace
from search_spaces.attention import Additive, Attention, Concat, Dot, General, Local, MultiHead
from search_spaces.decoders import Decoder, SimpleRecurrent
from search_spaces.decoders import Recurrent as RecurrentDecoder
from search_spaces.decoders import Transformer as TransformerDecoder
from search_spaces.embeddings import ALiBi, Learned, NoPositions, Positions, RelativeBias, Rotary
from search_spaces.encoders import Convolution, Encoder, Identity, Recurrent, Transformer
from search_spaces.outputs import PointerGenerator
from search_spaces.schedules import ExponentialAverage
from search_spaces.seq2seq import Seq2Seq

LETTERS, LENGTH, PERIOD = 8, 8, 3
VOCABULARY = 4 + LETTERS
BATCH, CHUNK, MOST, TESTED, ENOUGH = 64, 50, 1500, 512, 0.99
TASKS: dict[str, Callable[[Any], Any]] = {
    "reverse copy": lambda strings: strings[:, ::-1],
    "copy": lambda strings: strings,
    "sorted copy": lambda strings: jnp.sort(strings, axis=1),
    "periodic sequence": lambda strings: jnp.tile(strings[:, :PERIOD], (1, LENGTH))[:, :LENGTH],
}
HEADS, SIZE = MultiHead(4), 32
ENCODERS: dict[str, Encoder] = {
    "LSTM, both directions": Recurrent("lstm", SIZE, 1, True),
    "GRU, one direction": Recurrent("gru", SIZE, 1, False),
    "minGRU, both directions, residual": Recurrent("mingru", SIZE, 2, True, True),
    "Transformer, sinusoidal": Transformer(SIZE, 2, 2, HEADS),
    "convolution, sinusoidal": Convolution(SIZE, 2, 3),
}
LOOKS: dict[str, Attention] = {
    "additive": Additive(SIZE),
    "dot": Dot(),
    "general": General(),
    "concat": Concat(SIZE),
    "multi-head": HEADS,
    "local": Local(2),
}
DECODERS: dict[str, Decoder] = {
    **{
        f"{cell.upper()}, {look}": RecurrentDecoder(cell, SIZE, 1, LOOKS[look])
        for cell, look in zip(("lstm", "gru") * 3, LOOKS, strict=True)
    },
    "Transformer, sinusoidal": TransformerDecoder(SIZE, 2, 2, HEADS),
    "SSRU": SimpleRecurrent(SIZE, 2, 2, HEADS),
}
POSITIONS: dict[str, Positions] = {
    "learned": Learned(16),
    "rotary": Rotary(),
    "relative bias": RelativeBias(32),
    "ALiBi": ALiBi(),
    "no positions": NoPositions(),
}


def _combinations() -> dict[str, Seq2Seq]:
    found = {f"{e} → {d}": Seq2Seq(ENCODERS[e], DECODERS[d]) for e in ENCODERS for d in DECODERS}
    for name, positions in POSITIONS.items():
        encoder = Transformer(SIZE, 2, 2, HEADS, positions)
        found[f"Transformer, {name} → Transformer, {name}"] = Seq2Seq(
            encoder, TransformerDecoder(SIZE, 2, 2, HEADS, positions)
        )
    for name in ("learned", "no positions"):
        encoder = Convolution(SIZE, 2, 3, POSITIONS[name])
        found[f"convolution, {name} → LSTM, additive"] = Seq2Seq(encoder, DECODERS["LSTM, additive"])
    for name in ("LSTM, additive", "Transformer, sinusoidal", "SSRU"):
        found[f"LSTM, both directions → {name}, copying"] = Seq2Seq(
            ENCODERS["LSTM, both directions"], DECODERS[name], PointerGenerator()
        )
        found[f"no encoder → {name.replace(', additive', '')}"] = Seq2Seq(Identity(), DECODERS[name])
    return found


COMBINATIONS = _combinations()
ALONE = ("periodic sequence", "without an encoder nothing is known of a source; the first period is not asked for")
NARROW = ("copy", "the window lies where the string is copied from; what is reversed lies outside it for most tokens")
OTHERS: dict[str, tuple[str, str]] = {
    **{name: ALONE for name in COMBINATIONS if name.startswith("no encoder")},
    **{f"{encoder} → GRU, local": NARROW for encoder in list(ENCODERS)[:3]},
    "Transformer, no positions → Transformer, no positions": ("sorted copy", "the encoder knows no order"),
    "Transformer, ALiBi → Transformer, ALiBi": (
        "sorted copy",
        "the bias is the same on both sides, so that the encoder gives a string and its mirror image the same vectors",
    ),
}
"""Combinations that do not learn reverse copy in these steps, with the task that they learn and the reason."""


def task_of(name: str) -> str:
    """The task that a combination shall learn."""
    return OTHERS[name][0] if name in OTHERS else "reverse copy"


class Outcome(NamedTuple):
    """Steps until at least 99 % of unseen strings were right, if they ever were; the shares from chunk to chunk; and
    the averaged parameters at the end."""

    steps: int | None
    shares: list[float]
    average: Any


def learned(configuration: Seq2Seq, task: str) -> Outcome:
    """Train on fresh strings until unseen ones come out right, by the product's update at AdamW's default recipe."""
    model = Model(configuration, VOCABULARY, VOCABULARY)
    parameters: Any = {path: jnp.asarray(value) for path, value in initialise(model, 0).items()}
    optimizer, averaging = configuration.optimizer, ExponentialAverage(0.99)
    state, shares = (parameters, initial_moments(parameters), parameters), []
    run, recipe = jax.jit(_program(model, task, type(optimizer))), Recipe.of(configuration)
    for first in range(0, MOST, CHUNK):
        paces = pace(optimizer, configuration.schedule, averaging, first, CHUNK, None)
        state, share = run(state, jax.tree.map(np.float32, paces), recipe, jax.random.key(first))
        shares.append(float(share))
        if shares[-1] >= ENOUGH:
            return Outcome(first + CHUNK, shares, state[2])
    return Outcome(None, shares, state[2])


def _program(model: Model, task: str, optimizer: Any) -> Callable[..., Any]:
    """Program of (parameters, moments and average; paces; recipe; seed) that takes a step a pace, then tests the average.

    Every token right when the target is known is the same as every token right when it is decoded greedily.
    """

    def logits_of(parameters: Any, key: Any, rows: int) -> tuple[Any, Any, Any]:
        source = jax.random.randint(key, (rows, LENGTH), 4, VOCABULARY, jnp.int32)
        target = jnp.pad(TASKS[task](source), ((0, 0), (0, 1)), constant_values=EOS)
        inputs = jnp.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
        asked = jnp.arange(LENGTH + 1) >= (PERIOD if model.encoder is None else 0)
        return bind(model, parameters)(source, inputs, None, source), target, jnp.broadcast_to(asked, target.shape)

    def loss_of(parameters: Any, key: Any) -> Any:
        return smoothed_cross_entropy(*logits_of(parameters, key, BATCH), jnp.float32(0))

    def run(state: Any, paces: Any, recipe: Any, key: Any) -> Any:
        def step(state: Any, item: Any) -> Any:
            (parameters, moments, average), (now, seed) = state, item
            gradients, layout = jax.grad(loss_of)(parameters, seed), Layout.apart(parameters, forms(model))
            parameters, moments = updated(parameters, gradients, moments, now, recipe, layout, kinds=[optimizer])
            average = jax.tree.map(lambda a, p: a + now.average * (p - a), average, parameters)
            return (parameters, moments, average), None

        *seeds, unseen = jax.random.split(key, CHUNK + 1)
        state, _ = jax.lax.scan(step, state, (paces, jnp.stack(seeds)))
        logits, target, asked = logits_of(state[2], unseen, TESTED)
        return state, jnp.all((logits.argmax(-1) == target) | ~asked, axis=1).mean(dtype=jnp.float32)

    return run


def rows() -> Iterator[str]:
    """Lines of two tables in Markdown: encoders by decoders, and what else there is."""
    yield f"| encoder | {' | '.join(DECODERS)} |"
    yield "|---" * (1 + len(DECODERS)) + "|"
    for encoder in ENCODERS:
        yield f"| {encoder} | {' | '.join(_cell(f'{encoder} → {decoder}') for decoder in DECODERS)} |"
    yield "\n| combination | task | steps |\n|---|---|---|"
    crossed = {f"{encoder} → {decoder}" for encoder in ENCODERS for decoder in DECODERS}
    for name in COMBINATIONS:
        if name not in crossed:
            yield f"| {name} | {task_of(name)} | {_steps(name)} |"


def _cell(name: str) -> str:
    return f"{_steps(name)} ({task_of(name)})" if name in OTHERS else _steps(name)


def _steps(name: str) -> str:
    found = learned(COMBINATIONS[name], task_of(name))
    return f"not in {MOST}, {max(found.shares):.0%} right" if found.steps is None else str(found.steps)


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)

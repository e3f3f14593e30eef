"""What Optuna with Flax comes to: a model at its true size, and one `jax.jit` of a training step for each trial."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from automl.models.dropout import Noise
from automl.models.facts import bind
from automl.models.parameters import forms
from automl.models.seq2seq import Seq2Seq as Model
from automl.training.course import noise_of
from automl.training.layout import Layout
from automl.training.losses import smoothed_cross_entropy
from automl.training.optimizers import Recipe, updated
from automl.training.schedules import pace
from automl.training.steps import further, new_state
from benchmarks.heterogeneous.configurations import Drawn
from benchmarks.heterogeneous.handover import SIDES
from search_spaces.seq2seq import Seq2Seq

PAD = 0


class OneJitATrial:
    """Programs are those of one trial, and forgotten after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: tuple[int, Callable[..., Any]] | None = None

    def losses(self, drawn: Drawn, values: Mapping[str, Any], seed: int, steps: int) -> list[float]:
        """Return the losses of so many steps; the same trial once more has the program that it had."""
        configuration, extent = drawn
        if self._last is None or self._last[0] != seed:
            jax.clear_caches()
            model = Model(configuration, extent.source_vocabulary, extent.target_vocabulary)
            self._last = seed, jax.jit(partial(_step, model, configuration), donate_argnums=0)
        step, batches = self._last[1], dict(np.load(self.folder / f"{seed}.batches.npz"))
        numbers = pace(configuration.optimizer, configuration.schedule, configuration.averaging, 0, steps, None)
        state, noise, found = new_state(values), noise_of(configuration, seed), []
        for number in range(steps):
            now = jax.tree.map(lambda each, place=number: np.float32(each[place]), numbers)
            state, loss = step(state, [batches[side][number] for side in SIDES], now, noise)
            found.append(loss)
        return [float(loss) for loss in found]


def _step(model: Model, configuration: Seq2Seq, state: Any, batch: Any, now: Any, noise: Noise) -> Any:
    """Take a step; return the state after it, and the loss before it."""
    source, copies, inputs, targets = batch
    own = further(further(noise, state.step), jnp.int32(0))
    recipe = jax.tree.map(jnp.asarray, Recipe.of(configuration))

    def loss_of(parameters: Any) -> Any:
        logits = bind(model, parameters)(source, inputs, own, copies)
        return smoothed_cross_entropy(logits, targets, targets != PAD, recipe.label_smoothing)

    loss, gradients = jax.value_and_grad(loss_of)(state.parameters)
    kinds, layout = (type(configuration.optimizer),), Layout.apart(state.parameters, forms(model))
    moved, moments = updated(state.parameters, gradients, state.optimizer, now, recipe, layout, kinds=kinds)
    average = {name: old + now.average * (moved[name] - old) for name, old in state.average.items()}
    return type(state)(moved, moments, average, state.step + 1), loss

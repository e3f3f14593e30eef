from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.facts import bind
from automl.models.recurrence import CELLS, GRU, LSTM, STEPPED, MinGRU, State, linear_recurrence, run
from tests.automl.models.cases import filled, random

X, HIDDEN, CELL = random(3, 4), random(3, 5, seed=2), random(3, 5, seed=3)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def step(module: Any, x: Any, state: State) -> Any:
    return jax.jit(lambda x, state: module(module.project(x), state))(x, state)


def start() -> State:
    return State(jnp.asarray(HIDDEN), jnp.asarray(CELL))


def test_the_lstm_is_hochreiters_with_a_forget_gate() -> None:
    module, v = filled(LSTM(4, 5))
    new = step(module, X, start())
    i, f, g, o = (X @ v["input"][:, k] + HIDDEN @ v["hidden"][:, k] + v["bias"][k] for k in range(4))
    cell = sigmoid(f) * CELL + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(new.cell, cell, atol=1e-5)
    np.testing.assert_allclose(new.hidden, sigmoid(o) * np.tanh(cell), atol=1e-5)


def test_the_gru_is_chos_with_the_reset_after_the_product() -> None:
    module, v = filled(GRU(4, 5))
    new = step(module, X, start())
    (xr, hr), (xz, hz), (xn, hn) = ((X @ v["input"][:, k] + v["bias"][k], HIDDEN @ v["hidden"][:, k]) for k in range(3))
    update, candidate = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
    np.testing.assert_allclose(new.hidden, (1 - update) * candidate + update * HIDDEN, atol=1e-5)
    np.testing.assert_array_equal(new.cell, new.hidden)


@pytest.mark.parametrize("name", STEPPED)
@pytest.mark.parametrize("reverse", [False, True])
def test_running_over_a_sequence_is_stepping_through_its_real_positions(name: str, reverse: bool) -> None:
    module, _ = filled(STEPPED[name](4, 5))
    x, lengths = random(3, 6, 4), (6, 1, 3)
    outputs = ran(module, x, lengths, reverse)
    one = jax.jit(lambda x, state: module(module.project(x), state))
    for row, length in enumerate(lengths):
        state = State(jnp.zeros((1, 5)), jnp.zeros((1, 5)))
        for place in range(length)[:: -1 if reverse else 1]:
            state = one(x[row, place][None], state)
            np.testing.assert_allclose(outputs[row, place], state.hidden[0], atol=1e-5)
        np.testing.assert_array_equal(outputs[row, length:], 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_min_gru_is_fengs(reverse: bool) -> None:
    module, v = filled(MinGRU(4, 5))
    x, lengths = random(3, 6, 4), (6, 1, 3)
    outputs = ran(module, x, lengths, reverse)
    for row, length in enumerate(lengths):
        hidden = np.zeros(5)
        for place in range(length)[:: -1 if reverse else 1]:
            update, candidate = (x[row, place] @ v["input"][:, k] + v["bias"][k] for k in range(2))
            hidden = (1 - sigmoid(update)) * hidden + sigmoid(update) * candidate
            np.testing.assert_allclose(outputs[row, place], hidden, atol=1e-5)
        np.testing.assert_array_equal(outputs[row, length:], 0)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_linear_recurrence_is_its_definition(length: int, reverse: bool, platform: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    keep, added = sigmoid(random(2, length, 3)), random(2, length, 3, seed=4)
    states = jax.jit(lambda *inputs: linear_recurrence(*inputs, reverse=reverse))(keep, added)
    hidden = np.zeros((2, 3))
    for place in range(length)[:: -1 if reverse else 1]:
        hidden = keep[:, place] * hidden + added[:, place]
        np.testing.assert_allclose(states[:, place], hidden, atol=1e-5)


def test_a_linear_recurrence_has_the_same_gradient_on_every_platform(monkeypatch: Any) -> None:
    keep, added = jnp.asarray(sigmoid(random(2, 7, 3))), jnp.asarray(random(2, 7, 3, seed=4))
    found = []
    for platform in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        found.append(jax.grad(lambda *inputs: jnp.sin(linear_recurrence(*inputs)).sum(), argnums=(0, 1))(keep, added))
    jax.tree.map(lambda *each: np.testing.assert_allclose(*each, atol=1e-5), *found)


def ran(module: Any, x: Any, lengths: tuple[int, ...], reverse: bool) -> Any:
    mask = np.arange(x.shape[1])[None, :] < np.array(lengths)[:, None]
    return jax.jit(lambda x, mask: run(module, x, mask, reverse=reverse))(x, mask)


def test_every_cell_starts_from_nothing_and_stays_there_without_input() -> None:
    for name, kind in CELLS.items():
        _, values = filled(kind(4, 5))
        silent = bind(kind(4, 5), {path: jnp.zeros_like(value) for path, value in values.items()})
        assert not np.any(ran(silent, random(2, 3, 4), (3, 2), False)), name

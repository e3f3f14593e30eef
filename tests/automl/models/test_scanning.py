from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.models.scanning import Apply, LinearMap, apply_of, scan
from tests.automl.models.cases import random

MAPS = {"mix": "bi,igs->bgs", "look": "bs,bsd->bd", "unused": "bi,ij->bj"}
WEIGHTS = {"mix": random(4, 2, 4), "look": random(3, 4, 4, seed=2), "unused": random(2, 2)}
CONSTANTS = {"bias": random(3, 4), "mask": np.array([[True], [False], [True]])}
CARRY, INPUTS = random(3, 4, seed=3), random(5, 3, 4, seed=4)


def step(apply: Apply, constants: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
    mixed = apply("mix", carry) + inputs[:, None, :]
    new = jnp.tanh(mixed[:, 0] * constants["bias"] + apply("look", jnp.sin(mixed[:, 1])))
    return jnp.where(constants["mask"], new, carry), new * 2


def total(scanned: Any) -> Any:
    last, outputs = scanned
    return (jnp.cos(last) * 3).sum() + (outputs**2).sum()


def ours(weights: Any, bias: Any, carry: Any, inputs: Any, reverse: bool) -> Any:
    maps = {name: LinearMap(MAPS[name], weight) for name, weight in weights.items()}
    return total(scan(step, maps, CONSTANTS | {"bias": bias}, carry, inputs, reverse=reverse))


def plain(weights: Any, bias: Any, carry: Any, inputs: Any, reverse: bool) -> Any:
    apply = apply_of({name: LinearMap(MAPS[name], weight) for name, weight in weights.items()})
    constants = CONSTANTS | {"bias": bias}
    return total(jax.lax.scan(lambda c, x: step(apply, constants, c, x), carry, inputs, reverse=reverse))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_value_and_every_gradient_are_those_of_a_plain_scan(reverse: bool) -> None:
    arguments = jax.tree.map(jnp.asarray, (WEIGHTS, CONSTANTS["bias"], CARRY, INPUTS))
    found, expected = (
        jax.value_and_grad(function, argnums=(0, 1, 2, 3))(*arguments, reverse) for function in (ours, plain)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    assert np.any(found[1][0]["mix"])
    assert np.any(found[1][0]["look"])

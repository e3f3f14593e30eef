"""Probe: one small program through the cache, to see whether the next process finds it."""

import dataclasses
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from automl.segments import ProgramFolder
from automl.training.programs import Programs


def recurrence(weights: Float[Array, "size size"], inputs: Float[Array, "steps size"]) -> Float[Array, "size"]:
    """Return the last state of a small recurrent net: a loop and a matrix product, as in what is trained."""

    def step(state: Float[Array, "size"], value: Float[Array, "size"]) -> tuple[Float[Array, "size"], None]:
        return jnp.tanh(weights @ state + value), None

    return jax.lax.scan(step, jnp.zeros(weights.shape[0]), inputs)[0]


def main() -> None:
    """Get the program from the cache whose folder and key are the arguments; print how it came, as JSON."""
    said: list[str] = []
    folder, key = sys.argv[1:]
    programs = Programs(ProgramFolder(folder, key), said.append)
    inputs = (np.eye(16, dtype=np.float32), np.ones((8, 16), np.float32))
    begun = time.monotonic()
    program = programs.get("probe", lambda: jax.jit(jax.value_and_grad(lambda w, x: recurrence(w, x).sum())), inputs)
    np.asarray(program(*inputs)[0])
    seconds = time.monotonic() - begun
    print(json.dumps({"seconds": seconds, "counts": dataclasses.asdict(programs.counts), "said": said}))  # noqa: T201


if __name__ == "__main__":
    main()

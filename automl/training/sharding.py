"""A trial on several cores of one process: each takes a part of the rows of every batch, and all of the parameters."""

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from automl.models.dropout import Noise

CORES = "cores"
_jax: Any = jax.lax  # its collectives are not typed
_spec: Any = PartitionSpec
WHOLE: Any = _spec()
"""Each core has all of an array."""
BY_ROWS: Any = _spec(None, CORES)
"""Each core has its part of the second axis."""
Tree = TypeVar("Tree")


def core_mesh(cores: int) -> Mesh | None:
    """Return the cores of this process that train together, which XLA knows as devices; nothing where one trains."""
    devices = jax.devices()
    return Mesh(np.array(devices[:cores]), (CORES,)) if 1 < cores <= len(devices) else None


def on_all(tree: Tree, mesh: Mesh) -> Tree:
    """Return arrays of which each core has a copy."""
    placed: Tree = jax.device_put(tree, NamedSharding(mesh, WHOLE), may_alias=False)
    return placed


def on_first(tree: Tree) -> Tree:
    """Return the first core's copies of arrays, as what computes on one core takes them."""
    taken: Tree = jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
    return taken


def own_rows(noise: Noise, rows: int) -> Noise:
    """Return the noise of a core that has so many rows of each batch: what is dropped follows from the whole batch."""
    return noise._replace(first_row=_jax.axis_index(CORES).astype(np.uint32) * rows)


def summed(tree: Tree) -> Tree:
    """Add up over the cores."""
    total: Tree = _jax.psum(tree, CORES)
    return total

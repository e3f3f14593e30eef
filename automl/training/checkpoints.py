"""Checkpoints: a trial's whole state as safetensors bytes, kept under their sha256."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from automl.errors import FailureReason, TrialFailure
from automl.training.steps import TrainState
from storage import objects
from storage.buckets import Unreachable

TOKENS = "tokens"


class Checkpoint(NamedTuple):
    """A state, and the target tokens that led to it."""

    state: TrainState
    tokens: int


def write(folder: objects.Place, checkpoint: Checkpoint) -> str:
    """Keep a checkpoint durably; return its sha256.

    Raises:
        TrialFailure: The disk does not take it (`STORAGE`).
    """
    tensors = {name: np.asarray(leaf) for name, leaf in _named_leaves(checkpoint.state)}
    tensors[TOKENS] = np.asarray(checkpoint.tokens, np.int64)
    return write_tensors(folder, tensors)


def write_tensors(folder: objects.Place, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Keep tensors durably by name; return their sha256.

    Raises:
        TrialFailure: The disk does not take them (`STORAGE`).
    """
    try:
        return objects.write(folder, save(dict(tensors)))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise TrialFailure(FailureReason.STORAGE, f"{folder}: a checkpoint cannot be written: {why}") from error


def read(folder: objects.Place, digest: str, like: TrainState) -> Checkpoint:
    """Read a checkpoint whose bytes, names, shapes and types are all as they should be.

    Raises:
        TrialFailure: They are not (`CORRUPT_CHECKPOINT`), or they cannot be read (`STORAGE`).
    """
    tensors = read_tensors(folder, digest)
    tokens = tensors.pop(TOKENS, None)
    named = dict(_named_leaves(like))
    if (
        tokens is None
        or tensors.keys() != named.keys()
        or any(_form(tensors[name]) != _form(leaf) for name, leaf in named.items())
    ):
        raise TrialFailure(FailureReason.CORRUPT_CHECKPOINT, f"checkpoint {digest[:12]} is of another model")
    leaves = jax.device_put([tensors[name] for name in named], may_alias=False)
    return Checkpoint(jax.tree.unflatten(jax.tree.structure(like), leaves), int(tokens))


def read_tensors(folder: objects.Place, digest: str) -> dict[str, NDArray[Any]]:
    """Read a checkpoint's tensors by name.

    Raises:
        TrialFailure: The bytes are gone or are not those that were written (`CORRUPT_CHECKPOINT`), or they cannot be
            read, so that nothing is known of them (`STORAGE`).
    """
    try:
        return load(objects.read(folder, digest))
    except Unreachable as error:
        raise TrialFailure(FailureReason.STORAGE, str(error)) from error
    except (objects.CorruptObject, SafetensorError) as error:
        raise TrialFailure(FailureReason.CORRUPT_CHECKPOINT, str(error)) from error


def _named_leaves(state: TrainState) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def _form(array: Any) -> tuple[tuple[int, ...], str]:
    return tuple(array.shape), str(array.dtype)

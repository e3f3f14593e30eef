"""Refusals: what of a document and its space would mislead, and is refused or left out."""

from automl.budget import parse_target
from automl.data.sources import several
from automl.data.table import TokenTable
from automl.data.tokenizers import PAD
from automl.errors import InputError
from automl.metrics import PER_TOKEN
from automl.tasks.document import TaskDocument
from search_spaces.outputs import PointerGenerator
from search_spaces.spaces import Space
from search_spaces.tokenizers import LikeSource


def check_target(document: TaskDocument) -> None:
    """Refuse a target of a metric that the search does not measure.

    Raises:
        InputError: It is no objective.
    """
    target = document.budget.target
    if target and (name := parse_target(target)[0]) not in document.metrics:
        wanted = " and ".join(document.metrics)
        raise InputError(
            f"[budget] target is of {name}, which the search for {wanted} does not measure; add it to [metric] name"
        )


def check_objective(document: TaskDocument, space: Space) -> None:
    """Refuse an objective that means something else from trial to trial.

    Raises:
        InputError: It counts target tokens, and their tokenizer is searched.
    """
    alike = LikeSource.__name__ in space.kinds("target_tokens")
    free = [*space.free("target_tokens"), *(space.free("source_tokens") if alike else ())]
    for name in PER_TOKEN.keys() & set(document.metrics) if free else ():
        raise InputError(
            f"[metric] {name} counts tokens, and the dial {free[0]} is searched; "
            f"use {PER_TOKEN[name]}, or pin the tokens by [data] target_tokens"
        )


def without_idle_copying(document: TaskDocument, space: Space, table: TokenTable) -> Space:
    """Leave pointer-generators out where no source token is a target token too; tokens that are searched may be.

    Raises:
        InputError: The document asks for them by name.
    """
    name, kinds = PointerGenerator.__name__, space.kinds("output")
    is_open = any(True for side in ("source_tokens", "target_tokens") for _ in space.free(side))
    if name not in kinds or is_open or (table.copies != PAD).any():
        return space
    if name in several(document.space.get("output")):
        raise InputError(f"[space] output: no source token is also a target token for a {name} to copy; leave it out")
    return space.narrowed("output", [kind for kind in kinds if kind != name])

"""Hulls: configurations of the same kinds and of like sizes, which one program can train side by side."""

from collections.abc import Hashable
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from search_spaces.augmentation import Varied
from search_spaces.encoders import Recurrent
from search_spaces.optimizers import alike
from search_spaces.seq2seq import Seq2Seq, without_recipe
from search_spaces.spaces import MODEL_WIDTHS, WIDTHS

NARROWEST, WIDEST = 32, 128
"""Widths between these share a hull: an accelerator takes about as long for a matrix of either size."""
DATA = ("start", "tuned", "length_slack")
"""Dials that are data to a program, but that what is added to matrices needs one of its own."""
LAYERS = (1, 2, 4, 8)
"""A hull has so many layers, the fewest that are enough."""


def ends(configuration: Seq2Seq) -> tuple[Seq2Seq, Seq2Seq]:
    """Return the narrowest and the widest configuration of the hull that one lies in."""
    return _at_end(configuration, wide=False), _at_end(configuration, wide=True)


def is_usual(configuration: Seq2Seq) -> bool:
    """Say whether every width is one that divides, or is divided by, those of the hull."""
    return all(map(_has_usual_widths, (configuration.encoder, configuration.decoder)))


@lru_cache(2**15)
def shared(configuration: Seq2Seq) -> Hashable:
    """Return what all configurations have in common that are trained by the program of this one."""
    alone = not is_usual(configuration) or _is_bridged(configuration)
    varied = configuration.augmentation
    has_noise = isinstance(varied, Varied) and varied.noise_objects  # its batches have room for more
    widest = configuration if alone else _at_end(configuration, wide=True)
    begun = {name: getattr(Seq2Seq(), name) for name in DATA}
    is_adapted = configuration.tuned == "lora"
    return without_recipe(replace(widest, **begun)), alike(configuration.optimizer), is_adapted, has_noise


def _is_bridged(configuration: Seq2Seq) -> bool:
    """Say whether encoder and decoder of unequal widths would be of equal ones at both ends."""
    encoder, decoder = configuration.encoder, configuration.decoder
    widths = [getattr(part, name) for part in (encoder, decoder) for name in MODEL_WIDTHS if hasattr(part, name)]
    is_one_way = not (isinstance(encoder, Recurrent) and encoder.bidirectional)
    return is_one_way and len(set(widths)) > 1 and max(widths) <= WIDEST


def _at_end(configuration: Seq2Seq, *, wide: bool) -> Seq2Seq:
    encoder, decoder = (_resized(part, wide=wide) for part in (configuration.encoder, configuration.decoder))
    return replace(configuration, encoder=encoder, decoder=decoder)


def _resized(value: Any, *, wide: bool) -> Any:
    changed: dict[str, Any] = {}
    for field in fields(value):
        own = getattr(value, field.name)
        if is_dataclass(own):
            changed[field.name] = _resized(own, wide=wide)
        elif field.name in WIDTHS and own <= WIDEST:
            changed[field.name] = WIDEST if wide else NARROWEST
        elif field.name == "num_layers":
            changed[field.name] = next((count for count in LAYERS if count >= own), own) if wide else 1
    return replace(value, **changed)


def _has_usual_widths(value: Any) -> bool:
    for field in fields(value):
        own = getattr(value, field.name)
        if is_dataclass(own) and not _has_usual_widths(own):
            return False
        if field.name in WIDTHS and own % NARROWEST:
            return False
    return True

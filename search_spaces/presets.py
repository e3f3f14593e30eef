"""Presets: named narrowings of the whole space."""

from collections.abc import Mapping
from typing import Any

from search_spaces.dials import SpaceError
from search_spaces.spaces import Space, space

STEPS = (512, 1024, 2048, 4096)
"""Target tokens of a step: of fewer, most texts make the same batches."""


def _sized(*sizes: int, layers: list[int], **others: Any) -> dict[str, Any]:
    attention = [size for size in sizes if size <= 256]
    widths = {"hidden_size": list(sizes), "model_size": list(sizes), "size": attention, "num_layers": layers}
    return {**widths, "batch_tokens": list(STEPS), **others}


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tiny": _sized(32, 64, layers=[1, 2]),
    "small": _sized(64, 128, 256, layers=[1, 2, 3, 4]),
    "base": _sized(32, 64, 128, 256, layers=[1, 2, 3, 4]),
    "recurrent": _sized(64, 128, 256, layers=[1, 2, 3], encoder="Recurrent", decoder="Recurrent"),
    "transformer": _sized(64, 128, 256, 512, layers=[1, 2, 3, 4, 6], encoder="Transformer", decoder="Transformer"),
    "fast": _sized(
        64,
        128,
        layers=[1, 2],
        decoder=["Recurrent", "SimpleRecurrent"],
        cell=["gru", "mingru"],
        encoder=["Recurrent", "Convolution"],
    ),
}


def preset(name: str, narrowing: Mapping[str, Any] | None = None, *, sources: bool = True) -> Space:
    """Return a preset, narrowed further; without `sources`, for language models.

    Raises:
        SpaceError: No preset has that name, or the narrowing is impossible.
    """
    if name not in PRESETS:
        raise SpaceError(f"space.preset: no preset {name!r}; there are {', '.join(PRESETS)}")
    wanted = narrowing or {}
    chosen = {dial: left for dial, left in PRESETS[name].items() if dial not in wanted}  # so that those come last
    if not sources:
        chosen.pop("encoder", None)
    return space({**chosen, **wanted}, sources=sources)

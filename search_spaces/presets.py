"""Presets: named narrowings of the whole space."""

from collections.abc import Mapping
from typing import Any

from search_spaces.dials import SpaceError
from search_spaces.spaces import Space, space

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "encoder.Recurrent.hidden_size": [64],
        "decoder.Recurrent.hidden_size": [64, 128],
        "size": [64],
        "model_size": [64],
        "num_layers": [1, 2],
    },
    "small": {},
    "recurrent": {"encoder": "Recurrent", "decoder": "Recurrent"},
    "transformer": {"encoder": "Transformer", "decoder": "Transformer"},
}


def preset(name: str, narrowing: Mapping[str, Any] | None = None) -> Space:
    """Return a preset, narrowed further.

    Raises:
        SpaceError: No preset has that name, or the narrowing is impossible.
    """
    if name not in PRESETS:
        raise SpaceError(f"space.preset: no preset {name!r}; there are {', '.join(PRESETS)}")
    return space({**PRESETS[name], **(narrowing or {})})

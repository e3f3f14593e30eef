"""Decoding: how a target is made of a model's probabilities. A bundle says how it decodes; others may be asked for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from search_spaces.dials import SpaceError

MOST_BEAMS = 64


@dataclass(frozen=True)
class Greedy:
    """The likeliest token at each step."""


@dataclass(frozen=True)
class Beam:
    """The best of several partial targets that grow side by side (Graves, 2012; Sutskever et al., 2014).

    Attributes:
        beam: Number of partial targets.
        length_penalty: Power of the length, the end counted, by which log-probabilities are divided to be compared.
    """

    beam: int = 4
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        _check("beam", self.beam, int, 1, MOST_BEAMS)
        _check("length_penalty", self.length_penalty, float, 0.0, 10.0)


@dataclass(frozen=True)
class Sampling:
    """A token drawn at each step, the same ones for the same seed.

    Attributes:
        temperature: Logits are divided by it; 0 is greedy.
        top_k: Draw among so many likeliest tokens (Fan et al., 2018); 0 is all.
        top_p: Draw among the likeliest tokens that have so much probability together (Holtzman et al., 2020).
        seed: Decides what is drawn.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        _check("temperature", self.temperature, float, 0.0, 100.0)
        _check("top_k", self.top_k, int, 0, 2**31 - 1)
        _check("top_p", self.top_p, float, 0.0, 1.0)
        _check("seed", self.seed, int, 0, 2**32 - 1)


Decoding = Greedy | Beam | Sampling
METHODS: Mapping[str, type[Decoding]] = {"greedy": Greedy, "beam": Beam, "sampling": Sampling}
"""Name of a method, as bundles and the command line have it → its settings."""


def decoding_from(values: Mapping[str, Any]) -> Decoding:
    """Return the method that a mapping with `method` and its settings describes; other keys are left alone.

    Raises:
        SpaceError: The method is unknown, or a setting is out of its range.
    """
    method = METHODS.get(str(values.get("method")))
    if method is None:
        raise SpaceError(f"decoding has no method {values.get('method')!r}; it has {', '.join(METHODS)}")
    return method(**{item.name: values[item.name] for item in fields(method) if item.name in values})


def decoding_to_mapping(decoding: Decoding) -> dict[str, Any]:
    """Return a method as `decoding_from` reads it."""
    name = next(name for name, method in METHODS.items() if method is type(decoding))
    return {"method": name, **asdict(decoding)}


def _check(name: str, value: Any, kind: type, low: float, high: float) -> None:
    right = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    if not right or not low <= value <= high:
        raise SpaceError(f"decoding: {name} is {value!r}; it is a number from {low:g} to {high:g}")

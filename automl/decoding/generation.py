"""Generation: how text is drawn."""

from dataclasses import dataclass, field

from automl.errors import InputError
from search_spaces.decoding import Sampling


@dataclass(frozen=True)
class Generation:
    """How text is drawn.

    Attributes:
        sampling: Temperature, top-k, top-p and seed.
        most: Most tokens; as many as the bundle says where absent.
        prefix: Text that the output begins with; it is part of the output.
        stops: Texts at the first of which the output ends, without it.
        allowed: Tokens that may be said; any where absent.
    """

    sampling: Sampling = field(default_factory=Sampling)
    most: int | None = None
    prefix: str = ""
    stops: tuple[str, ...] = ()
    allowed: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.most is not None and self.most < 1:
            raise InputError(f"most is {self.most}; it is a number of tokens from 1")
        if "" in self.stops:
            raise InputError("an empty text is no stop; leave it out")


PLAIN = Generation()

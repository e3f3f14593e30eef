"""How far reading and tokenizing are, told to whoever listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float], None]
"""Takes what is being done and the share of it that is."""


def _nobody(what: str, share: float) -> None:
    del what, share


_LISTENER: ContextVar[Listener] = ContextVar("listener", default=_nobody)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Have it told to a listener."""
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


def tell(what: str, share: float) -> None:
    """Tell how far something is."""
    _LISTENER.get()(what, share)

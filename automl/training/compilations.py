"""Compile events: how often and how long XLA has compiled in this process, as JAX itself reports it."""

from functools import cache
from threading import Lock

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"
FOUND = "/jax/compilation_cache/cache_retrieval_time_sec"
"""What JAX's own cache held is reported as this and as compiled."""


class Compilations:
    """Programs that were compiled in this process, by whomever, and the seconds it took; and those JAX's cache held."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.found = 0
        self._lock = Lock()

    def note(self, event: str, duration_secs: float, **_: str | int) -> None:
        """Take a report of JAX's."""
        sign = {COMPILED: 1, FOUND: -1}.get(event, 0)
        with self._lock:
            self.count += sign
            self.seconds += sign * duration_secs
            self.found += event == FOUND


@cache
def compilations() -> Compilations:
    """Return the count of this process, which begins with the first call."""
    counted = Compilations()
    jax.monitoring.register_event_duration_secs_listener(counted.note)
    return counted

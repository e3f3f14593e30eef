"""A connection to PostgreSQL that gives up when nothing is heard of the server.

psycopg waits for an answer without end. The kernel ends that where packets are not acknowledged any more, but a proxy
or a server that hangs acknowledges them and says nothing.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.rows import TupleRow


class ImpatientConnection(psycopg.Connection[TupleRow]):
    """Closes itself with an `OperationalError` when the server says nothing for `silence` seconds in a statement."""

    silence: float

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Run what talks to the server, as psycopg does."""
        return super().wait(self._while_heard(gen), *arguments, **options)

    def _while_heard(self, talk: Any) -> Generator[Any, Any, Any]:
        """Pass on between `talk` and psycopg, which says several times a second whether there is something to read."""
        heard = time.monotonic()
        try:
            wanted = next(talk)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.silence:
                    self.close()
                    raise psycopg.OperationalError(f"the server said nothing for {self.silence:g} seconds")
                wanted = talk.send(ready)
        except StopIteration as end:
            return end.value

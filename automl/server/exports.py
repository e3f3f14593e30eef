"""Forms of models, made beside requests: one asks for a form, looks again, and downloads it when it is there."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from automl.errors import InputError
from automl.server.problems import Problem, raised_at, told
from storage.database import StorageError

LOG = logging.getLogger("automl.server")
MOST_AT_ONCE, MOST_ASKED, MOST_OF_ONE, MOST_FAILED = 2, 16, 4, 1_000


class Exports:
    """Makes forms, a few at a time; safe to use from several threads.

    What is being made is known to this process alone: another one is asked anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._room = threading.Semaphore(MOST_AT_ONCE)
        self._making: dict[str, int | None] = {}
        self._failed: OrderedDict[str, str] = OrderedDict()

    def begin(self, name: str, make: Callable[[], object], account: int | None = None) -> None:
        """Let something be made for an account, unless it is being made already.

        Raises:
            Problem: Too much is asked for at a time, or too much of one account's (503).
        """
        with self._lock:
            if name in self._making:
                return
            own = sum(other == account for other in self._making.values())
            if len(self._making) >= MOST_ASKED or own >= MOST_OF_ONE:
                raise Problem(503, "too many forms of models are being made; try again", {"Retry-After": "30"})
            self._failed.pop(name, None)
            self._making[name] = account
        threading.Thread(target=self._make, args=(name, make), daemon=True).start()

    def is_making(self, name: str) -> bool:
        """Whether something is being made, or waits for its turn."""
        return name in self._making

    def failure(self, name: str) -> str | None:
        """Say why something could not be made when it was tried last."""
        return self._failed.get(name)

    def _make(self, name: str, make: Callable[[], object]) -> None:
        why = None
        try:
            with self._room:
                make()
        except (InputError, Problem, StorageError) as error:
            why = told(error)
        except Exception as error:
            LOG.error("a form of a model failed", extra={"kind": type(error).__name__, "place": raised_at(error)})
            why = "an error of ours; the log says where"
        with self._lock:
            if why is not None:
                self._failed[name] = why
                while len(self._failed) > MOST_FAILED:
                    self._failed.popitem(last=False)
            self._making.pop(name, None)

"""When Python looks for cyclic garbage: while workers train, and not each time at all that has been there for long.

A full collection looks at everything that is alive, which takes longer than a decision, and Python begins one where
enough has been made: within a decision, for which a worker waits.
"""

import gc
from types import TracebackType

DUE = 5
"""Collections of the middle generation, after which the full one is forestalled that Python begins after ten."""


class Garbage:
    """Collects in time what Python would, and freezes what is left, so that no collection looks at it.

    What is frozen goes when nothing refers to it. What refers to itself in a circle and is let go of while frozen is
    found when everything is looked at anew: at the first look, the second, the fourth, the eighth and so on. Used as a
    context, it leaves things frozen at the end only if some were at the beginning.
    """

    def __init__(self) -> None:
        self._times = 0
        self._is_shared = False

    def __enter__(self) -> None:
        self._is_shared = gc.get_freeze_count() > 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_shared:
            gc.unfreeze()

    def look(self) -> None:
        """Collect if Python soon would; to be called when nobody waits."""
        if not gc.isenabled() or gc.get_count()[2] < DUE:
            return
        self._times += 1
        if self._times.bit_count() == 1:
            gc.unfreeze()
        gc.collect()
        gc.freeze()

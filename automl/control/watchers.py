"""Tells those who watch a search how it stands: its caller a few times a second, Optuna's study twice a minute."""

from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait

from automl.control.journal import Journal
from automl.control.mirror import ContainedMirror
from automl.control.outcome import Progress
from automl.control.tally import Tally
from automl.segments import Result

MIRROR_SECONDS = 30.0
PROGRESS_SECONDS = 0.25


def wait_briefly(futures: Collection[Future[Result]]) -> None:
    """Wait until a future is done, or long enough that people want to see something."""
    wait(futures, timeout=PROGRESS_SECONDS, return_when=FIRST_COMPLETED)


class Watchers:
    """Whoever called, by `on_change`, and the mirror; `began` is when the run did, by the controller's clock."""

    def __init__(
        self,
        on_change: Callable[[Progress], None],
        mirror: ContainedMirror,
        tally: Tally,
        journal: Journal,
        began: float,
    ) -> None:
        self._on_change = on_change
        self._mirror = mirror
        self._tally = tally
        self._journal = journal
        self._told = self._mirrored = began

    def tell(self, now: float, progress: Callable[[], Progress]) -> None:
        """Tell each of them whose turn it is; `progress` is asked only then."""
        if now - self._mirrored >= MIRROR_SECONDS:
            self._mirrored = now
            self.mirror()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._on_change(progress())

    def mirror(self) -> None:
        """Bring the mirror up to date with what has changed; where that fails, it is warned of and tried again."""
        changed = self._tally.take_changed()
        warning = self._mirror.update(changed)
        if warning:
            self._tally.give_back(changed)
            self._journal.warn(warning)

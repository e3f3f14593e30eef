"""The worker that a service starts: `automl worker`, told to end in good order when the service is gone.

Its argument is the process id of the service. It and its trainers give way to the service, which needs little, but now.
"""

import ctypes
import os
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1
NICENESS = 5


def main() -> None:
    """Work until the service ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        return
    os.nice(NICENESS)
    from automl.commands.worker import worker

    sys.exit(worker())


if __name__ == "__main__":
    main()

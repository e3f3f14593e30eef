"""A worker process: reads jobs from its pipe, answers with reports (text) and outcomes, ends when the pipe does."""

import os
import queue
import signal
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from automl.errors import TrialFailure
from automl.executors.runner import load_runner, outcome
from automl.segments import Evaluation, Job, Segment, Workload


def main() -> None:
    """Serve the pipe whose file descriptor is the first argument; its first message is (runner, workload)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    try:
        name, workload = pipe.recv()
    except EOFError:
        return
    serve(pipe, name, workload)


def serve(pipe: "Connection[Any, Any]", name: str, workload: Workload) -> None:
    """Run jobs one after another until the parent closes the pipe, which ends the process."""
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(pipe, jobs, stop), daemon=True).start()
    lock = threading.Lock()

    def send(message: object) -> None:
        with lock:
            pipe.send(message)

    runner = outcome(lambda: load_runner(name, workload))
    while True:
        job = jobs.get()
        if isinstance(runner, TrialFailure):
            send(runner)
        else:
            send(outcome(partial(runner.run, job, send, stop.is_set)))


def _listen(pipe: "Connection[Any, Any]", jobs: "queue.SimpleQueue[Job]", stop: threading.Event) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        match message:
            case Segment() | Evaluation():
                stop.clear()
                jobs.put(message)
            case _:
                stop.set()


if __name__ == "__main__":
    main()

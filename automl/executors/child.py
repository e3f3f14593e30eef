"""A worker process: reads jobs from its pipe, answers with signs of life and outcomes, ends when its parent does."""

import ctypes
import os
import queue
import signal
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from automl.errors import TrialFailure
from automl.executors.limits import restrict
from automl.executors.runner import load_runner, outcome
from automl.segments import Evaluation, Job, Preparation, Runner, Segment, Teaching, Workload

SET_PARENT_DEATH_SIGNAL = 1


def main() -> None:
    """Serve the pipe whose file descriptor is the first argument; the second is the parent's process id.

    The first message is (runner, workload, files, bytes of a file, bytes of memory or none).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(sys.argv[2]))
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    try:
        name, workload, files, file_bytes, memory = pipe.recv()
    except EOFError:
        return
    restrict(files, file_bytes, memory)
    if workload.slots > 1:
        serve_together(pipe, name, workload)
    else:
        serve(pipe, name, workload)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent is gone, whatever this process does then: the pipe's end needs a thread that runs.

    Linux only; elsewhere the pipe has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(0)


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


def serve_together(pipe: "Connection[Any, Any]", name: str, workload: Workload) -> None:
    """Run every job in a thread of its own; messages both ways begin with the job's number."""
    lock, stops = threading.Lock(), dict[int, threading.Event]()

    def send(number: int, message: object) -> None:
        with lock:
            pipe.send((number, message))

    def run(number: int, job: Job, runner: Runner, stop: threading.Event) -> None:
        answer = outcome(partial(runner.run, job, partial(send, number), stop.is_set))
        stops.pop(number)
        send(number, answer)

    runner = outcome(lambda: load_runner(name, workload))
    while True:
        match _received(pipe):
            case (int(number), _) if isinstance(runner, TrialFailure):
                send(number, runner)
            case (int(number), job):
                stops[number] = threading.Event()
                threading.Thread(target=run, args=(number, job, runner, stops[number]), daemon=True).start()
            case _:
                for stop in list(stops.values()):
                    stop.set()


def _received(pipe: "Connection[Any, Any]") -> Any:
    """Return what the parent says; end when it has closed the pipe."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        os._exit(0)


def _listen(pipe: "Connection[Any, Any]", jobs: "queue.SimpleQueue[Job]", stop: threading.Event) -> None:
    while True:
        match _received(pipe):
            case (Segment() | Evaluation() | Teaching() | Preparation()) as job:
                stop.clear()
                jobs.put(job)
            case _:
                stop.set()


if __name__ == "__main__":
    main()

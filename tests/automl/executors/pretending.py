"""A runner that does what the job's configuration says, for the executors' contract."""

import ctypes
import errno
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from automl.errors import FailureReason, InputError, TrialFailure
from automl.segments import (
    Beat,
    Evaluation,
    EvaluationResult,
    Job,
    Report,
    Result,
    Segment,
    SegmentResult,
    Stop,
    Workload,
)

WORKLOAD = Workload(table="table", checkpoints="checkpoints", metrics=("sequence_error_rate",), threads=1)

ERRORS: dict[str, Exception] = {
    "fail": TrialFailure(FailureReason.NAN_LOSS, "the loss is not finite at step 3"),
    "raise": ValueError("no such thing\nand a second line"),
    "exhaust": MemoryError(),
    "fill the disk": OSError(errno.ENOSPC, "No space left on device"),
    "read bad data": InputError("table: not a whole token table"),
    "have too little memory": TrialFailure(FailureReason.STOPPED, "the device ran out of memory"),
}


def segment(act: str, trial: int = 1, **more: Any) -> Segment:
    return Segment(trial=trial, configuration={"act": act, **more}, seed=0, to_tokens=100)


class PretendingRunner:
    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.trained = 0
        self.hoard: list[bytes] = []

    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        match job:
            case Evaluation():
                return EvaluationResult(job.trial, {"sequence_error_rate": 0.5}, rows=3)
            case Segment():
                return self._train(job, report, stop)

    def _train(self, job: Segment, report: Report, stop: Stop) -> SegmentResult:
        report(Beat("training", job.from_step, f"training in process {os.getpid()}"))
        self.trained += 1
        tokens = self._act(job.configuration, report, stop)
        return SegmentResult(job.trial, job.from_step, 10, tokens, {"loss": 1.0}, "digest", parameters=5)

    def _act(self, configuration: Mapping[str, Any], report: Report, stop: Stop) -> int:
        match configuration["act"]:
            case "end":
                return 100
            case "wait for stop":
                while not stop():
                    threading.Event().wait(0.002)
                return 50
            case "interrupt":
                signal.raise_signal(signal.SIGINT)
                return 50 if stop() else 100
            case "name":
                return os.getpid()
            case "grow":
                self.hoard += [b"x" * (16 << 20) for _ in range(23)]
                return os.getpid()
            case "exhaust after others":
                if self.trained > 1:
                    raise MemoryError
                return 100
            case "threads":
                return int(os.environ["OMP_NUM_THREADS"])
        return misbehave(configuration, report)


class UnbuildableRunner:
    def __init__(self, workload: Workload) -> None:
        raise FileNotFoundError("there is no token table")


def misbehave(configuration: Mapping[str, Any], report: Report) -> int:
    match configuration["act"]:
        case "end by a signal":
            with suppress(ValueError, OSError):  # not in this thread; not for this signal
                signal.signal(configuration["number"], signal.SIG_DFL)
            os.kill(os.getpid(), configuration["number"])
        case "exit":
            os._exit(configuration["code"])
        case "hang":
            threading.Event().wait()
        case "hold the interpreter":
            ctypes.PyDLL(None).sleep(600)  # no thread of Python runs meanwhile
        case "live without a step":
            while True:
                report(Beat("training", 3))
                threading.Event().wait(0.01)
        case "step slowly":
            for step in range(8):
                threading.Event().wait(configuration["seconds"])
                report(Beat("training", step))
            return 100
    return use_up(configuration["act"])


def use_up(act: str) -> int:
    match act:
        case "hold memory":
            hoard = [b"x" * (16 << 20) for _ in range(40)]
            threading.Event().wait()
            return len(hoard)
        case "reserve memory":
            return len(bytearray(1 << 40))
        case "open files":
            return len([os.open(os.devnull, os.O_RDONLY) for _ in range(1000)])
    raise ERRORS[act]

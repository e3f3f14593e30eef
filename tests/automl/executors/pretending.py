"""A runner that does what the job's configuration says, for the executors' contract."""

import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

from automl.errors import FailureReason, TrialFailure
from automl.segments import Evaluation, EvaluationResult, Job, Report, Result, Segment, SegmentResult, Stop, Workload

WORKLOAD = Workload(table="table", checkpoints="checkpoints", metrics=("sequence_error_rate",), threads=1)

ERRORS: dict[str, Exception] = {
    "fail": TrialFailure(FailureReason.NAN_LOSS, "the loss is not finite at step 3"),
    "raise": ValueError("no such thing\nand a second line"),
    "exhaust": MemoryError(),
}


def segment(act: str, trial: int = 1, **more: Any) -> Segment:
    return Segment(trial=trial, configuration={"act": act, **more}, seed=0, to_tokens=100)


class PretendingRunner:
    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        match job:
            case Evaluation():
                return EvaluationResult(job.trial, {"sequence_error_rate": 0.5}, rows=3)
            case Segment():
                return self._train(job, report, stop)

    def _train(self, job: Segment, report: Report, stop: Stop) -> SegmentResult:
        report(f"training in process {os.getpid()}")
        tokens = self._act(job.configuration, stop)
        return SegmentResult(job.trial, job.from_step, 10, tokens, {"loss": 1.0}, "digest", parameters=5)

    def _act(self, configuration: Mapping[str, Any], stop: Stop) -> int:
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
            case "threads":
                return int(os.environ["OMP_NUM_THREADS"])
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                threading.Event().wait()
        raise ERRORS[configuration["act"]]


class UnbuildableRunner:
    def __init__(self, workload: Workload) -> None:
        raise FileNotFoundError("there is no token table")

"""An executor without training and a clock without time: segments follow curves, and waiting ends the next one."""

from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field

from automl.errors import FailureReason, TrialFailure
from automl.segments import (
    Evaluation,
    EvaluationResult,
    Job,
    Preparation,
    PreparationResult,
    ProgramCounts,
    Result,
    Segment,
    SegmentResult,
    Teaching,
)
from storage import objects
from tests.automl.control.simulation import Curve

COMPILING, EVALUATING = 2.0, 0.5
PACE = 100
"""Target tokens of an optimizer step."""


class Crash(BaseException):
    """Stands for a kill: nothing is tidied up."""


@dataclass
class Flight:
    job: Job
    future: "Future[Result]"
    began: float
    ends: float


@dataclass
class PretendingExecutor:
    """Everything that is not given is endless: no failure, no crash."""

    checkpoints: objects.Place
    curves: Callable[[int], Curve]
    workers: int = 2
    now: float = 0.0
    failures: dict[int, list[FailureReason | None]] = field(default_factory=dict)
    test_failures: list[FailureReason] = field(default_factory=list)
    overrun: float = 0.0
    preparing: float = 10.0
    is_deaf: bool = False
    costs: Callable[[Job], dict[str, float]] = lambda job: {}
    at: dict[float, Callable[[], None]] = field(default_factory=dict)
    flights: list[Flight] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    first_of_seed: dict[int, int] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now

    def submit(self, job: Job) -> "Future[Result]":
        assert len(self.flights) < self.workers
        trains = [flight.job.trial for flight in self.flights if isinstance(flight.job, Segment)]
        assert isinstance(job, Preparation) or job.trial not in trains
        future: Future[Result] = Future()
        self.jobs.append(job)
        self.flights.append(Flight(job, future, self.now, self.now + self.duration(job)))
        return future

    def duration(self, job: Job) -> float:
        if isinstance(job, Evaluation | Teaching):
            return 1.0
        if isinstance(job, Preparation):
            return self.preparing
        speed = self.curve(job).speed
        limits = [job.seconds] if job.seconds is not None else []
        limits += [(job.to_tokens - job.from_step * PACE) / speed] if job.to_tokens is not None else []
        limits += [job.most_steps * PACE / speed] if job.most_steps is not None else []
        assert min(limits) > 0
        late = self.overrun if job.cooldown else 0.0
        return min(limits) + late + EVALUATING + (0 if job.from_step else COMPILING)

    def curve(self, job: Segment) -> Curve:
        """A branch has the seed of its parent, and so its curve."""
        return self.curves(self.first_of_seed.setdefault(job.seed, job.trial))

    def wait(self, futures: Collection["Future[Result]"]) -> None:
        if not self.flights:
            return  # all were given up
        soon = self.now + 5.0
        if self.overrun and all(flight.ends > soon for flight in self.flights):
            self.now = soon
            return
        flight = min(self.flights, key=lambda f: f.ends)
        due = [moment for moment in self.at if moment <= flight.ends]
        for moment in sorted(due):
            self.now = max(self.now, moment)
            self.at.pop(moment)()
        flight = min(self.flights, key=lambda f: f.ends)
        self.now = max(self.now, flight.ends)
        self.flights.remove(flight)
        training = isinstance(flight.job, Segment)
        tested = self.test_failures if getattr(flight.job, "split", "test") == "test" else []
        reasons = self.failures.get(flight.job.trial, []) if training else tested
        reason = reasons.pop(0) if reasons else None
        if reason:
            flight.future.set_exception(TrialFailure(reason, "as the test wants it"))
        else:
            flight.future.set_result(self.result(flight))

    @property
    def tested(self) -> list[Evaluation]:
        """What was scored on test."""
        return [job for job in self.jobs if isinstance(job, Evaluation) and job.split == "test"]

    def result(self, flight: Flight) -> Result:
        job = flight.job
        if isinstance(job, Evaluation):
            return EvaluationResult(job.trial, {"sequence_error_rate": 0.123}, rows=10)
        if isinstance(job, Preparation):
            return PreparationResult(job.trial, ProgramCounts())
        assert isinstance(job, Segment)
        curve, compiling = self.curve(job), 0.0 if job.from_step else COMPILING
        training = max(self.now - flight.began - compiling - EVALUATING, 0.01)
        step = job.from_step + max(int(training * curve.speed / PACE + 0.999), 1)
        step = min(step, job.from_step + (job.most_steps or step))
        point = curve.point(step * PACE, 0.0, 0.0, cooled=job.cooldown)
        digest = objects.write(self.checkpoints, f"{job.trial} {step}".encode())
        scores = {"loss": point.loss, "sequence_error_rate": point.objective, **self.costs(job)}
        seconds = {"training": training, "compiling": compiling, "evaluating": EVALUATING, "writing": 0.0}
        return SegmentResult(
            job.trial, job.from_step, step, step * PACE, scores, digest, 1000, seconds, execution={"padding": 1.25}
        )

    def stop(self) -> None:
        if self.is_deaf:
            return
        for flight in self.flights:
            flight.ends = self.now + EVALUATING

    def abandon(self) -> None:
        for flight in self.flights:
            flight.future.set_exception(TrialFailure(FailureReason.STOPPED, "given up"))
        self.flights.clear()

    def status(self) -> list[str]:
        return [f"trial {flight.job.trial}" for flight in self.flights]

    def shutdown(self, wait: bool = True) -> None:
        pass

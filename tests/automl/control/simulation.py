"""A search without training: trials follow given curves, a clock advances by what their segments cost."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from automl.control.curves import Candidate, Point
from automl.control.decisions import Branch, Decision, Finish, Outlook, Prospect, Start, Thaw, TrainOut, Wait
from automl.control.forecast import Forecaster
from automl.control.scheduler import decide

COMPILING = 3.0
COOLDOWN_GAIN = 0.85


@dataclass(frozen=True)
class Curve:
    """Error falls by a power law of the tokens seen; the loss follows it."""

    floor: float
    scale: float
    speed: float = 1000.0

    def point(self, tokens: int, seconds: float, training: float, cooled: bool = False) -> Point:
        error = self.floor + (1 - self.floor) * min(1.0, (self.scale / max(tokens, 1)) ** 0.7)
        error *= COOLDOWN_GAIN if cooled else 1.0
        return Point(tokens, seconds, training, loss=3 * error, objective=min(1.0, 1.5 * error))


@dataclass(frozen=True)
class Running:
    ends: float
    trial: int
    point: Point
    finished: bool


@dataclass
class Simulation:
    curves: Callable[[int], Curve]
    workers: int = 2
    total: float | None = 600.0
    trials: int | None = None
    max_tokens: int | None = None
    branching: bool = False
    now: float = 0.0
    rung_tokens: int | None = None
    running: list[Running] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    forecaster: Forecaster = field(default_factory=Forecaster)

    def run(self) -> "Simulation":
        if self.total is None:
            self.rung_tokens = 5_000
        while True:
            decision = decide(self.candidates, self.outlook(), [Prospect(delay=COMPILING)], self.forecaster)
            self.decisions.append((self.now, decision))
            match decision:
                case Finish():
                    return self
                case Wait():
                    self.end_next()
                case Branch(trial):
                    self.branch(trial)
                    self.begin(TrainOut(len(self.candidates) - 1, decision.to_tokens, decision.seconds, ""))
                case Start() | Thaw() | TrainOut():
                    self.begin(decision)
            if len(self.running) == self.workers:
                self.end_next()
            assert len(self.decisions) < 3000

    def outlook(self) -> Outlook:
        return Outlook(
            workers=self.workers,
            seconds_left=None if self.total is None else self.total - self.now,
            seconds_total=self.total,
            trials_left=None if self.trials is None else self.trials - len(self.candidates),
            rung_tokens=self.rung_tokens,
            max_tokens=self.max_tokens,
            branching=self.branching,
        )

    def branch(self, trial: int) -> None:
        parent = self.candidates[trial]
        self.candidates.append(replace(parent, number=len(self.candidates), state="paused", parent=trial))

    def begin(self, decision: Start | Thaw | TrainOut) -> None:
        if isinstance(decision, Start):
            self.candidates.append(Candidate(len(self.candidates), "paused"))
        number = len(self.candidates) - 1 if isinstance(decision, Start) else decision.trial
        candidate = self.candidates[number]
        assert candidate.state == "paused"
        before = candidate.points[-1] if candidate.points else Point(0, 0.0, 0.0, 9.0, 9.0)
        curve, compiling = (
            self.curves(number if candidate.parent is None else candidate.parent),
            0.0 if candidate.points else COMPILING,
        )
        most = [decision.seconds] if decision.seconds is not None else []
        most += [(decision.to_tokens - before.tokens) / curve.speed] if decision.to_tokens is not None else []
        training = min(most)
        assert training > 0
        tokens = before.tokens + max(1, int(training * curve.speed + 0.5))
        cooled = isinstance(decision, TrainOut)
        point = curve.point(tokens, before.seconds + training + compiling, before.training + training, cooled)
        self.candidates[number] = replace(candidate, state="running")
        self.running.append(Running(self.now + training + compiling, number, point, cooled))

    def end_next(self) -> None:
        ended = min(self.running, key=lambda r: r.ends)
        self.running.remove(ended)
        self.now = max(self.now, ended.ends)
        candidate = self.candidates[ended.trial]
        state = "finished" if ended.finished else "paused"
        self.candidates[ended.trial] = replace(candidate, state=state, points=(*candidate.points, ended.point))
        if self.rung_tokens is None and ended.trial == 0:
            self.rung_tokens = ended.point.tokens

    def best(self) -> float:
        return min(point.objective for candidate in self.candidates for point in candidate.points)


def trained_throughout(curve: Curve, seconds: float) -> float:
    """Best objective of one trial that is trained all the time and cooled down."""
    training = seconds - COMPILING
    return curve.point(int(training * curve.speed), seconds, training, cooled=True).objective


def space_of(seed: int, default: Curve, hidden: Sequence[Curve] = ()) -> Callable[[int], Curve]:
    """Trial 0 is the default, the hidden ones come at random places, the rest are worse to various degrees."""
    draw = random.Random(seed)
    drawn = [
        Curve(default.floor * draw.uniform(0.95, 4), default.scale * draw.uniform(0.8, 5), draw.uniform(300, 1500))
        for _ in range(200)
    ]
    for curve in hidden:
        drawn[draw.randrange(2, 12)] = curve
    return lambda number: default if number == 0 else drawn[number]

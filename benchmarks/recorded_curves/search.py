"""Our search over a table: the product's scheduler, forecasts and proposals; training is looked up."""

from dataclasses import dataclass, field, replace

from automl.control.curves import Candidate, Point, rung_of
from automl.control.decisions import Outlook, Prospect, Start, Thaw
from automl.control.encoding import encoder
from automl.control.forecast import Forecaster
from automl.control.proposals import Proposals
from automl.control.ranking import Score, Tried
from automl.control.scheduler import decide
from benchmarks.recorded_curves.tables import Row, Table

CHECKPOINT = 1_000
"""Target tokens that stand for one checkpoint of a curve; a checkpoint costs one second."""


@dataclass(frozen=True)
class Run:
    """What a search paid, in checkpoints, and whether it reached the goal."""

    cost: int
    reached: bool


@dataclass
class Search:
    """One worker, a budget of as many trials as the table has rows, no limit of time.

    Attributes:
        earlier: What was best in searches of other tables.
        cost: Checkpoints trained so far.
    """

    table: Table
    seed: int
    earlier: tuple[Row, ...] = ()
    cost: int = 0
    rows: list[Row] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proposals = Proposals(self.table, self.seed, self.table.curves.__contains__, self.earlier)
        self.encode = encoder(self.table.ranges)
        self.forecaster = Forecaster()
        self.longest = CHECKPOINT * max(map(len, self.table.curves.values()))

    def until_goal(self) -> Run:
        """Search until a model is within 1 % of the best."""
        while self.step():
            if self.candidates and min(p.loss for c in self.candidates for p in c.points) <= self.table.goal:
                return Run(self.cost, reached=True)
        return Run(self.cost, reached=False)

    def evaluate(self, count: int) -> list[float]:
        """Train `count` models to the end; returns the best score after each."""
        best = []
        while len(self.rows) < count and self.step():
            best.append(min(self.table.scores[row] for row in self.rows))
        return best

    def step(self) -> bool:
        """Do one segment; false when the search is at its end."""
        proposals = self.proposals.propose(self.tried()) if len(self.rows) < len(self.table.curves) else []
        prospects = [Prospect(self.encode(self.table.parameters(p.configuration))) for p in proposals]
        outlook = Outlook(
            workers=1,
            trials_left=len(self.table.curves) - len(self.rows) if prospects else 0,
            rung_tokens=CHECKPOINT,
            max_tokens=self.longest,
        )
        match decide(self.candidates, outlook, prospects, self.forecaster):
            case Start(prospect=prospect):
                self.rows.append(proposals[prospect].configuration)
                self.candidates.append(Candidate(len(self.candidates), "paused", (), "", prospects[prospect].dials))
                self.train(len(self.rows) - 1, 1)
            case Thaw(trial, to_tokens):
                self.train(trial, to_tokens // CHECKPOINT)
            case _:
                return False
        return True

    def train(self, number: int, until: int) -> None:
        """Look the next checkpoints up, up to the goal or the end of the recorded curve."""
        row, candidate = self.rows[number], self.candidates[number]
        curve = self.table.curves[row]
        if self.table.scores:
            point = Point(CHECKPOINT, 1.0, 1.0, curve[-1], self.table.scores[row])
            self.candidates[number] = replace(candidate, points=(point,))
            return
        done = candidate.latest.tokens // CHECKPOINT if candidate.points else 0
        until = min(until, len(curve))
        reached = next((i for i in range(done, until) if curve[i] <= self.table.goal), until - 1)
        self.cost += reached + 1 - done
        point = Point((reached + 1) * CHECKPOINT, reached + 1, reached + 1, curve[reached], curve[reached])
        ended = reached + 1 == len(curve)
        points = (*candidate.points, point, point) if ended else (*candidate.points, point)
        self.candidates[number] = replace(candidate, state="finished" if ended else "paused", points=points)

    def tried(self) -> list[Tried]:
        """Return the trials as the proposals see them."""
        pairs = zip(self.rows, self.candidates, strict=True)
        return [
            Tried(row, Score(rung_of(c.latest.tokens, CHECKPOINT), c.latest.objective, c.latest.loss))
            for row, c in pairs
        ]

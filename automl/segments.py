"""The unit of work: one trial from one step to a later one, and what comes back.

A segment is a value: the same configuration, checkpoint and limits give the same result,
so a segment that was lost is simply run again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class ProgramFolder:
    """Where compiled programs are kept.

    Attributes:
        folder: Folder of the entries, which only its owner may write.
        key: File of the owner's key, without which no entry is trusted; it lies elsewhere than what it seals.
        most_bytes: Size of all entries together.
    """

    folder: str
    key: str
    most_bytes: int = 2 * 1024**3


@dataclass(frozen=True)
class ProgramCounts:
    """How programs came into a process.

    Attributes:
        compiled: Programs that XLA compiled, however small.
        compile_seconds: Seconds that XLA took.
        loaded: Programs that were found compiled.
        load_seconds: Seconds that loading them took.
        rejected: Programs that were found, but not accepted by the runtime.
    """

    compiled: int = 0
    compile_seconds: float = 0.0
    loaded: int = 0
    load_seconds: float = 0.0
    rejected: int = 0

    def since(self, before: "ProgramCounts") -> "ProgramCounts":
        """Return what was added after an earlier count."""
        names = [each.name for each in fields(self)]
        return ProgramCounts(**{name: getattr(self, name) - getattr(before, name) for name in names})


@dataclass(frozen=True)
class Mechanism:
    """What every step of a private search is: a sample of the pairs, and noise on their gradients.

    Attributes:
        rate: Chance of a pair to be in the batch of a step.
        noise_multiplier: Standard deviation of the noise, for each unit of the norm that gradients are clipped to.
        key: Decides the samples and the noise.
    """

    rate: float
    noise_multiplier: float
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Workload:
    """What every process that runs segments of one search needs to know.

    Attributes:
        table: Folder of the base table (see `automl.data.table`): that of the tokens that are tried first, in which
            target tokens are counted whatever those of a trial are.
        checkpoints: Folder where checkpoint bytes are kept under their sha256.
        metrics: Names from `automl.metrics.METRICS`; the first is the objective.
        threads: Cores that one process computes on without an accelerator; 0 leaves the choice to JAX.
        latency: Whether every segment measures how long a greedy decode takes.
        cache: Where compiled programs are kept between processes, or none.
        starts: Value of the dial `start` → sha256 of the checkpoint whose averaged parameters such a trial begins with.
        slots: Trials that one process trains at the same time.
        resident: Bytes of token ids that may lie on a device; more are streamed. None leaves the choice to the trainer.
        soft_targets: Sha256 of what a teacher expects of train, which trials learn beside the true targets.
        privacy: How trials are trained where the pairs are to be kept private.
        is_long: Whether trials train for so long that further shapes of batches are worth compiling.
        is_timed: Whether clocks may decide what is compiled, so that numbers are the same but by rounding.
    """

    table: str
    checkpoints: str
    metrics: tuple[str, ...]
    threads: int = 0
    latency: bool = False
    cache: ProgramFolder | None = None
    starts: Mapping[str, str] = field(default_factory=dict)
    slots: int = 1
    resident: int | None = None
    soft_targets: str | None = None
    privacy: Mechanism | None = None
    is_long: bool = False
    is_timed: bool = True


@dataclass(frozen=True)
class Segment:
    """Train one trial further.

    Attributes:
        trial: Number of the trial.
        configuration: The trial's `search_spaces.seq2seq.Seq2Seq` as JSON.
        seed: Seeds parameters, data order and dropout.
        from_step: Optimizer step at which the segment begins.
        checkpoint: Sha256 of the state at `from_step`; none at step 0.
        to_tokens: Stop at the first chunk boundary at or past so many target tokens, counted from the trial's start.
        seconds: Stop at the first chunk boundary after so many seconds of training, whatever `to_tokens` says.
        cooldown: Let the learning rate fall linearly to zero between `from_step` and the end, for which
            `to_tokens` is the plan. A trial that has cooled down is finished.
        fills: Whether a cooldown ends with the `seconds`, as fast as its steps turn out to be; until some are taken,
            `to_tokens` is the plan.
        most_steps: Take no more optimizer steps than these, since no more are paid for.
        decodes: Whether metrics that need decoding are scored; a look at an early rung goes by the loss alone.
        blends: Sha256 of checkpoints of the same model at other times, which may be blended into its end.
    """

    trial: int
    configuration: Mapping[str, Any]
    seed: int
    from_step: int = 0
    checkpoint: str | None = None
    to_tokens: int | None = None
    seconds: float | None = None
    cooldown: bool = False
    fills: bool = False
    most_steps: int | None = None
    decodes: bool = True
    blends: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentResult:
    """Where a segment ended.

    Attributes:
        step: Optimizer steps since the trial's start.
        tokens: Target tokens seen since the trial's start.
        scores: `loss` (nats a target token of the base table on valid), `token_accuracy` (teacher-forced, of the
            trial's own tokens on valid) and each metric of the workload, on valid, but for those that need decoding
            where nothing is decoded. Where it is wanted, `latency`: the
            median seconds of greedy decodes of one source of median length, on one thread. At the end of a trial,
            `deviation` of the first metric over resampled rows, where it is not a share of rows.
        checkpoint: Sha256 of the state at `step`, already on disk.
        parameters: Number of parameters of the model at its true size.
        seconds: Wall-clock seconds of the segment by part: `tokenizing`, `training`, `compiling`,
            `evaluating`, `writing`.
        programs: What was compiled and loaded for the segment.
        execution: The program that trained, `alone` or that of a `hull`; its `slots`; and `padding`, the work at padded
            sizes for each unit of true work.
    """

    trial: int
    from_step: int
    step: int
    tokens: int
    scores: Mapping[str, float]
    checkpoint: str
    parameters: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    programs: ProgramCounts = field(default_factory=ProgramCounts, compare=False)
    execution: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Member:
    """A further model of an ensemble: its configuration and its checkpoint."""

    configuration: Mapping[str, Any]
    checkpoint: str


@dataclass(frozen=True)
class Evaluation:
    """Decode a split with a trial's checkpoint and score it; greedily, unless `decoding` says otherwise.

    Attributes:
        decoding: What `search_spaces.decoding.decoding_from` reads.
        membership: Whether that is measured too.
        exposure: Whether that of the canaries in train is, if there are any.
        others: Models of the same tokens that speak together with the trial, as an ensemble.
        choose: Whether those of them are chosen first that the ensemble is best with; none may be.
        most: Parameters that the ensemble may have in all; any number where absent.
    """

    trial: int
    configuration: Mapping[str, Any]
    checkpoint: str
    split: str = "test"
    decoding: Mapping[str, Any] | None = None
    membership: bool = False
    exposure: bool = False
    others: tuple[Member, ...] = ()
    choose: bool = False
    most: int | None = None


@dataclass(frozen=True)
class Teaching:
    """Have models say together what they expect of each target token of train, given the true ones before it.

    Attributes:
        trial: Number of the trial whose successor is to learn it.
        members: The models, all of the same tokens.
        seconds: What has not been asked after so many is left out.
    """

    trial: int
    members: tuple[Member, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Preparation:
    """Compile what a trial trains with, so that whoever trains it finds the programs in the cache."""

    trial: int
    configuration: Mapping[str, Any]


@dataclass(frozen=True)
class Membership:
    """How much a model remembers of its training rows, by the losses that it gives them (Yeom et al., 2018).

    Attributes:
        told: Share of pairs of a row of train and one of valid of which the first has the lower loss a token, ties as
            half: .5 where nothing is remembered, 1 where every row is known again.
        train: Mean loss of the rows of train, nats a token.
        valid: The same of valid.
        rows: Number of rows of each.
    """

    told: float
    train: float
    valid: float
    rows: int


@dataclass(frozen=True)
class Exposure:
    """How exposed a canary is by what a model gives to its secret (Carlini et al., 2019, section 4.2).

    Attributes:
        copies: Pairs of train that say it.
        bits: The logarithm to base 2 of the number of secrets of its form that were compared, its own included, less
            that of its rank among them, ties as half: 1.4 in the mean where nothing is remembered.
        most: The same of the first in rank.
        said: Whether the model says it word for word when it is asked by a source of train.
    """

    copies: int
    bits: float
    most: float
    said: bool


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of `Evaluation` by metric name, and the number of sources scored.

    Where members were to be chosen, `chosen` are their places among `others`; where none is, nothing is scored.
    """

    trial: int
    scores: Mapping[str, float]
    rows: int
    membership: Membership | None = None
    exposure: tuple[Exposure, ...] = ()
    chosen: tuple[int, ...] = ()


@dataclass(frozen=True)
class TeachingResult:
    """Sha256 of the soft targets, which are among the checkpoints, and how many target tokens were asked for."""

    trial: int
    soft_targets: str
    tokens: int


@dataclass(frozen=True)
class PreparationResult:
    """How the programs of a preparation came to be there."""

    trial: int
    programs: ProgramCounts


Job = Segment | Evaluation | Teaching | Preparation
Result = SegmentResult | EvaluationResult | TeachingResult | PreparationResult

Phase = Literal["starting", "tokenizing", "compiling", "training", "evaluating", "writing"]


@dataclass(frozen=True)
class Beat:
    """A sign of life of whoever runs a job.

    Attributes:
        phase: What it does from now on.
        step: Optimizer steps of the trial so far. While it trains, only a step that grows shows that it gets on.
        note: One short line for people; the phase says enough where it is empty.
        part: Parts of the phase that are done, such as batches that are decoded.
    """

    phase: Phase
    step: int = 0
    note: str = ""
    part: int = 0

    def __str__(self) -> str:
        """Return it for people to read."""
        return self.note or self.phase


Report = Callable[[Beat], None]
"""Is told what a runner does right now."""

Stop = Callable[[], bool]
"""Says whether work should end at the next chunk boundary."""


class Runner(Protocol):
    """Runs jobs, one after another, in the process where it was made from a `Workload`."""

    def run(self, job: Job, report: Report, stop: Stop) -> Result:
        """Run one job.

        Raises:
            TrialFailure: The trial cannot go on.
        """
        ...

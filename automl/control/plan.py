"""What one search is to do: the space, the objective, and how long."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from automl.budget import Budget
from automl.control.criteria import Criteria
from automl.control.repetition import Repetition
from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space
from storage.objects import Place


@dataclass(frozen=True)
class Plan:
    """What is searched, and how long.

    Attributes:
        space: The configurations that may be tried.
        admissible: Hard constraint on a configuration, checked before it is trained.
        why_none: Says why no configuration is admissible, in one sentence.
        seconds_a_token: Training seconds that are expected of a target token, where no clock may decide.
        valid_rows: Sources of valid, which say how far scores are off by chance.
        test_share: Sources of test for each of valid.
        says_texts: Whether outputs are more than a token each, so that a beam may find likelier ones.
        refused: Says how many configurations were drawn and not admissible.
        costs: Counts what a configuration costs, for objectives that need no model.
        learn: Is told what was measured of a configuration, so that `admissible` knows better.
        criteria: By what trials are judged.
        checkpoints: Where checkpoint bytes lie.
        pass_tokens: Target tokens of one pass over train: the measure of a search without a time budget.
        passes: Passes over train that a trial has, at most.
        cores: Processor cores that one trial calls for, by which workers are counted.
        reserve: Seconds of the time budget kept for decoding test and for the export; 5 % (2 to 30 s) where none.
        spent: Seconds of the time budget that this run used before the controller was made.
        ensembles: Whether others may speak with the winner, and `most_parameters` how large they may be in all.
        distils: Whether these are the teachers of a further model then, and the winner stays alone.
        private: Whether steps are paid for from a ledger, for the privacy of the pairs of train.
        earlier: What was best in earlier searches on data that looks alike, tried after the families' defaults.
        prepares: Whether workers find what others have compiled, so that one may compile for another.
        together: Whether like models train by one program, in one process.
        repetition: What is trained in place of proposals; its winner is not scored on test.
        tested: Whether other winners are: a pre-training's is not.
        lease_seconds: The lease is renewed for so long, three times as often.
    """

    space: Space
    criteria: Criteria
    budget: Budget
    checkpoints: Place
    pass_tokens: int
    seed: int = 0
    admissible: Callable[[Seq2Seq], bool] = lambda _: True
    why_none: Callable[[], str] = lambda: "no configuration is within the constraints"
    seconds_a_token: Callable[[Seq2Seq], float] = lambda _: 1e-4
    valid_rows: int = 0
    test_share: float = 1.0
    says_texts: bool = True
    refused: Callable[[], int] = lambda: 0
    costs: Callable[[Seq2Seq], Mapping[str, float]] = lambda _: {}
    learn: Callable[[Seq2Seq, Mapping[str, float]], None] = lambda _, __: None
    reserve: float | None = None
    spent: float = 0.0
    lease_seconds: float = 60.0
    earlier: Sequence[Seq2Seq] = ()
    passes: int = 60
    cores: int = 1
    ensembles: bool = False
    distils: bool = False
    most_parameters: int | None = None
    prepares: bool = False
    together: bool = False
    repetition: Repetition | None = None
    tested: bool = True
    private: bool = False

    def trial_seed(self, number: int) -> int:
        """Return the seed of a trial: parameters, data order and dropout."""
        return int.from_bytes(sha256(f"{self.seed} {number}".encode()).digest()[:4], "big") >> 1

    @property
    def branches(self) -> bool:
        """Whether copies of the leader may be cooled down early, at the cost of exploring alone."""
        only_time = self.budget.time is not None and self.budget.trials is None and self.budget.device_time is None
        return only_time and not self.private and not self.criteria.others and self.repetition is None

    @property
    def kept_of_computing(self) -> float:
        """Seconds of computing that are not for training, where it is limited."""
        return min(max(0.05 * (self.budget.device_time or 0.0), 2.0), 30.0)

    def kept_for_test(self, scoring: float) -> float:
        """Return the seconds that test needs beyond what is kept for the end, where valid takes so many."""
        if self.repetition is not None or not self.tested:
            return 0.0
        kept = self.kept if self.budget.time is not None else self.kept_of_computing
        return max(self.test_share * scoring - kept, 0.0)

    @property
    def kept(self) -> float:
        """Seconds that are not for training."""
        return min(max(0.05 * (self.budget.time or 0.0), 2.0), 30.0) if self.reserve is None else self.reserve

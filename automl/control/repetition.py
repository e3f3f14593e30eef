"""The finalists of a search once more under other seeds, each trained exactly as long as it was."""

from collections.abc import Sequence
from dataclasses import dataclass

from automl.control.curves import Candidate
from automl.control.decisions import Decision, Finish, Outlook, Prospect, Start, Thaw, TrainOut, Wait
from automl.control.forecast import Forecaster
from automl.control.proposals import Proposal
from automl.control.ranking import Tried
from search_spaces.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Finalist:
    """What is trained again.

    Attributes:
        trial: Its number in the search that it is a finalist of.
        turn: Target tokens after which its learning rate began to fall to zero; nothing where it never did.
        tokens: Target tokens after which it was scored.
    """

    trial: int
    configuration: Seq2Seq
    turn: int | None
    tokens: int

    @property
    def first_tokens(self) -> int:
        """Target tokens up to which its learning rate follows its schedule alone."""
        return self.tokens if self.turn is None else self.turn


@dataclass(frozen=True)
class Repetition:
    """Takes the place of proposals and scheduler: trial `n` is finalist `n` modulo their number, whatever it scores."""

    finalists: tuple[Finalist, ...]

    def propose(self, tried: Sequence[Tried]) -> list[Proposal]:
        """Return the configuration of the next trial."""
        return [Proposal(self.of(len(tried)).configuration, "repetition")]

    def prepare(self) -> None:
        """Do nothing ahead: what is next is known."""

    def of(self, number: int) -> Finalist:
        """Return the finalist that a trial repeats."""
        return self.finalists[number % len(self.finalists)]

    def decide(
        self,
        candidates: Sequence[Candidate],
        outlook: Outlook,
        prospects: Sequence[Prospect] = (),
        forecaster: Forecaster | None = None,
    ) -> Decision:
        """Say what a free worker does next: train a begun trial out, or begin the next."""
        del prospects, forecaster
        for number, tokens in ((c.number, c.latest.tokens) for c in candidates if c.state == "paused"):
            finalist = self.of(number)
            if tokens < finalist.first_tokens:
                return Thaw(number, finalist.first_tokens, None, f"continued {number}: it was stopped before its time")
            if finalist.turn is not None:
                return TrainOut(number, finalist.tokens, None, f"trains {number} out, as trial {finalist.trial} was")
        if outlook.trials_left != 0:
            finalist = self.of(self._next(candidates))
            return Start(finalist.first_tokens, None, f"trial {finalist.trial} under another seed")
        if any(candidate.state == "running" for candidate in candidates):
            return Wait("the last repetitions are awaited")
        return Finish("every finalist was trained under every seed")

    def _next(self, candidates: Sequence[Candidate]) -> int:
        """Return the number of the trial that would begin: one whose first segment was lost has none of these."""
        known = {candidate.number for candidate in candidates}
        return next(number for number in range(len(known) + 1) if number not in known)

"""What beginning a configuration would cost, by what this search has measured."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median

from automl.control.decisions import Prospect
from automl.control.history import Trial, successors
from automl.control.proposals import Proposal
from search_spaces.hulls import shared
from search_spaces.optimizers import alike
from search_spaces.seq2seq import Seq2Seq, without_recipe

Encode = Callable[[Seq2Seq], tuple[float, ...]]


def architecture(configuration: Seq2Seq) -> Hashable:
    """Return what a model is and which optimizers its program knows, without how it is trained beyond that."""
    return without_recipe(configuration), alike(configuration.optimizer)


def prospects(
    proposals: Iterable[Proposal],
    trials: Iterable[Trial],
    encode: Encode,
    expected: Callable[[Seq2Seq], float],
    *,
    together: bool = False,
) -> list[Prospect]:
    """Return the proposals as the scheduler weighs them against each other.

    Args:
        proposals: What could be begun.
        trials: What was measured.
        encode: Where a configuration lies among the others.
        expected: Training seconds a token by counts alone; how a wider model's compare with its model's is used.
        together: Whether like models train by one program, in one process.
    """
    known, program = list(trials), shared if together else architecture
    measured, after = [trial for trial in known if trial.segments and trial.parent is None], successors(known)
    compiled, speeds = Compiled.of(measured, program), _speeds(measured, program)
    if together:
        compiled = compiled.beside(trial.configuration for trial in known if trial.in_flight)

    def prospect(proposal: Proposal) -> Prospect:
        configuration, than = proposal.configuration, proposal.wider_than
        speed = _speed(configuration if than is None else than, speeds, program)
        narrower = None
        if than is not None:
            narrower = next((trial.row.number for trial in measured if trial.configuration == than), None)
            while narrower in after:
                narrower = after[narrower]
            if speed is not None and program(configuration) != program(than):
                speed *= expected(than) / expected(configuration)
        return Prospect(encode(configuration), compiled.delay(configuration), speed, narrower)

    return [prospect(proposal) for proposal in proposals]


@dataclass(frozen=True)
class Compiled:
    """What a search has compiled, and how long it took.

    Attributes:
        programs: What was trained, each as `program` names it.
        usual: Seconds that a first segment compiled, in the middle.
        program: Names the same for configurations that share a program.
    """

    programs: frozenset[Hashable] = frozenset()
    usual: float = 0.0
    program: Callable[[Seq2Seq], Hashable] = architecture

    @staticmethod
    def of(measured: Iterable[Trial], program: Callable[[Seq2Seq], Hashable] = architecture) -> "Compiled":
        """Return what trials with a segment have compiled."""
        firsts: dict[Hashable, float] = {}
        for trial in sorted(measured, key=lambda trial: trial.row.number):
            firsts.setdefault(program(trial.configuration), trial.segments[0].seconds.get("compiling", 0.0))
        return Compiled(frozenset(firsts), median(firsts.values()) if firsts else 0.0, program)

    def beside(self, configurations: Iterable[Seq2Seq]) -> "Compiled":
        """Return the same beside what is being compiled: who shares it waits for it no longer than others do."""
        return replace(self, programs=self.programs.union(map(self.program, configurations)))

    def delay(self, configuration: Seq2Seq) -> float:
        """Return the seconds before a configuration's first step: none where its program was compiled before."""
        return 0.0 if self.program(configuration) in self.programs else self.usual


def _speeds(measured: Iterable[Trial], program: Callable[[Seq2Seq], Hashable]) -> Mapping[Hashable, float]:
    """Return the tokens a second of each program and of each pair of families, in the middle."""
    found: dict[Hashable, list[float]] = defaultdict(list)
    for trial in measured:
        for key in (program(trial.configuration), _families(trial.configuration)):
            found[key].append(_tokens_per_second(trial))
    return {key: median(speeds) for key, speeds in found.items()}


def _speed(
    configuration: Seq2Seq, speeds: Mapping[Hashable, float], program: Callable[[Seq2Seq], Hashable]
) -> float | None:
    """Return the tokens a second of the same program, else of the same families, else nothing."""
    return speeds.get(program(configuration), speeds.get(_families(configuration)))


def _families(configuration: Seq2Seq) -> Hashable:
    return type(configuration.encoder), type(configuration.decoder)


def _tokens_per_second(trial: Trial) -> float:
    return trial.segments[-1].tokens / max(sum(s.seconds.get("training", 0.0) for s in trial.segments), 1e-3)

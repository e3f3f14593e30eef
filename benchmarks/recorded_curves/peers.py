"""Other ways to search a table, each as a good engineer would: what they pay, in checkpoints, until the goal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from statistics import fmean

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from benchmarks.recorded_curves.search import Run
from benchmarks.recorded_curves.tables import Row, Table

ETA = 2


def full_training(table: Table) -> float:
    """Return the exact mean cost of training random models to the end, one after another, until one is good."""
    curves = table.curves.values()
    reached = [_reached(curve, table.goal) for curve in curves]
    good = [at for at in reached if at is not None]
    bad = [len(curve) for curve, at in zip(curves, reached, strict=True) if at is None]
    return len(bad) / (len(good) + 1) * fmean(bad or [0]) + fmean(good)


def tpe(table: Table, seed: int) -> Run:
    """Optuna's TPE, each model trained to the end."""
    return _optuna(table, seed, NopPruner())


def tpe_successive_halving(table: Table, seed: int) -> Run:
    """Optuna's TPE with its pruner of successive halving: what it prunes does not come back."""
    return _optuna(table, seed, SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA))


def tpe_hyperband(table: Table, seed: int) -> Run:
    """Optuna's TPE with Hyperband."""
    longest = max(map(len, table.curves.values()))
    return _optuna(table, seed, HyperbandPruner(min_resource=1, max_resource=longest, reduction_factor=ETA))


def promotion(table: Table, seed: int) -> Run:
    """Asynchronous successive halving that resumes what it promotes (Li et al., 2020), with random models."""
    waiting = list(table.curves)
    Random(seed).shuffle(waiting)
    waiting.sort(key=lambda row: row == table.default)
    rungs: dict[int, dict[Row, float]] = {}
    done: dict[Row, int] = {}
    cost = 0
    while True:
        row = _promoted(rungs, done, table) or (waiting.pop() if waiting else None)
        if row is None:
            row = next(
                (r for r in sorted(done, key=lambda r: table.curves[r][done[r] - 1]) if _goes_on(r, done, table)), None
            )
        if row is None:
            return Run(cost, reached=False)
        begin, curve = done.get(row, 0), table.curves[row]
        end = min(max(begin * ETA, 1), len(curve))
        at = _reached(curve[:end], table.goal)
        if at is not None:
            return Run(cost + at - begin, reached=True)
        cost += end - begin
        done[row] = end
        rungs.setdefault(end, {})[row] = curve[end - 1]


PEERS = {
    "TPE": tpe,
    "TPE + SuccessiveHalving": tpe_successive_halving,
    "TPE + Hyperband": tpe_hyperband,
    "promotion ASHA": promotion,
}


def _goes_on(row: Row, done: dict[Row, int], table: Table) -> bool:
    return done[row] < len(table.curves[row])


def _promoted(rungs: dict[int, dict[Row, float]], done: dict[Row, int], table: Table) -> Row | None:
    """Return a model of the top of its rung, from the highest such rung."""
    for tokens in sorted(rungs, reverse=True):
        scores = rungs[tokens]
        for row in sorted(scores, key=scores.__getitem__)[: len(scores) // ETA]:
            if done[row] == tokens and _goes_on(row, done, table):
                return row
    return None


def _reached(curve: tuple[float, ...], goal: float) -> int | None:
    return next((at for at, loss in enumerate(curve, start=1) if loss <= goal), None)


def _optuna(table: Table, seed: int, pruner: BasePruner) -> Run:
    """Search without replacement: a suggestion stands for the nearest model that has not been tried."""
    cost, left = 0, list(table.curves)
    with _quiet():
        sampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=10)
        study = optuna.create_study(sampler=sampler, pruner=pruner)
        study.enqueue_trial(table.parameters(table.default))
        while left:
            trial = study.ask()
            row = table.nearest(table.sample(trial), left)
            left.remove(row)
            for at, loss in enumerate(table.curves[row], start=1):
                cost += 1
                if loss <= table.goal:
                    return Run(cost, reached=True)
                trial.report(loss, at)
                if trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED)
                    break
            else:
                study.tell(trial, table.curves[row][-1])
    return Run(cost, reached=False)


@contextmanager
def _quiet() -> Iterator[None]:
    import warnings

    optuna.logging.set_verbosity(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

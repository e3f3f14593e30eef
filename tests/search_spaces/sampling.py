"""Configurations drawn at random."""

import optuna

from search_spaces.seq2seq import Seq2Seq
from search_spaces.spaces import Space


def sampled(space: Space, count: int) -> list[Seq2Seq]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.sample(study.ask()) for _ in range(count)]

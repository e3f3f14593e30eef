"""Our side: trials as the product trains them, each by the program of its architecture or, if asked, by its hull's."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from automl.segments import ProgramFolder, Segment, Workload
from automl.training.course import Course
from automl.training.hulls import Hull
from automl.training.population_trainer import PopulationTrainer
from automl.training.signature import signature
from automl.training.slots import Kind
from automl.training.steps import new_state
from automl.training.stopwatch import Stopwatch
from automl.training.trainer import Trainer
from benchmarks.heterogeneous.configurations import ROWS, Drawn
from benchmarks.heterogeneous.handover import order_of, runs_of
from search_spaces.dials import to_dict
from search_spaces.optimizers import alike


class Alone:
    """Programs of single architectures, kept on disk: how a processor without an accelerator trains."""

    def __init__(self, folder: Path) -> None:
        self.trainer = Trainer(self._workload(folder))

    def losses(self, drawn: Drawn, values: Mapping[str, Any], seed: int, steps: int) -> list[float]:
        """Return the losses of so many steps."""
        configuration, extent = drawn
        dataset = self.trainer.dataset(configuration)
        order = order_of(dataset)
        static = signature(configuration, extent.source_vocabulary, extent.target_vocabulary, ROWS)
        course = Course(Segment(0, to_dict(configuration), seed=seed), configuration, order, 0)
        state, found = new_state(values), list[float]()
        for run in runs_of(order, seed, steps):
            inputs = (state, dataset.data, course.chunk(run))
            watch = Stopwatch()
            key = self.trainer._key(static, run, course, inputs, watch)
            program = self.trainer._compiled(key, inputs, watch, lambda _: None)
            state, losses = program(*inputs)
            found += np.asarray(losses)[: len(run.rows)].tolist()
        return found

    @staticmethod
    def _workload(folder: Path) -> Workload:
        cache = ProgramFolder(str(folder / "programs"), str(folder / "key"))
        table = (folder / "table").read_text(encoding="utf-8")
        return Workload(table, str(folder), ("token_error_rate",), threads=1, cache=cache, slots=2)


class InHulls(Alone):
    """Programs of hulls: how `--executor slots` trains."""

    def __init__(self, folder: Path) -> None:
        self.trainer: PopulationTrainer = PopulationTrainer(self._workload(folder))

    def losses(self, drawn: Drawn, values: Mapping[str, Any], seed: int, steps: int) -> list[float]:
        """Return the losses of so many steps."""
        configuration, extent = drawn
        dataset, vocabularies = (
            self.trainer.dataset(configuration),
            (extent.source_vocabulary, extent.target_vocabulary),
        )
        order, static = order_of(dataset), signature(configuration, *vocabularies, ROWS)
        course = Course(Segment(0, to_dict(configuration), seed=seed), configuration, order, 0)
        kind = Kind(Hull.of(static.configuration, *vocabularies), order.hull, alike(configuration.optimizer))
        population, found = self.trainer.population(kind, ""), list[float]()
        with population.lane(partial(new_state, values), static.configuration) as lane:
            for run in runs_of(order, seed, steps):
                losses = population.train(lane, dataset.data, course.chunk(run))
                found += np.asarray(losses)[: len(run.rows)].tolist()
        return found

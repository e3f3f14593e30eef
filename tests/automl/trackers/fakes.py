"""MLflow and Weights & Biases, pretended: what of their clients is used, keeping what they are told."""

from collections import defaultdict
from types import SimpleNamespace


class FakeMLflow:
    """What of MLflow's client is used."""

    def __init__(self):
        self.experiments, self.runs = {}, {}
        self.metrics, self.parameters, self.endings = defaultdict(list), {}, {}
        self.entities = SimpleNamespace(
            Param=lambda name, value: (name, value), Metric=lambda name, value, moment, step: (name, value, step)
        )

    def MlflowClient(self):
        return self

    def get_experiment_by_name(self, name):
        return self.experiments.get(name)

    def create_experiment(self, name):
        self.experiments[name] = SimpleNamespace(experiment_id=name)
        return name

    def create_run(self, experiment, run_name, tags):
        self.runs[run_name] = tags
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def search_runs(self, experiments, wanted, max_results):
        return [
            SimpleNamespace(info=SimpleNamespace(run_id=name))
            for name, tags in self.runs.items()
            if f"'{tags['automl.trial']}'" in wanted
        ]

    def log_batch(self, run, metrics=(), params=()):
        self.metrics[run] += metrics
        self.parameters.setdefault(run, {}).update(params)

    def set_terminated(self, run, status):
        self.endings[run] = status


class FakeWandB:
    """What of wandb is used."""

    Settings = SimpleNamespace

    def __init__(self):
        self.runs = {}

    def init(self, **options):
        run = SimpleNamespace(options=options, logged=[], summary={}, ended=[], told={})
        run.config = SimpleNamespace(update=lambda dials, **_: run.told.update(dials))
        run.log = lambda scores, step: run.logged.append((step, scores))
        run.finish = lambda exit_code=0: run.ended.append(exit_code)
        self.runs[options["name"]] = run
        return run

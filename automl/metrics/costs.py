"""What a model costs, as a score: counted from its configuration, or measured."""

from collections.abc import Mapping
from difflib import get_close_matches

from automl.errors import InputError
from automl.metrics import METRICS
from automl.metrics.scores import Metric

COSTS: Mapping[str, Metric] = {
    name: Metric(name, "minimize", None, 0.0) for name in ("parameters", "operations", "memory", "latency")
}
"""Parameters, floating-point operations of a forward pass over a row, bytes in training, seconds of a greedy decode."""


def objective(name: str) -> Metric:
    """Find a metric or a cost by name.

    Raises:
        InputError: There is none of that name.
    """
    known = {**METRICS, **COSTS}
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1, cutoff=0)
    raise InputError(f"metric {name!r} is not known; did you mean {close[0]!r}? There are {', '.join(known)}")

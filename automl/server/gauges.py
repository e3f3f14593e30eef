"""Counts of a service, in the text format of Prometheus."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds of requests are counted up to each of these."""


class Gauges:
    """Counts requests; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered; those that stream count by their whole length."""
        known = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
        with self._lock:
            self._requests[(known, route, status)] += 1
            self._buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds += seconds

    def text(self, others: Mapping[str, Mapping[str, float]]) -> str:
        """Return all counts; `others` by name and by what their label `of` says."""
        return "\n".join([*self._lines(), *_lines_of(others)]) + "\n"

    def _lines(self) -> Iterator[str]:
        with self._lock:
            requests, buckets, seconds = dict(self._requests), list(self._buckets), self._seconds
        yield "# TYPE automl_requests_total counter"
        for (method, route, status), count in sorted(requests.items()):
            yield f'automl_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
        yield "# TYPE automl_request_seconds histogram"
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
            total += count
            yield f'automl_request_seconds_bucket{{le="{bound}"}} {total}'
        yield f"automl_request_seconds_sum {seconds:.6f}"
        yield f"automl_request_seconds_count {total}"


def _lines_of(gauges: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for name, values in gauges.items():
        yield f"# TYPE {name} gauge"
        for label, value in values.items():
            yield f'{name}{{of="{label}"}} {value:g}' if label else f"{name} {value:g}"

"""What the benchmarks share: arguments, both sides in turn, medians, the load of the machine, one form of result."""

import argparse
import json
import os
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.hardware import cores


def arguments(description: str, full: str | None = None) -> argparse.Namespace:
    """Read `--quick`, `--data DIR` and `--json`; `--full` where a benchmark says what that is."""
    asking = parser(description)
    if full is not None:
        asking.add_argument("--full", action="store_true", help=full)
    return asking.parse_args()


def parser(description: str) -> argparse.ArgumentParser:
    """Return what reads `--quick`, `--data DIR` and `--json`, and whatever else a benchmark adds."""
    asking = argparse.ArgumentParser(description=description)
    asking.add_argument("--quick", action="store_true", help="small models and few runs: does it work?")
    asking.add_argument("--data", type=Path, metavar="DIR", help="folder of data sets, where the benchmark reads any")
    asking.add_argument("--json", action="store_true", help="print one JSON document")
    return asking


def interleaved(sides: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[Any]]:
    """Run every side in turn, `runs` times, so that what disturbs the machine disturbs all of them."""
    results: dict[str, list[Any]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            results[name].append(side())
    return results


class Side:
    """A process that says a line when it is ready, and answers each line that it is told; on so many cores."""

    def __init__(self, command: Sequence[str], threads: int, told: str | None = None) -> None:
        """Start it; `told` is what it needs to know before it is ready."""
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(everywhere)[:threads])
        environment = {**os.environ, "NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        os.sched_setaffinity(0, everywhere)
        self.first = self._read() if told is None else self.ask(told)

    def ask(self, line: str) -> str:
        """Tell it a line and return its answer."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=60)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def load() -> str:
    """Return the average load over a minute, and the processor cores that this process may use."""
    number = cores()
    return f"{os.getloadavg()[0]:.1f} on {number} core{'s' * (number > 1)}"


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    Attributes:
        name: Of the benchmark.
        ratios: Name → how many times better than the peer; above 1 is better.
        measured: Everything that was measured, with its unit in the name.
        goals: Name of a ratio or measurement → what it should be, in words.
        load: Of the machine before and after.
    """

    name: str
    ratios: Mapping[str, float]
    measured: Mapping[str, Any]
    goals: Mapping[str, str]
    load: tuple[str, str]

    def show(self, *, as_json: bool) -> None:
        """Print it, as one JSON document or as a table."""
        if as_json:
            print(json.dumps({"version": 1, **self.__dict__}))
            return
        print(f"{self.name}; load before {self.load[0]}, after {self.load[1]}")
        for name, value in {**self.ratios, **self.measured}.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            kind = "×" if name in self.ratios else " "
            print(f"  {name:<44} {shown}{kind} {'goal ' + self.goals[name] if name in self.goals else ''}".rstrip())

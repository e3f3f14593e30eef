"""The sides of a measurement: two processes of one thread each, which take the next configuration when free."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

PROCESSES = 2
ROOT = Path(__file__).parents[2]
ONE_THREAD = dict.fromkeys(("NPROC", "PJRT_NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def command(side: str, folder: Path, pytorch: str | None) -> list[str]:
    """Return the command of a process of a side."""
    if side == "pytorch":
        assert pytorch is not None
        return [pytorch, "-m", "benchmarks.peers.pytorch.trials"]
    return [sys.executable, "-m", "benchmarks.heterogeneous.trials", side, str(folder)]


class Side:
    """The processes of one side, and what they have answered."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        """Start them; the time until both are ready counts."""
        self.name, self.folder = name, folder
        self.answers: dict[int, Mapping[str, Any]] = {}
        self.spent = [0.0] * PROCESSES
        begun, environment = time.monotonic(), {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        self._processes = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
            )
            for _ in range(PROCESSES)
        ]
        try:
            for process in self._processes:
                self._read(process)
        except BaseException:
            self.close()
            raise
        self.starting = time.monotonic() - begun

    def take(self, places: Iterable[int], steps: int, checked: int) -> None:
        """Train configurations, and check the losses of each outside of the time that counts."""
        waiting: SimpleQueue[int] = SimpleQueue()
        for place in places:
            waiting.put(place)

        def work(number: int) -> None:
            while True:
                try:
                    place = waiting.get_nowait()
                except Empty:
                    return
                wanted = {"folder": str(self.folder), "place": place, "steps": steps, "checked": checked}
                found = self._ask(self._processes[number], wanted)
                self.answers[place] = found
                self.spent[number] += found.get("seconds", 0.0)

        with ThreadPoolExecutor(PROCESSES) as pool:
            list(pool.map(work, range(PROCESSES)))

    @property
    def cannot(self) -> dict[int, str]:
        """Place of a configuration that this side does not build → why."""
        return {place: found["cannot"] for place, found in sorted(self.answers.items()) if "cannot" in found}

    @property
    def seconds(self) -> float:
        """From the start of the processes until the last configuration is trained, waiting and checking left out."""
        return self.starting + max(self.spent)

    def total(self, key: str) -> float:
        """Return the sum of what was told of each configuration."""
        return float(sum(found.get(key, 0.0) for found in self.answers.values()))

    def close(self) -> None:
        """Let the processes end."""
        for process in self._processes:
            process.communicate(timeout=60)

    def _ask(self, process: subprocess.Popen[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None
        print(json.dumps(wanted), file=process.stdin, flush=True)
        return self._read(process)

    def _read(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of {self.name} ended with code {process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

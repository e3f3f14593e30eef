"""What a trainer may use: seconds to each sign of progress, memory, files."""

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from automl.segments import Evaluation, Job, Phase, Preparation, Segment, Teaching

GIGABYTE = 1 << 30
MACHINE_SHARE = 0.9
"""Share of the machine's memory that all trainers together may use."""
CGROUP = Path("/sys/fs/cgroup")
CGROUPS = (CGROUP / "memory.max", CGROUP / "memory/memory.limit_in_bytes")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Limits:
    """Beyond any of these a trainer is killed, and its job fails with TIMEOUT or OUT_OF_MEMORY.

    Attributes:
        starting: Seconds until a process has loaded its libraries and data and begins to compile or to train.
        tokenizing: Seconds of building a token table, where a trial is the first in its tokens.
        compiling: Seconds of one compilation.
        step: Seconds in which the step of a trial that trains must grow.
        evaluating: Seconds in which scoring must get on, compilations for it included; also of writing a checkpoint.
        segment: Seconds of a whole job that has no limit of its own.
        drain: Seconds in which a job must end after it was told to stop.
        memory: Bytes that a process may hold for itself; none for an equal share of the machine's.
        files: Files that a process may have open.
        file_bytes: Size of a file that a process may write.
    """

    starting: float = 300.0
    tokenizing: float = 3600.0
    compiling: float = 600.0
    step: float = 300.0
    evaluating: float = 900.0
    segment: float = 86_400.0
    drain: float = 120.0
    memory: int | None = None
    files: int = 4096
    file_bytes: int = 64 * GIGABYTE

    def seconds(self, phase: Phase) -> float:
        """Return the seconds after which a phase without progress is over."""
        match phase:
            case "starting":
                return self.starting
            case "tokenizing":
                return self.tokenizing
            case "compiling":
                return self.compiling
            case "training":
                return self.step
            case "evaluating" | "writing":
                return self.evaluating

    def deadline(self, job: Job) -> float:
        """Return the seconds of a whole job: what it may train, and what may come before and after."""
        match job:
            case Segment(seconds=None):
                return self.segment
            case Segment(seconds=training):
                around = self.starting + 2 * self.compiling + self.evaluating
                return (training or 0.0) + around
            case Evaluation() | Teaching() | Preparation():
                return self.starting + self.segment


DEFAULT_LIMITS = Limits()


def share_of_memory(workers: int) -> int | None:
    """Return the bytes of one of so many processes that share this machine; none where its size is unknown."""
    sizes = [size for size in (_physical(), *map(_cgroup, CGROUPS)) if size is not None]
    return int(MACHINE_SHARE * min(sizes)) // max(workers, 1) if sizes else None


def _physical() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cgroup(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def private_memory(process: int) -> int:
    """Return the bytes that a process holds for itself alone; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize()


def out_of_memory_kills(mounted: Path = CGROUP, own: Path = OWN_CGROUPS) -> int:
    """Return how many processes of our own cgroup the kernel has killed for want of memory; 0 where it does not say.

    What it killed elsewhere on the machine says nothing of ours.
    """
    for file in _counters(mounted, own):
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for name, _, number in (line.partition(" ") for line in lines):
            if name == "oom_kill":
                return int(number)
    return 0


def _counters(mounted: Path, own: Path) -> Iterator[Path]:
    """Yield where the kernel counts, by version of cgroups; in a container our cgroup is what is mounted."""
    try:
        groups = [line.split(":", 2)[1:] for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    for controllers, group in groups:
        folder = group.lstrip("/")
        if "memory" in controllers.split(","):
            yield mounted / "memory" / folder / "memory.oom_control"
            yield mounted / "memory" / "memory.oom_control"
        elif not controllers:
            for name in ("memory.events.local", "memory.events"):
                yield mounted / folder / name
                yield mounted / name


def restrict(files: int, file_bytes: int, memory: int | None) -> None:
    """Lower the limits of the calling process; those that are lower already stay.

    Memory is the data segment and private mappings, so that one enormous allocation fails inside the process, where it
    is an error, instead of growing until somebody kills it.
    """
    wanted = {resource.RLIMIT_NOFILE: files, resource.RLIMIT_FSIZE: file_bytes, resource.RLIMIT_CORE: 0}
    if memory is not None:
        wanted[resource.RLIMIT_DATA] = memory
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))

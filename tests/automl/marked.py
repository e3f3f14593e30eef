"""A task whose training data are markers that stand nowhere else, and the places where a search leaves something."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.automl.command_line import DOCUMENT as SMALL
from tests.automl.command_line import OWN, Finished

MARKER = re.compile(rb"zq[a-w]{10}", re.IGNORECASE)
COPIES = ("train.tsv", "cache/corpora/", "cache/tables/")
"""The data themselves, and the private folders of texts and token ids that a search reads."""
SOON = '[budget]\ntarget = "sequence_error_rate<=0.99"\n'
"""Ends a search with its first right output, some rungs after its beginning."""
DOCUMENT = SMALL.replace('test = "test.tsv"\n', "").replace("hidden_size = 32", "hidden_size = 64") + SOON
WATCH = """
import os, socket, sys
def watched(event, arguments, path=os.environ["CONNECTIONS"]):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"):
        local = event != "socket.getaddrinfo" and getattr(arguments[0], "family", None) == socket.AF_UNIX
        if not local:
            whom = arguments[:2] if event == "socket.getaddrinfo" else arguments[-1]
            with open(path, "a") as file:
                file.write(f"{event} {whom!r}\\n")
sys.addaudithook(watched)
"""
"""Is run at the start of every Python process; a hook cannot be taken away again."""
CODE = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from automl.cli import run
for command in json.loads(sys.argv[1]):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
    with redirect_stdout(out), redirect_stderr(err):
        code = run(command)
    print(json.dumps([code, *(each.buffer.getvalue().decode() for each in (out, err))]), flush=True)
"""
"""Prints of each command how it ended and what it said; what its own processes say comes out as it is."""
TRACKER = """
import atexit, sys
from pathlib import Path
from tests.automl.trackers.fakes import {fake}
sys.modules[__name__] = told = {fake}()
atexit.register(lambda: Path("{name}.told").write_text(repr(vars(told))))
"""
"""Stands for a tracker's package: what it was told is written down when the process ends."""


def marker(number: int) -> str:
    """Return a source; its first four letters are the target."""
    generator = random.Random(number)
    return "zq" + "".join(generator.choices("abcdefghijklmnopqrstuvw", k=10))


@dataclass(frozen=True)
class Left:
    """A folder that a search has worked in, what its commands printed, and the connections that they asked for."""

    folder: Path
    said: Mapping[str, Finished]
    connections: str

    def marked(self) -> set[str]:
        """The files, and the outputs of commands, in which a marker stands."""
        outputs = {name: (each.out + each.err).encode() for name, each in self.said.items()}
        return marked(self.folder) | {name for name, data in outputs.items() if MARKER.search(data)}


def marked(folder: Path) -> set[str]:
    """Return the files below a folder in whose bytes a marker stands."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if MARKER.search(path.read_bytes())}


def leave(folder: Path, document: str, commands: Mapping[str, Sequence[str]]) -> Left:
    """Write a thousand pairs and `secret.toml`, and run commands there, every process of them watched."""
    (folder / "train.tsv").write_text("".join(f"{marker(n)}\t{marker(n)[:4]}\n" for n in range(1000)))
    (folder / "secret.toml").write_text(document)
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    for name, fake in (("mlflow", "FakeMLflow"), ("wandb", "FakeWandB")):
        (folder / "watch" / f"{name}.py").write_text(TRACKER.format(name=name, fake=fake))
    record = folder / "connections.txt"
    record.touch()
    done = watched(folder, *commands.values())
    assert done.returncode == 0, done.stderr
    said = [Finished(*json.loads(line)) for line in done.stdout.splitlines()]
    beside = Finished(done.returncode, "", done.stderr)
    return Left(folder, {**dict(zip(commands, said, strict=True)), "their processes": beside}, record.read_text())


def watched(folder: Path, *commands: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run commands in a process, one after the other, in a folder that `leave` has made."""
    path = os.pathsep.join([str(folder / "watch"), *sys.path])
    own = {"PYTHONPATH": path, "CONNECTIONS": str(folder / "connections.txt"), "AUTOML_CACHE": str(folder / "cache")}
    own["AUTOML_PROGRAM_KEY"] = str(folder / "keys" / "programs.key")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AUTOML_")}
    return subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(commands)],
        check=False,
        cwd=folder,
        env=inherited | OWN | own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )

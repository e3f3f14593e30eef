"""Runs the command line, in a process of its own or here, and a task that it can search in seconds."""

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from automl.cli import run

KEY = os.environ["AUTOML_PROGRAM_KEY"]
CACHE = Path(KEY).parent / "cache"
"""Shared by all tests, so that each program is compiled once; what lies there is found by its content alone."""
OWN = {"AUTOML_CACHE": str(CACHE), "AUTOML_PROGRAM_KEY": KEY, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
CODE = """
import sys
from automl.cli import run
code = run(sys.argv[1:])
print("computing:", *sorted({"jax", "flax", "optax"} & sys.modules.keys()), file=sys.stderr)
sys.exit(code)
"""

DOCUMENT = """
[data]
train = "train.tsv"
test = "test.tsv"
source_tokens = "characters"
target_tokens = "characters"
[space]
preset = "tiny"
encoder = "Recurrent"
decoder = "Recurrent"
cell = "gru"
hidden_size = 32
num_layers = 1
bidirectional = false
"decoder.Recurrent.attention" = "Additive"
"""


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def computes(self) -> bool:
        return self.err.splitlines()[-1] != "computing:"


def automl(folder: Path, *arguments: str, text: str = "", variables: Sequence[tuple[str, str]] = ()) -> Finished:
    """Run a command in a process of its own."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AUTOML_")}
    finished = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        check=False,
        cwd=folder,
        env=inherited | OWN | dict(variables),
        input=text,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)


def here(folder: Path, *arguments: str, text: str = "", variables: Sequence[tuple[str, str]] = ()) -> Finished:
    """Run a command in this process, which has loaded JAX already; what it trains, it has to train inline."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for name in ("stdout", "stderr")}
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - OWN.keys():
            if name.startswith("AUTOML_"):
                patch.delenv(name)
        for name, value in (OWN | dict(variables)).items():
            patch.setenv(name, value)
        patch.chdir(folder)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        code = run(arguments)
    out, err = (stream.buffer.getvalue().decode() for stream in streams.values())
    return Finished(code, out, err)


def write_task(folder: Path) -> Path:
    """Write 60 words of two to four letters that are to be copied, and the document of the task."""
    generator = random.Random(0)
    words: dict[str, None] = {}
    while len(words) < 60:
        words["".join(generator.choices("abcd", k=generator.randint(2, 4)))] = None
    lines = [f"{word}\t{word}\n" for word in words]
    (folder / "train.tsv").write_text("".join(lines[:50]))
    (folder / "test.tsv").write_text("".join(lines[50:]))
    (folder / "copy.toml").write_text(DOCUMENT)
    return folder / "copy.toml"

"""The steps of the Containerfile, replayed without an engine: the same commands in folders and environments of the test's own.

What an engine adds is not tried: the base image and its Python, users, and volumes.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.test_deployment import instructions

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r"(?<![\w./])/(?=(?:src|automl|opt/automl|usr/local)\b)|(?<=sqlite:///)/(?=automl/)")
"""Where the image has its things; the replay has them below a folder."""
LOCK = "service.lock"
SERVED = re.compile(r"serving at http://([\d.]+:\d+)")


class Image:
    """A folder in which the steps are taken; `/usr/local` of its last stage is an environment of Python."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local = root / "usr/local"
        self.workdir = root
        self.settings: dict[str, str] = {}
        self.command: list[str] = []
        self.check: list[str] = []
        for name in ("useradd", "chown"):  # these need root, and change nothing that is looked at here
            path = root / "pretended" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)

    def here(self, text: str) -> str:
        """Return a text with the folder before every place of the image."""
        return PLACES.sub(f"{self.root}/", text)

    @property
    def environment(self) -> dict[str, str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOML_", "PYTHON"))}
        path = os.pathsep.join([str(self.local / "bin"), str(self.root / "pretended"), os.environ["PATH"]])
        return {**known, **self.settings, "PATH": path}

    def build(self) -> None:
        for name, rest in instructions():
            self.step(name, rest)

    def step(self, name: str, rest: str) -> None:
        match name:
            case "FROM":
                shutil.rmtree(self.local, ignore_errors=True)
                venv.create(self.local, with_pip=True)
                self.workdir, self.settings = self.root, {}
            case "WORKDIR":
                self.workdir = Path(self.here(rest))
                self.workdir.mkdir(parents=True, exist_ok=True)
            case "COPY":
                self.copy(*(part for part in rest.split() if not part.startswith("--")))
            case "RUN":
                self.run(["sh", "-c", self.here(rest)])
            case "ENV":
                self.settings |= dict(part.split("=", 1) for part in shlex.split(self.here(rest)))
            case "CMD":
                self.command = json.loads(rest)
            case "HEALTHCHECK":
                self.check = json.loads(rest.removeprefix("CMD "))

    def copy(self, source: str, target: str) -> None:
        left_out = (ROOT / ".containerignore").read_text().replace("**/", "").split()
        if source == ".":
            shutil.copytree(ROOT, self.workdir, ignore=shutil.ignore_patterns(*left_out), dirs_exist_ok=True)
        else:
            shutil.copytree(self.here(source), self.here(target), dirs_exist_ok=True)

    def run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, cwd=self.workdir, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])

    @contextmanager
    def started(self) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
        """The command of the image, at a port of this machine alone that is free, and where it serves."""
        log = self.root / "log"
        command = [*self.command, "--host", "127.0.0.1", "--port", "0"]
        with log.open("wb") as stream:
            child = subprocess.Popen(
                command, cwd=self.workdir, env=self.environment, stdout=stream, stderr=stream, start_new_session=True
            )
        try:
            while (found := SERVED.search(log.read_text())) is None:
                assert child.poll() is None, log.read_text()
                time.sleep(0.1)
            yield child, found[1]
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def can_install(folder: Path) -> bool:
    """Whether the first package of the lock file can be had."""
    lines = (ROOT / LOCK).read_text().splitlines(keepends=True)
    second = next(index for index, line in enumerate(lines) if index and line[0].isalnum())
    (folder / "first.txt").write_text("".join(lines[:second]))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    asked = ["--dest", str(folder / "had"), "--requirement", str(folder / "first.txt")]
    return subprocess.run([*command, *asked], capture_output=True, check=False).returncode == 0


def versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([\w.-]+)(?:\[.*?\])?==(\S+)", (ROOT / name).read_text()))


def test_the_image_holds_what_is_tested_and_none_of_the_tools_that_test():
    tested, held = versions("requirements.lock"), versions(LOCK)
    assert {name: held[name] for name in held & tested.keys()} == {name: tested[name] for name in held & tested.keys()}
    assert held.keys() <= tested.keys()
    assert held.keys() & {"mypy", "playwright", "pytest", "ruff", "schemathesis"} == set()
    assert {"jax", "pillow", "psycopg", "pymysql", "authlib", "jax-privacy", "optuna-dashboard"} <= held.keys()


@pytest.mark.slow
def test_what_the_containerfile_builds_serves_is_found_well_and_ends_when_told(tmp_path):
    if not can_install(tmp_path):
        pytest.skip("no packages can be installed here")
    image = Image(tmp_path)
    image.build()
    assert (tmp_path / "usr/local/bin/automl").is_file()
    with image.started() as (child, place):
        with urllib.request.urlopen(f"http://{place}/readyz", timeout=60) as answer:
            assert (answer.status, json.load(answer)) == (200, {"status": "ok"})
        with urllib.request.urlopen(f"http://{place}/login", timeout=60) as answer:
            assert b"<form" in answer.read()
        image.run([part.replace("127.0.0.1:8470", place) for part in image.check])
        child.send_signal(signal.SIGTERM)
        assert child.wait() == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "automl/automl.db").is_file()

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from automl.segments import ProgramFolder
from automl.training import compiler
from automl.training.compiler import BackgroundCompiler, Source
from automl.training.programs import Programs

INPUT = np.arange(3, dtype=np.float32)
TIMES = Source("tests.automl.training.test_compiler:times", (4,))
LONG = Source("tests.automl.training.test_compiler:endless", ())


def times(factor: int) -> Any:
    return jax.jit(lambda x: x * factor)


def endless() -> Any:
    while True:
        time.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> ProgramFolder:
    return ProgramFolder(str(tmp_path / "programs"), str(tmp_path / "key"))


@pytest.fixture
def closing() -> Iterator[list[BackgroundCompiler]]:
    opened: list[BackgroundCompiler] = []
    yield opened
    for each in opened:
        each.close()


def test_another_process_compiles_and_this_one_loads(folder: ProgramFolder, closing: list[BackgroundCompiler]) -> None:
    programs = Programs(folder)
    closing.append(BackgroundCompiler(programs, folder))
    before = programs.counts
    program = closing[0].submit("times", TIMES, (INPUT,)).result(timeout=120)
    assert program(INPUT).tolist() == [0.0, 4.0, 8.0]
    assert programs.get("times", lambda: None, (INPUT,)) is program
    counts = programs.counts.since(before)
    assert (counts.compiled, counts.loaded) == (0, 1)


def test_without_a_cache_a_thread_compiles(closing: list[BackgroundCompiler]) -> None:
    closing.append(BackgroundCompiler(Programs(), None))
    assert closing[0].submit("times", TIMES, (INPUT,)).result(timeout=120)(INPUT).tolist() == [0.0, 4.0, 8.0]


def test_a_process_that_dies_leaves_the_work_to_a_thread(
    folder: ProgramFolder, closing: list[BackgroundCompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler.sys, "executable", "/bin/false")
    closing.append(BackgroundCompiler(Programs(folder), folder))
    assert closing[0].submit("times", TIMES, (INPUT,)).result(timeout=120)(INPUT).tolist() == [0.0, 4.0, 8.0]


def test_a_program_that_is_at_hand_starts_no_process(
    folder: ProgramFolder, closing: list[BackgroundCompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs(folder)
    held = programs.get("times", TIMES.build, (INPUT,))
    monkeypatch.setattr(compiler.subprocess, "Popen", None)
    closing.append(BackgroundCompiler(programs, folder))
    assert closing[0].submit("times", TIMES, (INPUT,)).result(timeout=60) is held


def test_closing_ends_the_process_and_cancels_what_it_did(folder: ProgramFolder) -> None:
    closed = BackgroundCompiler(Programs(folder), folder)
    running, waiting = (closed.submit(key, LONG, (INPUT,)) for key in "ab")
    while closed._process is None:
        time.sleep(0.01)
    closed.close()
    assert closed._process.wait(timeout=60) != 0
    for future in (running, waiting):
        with pytest.raises(CancelledError):
            future.result(timeout=60)


def test_a_process_past_its_deadline_is_given_up(folder: ProgramFolder, closing: list[BackgroundCompiler]) -> None:
    closing.append(BackgroundCompiler(Programs(folder), folder, seconds=0.0))
    assert closing[0].submit("times", TIMES, (INPUT,)).result(timeout=120)(INPUT).tolist() == [0.0, 4.0, 8.0]

"""A folder that only pretends to be a winner is refused with a reason, within half a gigabyte, and runs nothing."""

import json
import os
import subprocess
import sys

import pytest

from automl.bundle import write_bundle
from tests.automl.bundles import Drawn
from tests.automl.hostile.attempts import ATTEMPTS

LIMIT = 512 * 2**20


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("hostile")
    write_bundle(Drawn().bundle(), folder / "sound")
    done = subprocess.run(
        [sys.executable, "-m", "tests.automl.hostile.attempts", str(folder / "sound"), str(folder), str(LIMIT)],
        env={**os.environ, "AUTOML_CACHE": str(folder / "cache"), "AUTOML_PROGRAM_KEY": str(folder / "key")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


def test_there_are_sixty_attempts_and_more() -> None:
    assert len(ATTEMPTS) >= 60


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_is_refused_in_one_line_with_a_reason(ended: dict[str, str], name: str) -> None:
    assert ended[name].startswith("InputError: "), ended[name]
    assert "\n" not in ended[name]
    assert len(ended[name]) < 400


def test_memory_stays_within_the_limit(ended: dict[str, str]) -> None:
    assert int(ended["peak"]) < LIMIT

"""JAX on one thread and without rank promotion, shapes checked at every call, and one tiny data set for all."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

OLD_EMITTERS = " --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""

os.environ |= {
    "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
    "NPROC": "1",
    "PJRT_NPROC": "1",
    "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen=false{OLD_EMITTERS}",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "AUTOML_PROGRAM_KEY": str(Path(tempfile.gettempdir()) / f"automl-tests-{os.geteuid()}" / "programs.key"),
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # with the flag above, compiles in a quarter of the time
}

from jaxtyping import install_import_hook

install_import_hook(["automl.models", "automl.decoding", "automl.training"], "beartype.beartype")

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from threading import Lock

import hypothesis
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from automl.data.corpus import Given
from automl.data.forms import PAIRS, Form
from automl.data.sources import Columns
from automl.data.table import TokenTable, build_table
from storage import migrations

hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@dataclass(frozen=True)
class Data:
    files: dict[str, Path]
    columns: Columns = Columns()
    source_tokens: str = "characters"
    target_tokens: str = "characters"
    planted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Document:
    data: Data
    form: Form = PAIRS
    given: Given | None = None


def written_pairs(folder: Path, rewrite: Callable[[str], str], rows: dict[str, int]) -> Document:
    """Write distinct words of four to seven of eight letters, each with what a function makes of it."""
    generator = random.Random(0)
    words: dict[str, None] = {}
    while len(words) < sum(rows.values()):
        words["".join(generator.choices("abcdefgh", k=generator.randint(4, 7)))] = None
    left = iter(words)
    files = {name: folder / f"{name}.tsv" for name in rows}
    for name, path in files.items():
        lines = [f"{word}\t{rewrite(word)}\n" for word in islice(left, rows[name])]
        path.write_text("".join(lines), encoding="utf-8")
    return Document(Data(files))


@pytest.fixture(scope="session")
def first_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first SQLite database that was migrated is kept, from when on there is one."""
    return tmp_path_factory.mktemp("schema") / "first.db"


@pytest.fixture(scope="module", autouse=True)
def migrated_once(first_database: Path) -> Iterator[None]:
    """Let a new SQLite database begin as a copy of the first, which is the same and takes no migrations."""
    migrated, one_by_one = migrations._migrate_file, Lock()

    def migrate(engine: Any, place: str, found: str | None) -> None:
        with one_by_one, closing(sqlite3.connect(place)) as new, closing(sqlite3.connect(first_database)) as first:
            is_new, is_first = (not each.execute("PRAGMA schema_version").fetchall()[0][0] for each in (new, first))
            if is_new and not is_first:
                first.backup(new)
                return
            migrated(engine, place, found)
            if is_new:
                new.backup(first)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_migrate_file", migrate)
        yield


SCRIPTS: dict[str | None, ScriptDirectory] = {}


@pytest.fixture(scope="session", autouse=True)
def scripts_read_once() -> Iterator[None]:
    """Let Alembic read the scripts of migrations, ours and Optuna's, once a process and not once a database."""
    read = ScriptDirectory.from_config

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in SCRIPTS:
            SCRIPTS[place] = read(config)
        return SCRIPTS[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(scope="session")
def reversals(tmp_path_factory: pytest.TempPathFactory) -> TokenTable:
    """Words and their letters backwards: 8 letters, so 12 tokens on each side, and one shape of batches."""
    folder = tmp_path_factory.mktemp("reversals")
    document = written_pairs(folder, lambda word: word[::-1], {"train": 600, "valid": 70, "test": 30})
    with document.data.files["valid"].open("a", encoding="utf-8") as file:
        file.write("abc\tcbä\n")  # a letter that train does not have
    return build_table(document, folder / "cache")


@pytest.fixture
def strict_types() -> Iterator[None]:
    """No number changes its type unasked. Optax needs it, so training does without."""
    import jax

    with jax.numpy_dtype_promotion("strict"):
        yield

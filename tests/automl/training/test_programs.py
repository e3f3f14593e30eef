import ast
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.segments import ProgramFolder
from automl.training import cache, programs, surroundings
from automl.training.cache import MAGIC, SEAL_BYTES, SUFFIX
from automl.training.compilations import FOUND, compilations
from automl.training.programs import Programs
from tests.automl.training.test_cache import hostile

INPUT = np.arange(4, dtype=np.float32)


@pytest.fixture
def place(tmp_path: Path) -> ProgramFolder:
    return ProgramFolder(str(tmp_path / "programs"), str(tmp_path / "key"))


@pytest.fixture
def said() -> list[str]:
    return []


def double() -> Any:
    return jax.jit(lambda x: {"twice": x * 2})


def never() -> Any:
    raise AssertionError("the program was compiled again")


def run(held: Programs, build: Callable[[], Any] = double, values: Any = INPUT, key: str = "double") -> list[float]:
    result: list[float] = held.get(key, build, (values,))(values)["twice"].tolist()
    return result


def only_entry(place: ProgramFolder) -> Path:
    (entry,) = Path(place.folder).glob("*" + SUFFIX)
    return entry


def test_a_program_is_compiled_once_in_a_process() -> None:
    held = Programs()
    assert run(held) == run(held, never) == [0.0, 2.0, 4.0, 6.0]
    assert (held.at_hand("double", (INPUT,)), held.at_hand("other", (INPUT,))) == (True, False)


def test_a_later_process_finds_it_compiled(place: ProgramFolder) -> None:
    run(Programs(place))
    later = Programs(place)
    assert later.at_hand("double", (INPUT,))
    before = later.counts
    assert run(later, never) == [0.0, 2.0, 4.0, 6.0]
    counts = later.counts.since(before)
    assert (counts.compiled, counts.loaded, counts.rejected) == (0, 1, 0)


def test_donated_inputs_stay_donated(place: ProgramFolder) -> None:
    build = lambda: jax.jit(lambda x: x + 1, donate_argnums=0)  # noqa: E731
    Programs(place).get("add", build, (INPUT,))
    values = jax.device_put(INPUT, may_alias=False)
    result = Programs(place).get("add", never, (values,))(values)
    assert (result.tolist(), values.is_deleted()) == ([1.0, 2.0, 3.0, 4.0], True)


def test_another_key_form_or_type_is_another_program(place: ProgramFolder) -> None:
    run(Programs(place))
    held = Programs(place)
    before = held.counts
    run(held, key="other")
    run(held, values=INPUT[:2])
    run(held, values=INPUT.astype(np.int32))
    assert held.counts.since(before).loaded == 0
    assert len(list(Path(place.folder).glob("*" + SUFFIX))) == 4


@pytest.mark.parametrize(
    ("where", "value"),
    [("source_digest", "changed"), ("version", "0.0.1"), ("processor", ("another",)), ("cores", 999)],
)
def test_code_libraries_and_machine_are_part_of_the_key(
    monkeypatch: pytest.MonkeyPatch, where: str, value: object
) -> None:
    before = surroundings.surroundings()
    surroundings.surroundings.cache_clear()
    monkeypatch.setattr(surroundings, where, lambda *_: value)
    changed = surroundings.surroundings()
    surroundings.surroundings.cache_clear()
    assert changed != before


def test_flags_and_settings_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {surroundings.surroundings.__wrapped__()}
    monkeypatch.setenv("XLA_FLAGS", "--xla_something=1")
    texts.add(surroundings.surroundings.__wrapped__())
    jax.config.update("jax_default_matmul_precision", "highest")
    texts.add(surroundings.surroundings.__wrapped__())
    jax.config.update("jax_default_matmul_precision", None)
    assert len(texts) == 3


def test_every_package_that_programs_are_traced_with_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "version", lambda name: f"of {name}")
    text = surroundings.surroundings.__wrapped__()
    assert all(f"{name} of {name}\n" in text for name in ("jax", "jaxlib", "flax", "optax", "numpy", "jax_privacy"))


def test_a_package_that_is_not_installed_names_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PACKAGES", ("no-such-package",))
    assert "no-such-package not installed" in surroundings.surroundings.__wrapped__()


HARMLESS = {
    "automl.boxes": "reads and writes the texts of boxes",
    "automl.data.advance": "tells how far something is",
    "automl.data.batching": "shapes and rows, which are in the key or are inputs",
    "automl.data.fields": "splits texts",
    "automl.data.images": "reads files",
    "automl.data.pieces": "splits texts",
    "automl.data.subwords": "learns vocabularies, whose sizes are in the key",
    "automl.data.table": "reads files",
    "automl.data.turns": "splits texts",
    "automl.errors": "says what is wrong",
    "automl.hardware": "finds cores, which are in the key",
    "automl.lengths": "limits, which are inputs or lengths of arrays",
    "automl.metrics": "judges texts",
    "automl.segments": "what is asked and answered; mechanisms are in the key or are inputs",
    "automl.settings": "where things lie",
    "automl.tasks.dialogue": "prepares texts",
    "automl.weights": "reads and writes parameters",
    "storage.buckets": "reads and writes files",
    "storage.objects": "reads and writes files",
}
"""Modules that a traced one imports, and why they are no part of any program."""


def modules(imports: ast.ImportFrom) -> list[str]:
    of = str(imports.module)
    return [f"{of}.{each.name}" for each in imports.names] if of in ("automl", "automl.data", "storage") else [of]


def test_every_file_whose_code_decides_programs_is_read() -> None:
    home = Path(surroundings.__file__).parents[2]
    files = [file for name in surroundings.SOURCES for file in (home / name, *(home / name).rglob("*.py"))]
    assert all(file.exists() for file in files)
    nodes = [node for file in files if file.is_file() for node in ast.walk(ast.parse(file.read_text()))]
    imported = {name for each in nodes if isinstance(each, ast.ImportFrom) for name in modules(each)}
    ours = {name for name in imported if name.startswith(("automl", "storage"))}
    listed = tuple(name.removesuffix(".py").replace("/", ".") for name in surroundings.SOURCES)
    assert {name for name in ours if not name.startswith(listed)} == HARMLESS.keys()


def test_nothing_is_unpickled_before_its_seal_is_right(place: ProgramFolder, tmp_path: Path) -> None:
    run(Programs(place))
    entry = only_entry(place)
    sealed = entry.read_bytes()
    body = hostile(tmp_path / "marker")
    for seal in (sealed[len(MAGIC) : len(MAGIC) + SEAL_BYTES], bytes(SEAL_BYTES)):
        entry.write_bytes(MAGIC + seal + body)
        entry.chmod(0o600)
        assert run(Programs(place)) == [0.0, 2.0, 4.0, 6.0]
        assert not (tmp_path / "marker").exists()
    held = Programs(place)
    assert held._cache is not None  # the same bytes with the right seal would have run
    held._cache.write(entry.name.removesuffix(SUFFIX), body)
    run(Programs(place))
    assert (tmp_path / "marker").exists()


def test_a_sealed_entry_of_another_form_is_compiled_anew(place: ProgramFolder) -> None:
    run(Programs(place))
    held = Programs(place)
    assert held._cache is not None
    for body in (b"no pickle at all", pickle.dumps(["a list"])):
        held._cache.write(only_entry(place).name.removesuffix(SUFFIX), body)
        assert run(Programs(place)) == [0.0, 2.0, 4.0, 6.0]


def test_a_corrupt_entry_is_compiled_anew_and_replaced(place: ProgramFolder, said: list[str]) -> None:
    run(Programs(place))
    entry = only_entry(place)
    sealed = bytearray(entry.read_bytes())
    sealed[-100] ^= 255
    entry.write_bytes(sealed)
    held = Programs(place, said.append)
    before = held.counts
    assert run(held) == [0.0, 2.0, 4.0, 6.0]
    assert held.counts.since(before).loaded == 0
    run(Programs(place), never)
    assert said == []


def test_an_entry_of_another_program_under_this_name_is_compiled_anew(place: ProgramFolder) -> None:
    first = Programs(place)
    run(first)
    double_entry = only_entry(place)
    first.get("triple", lambda: jax.jit(lambda x: {"twice": x * 3}), (INPUT,))
    (triple_entry,) = set(Path(place.folder).glob("*" + SUFFIX)) - {double_entry}
    os.replace(triple_entry, double_entry)  # noqa: PTH105
    assert run(Programs(place)) == [0.0, 2.0, 4.0, 6.0]


def rejecting(*_: Any, **__: Any) -> Any:
    raise jax.errors.JaxRuntimeError("Target machine feature +prefer-no-gather is not supported on the host machine")


def test_a_runtime_that_rejects_what_it_wrote_is_said_once_and_left_to_the_cache_of_jax(
    place: ProgramFolder, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {}
    monkeypatch.setattr(programs.serialize_executable, "deserialize_and_load", rejecting)
    monkeypatch.setattr(programs.jax, "config", type("Config", (), {"update": settings.__setitem__, "values": {}}))
    for process in range(4):
        held = Programs(place, said.append)
        assert run(held) == [0.0, 2.0, 4.0, 6.0]
        assert (held.counts.rejected, bool(settings)) == (int(process in (1, 2)), process == 3)
    assert len(said) == 2
    assert all("rejected" in line for line in said)
    folder = Path(settings["jax_compilation_cache_dir"])
    assert (folder.parent, folder.stat().st_mode & 0o777) == (Path(place.folder), 0o700)


def unable(error: Exception) -> Callable[..., Any]:
    def serialize(*_: Any) -> Any:
        raise error

    return serialize


@pytest.mark.parametrize(
    "error", [jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), MemoryError(), OSError(28, "full")]
)
def test_a_program_that_cannot_be_kept_now_is_run_said_and_kept_another_time(
    place: ProgramFolder, said: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(programs.serialize_executable, "serialize", unable(error))
        held = Programs(place, said.append)
        assert run(held) == run(held, key="other") == [0.0, 2.0, 4.0, 6.0]
    assert said == [f"a compiled program is not kept this time ({type(error).__name__})"]
    assert not list(Path(place.folder).glob("*" + SUFFIX))
    run(Programs(place))
    assert run(Programs(place), never) == [0.0, 2.0, 4.0, 6.0]


def test_a_program_that_the_runtime_cannot_serialise_leaves_others_kept(
    place: ProgramFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {}
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(programs.serialize_executable, "serialize", unable(ValueError("no such form")))
            patched.setattr(programs.jax, "config", type("Config", (), {"update": settings.__setitem__, "values": {}}))
            held = Programs(place)
            assert run(held) == [0.0, 2.0, 4.0, 6.0]
    assert "jax_compilation_cache_dir" in settings
    run(held, key="other")
    assert run(Programs(place), never, key="other") == [0.0, 2.0, 4.0, 6.0]


def test_what_the_cache_of_jax_held_is_left_there(place: ProgramFolder) -> None:
    def found() -> Any:
        compilations().note(FOUND, 0.1)
        return double()

    assert run(Programs(place), found) == [0.0, 2.0, 4.0, 6.0]
    assert not list(Path(place.folder).glob("*" + SUFFIX))


def test_a_full_disk_is_said_once_and_programs_are_compiled(
    place: ProgramFolder, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    held = Programs(place, said.append)
    monkeypatch.setattr(cache.os, "fsync", full)
    run(held)
    run(held, key="other")
    assert len(said) == 1
    assert not list(Path(place.folder).iterdir())
    assert "(No space left on device); compiled programs are not kept" in said[0]


def test_a_cache_that_cannot_be_written_is_still_read(
    place: ProgramFolder, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(handle: int) -> None:
        raise OSError(30, "Read-only file system")

    run(Programs(place))
    monkeypatch.setattr(cache.os, "fsync", read_only)
    held = Programs(place, said.append)
    run(held, key="other")
    run(held, never)
    assert (len(said), held.counts.loaded) == (1, 1)


def test_a_folder_that_others_can_write_is_said_once_and_not_used(place: ProgramFolder, said: list[str]) -> None:
    Path(place.folder).mkdir()
    Path(place.folder).chmod(0o777)
    held = Programs(place, said.append)
    assert run(held) == [0.0, 2.0, 4.0, 6.0]
    assert len(said) == 1
    assert not list(Path(place.folder).iterdir())


def test_a_program_that_fails_to_compile_fails_each_time_it_is_asked_for() -> None:
    held = Programs()
    for _ in range(2):
        with pytest.raises(AssertionError):
            held.get("wrong", never, (INPUT,))
    assert run(held, key="wrong") == [0.0, 2.0, 4.0, 6.0]


def test_threads_that_want_the_same_program_compile_it_once() -> None:
    held, built = Programs(), []

    def build() -> Any:
        built.append(1)
        return double()

    threads = [Thread(target=run, args=(held, build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_of_two_processes_one_compiles_and_the_other_waits_for_it(place: ProgramFolder) -> None:
    first, second, begun, goes_on = Programs(place), Programs(place), Event(), Event()

    def build() -> Any:
        begun.set()
        goes_on.wait()
        return double()

    assert not second.is_compiled_elsewhere("double", (INPUT,))
    compiling = Thread(target=run, args=(first, build))
    compiling.start()
    begun.wait()
    assert second.is_compiled_elsewhere("double", (INPUT,))
    assert not second.is_compiled_elsewhere("other", (INPUT,))
    waiting = Thread(target=run, args=(second, never))
    waiting.start()
    goes_on.set()
    for thread in (compiling, waiting):
        thread.join()
    assert (second.counts.loaded, run(second, never)) == (1, [0.0, 2.0, 4.0, 6.0])
    assert not second.is_compiled_elsewhere("double", (INPUT,))
    assert [file.name for file in Path(place.folder).iterdir()] == [only_entry(place).name]


def test_whoever_waits_compiles_where_the_other_failed(place: ProgramFolder) -> None:
    with pytest.raises(AssertionError):
        run(Programs(place), never)
    assert run(Programs(place)) == [0.0, 2.0, 4.0, 6.0]


def test_every_compilation_of_the_process_is_counted() -> None:
    held = Programs()
    before = held.counts
    jax.jit(lambda x: jnp.tanh(x) * 3)(INPUT)
    counts = held.counts.since(before)
    assert counts.compiled == 1
    assert counts.compile_seconds > 0

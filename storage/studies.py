"""Optuna's own studies in the same database, by Optuna's own calls: made, found, deleted."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from storage.database import HURRY
from storage.engines import connect, parse

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

PATIENCE = 3
"""Seconds that a statement of ours on Optuna's tables waits for others that use them."""


def study_of(url: str, name: str, directions: Sequence[str]) -> int:
    """Return the id of a study, made where there is none.

    Raises:
        ValueError: The study that is there has other directions.
    """
    from optuna.study import StudyDirection

    wanted = [StudyDirection[direction.upper()] for direction in directions]
    with _opened(url) as storage:
        known = _find(storage, name)
        study = storage.create_new_study(wanted, name) if known is None else known
        if storage.get_study_directions(study) != wanted:
            raise ValueError(f"the Optuna study {name!r} has other directions than {list(directions)}")
        return int(study)


def delete_study(url: str, name: str) -> None:
    """Delete a study, if there is one."""
    with _opened(url) as storage:
        study = _find(storage, name)
        if study is not None:
            storage.delete_study(study)


def open_studies(url: str) -> "RDBStorage":
    """Return the storage of all studies, for a tool that shows them."""
    from optuna.storages import RDBStorage

    # Optuna fills in a template.
    with quiet():
        return RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=_waiting(url))


def _waiting(url: str) -> dict[str, Any]:
    """How an engine of Optuna's waits: for others SQLite does so for 5 s unless told, servers for ever.

    A server that says nothing is waited for as long as elsewhere.
    """
    target = parse(url)
    match target.get_backend_name():
        case "sqlite":
            return {"connect_args": {"timeout": 60}}
        case "postgresql":
            given = target.query.get("options", "")
            hurry = f"{given if isinstance(given, str) else ' '.join(given)} -c lock_timeout={PATIENCE}s"
            target = target.update_query_dict({"options": hurry})
        case kind:
            target = target.update_query_dict({"init_command": HURRY[kind][0].format(seconds=PATIENCE)})
    return {"creator": partial(connect, target)}


@contextmanager
def _opened(url: str) -> Iterator["RDBStorage"]:
    storage = open_studies(url)
    try:
        with quiet():
            yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _find(storage: "RDBStorage", name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's remarks on experimental options, new studies and few trials from the person who searches."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)

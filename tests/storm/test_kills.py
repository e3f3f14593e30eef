"""kill -9 of trainers, workers and controllers while they train, checkpoint and commit: nothing lost, nothing doubled."""

import json
import os
from pathlib import Path

import pytest

from tests.storm.storm import AIMED, Storm, damage

QUICK, FULL = 4, int(os.environ.get("AUTOML_STORM_KILLS", "200"))
KILLS_OF_A_SEARCH = 25


def survives(folder: Path, url: str, kills: int, trials: int) -> Storm:
    with Storm(folder, url, trials, seed=int(os.environ.get("AUTOML_STORM_SEED", "0"))) as storm:
        done, searches = 0, 0
        while done < kills:
            name = f"search-{searches}"
            done += storm.search(name, min(KILLS_OF_A_SEARCH, kills - done))
            searches += 1
            assert damage(storm.database, name, trials, folder / "checkpoints") == []
            report(storm, done, searches)
        return storm


def report(storm: Storm, done: int, searches: int) -> None:
    line = {"url": storm.url.partition(":")[0], "kills": done, "searches": searches, "hits": dict(storm.hits)}
    print(json.dumps(line), flush=True)


@pytest.mark.parametrize("kind", ["SQLite"])
def test_a_search_survives_kills_in_every_phase(tmp_path, kind, storm_url):
    storm = survives(tmp_path, storm_url(kind), QUICK, trials=6)
    assert storm.hits.total() >= QUICK


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_searches_survive_kills_by_the_hundred(tmp_path, kind, storm_url):
    storm = survives(tmp_path, storm_url(kind), FULL, trials=12)
    assert sum(storm.hits[phase] for phase in AIMED) >= FULL / 2
    assert min(storm.hits[phase] for phase in AIMED) >= 10

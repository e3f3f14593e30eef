"""When a search counts as spent, so that the same command trains nothing."""

from contextlib import closing
from pathlib import Path

from automl.budget import Budget
from automl.resumption import is_spent
from storage.database import open_database
from storage.searches import claim, create_search, get_search, update_search


def test_a_search_that_was_killed_before_it_said_what_it_had_is_not_spent(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path}/automl.db")) as database:
        create_search(database, "a", {}, "0" * 64)
        lease = claim(database, "a", "owner", 60)
        spent = []
        for summary in ({"privacy": {}}, {"privacy": {}, "budget": {"trials": 3}}):
            update_search(database, lease, state="finished", summary=summary)
            row = get_search(database, "a")
            assert row is not None
            spent.append(is_spent(row, Budget(trials=3)))
    assert spent == [False, True]

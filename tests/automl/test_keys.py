"""The key of a private search goes when the search is over, and stays while it is to go on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from automl.control.ledger import SUMMARY
from automl.data.corpus import Corpus, build_corpus
from automl.errors import InputError
from automl.guarantee import drop_spent_key, mechanism_of
from automl.privacy import Terms
from automl.resumption import search_row
from automl.tasks.document import TaskDocument, document_from_mapping
from storage.database import Database, open_database
from storage.searches import SearchRow, claim, get_search, release, update_search

pytest.importorskip("dp_accounting", reason="the extra privacy is not installed")

TERMS = Terms(8.0, 1e-3, rows=90, batch=10, steps=20, noise_multiplier=2.0, charged=4)


@dataclass(frozen=True)
class Kept:
    """A database and a folder of keys."""

    database: Database
    document: TaskDocument
    corpus: Corpus
    keys: Path

    def begin(self, name: str, *, new: bool = False) -> SearchRow:
        """Begin a search, or go on with it, up to where its key is needed."""
        document = self.document.model_copy(update={"name": name})
        row = search_row(self.database, document, self.corpus, self.keys, new=new)
        lease = claim(self.database, name, "a test", 60.0)
        update_search(self.database, lease, summary={SUMMARY: TERMS.to_mapping()})
        release(self.database, lease)
        now = get_search(self.database, name)
        assert now is not None
        assert mechanism_of(now, self.keys, 0) is not None
        return row

    def end(self, row: SearchRow, state: str) -> None:
        """Let a search end in a state."""
        lease = claim(self.database, row.name, "a test", 60.0)
        drop_spent_key(row, state, self.keys)
        release(self.database, lease)

    @property
    def files(self) -> set[Path]:
        """The keys that are there."""
        return set(self.keys.iterdir())


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    (tmp_path / "train.tsv").write_text("".join(f"{n:03d}\t{n:03d}\n" for n in range(100)))
    mapping = {"name": "words", "data": {"train": "train.tsv"}, "privacy": {"epsilon": 8.0}}
    document = document_from_mapping(mapping, tmp_path)
    database = open_database(f"sqlite:///{tmp_path / 'automl.db'}")
    yield Kept(database, document, build_corpus(document, tmp_path / "cache"), tmp_path / "keys")
    database.close()


@pytest.mark.parametrize(("state", "left"), [("finished", 0), ("failed", 0), ("interrupted", 1)])
def test_a_search_that_is_over_leaves_no_key_and_one_that_goes_on_keeps_it(kept: Kept, state: str, left: int) -> None:
    row = kept.begin("words")
    assert len(kept.files) == 1
    kept.end(row, state)
    assert len(kept.files) == left


def test_a_search_that_is_begun_anew_throws_the_key_of_the_earlier_one_away(kept: Kept) -> None:
    kept.begin("words")
    (first,) = kept.files
    kept.begin("other")
    kept.begin("words", new=True)
    assert first not in kept.files
    assert len(kept.files) == 2


def test_a_search_that_goes_on_keeps_its_key(kept: Kept) -> None:
    kept.begin("words")
    (path,) = kept.files
    before = path.read_bytes()
    kept.begin("words")
    assert (kept.files, path.read_bytes()) == ({path}, before)


def test_a_search_that_runs_keeps_its_key_whoever_wants_it_anew(kept: Kept) -> None:
    kept.begin("words")
    before = kept.files
    claim(kept.database, "words", "another", 60.0)
    with pytest.raises(InputError, match="is running"):
        kept.begin("words", new=True)
    assert kept.files == before

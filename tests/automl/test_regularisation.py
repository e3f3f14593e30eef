"""How much the defaults hold back: as the time calls for, and as the objective does."""

from pathlib import Path
from typing import Any

import pytest

from automl.data.corpus import build_corpus
from automl.data.table import tokenized, tokens_of
from automl.passes import FRESH, STALE
from automl.planning import space_of
from automl.regularisation import between, regularised
from automl.tasks.document import document_from_mapping
from search_spaces.seq2seq import Seq2Seq
from tests.automl.timed import given, slower

LONG, SHORT = "10h", "1s"


def default(folder: Path, *, accelerated: bool = False, pairs: int = 1000, **sections: Any) -> Seq2Seq:
    """Return the default for so many pairs."""
    lines = [f"{number:03}\t{number:03}\n" for number in range(pairs)]
    (folder / "train.tsv").write_text("".join(lines))
    data = {"train": "train.tsv", "source_tokens": "characters", "target_tokens": "characters"}
    document = document_from_mapping({"name": "times", "data": data, **sections}, folder)
    corpus = build_corpus(document, folder / "cache")
    space = space_of(document, corpus)
    table = tokenized(corpus, tokens_of(space.default()))
    return regularised(document, space, table, accelerated=accelerated).default()


def test_a_model_that_sees_train_often_is_regularised_as_usual(tmp_path: Path) -> None:
    assert default(tmp_path, budget={"time": LONG}).dropout == Seq2Seq().dropout


def test_a_model_that_sees_train_but_a_few_times_is_not_held_back(tmp_path: Path) -> None:
    assert default(tmp_path, budget={"time": SHORT}).dropout == 0.0


def test_without_a_limit_of_time_nothing_changes(tmp_path: Path) -> None:
    assert default(tmp_path, budget={"trials": 2}).dropout == Seq2Seq().dropout


def test_an_accelerator_sees_train_more_often(tmp_path: Path) -> None:
    slow, fast = (default(tmp_path, budget={"time": "3s"}, accelerated=each).dropout for each in (False, True))
    assert 0.0 < slow < fast


def test_on_several_cores_it_sees_train_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = slower(given(tmp_path, time="1h"), monkeypatch, 6.0)
    alone, shared = (regularised(*document, cores=cores).default().dropout for cores in (1, 4))
    assert 0.0 < alone < shared


def test_time_that_a_pretraining_takes_is_none_to_be_trained_in(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("001\n002\n")
    begun = {"unlabelled": "text.txt", "share": 0.95}
    assert default(tmp_path, budget={"time": "4s"}).dropout > 0.0
    assert default(tmp_path, budget={"time": "4s"}, pretraining=begun).dropout == 0.0


def test_a_little_more_time_has_the_same_defaults(tmp_path: Path) -> None:
    assert default(tmp_path, budget={"time": "4s"}) == default(tmp_path, budget={"time": "4.2s"})


@pytest.mark.parametrize("time", [LONG, SHORT])
def test_what_the_user_pins_stays(tmp_path: Path, time: str) -> None:
    found = default(tmp_path, budget={"time": time}, space={"dropout": 0.25, "label_smoothing": 0.05})
    assert (found.dropout, found.label_smoothing) == (0.25, 0.05)


def test_ranges_of_the_user_hold(tmp_path: Path) -> None:
    assert default(tmp_path, budget={"time": SHORT}, space={"dropout": [0.1, 0.4]}).dropout == 0.1


@pytest.mark.parametrize(
    ("metric", "smoothing"),
    [("perplexity", 0.0), ("bits_per_character", 0.0), ("sequence_error_rate", Seq2Seq().label_smoothing)],
)
def test_labels_are_smoothed_unless_likelihood_counts(tmp_path: Path, metric: str, smoothing: float) -> None:
    assert default(tmp_path, metric={"name": metric}).label_smoothing == smoothing


def test_a_model_with_few_parameters_for_its_tokens_is_held_back_less(tmp_path: Path) -> None:
    few = {"hidden_size": 64, "model_size": 64, "size": 64}
    found = default(tmp_path, budget={"time": LONG}, pairs=100_000, space=few)
    assert 0.0 < found.dropout < 0.8 * Seq2Seq().dropout


def test_regularisation_grows_with_the_passes_between_fresh_and_stale() -> None:
    shares = [between(passes, FRESH, STALE) for passes in (0.0, 1.0, FRESH, 10.0, 20.0, STALE, 1000.0)]
    assert shares == sorted(shares)
    assert (shares[2], shares[-2], shares[-1]) == (0.0, 1.0, 1.0)
    assert 0.0 < shares[3] < shares[4] < 1.0

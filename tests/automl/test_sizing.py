"""How wide the first default is: as wide as the tokens that it will see are worth."""

from pathlib import Path
from typing import Any

import pytest

from automl import searches
from automl.passes import SPEED, STALE
from automl.pretraining import NOTHING
from automl.searches import Options
from automl.sizing import sized
from automl.tasks.document import ConstraintsSection, PretrainingSection, PrivacySection
from search_spaces.seq2seq import Seq2Seq
from tests.automl.timed import Given, given, slower

MANY_PAIRS = 40_000


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """More tokens than a small default has parameters, seen until they are stale."""
    document, space, table = given(tmp_path, length=9, pairs=MANY_PAIRS, time="1h")
    space = space.preferring({"encoder.Recurrent.hidden_size": 64, "decoder.Recurrent.hidden_size": 64})
    return slower((document, space, table), monkeypatch, STALE)


def width(default: Seq2Seq) -> tuple[Any, Any]:
    encoder: Any = default.encoder
    decoder: Any = default.decoder
    return encoder.hidden_size, decoder.hidden_size


def test_what_sees_many_tokens_for_each_of_its_parameters_is_wider(large: Given) -> None:
    assert width(sized(*large).default()) > (64, 64)


def test_the_more_it_sees_the_wider_it_is(large: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for passes in (0.1, 1.0, STALE, 100 * STALE):
        monkeypatch.setattr("automl.passes.SPEED", SPEED)
        found.append(width(sized(*slower(large, monkeypatch, passes)).default()))
    assert found == sorted(found)
    assert found[0] == (64, 64)
    assert found[-1] > found[0]


def test_a_wider_default_has_a_lower_rate(large: Given) -> None:
    document, space, table = large
    found, own = (
        space.parameters(each.default())["optimizer.AdamW.learning_rate"]
        for each in (sized(document, space, table), space)
    )
    assert float(found) < float(own)


def test_where_the_rate_is_pinned_the_default_stays(large: Given) -> None:
    document, space, table = large
    pinned = space.narrowed("optimizer.AdamW.learning_rate", 0.002)
    assert width(sized(document, pinned, table).default()) == (64, 64)


def test_the_ranges_stay(large: Given) -> None:
    assert sized(*large).ranges == large[1].ranges


def test_few_pairs_make_no_wide_model_however_often_they_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, space, table = slower(given(tmp_path, time="1h"), monkeypatch, 1000 * STALE)
    assert sized(document, space, table).default() == space.default()


def test_a_default_stays_within_the_limits(large: Given) -> None:
    document, *others = large
    limited = document.model_copy(update={"constraints": ConstraintsSection(parameters="200K")})
    assert width(sized(limited, *others).default()) == (64, 64)


@pytest.mark.parametrize(
    "update",
    [{"privacy": PrivacySection(epsilon=8.0)}, {"pretraining": PretrainingSection.model_validate({"from": "bundle"})}],
)
def test_what_is_private_or_has_a_size_already_stays(large: Given, update: dict[str, Any]) -> None:
    document, *others = large
    assert width(sized(document.model_copy(update=update), *others).default()) == (64, 64)


def test_without_a_limit_of_time_the_default_stays(tmp_path: Path) -> None:
    document, space, table = given(tmp_path, trials=2)
    assert sized(document, space, table) is space


@pytest.mark.parametrize(("workers", "size"), [(None, 128), (2, 64)])
def test_a_search_counts_the_cores_that_its_trials_have(
    large: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int | None, size: int
) -> None:
    monkeypatch.setattr("automl.passes.SPEED", SPEED)
    document, space, _ = slower(large, monkeypatch, 15.0)
    monkeypatch.setattr(searches, "cores", lambda: 2)
    monkeypatch.setattr(searches, "space_of", lambda *_: space)
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    options = Options(f"sqlite:///{tmp_path / 'automl.db'}", out=tmp_path / "model", workers=workers)
    assert width(searches._prepared(document, options, NOTHING).space.default()) == (size, size)

"""What a private search promises: terms, accounting, keys, and what is refused."""

import math
import re
import stat
from collections import Counter
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from automl import privacy
from automl.bundle import write_bundle
from automl.data import artifact
from automl.data.corpus import Corpus, build_corpus
from automl.errors import InputError
from automl.guarantee import check_private, owed, with_owed, with_terms
from automl.planning import space_of
from automl.pretraining import NOTHING
from automl.privacy import Terms, epsilon_of, noise_multiplier, public_key, secret_key, terms
from automl.searches import Options, _prepared
from automl.tasks.document import TaskDocument, document_from_mapping
from storage.database import open_database
from storage.searches import claim, create_search, get_search
from tests.automl.bundles import Drawn

accounting = pytest.importorskip("dp_accounting", reason="the extra privacy is not installed")


def document(**sections: object) -> TaskDocument:
    wanted = {"name": "words", "data": {"train": "train.tsv"}, "privacy": {"epsilon": 8.0}, **sections}
    return document_from_mapping(wanted, Path())


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "epsilon is missing"),
        ({"epsilon": 0}, "epsilon must be a number above 0"),
        ({"epsilon": math.inf}, "epsilon must be a number above 0"),
        ({"epsilon": "8"}, "epsilon must be a number above 0"),
        ({"epsilon": 8.0, "delta": 0.0}, "delta must be a number between 0 and 1"),
        ({"epsilon": 8.0, "delta": 1}, "delta must be a number between 0 and 1"),
        ({"epsilon": 8.0, "batch": 0}, "batch must be a whole number"),
        ({"epsilon": 8.0, "steps": 2.5}, "steps must be a whole number"),
        ({"epsilon": 8.0, "dleta": 1e-5}, "did you mean 'delta'?"),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(section: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        document(privacy=section)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"data": {"train": "t.tsv", "source": 0, "target": 1, "weight": 2}}, "[data] weight and [privacy] exclude"),
        ({"space": {"batch_tokens": 1024}}, "[space] batch_tokens and [privacy] exclude"),
        ({"pretraining": {"from": "models/x"}}, "write public = true"),
        ({"pretraining": {"unlabelled": "text.txt"}}, "write public = true"),
    ],
)
def test_what_could_not_be_kept_private_is_refused(sections: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        document(**sections)


def test_a_start_that_is_public_is_allowed() -> None:
    assert document(pretraining={"unlabelled": "text.txt", "public": True}).pretraining is not None


SPENT = {"search": "first", "privacy": {"epsilon": 6.0, "delta": 0.01}}


@pytest.mark.parametrize(
    "metrics", [SPENT, {"search": "second", "origins": [{"search": "first", "epsilon": 6.0, "delta": 0.01}]}]
)
def test_a_bundle_that_owes_something_to_a_private_search_is_not_public(
    metrics: dict[str, object], tmp_path: Path
) -> None:
    write_bundle(replace(Drawn().bundle(), metrics=metrics), tmp_path / "model")
    begun = document(pretraining={"from": str(tmp_path / "model"), "public": True})
    with pytest.raises(InputError, match=re.escape("private search 'first'")) as refused:
        check_private(begun, "inline")
    for said in (str(tmp_path / "model"), "metrics.json", "epsilon 6.0 at delta 0.01"):
        assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("metrics", [{"privacy": 3}, {"origins": ["first"]}, {"origins": [{}], "search": 1}])
def test_what_a_bundle_says_in_another_way_is_refused_too(metrics: dict[str, object], tmp_path: Path) -> None:
    write_bundle(replace(Drawn().bundle(), metrics=metrics), tmp_path / "model")
    with pytest.raises(InputError, match="public = true"):
        check_private(document(pretraining={"from": str(tmp_path / "model"), "public": True}), "inline")


def begun_from(tmp_path: Path, seen: list[str]) -> TaskDocument:
    """Return a private task with a train of its own, that begins from a bundle which has learnt from such files."""
    write_bundle(replace(Drawn().bundle(), metrics={"seen": seen}), tmp_path / "model")
    pretraining = {"from": str(tmp_path / "model"), "public": True}
    return document(data={"train": str(tmp_path / "train.tsv")}, pretraining=pretraining)


def read_from(text: str) -> Corpus:
    """Return a corpus whose train held a text; its other parts were held out of that."""
    return Corpus(Path(), {"contents": {"train": sha256(text.encode()).hexdigest()}})


def test_a_bundle_that_owes_nothing_may_be_begun_from_and_what_it_has_seen_is_passed_on(tmp_path: Path) -> None:
    begun = begun_from(tmp_path, ["0" * 64])
    check_private(begun, "inline")
    assert owed(begun, read_from("a\tb\n"), tmp_path) == {"origins": [], "seen": ["0" * 64]}


def test_a_bundle_that_does_not_say_what_it_has_learnt_from_is_not_public(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("names no file that it has learnt from")):
        check_private(begun_from(tmp_path, []), "inline")


def test_a_usual_search_names_the_files_that_it_learns_from_and_a_private_one_does_not(tmp_path: Path) -> None:
    corpus = read_from("a\tb\n")
    assert owed(document(), corpus, tmp_path)["seen"] == []
    assert owed(document(privacy=None), corpus, tmp_path)["seen"] == list(corpus.contents.values())


def test_a_bundle_that_has_learnt_from_the_same_pairs_is_not_public(tmp_path: Path) -> None:
    begun = begun_from(tmp_path, ["0" * 64, sha256(b"a\tb\n").hexdigest()])
    with pytest.raises(InputError, match=re.escape("was trained on what")) as refused:
        owed(begun, read_from("a\tb\n"), tmp_path)
    assert str(tmp_path / "train.tsv") in str(refused.value)


def test_what_is_owed_is_in_the_database_before_the_first_step(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path / 'a.db'}")) as database:
        row = create_search(database, "words", document().to_mapping(), "0" * 64)
        with_owed(database, claim(database, "words", "a test", 60.0), row, {"origins": [], "seen": ["1" * 64]})
        now = get_search(database, "words")
    assert now is not None
    assert now.summary == {"origins": [], "seen": ["1" * 64]}


def test_private_searches_of_the_same_pairs_add_up_whatever_their_tokens_and_canaries(tmp_path: Path) -> None:
    rows = [f"{number:02d}\t{number:02d}\n" for number in range(40)]
    (tmp_path / "valid.tsv").write_text("a\tb\n")
    for name, lines in {"train": rows, "turned": rows[::-1], "other": rows[:-1]}.items():
        (tmp_path / f"{name}.tsv").write_text("".join(lines))
    valid = {"valid": str(tmp_path / "valid.tsv")}
    searches: dict[str, dict[str, object]] = {
        "another": {"train": "other.tsv", **valid},
        "first": {"train": "train.tsv"},
        "tokens": {"train": "train.tsv", "source_tokens": "bytes", "target_tokens": "whitespace"},
        "canaries": {"train": "train.tsv", "canaries": 3},
        "none": {"train": "train.tsv", "canaries": 0, **valid},
        "turned": {"train": "turned.tsv", "canaries": [2, 1], **valid},
    }
    said: list[str] = []
    with closing(open_database(f"sqlite:///{tmp_path / 'a.db'}")) as database:
        for name, data in searches.items():
            files = {**data, "train": str(tmp_path / str(data["train"]))}
            task = document(name=name, data=files, privacy={"epsilon": 8.0, "batch": 10, "steps": 10})
            corpus = build_corpus(task, tmp_path / "cache")
            row = create_search(database, name, task.to_mapping(), corpus.digest)
            lease = claim(database, name, "a test", 60.0)
            with_terms(database, lease, row, task, corpus, 40, secret=True, say=said.append)
    sums = [
        re.findall(r"(\d+) other private searches saw the same pairs: their epsilon of (\d+)", each) for each in said
    ]
    assert [found[0] for found in sums if found] == [("1", "8"), ("2", "16"), ("3", "24"), ("1", "8")]


def test_a_private_search_reads_its_files_no_more_often_than_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.tsv").write_text("".join(f"{number}\t{number}\n" for number in range(40)))
    (tmp_path / "text.txt").write_text("one\ntwo\n")
    read, digest = Counter[str](), artifact.file_digest
    monkeypatch.setattr(artifact, "file_digest", lambda file, kind: read.update([file.name]) or digest(file, kind))
    found = []
    for name, terms_of in (("usual", None), ("private", {"epsilon": 8.0})):
        monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / name))
        read.clear()
        pretraining = {"unlabelled": str(tmp_path / "text.txt"), "public": True}
        task = document(data={"train": str(tmp_path / "train.tsv")}, pretraining=pretraining, privacy=terms_of)
        _prepared(task, Options(f"sqlite:///{tmp_path / 'a.db'}", "inline", tmp_path / "out"), NOTHING)
        found.append([read[str(tmp_path / file)] for file in ("train.tsv", "text.txt")])
    assert found[0] == found[1]
    assert all(found[0])


@pytest.mark.parametrize("text", ["train.tsv", "copy.txt"])
def test_the_private_file_itself_is_no_public_text(text: str, tmp_path: Path) -> None:
    for name in ("train.tsv", "copy.txt"):
        (tmp_path / name).write_text("a\tb\n")
    pretraining = {"unlabelled": str(tmp_path / text), "public": True}
    begun = document(data={"train": str(tmp_path / "train.tsv")}, pretraining=pretraining)
    with pytest.raises(InputError, match=re.escape("holds what a file of [data] holds")):
        owed(begun, read_from("a\tb\n"), tmp_path)


@pytest.mark.parametrize("place", ["slots", "ray"])
def test_trials_that_share_a_program_or_other_machines_are_refused(place: str) -> None:
    with pytest.raises(InputError, match="use --executor processes or inline"):
        check_private(document(), place)


def test_a_package_that_is_missing_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape("pip install 'automl-seq2seq[privacy]'")):
        check_private(document(), "inline")


def test_a_dial_that_privacy_decides_is_not_searched() -> None:
    assert "batch_tokens" not in set(space_of(document()).free("batch_tokens"))
    assert "clipping" in set(space_of(document()).free("clipping"))


def gaussian_delta(epsilon: float, noise: float) -> float:
    """Delta of one Gaussian mechanism (Balle and Wang, 2018, theorem 8)."""
    half = 1 / (2 * noise)
    return float(norm.cdf(half - epsilon * noise) - math.exp(epsilon) * norm.cdf(-half - epsilon * noise))


@pytest.mark.parametrize("noise", [0.7, 1.5, 4.0])
def test_one_step_over_all_pairs_costs_what_the_closed_form_says(noise: float) -> None:
    found = epsilon_of(1.0, noise, 1, 1e-5)
    assert gaussian_delta(found, noise) <= 1e-5
    assert gaussian_delta(found - 0.01, noise) > 1e-5


def test_a_known_case_costs_no_more_than_was_published() -> None:
    """Abadi et al. (2016), section 5.1: 1.26 by the moments accountant."""
    assert 0.9 < epsilon_of(0.01, 4.0, 10_000, 1e-5) <= 1.26


def test_the_accountant_agrees_with_renyi_divergences_which_bound_it() -> None:
    event = accounting.PoissonSampledDpEvent(0.05, accounting.GaussianDpEvent(1.5))
    renyi = accounting.rdp.RdpAccountant().compose(event, 800).get_epsilon(1e-5)
    assert 0.75 * renyi < epsilon_of(0.05, 1.5, 800, 1e-5) <= renyi


def test_the_noise_is_the_least_that_keeps_the_promise() -> None:
    noise = noise_multiplier(8.0, 1e-4, 1 / 16, 1600)
    assert 7.9 < epsilon_of(1 / 16, noise, 1600, 1e-4) <= 8.0
    assert epsilon_of(1 / 16, 0.98 * noise, 1600, 1e-4) > 8.0


@settings(max_examples=10)
@given(st.integers(1, 400), st.integers(0, 400))
def test_more_steps_never_cost_less(steps: int, more: int) -> None:
    assert epsilon_of(0.1, 2.0, steps, 1e-4) <= epsilon_of(0.1, 2.0, steps + more, 1e-4)


def test_a_promise_that_no_noise_keeps_is_refused() -> None:
    with pytest.raises(InputError, match="give a larger epsilon, or fewer steps"):
        terms(1e-13, 1e-6, 1000, 100, 10)


def test_terms_that_a_document_leaves_open_follow_from_the_number_of_pairs() -> None:
    found = terms(8.0, None, 3200, None, None)
    assert (found.batch, found.steps, found.rate) == (200, 1600, 1 / 16)
    assert found.delta == pytest.approx(3200**-1.1)
    assert terms(8.0, None, 20, None, 2).batch == 20


@pytest.mark.parametrize(
    ("delta", "batch", "said"), [(0.01, None, "not below one in the 100 pairs"), (None, 101, "train has 100")]
)
def test_terms_that_promise_nothing_are_refused(delta: float | None, batch: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        terms(8.0, delta, 100, batch, 10)


def test_what_was_spent_is_that_of_the_steps_that_were_charged() -> None:
    found = Terms(8.0, 1e-4, 3200, 200, 1600, 2.0, charged=400).settled()
    assert found.epsilon_spent == epsilon_of(1 / 16, 2.0, 400, 1e-4)
    assert Terms.of(found.to_mapping()) == found
    assert found.account()["sampling_rate"] == 1 / 16


def test_a_key_is_drawn_once_for_each_search_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = secret_key(folder, "1 words")
    assert secret_key(folder, "1 words") == first
    assert secret_key(folder, "2 words") != first
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (len(first), modes, stat.S_IMODE(folder.stat().st_mode)) == (32, {0o600}, 0o700)
    privacy.key_file(folder, "1 words").write_bytes(first[:5])
    assert secret_key(folder, "1 words") not in (first, first[:5])


def test_the_key_of_a_deterministic_search_follows_from_its_seed() -> None:
    assert public_key(1) == public_key(1) != public_key(2)

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from automl.control.earlier import MOST, Profile, best_of_earlier
from search_spaces.dials import to_dict
from search_spaces.spaces import space

SPACE = space()
OWN = Profile(3600, 8.0, 9.0, 40, 50)
DEFAULTS = SPACE.defaults()


def search(name, profile=OWN, configuration=DEFAULTS[1], kind="sequence_to_sequence", account=None):
    summary = {"best": {"configuration": to_dict(configuration)}, "data": asdict(profile)}
    return SimpleNamespace(name=name, document={"kind": kind}, summary=summary, account_id=account)


def earlier(*searches, within=SPACE, account=None):
    return best_of_earlier(searches, search("words", account=account), OWN, within)


def test_the_data_most_alike_comes_first():
    alike, less = replace(OWN, pairs=4000), replace(OWN, pairs=9000)
    assert earlier(search("a", less, DEFAULTS[2]), search("b", alike)) == [DEFAULTS[1], DEFAULTS[2]]


def test_what_looks_different_is_another_kind_or_is_itself_says_nothing():
    assert earlier(search("a", replace(OWN, pairs=100_000))) == []
    assert earlier(search("a", kind="text_classification")) == []
    assert earlier(search("words")) == []


def test_what_a_private_search_found_is_for_its_own_winner_alone():
    private = search("a")
    private.document["privacy"] = {"epsilon": 8.0}
    assert earlier(private, search("b", configuration=DEFAULTS[2])) == [DEFAULTS[2]]


def test_accounts_learn_nothing_of_each_other_nor_of_the_command_line():
    searches = [
        search(f"of {whose}", configuration=DEFAULTS[at], account=whose) for at, whose in enumerate((None, 1, 2))
    ]
    assert [earlier(*searches, account=whose) for whose in (None, 1, 2, 3)] == [*([each] for each in DEFAULTS[:3]), []]


@pytest.mark.parametrize("summary", [None, {}, {"best": None, "data": {}}, {"best": {"configuration": {}}}])
def test_a_search_without_a_winner_or_profile_says_nothing(summary):
    unfinished = search("a")
    unfinished.summary = summary
    assert earlier(unfinished) == []


def test_a_configuration_of_another_version_or_outside_the_space_is_left_out():
    other = search("a")
    other.summary["best"]["configuration"] = {"kind": "Seq2Seq", "encoder": {"kind": "Gone"}}
    pinned = space({"encoder": type(DEFAULTS[0].encoder).__name__})
    assert earlier(other) == []
    assert earlier(search("a", configuration=DEFAULTS[1]), within=pinned) == [
        c for c in DEFAULTS[1:2] if type(c.encoder) is type(DEFAULTS[0].encoder)
    ]


def test_the_same_configuration_is_named_once_and_few_are_named():
    searches = [search(str(n), configuration=DEFAULTS[n % len(DEFAULTS)]) for n in range(3 * len(DEFAULTS))]
    found = earlier(*searches)
    assert len(found) == len(set(found)) == min(MOST, len(DEFAULTS))


def test_distance_is_in_factors_of_two():
    assert OWN.distance(OWN) == 0
    assert OWN.distance(replace(OWN, pairs=7200)) == pytest.approx(1.0)

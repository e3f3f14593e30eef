import random
import subprocess
import sys
from collections import Counter

import pytest

from automl.control.proposals import MOST_ROWS, Proposals, Score, Tried, informative, to_distribution
from search_spaces.dials import Choice, Uniform
from search_spaces.spaces import space

SPACE = space()


def tried(count, proposals=None, score=lambda configuration, number: Score(0, 0.5, number)):
    """The first trials that a search proposes, each scored."""
    proposals, trials = proposals or Proposals(SPACE, seed=1), []
    for number in range(count):
        configuration = proposals.propose(trials).configuration
        trials.append(Tried(configuration, score(configuration, number)))
    return trials


def proposed(count):
    proposals, trials, found = Proposals(SPACE, seed=1), [], []
    for number in range(count):
        found.append(proposals.propose(trials))
        trials.append(Tried(found[-1].configuration, Score(0, 0.5, number)))
    return found


def test_families_take_turns_with_recipes_for_the_architecture_that_leads():
    found = proposed(10)
    families = [p.configuration for p in found if p.origin in ("default", "family default")]
    assert families == SPACE.defaults()
    assert [p.origin for p in found[::2]] == ["default", *["recipe"] * 4]
    assert found[9].origin == "sampler"


def test_a_recipe_changes_nothing_of_the_architecture():
    trials = tried(3)
    leading = Tried(SPACE.defaults()[1], Score(2, 0.1, 0.1))
    found = Proposals(SPACE, seed=1).propose([*trials, leading])
    assert (found.origin, found.configuration.encoder) == ("recipe", leading.configuration.encoder)
    assert found.configuration.decoder == leading.configuration.decoder
    assert found.configuration.optimizer != leading.configuration.optimizer


def test_families_come_first_while_nothing_is_measured():
    trials = [Tried(configuration) for configuration in SPACE.defaults()[:2]]
    assert Proposals(SPACE, seed=1).propose(trials).configuration == SPACE.defaults()[2]


def test_the_same_trials_and_seed_give_the_same_proposal():
    trials = tried(9)
    first, again = (Proposals(SPACE, seed=5).propose(trials) for _ in range(2))
    assert first == again
    assert first != Proposals(SPACE, seed=6).propose(trials)


def test_nothing_is_proposed_twice():
    choices = [(p, d) for p, d in SPACE.distributions(SPACE.default()).items() if isinstance(d, Choice)]
    path, dial = max(choices, key=lambda choice: len(choice[1].values))
    pinned = {other: value for other, value in SPACE.preferred.items() if other != path}
    trials = tried(len(dial.values), Proposals(space(pinned), seed=0))
    assert max(Counter(t.configuration for t in trials).values()) == 1


def test_a_space_of_one_configuration_is_proposed_again_rather_than_not_at_all():
    pinned = space({path: SPACE.preferred[path] for path in SPACE.ranges})
    trials = tried(3, Proposals(pinned, seed=0))
    assert {t.configuration for t in trials} == {pinned.default()}


def test_what_is_not_admissible_is_never_proposed():
    proposals = Proposals(SPACE, seed=2, admissible=lambda c: c.dropout < 0.2)
    assert all(t.configuration.dropout < 0.2 for t in tried(12, proposals))


def test_there_is_no_proposal_where_nothing_is_admissible():
    assert Proposals(SPACE, seed=2, admissible=lambda c: False).propose([]) is None


def test_trials_in_flight_and_failed_ones_are_not_proposed_again():
    trials = [Tried(c) for c in SPACE.defaults()] + [Tried(t.configuration, failed=True) for t in tried(8)[4:]]
    assert Proposals(SPACE, seed=1).propose(trials).configuration not in [t.configuration for t in trials]


def test_proposals_lean_to_what_scored_well():
    def by_dropout(configuration, number):
        return Score(1, configuration.dropout, 0.0)

    late = [t.configuration.dropout for t in tried(40, score=by_dropout)[25:]]
    assert sum(late) / len(late) < 0.2


def test_a_higher_rung_ranks_first_and_then_the_objective_and_the_loss():
    scores = [Score(0, 0.1, 0.1), Score(3, 0.5, 2.0), Score(3, 0.5, 1.0), Score(3, 0.2, 9.0)]
    assert sorted(scores, key=informative(scores).__getitem__) == [scores[3], scores[2], scores[1], scores[0]]


def test_of_very_many_scores_the_best_and_a_sample_are_kept():
    scores = [Score(0, float(n), 0.0) for n in random.Random(0).sample(range(2000), 2000)]
    ranks = informative(scores)
    assert len(ranks) == MOST_ROWS
    assert all(ranks[Score(0, float(n), 0.0)] == n for n in range(100))


@pytest.mark.parametrize("dial", [Choice((1, 2, 4)), Uniform(0.001, 0.1, log=True)])
def test_a_dial_has_the_same_range_in_optunas_terms(dial):
    values = vars(to_distribution(dial))
    assert values.get("choices") == getattr(dial, "values", None)
    assert (values.get("low"), values.get("high")) == (getattr(dial, "low", None), getattr(dial, "high", None))


def test_importing_the_controllers_parts_imports_neither_jax_nor_optuna():
    script = "import sys, automl.control.scheduler, automl.control.proposals; print({'jax', 'optuna', 'flax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"

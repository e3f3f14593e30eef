import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from automl.control.distributions import to_distribution
from automl.control.draws import Evenly
from automl.control.proposals import NEIGHBOURS, RANDOM, RECIPES, SAMPLED, Proposals
from automl.control.ranking import MOST_ROWS, Score, Standings, Tried, informative, ordered
from search_spaces.dials import Choice, Uniform
from search_spaces.spaces import space

SPACE = space()


def tried(count, proposals=None, score=lambda configuration, number: Score(0, 0.5, number), choose=0):
    """Trials of what is offered first, or at another place of the offer, each scored."""
    proposals, trials = proposals or Proposals(SPACE, seed=1), []
    for number in range(count):
        offered = proposals.propose(trials)
        configuration = offered[choose % len(offered)].configuration
        trials.append(Tried(configuration, score(configuration, number)))
    return trials


def test_on_a_rung_where_not_all_were_decoded_several_objectives_go_by_the_loss():
    small, good = (Score(0, 1.0, loss, (size,), is_measured=False) for loss, size in ((3.0, 1.0), (1.0, 1.0)))
    late = Score(2, 0.9, 5.0, (9.0,))
    assert ordered([small, good, late]) == [2, 1, 0]
    single = [replace(score, others=()) for score in (small, good, late)]
    assert ordered(single) == Standings().ordered(single) == [2, 1, 0]


def test_the_defaults_of_all_families_are_offered_one_after_another():
    defaults = SPACE.defaults()
    assert [t.configuration for t in tried(len(defaults))] == defaults
    assert Proposals(SPACE, seed=1).propose([])[0].origin == "default"
    assert Proposals(SPACE, seed=1).propose(tried(1))[0].origin == "family default"


def test_after_the_defaults_comes_the_best_of_earlier_searches():
    earlier = [SPACE.sample(Evenly(random.Random(seed))) for seed in range(2)]
    proposals = Proposals(SPACE, seed=1, earlier=earlier)
    count = len(SPACE.defaults())
    assert [t.configuration for t in tried(count + 2, proposals)][count:] == earlier
    assert proposals.propose(tried(count, proposals))[0].origin == "earlier search"


def test_a_wider_version_of_what_leads_is_offered_until_it_was_tried():
    leading = Tried(SPACE.defaults()[1], Score(2, 0.1, 0.1))
    wider = Proposals(SPACE, seed=1).propose([*tried(1), leading])[-1]
    assert (wider.origin, wider.wider_than) == ("wider", leading.configuration)
    assert wider.configuration == SPACE.wider(leading.configuration)
    offered = Proposals(SPACE, seed=1).propose([*tried(1), leading, Tried(wider.configuration)])
    assert all(p.origin != "wider" for p in offered)
    other_recipe = Tried(replace(wider.configuration, dropout=0.01))
    offered = Proposals(SPACE, seed=1).propose([*tried(1), leading, other_recipe])
    assert all(p.origin != "wider" for p in offered)
    offered = Proposals(SPACE, 1, lambda c: c != wider.configuration).propose([*tried(1), leading])
    assert all(p.origin != "wider" for p in offered)


def test_beside_each_default_there_are_recipes_for_the_architecture_that_leads():
    leading = Tried(SPACE.defaults()[1], Score(2, 0.1, 0.1))
    offered = Proposals(SPACE, seed=1).propose([*tried(1), leading])
    recipes = [p.configuration for p in offered if p.origin == "recipe"]
    assert [p.origin for p in offered if p.origin != "recipe"] == ["family default", "wider"]
    assert {(c.encoder, c.decoder) for c in recipes} == {(leading.configuration.encoder, leading.configuration.decoder)}
    assert len({c.optimizer for c in recipes}) == len(recipes)


def test_after_the_defaults_draws_of_every_kind_are_offered():
    offered = Proposals(SPACE, seed=1).propose(tried(len(SPACE.defaults())))
    counts = Counter(p.origin for p in offered)
    assert counts == {"recipe": RECIPES, "sampler": SAMPLED, "neighbour": NEIGHBOURS, "random": RANDOM, "wider": 1}


def test_families_come_first_while_nothing_is_measured():
    trials = [Tried(configuration) for configuration in SPACE.defaults()[:2]]
    assert [p.configuration for p in Proposals(SPACE, seed=1).propose(trials)] == [SPACE.defaults()[2]]


def test_the_same_trials_and_seed_give_the_same_proposals():
    trials = tried(9)
    first, again = (Proposals(SPACE, seed=5).propose(trials) for _ in range(2))
    assert first == again
    assert first != Proposals(SPACE, seed=6).propose(trials)


@pytest.mark.parametrize("choose", [0, 3, -1])
def test_nothing_is_tried_twice(choose):
    choices = [(p, d) for p, d in SPACE.distributions(SPACE.default()).items() if isinstance(d, Choice)]
    path, dial = max(choices, key=lambda choice: len(choice[1].values))
    pinned = {other: value for other, value in SPACE.preferred.items() if other != path}
    trials = tried(len(dial.values), Proposals(space(pinned), seed=0), choose=choose)
    assert max(Counter(t.configuration for t in trials).values()) == 1


def test_a_space_of_one_configuration_is_offered_again_rather_than_not_at_all():
    pinned = space({path: SPACE.preferred[path] for path in SPACE.ranges})
    trials = tried(3, Proposals(pinned, seed=0))
    assert {t.configuration for t in trials} == {pinned.default()}


@pytest.mark.parametrize("choose", [0, 3, -1])
def test_what_is_not_admissible_is_never_proposed(choose):
    proposals = Proposals(SPACE, seed=2, admissible=lambda c: c.dropout < 0.2)
    assert all(t.configuration.dropout < 0.2 for t in tried(12, proposals, choose=choose))


def test_there_is_no_proposal_where_nothing_is_admissible():
    assert Proposals(SPACE, seed=2, admissible=lambda c: False).propose([]) == []


def test_trials_in_flight_and_failed_ones_are_not_proposed_again():
    trials = [Tried(c) for c in SPACE.defaults()] + [Tried(t.configuration, failed=True) for t in tried(8)[4:]]
    offered = {p.configuration for p in Proposals(SPACE, seed=1).propose(trials)}
    assert not offered & {t.configuration for t in trials}


def test_draws_lean_to_what_scored_well():
    def by_dropout(configuration, number):
        return Score(1, configuration.dropout, 0.0)

    trials = tried(40, score=by_dropout, choose=7)
    offered = Proposals(SPACE, seed=1).propose(trials)
    for origin in ("sampler", "neighbour"):
        drawn = [p.configuration.dropout for p in offered if p.origin == origin]
        assert sum(drawn) / len(drawn) < 0.2


def test_a_higher_rung_ranks_first_and_then_the_objective_and_the_loss():
    scores = [Score(0, 0.1, 0.1), Score(3, 0.5, 2.0), Score(3, 0.5, 1.0), Score(3, 0.2, 9.0)]
    assert informative(scores) == {3: 0, 2: 1, 1: 2, 0: 3}


def test_equal_scores_have_the_same_rank():
    scores = [Score(0, 0.5, 1.0), Score(0, 0.1, 1.0), Score(0, 0.5, 1.0)]
    assert informative(scores) == {0: 2, 1: 0, 2: 2}


@pytest.mark.parametrize("others", [(), (1.0,)])
def test_the_order_that_is_kept_is_the_order_of_all_scores_anew(others):
    draw, standings, scores = random.Random(0), Standings(), []
    for _ in range(60):
        for _ in range(draw.randrange(3)):
            place = draw.randrange(len(scores) + 1)
            new = Score(draw.randrange(3), draw.choice([0.1, 0.2, 0.3]), draw.choice([1.0, 2.0]), others)
            scores[place : place + draw.randrange(2)] = [new]
        if scores and draw.random() < 0.1:
            del scores[draw.randrange(len(scores)) :]
        assert standings.ordered(scores) == ordered(scores)


def test_of_very_many_scores_the_best_and_a_sample_are_kept():
    scores = [Score(0, float(n), 0.0) for n in random.Random(0).sample(range(2000), 2000)]
    ranks = informative(scores)
    assert len(ranks) == MOST_ROWS
    assert all(ranks[scores.index(Score(0, float(n), 0.0))] == n for n in range(100))


@pytest.mark.parametrize("dial", [Choice((1, 2, 4)), Uniform(0.001, 0.1, log=True)])
def test_a_dial_has_the_same_range_in_optunas_terms(dial):
    values = vars(to_distribution(dial))
    assert values.get("choices") == getattr(dial, "values", None)
    assert (values.get("low"), values.get("high")) == (getattr(dial, "low", None), getattr(dial, "high", None))


def test_importing_the_controllers_parts_imports_neither_jax_nor_optuna():
    script = "import sys, automl.control.scheduler, automl.control.proposals, automl.control.sampler; print({'jax', 'optuna', 'flax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"

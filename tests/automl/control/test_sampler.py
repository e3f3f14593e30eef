import random
from itertools import islice

import optuna
from optuna.trial import TrialState

from automl.control.draws import Evenly
from automl.control.ranking import Score, Tried
from automl.control.sampler import ASKS, LASTING, READY, RENEWAL, STARTUP_TRIALS, Rows, Sampler, groups, study_of
from search_spaces.spaces import space
from storage.studies import quiet

SPACE = space()
FLAT = space({path: SPACE.preferred[path] for path in SPACE.ranges if SPACE.kinds(path)})


def measured(count, searched=SPACE):
    draw = random.Random(0)
    return [Tried(searched.sample(Evenly(draw)), Score(0, n / count, 0.0)) for n in range(count)]


def everything(_):
    return True


def ask(study, searched):
    trial = study.ask()
    configuration = searched.sample(trial)
    study.tell(trial, state=TrialState.FAIL)
    return configuration


def test_draws_are_those_of_optunas_own_tpe_where_all_dials_are_of_one_group():
    trials = measured(20, FLAT)
    with quiet():
        ours, optunas = study_of(Rows(FLAT), trials, 3), study_of(Rows(FLAT), trials, 3)
        options = {"multivariate": True, "group": True, "constant_liar": True}
        optunas.sampler = optuna.samplers.TPESampler(seed=3, n_startup_trials=STARTUP_TRIALS, **options)
        assert [ask(ours, FLAT) for _ in range(3)] == [ask(optunas, FLAT) for _ in range(3)]


def test_dials_are_of_one_group_where_the_same_trials_have_them():
    ranges = optuna.distributions.FloatDistribution(0.0, 1.0)
    found = groups([dict.fromkeys(row, ranges) for row in ("ab", "abc", "d")])
    assert {name: sorted(group) for name, group in found.items()} == {
        "a": ["a", "b"],
        "b": ["a", "b"],
        "c": ["c"],
        "d": ["d"],
    }


def test_a_draw_that_nobody_has_begun_is_offered_again():
    sampler, trials = Sampler(SPACE, 0, everything), measured(2 * RENEWAL)
    first = list(sampler.draws(trials, set()))
    assert len(first) == ASKS
    again = list(islice(sampler.draws(trials, {first[0]}), ASKS))
    assert again[:-1] == first[1:]


def test_after_some_more_trials_draws_are_made_anew():
    sampler, trials = Sampler(SPACE, 0, everything), measured(2 * RENEWAL + 2)
    first = list(sampler.draws(trials[:-2], set()))
    assert next(sampler.draws(trials[:-1], set())) == first[0]
    assert next(sampler.draws(trials, set())) not in first


def test_draws_of_the_study_before_stand_in_until_a_lasting_one_was_asked_ahead():
    trials, count = measured((LASTING + 1) * RENEWAL), LASTING * RENEWAL
    sampler = Sampler(SPACE, 0, everything)
    before = next(sampler.draws(trials[:count], set()))
    for begun, stands_in in ((LASTING - 1, True), (LASTING, False)):
        sampler.prepare(trials[: count + begun], set(), None)
        assert (next(sampler.draws(trials[: count + begun + 1], set())) == before) is stands_in


def test_draws_are_made_ahead_until_enough_are_ready():
    asked, trials = [], measured(LASTING * RENEWAL)
    sampler = Sampler(SPACE, 0, lambda configuration: not asked.append(configuration))
    for _ in range(READY + 3):
        sampler.prepare(trials, set(), None)
    assert len(asked) == READY
    assert list(islice(sampler.draws(trials, set()), READY)) == asked


def test_what_is_not_admissible_is_not_kept():
    sampler = Sampler(SPACE, 0, lambda configuration: False)
    first, again = (set(sampler.draws(measured(2 * RENEWAL), set())) for _ in range(2))
    assert not first & again


def test_before_anything_is_measured_draws_are_even():
    trials = [Tried(trial.configuration) for trial in measured(3)]
    assert len(set(Sampler(SPACE, 0, everything).draws(trials, set()))) == ASKS

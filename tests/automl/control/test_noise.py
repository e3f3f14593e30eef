from automl.control.criteria import Criteria
from automl.control.noise import deviation, noise_between
from automl.metrics import metric
from tests.automl.control.test_history import ERROR_RATE, trials

BLEU = Criteria(metric("bleu"))


def test_two_shares_of_few_rows_are_within_noise_and_of_many_are_not():
    found = trials((0.10, 1.0), (0.12, 1.0), (0.5, 1.0)).values()
    assert noise_between(found, ERROR_RATE, 400) == (
        "trial 0 (sequence_error_rate 0.1) and trial 1 (0.12) are within noise of each other on 400 rows of valid"
    )
    assert noise_between(found, ERROR_RATE, 40_000) == ""


def test_one_trial_alone_is_not_compared():
    assert noise_between(trials((0.1, 1.0)).values(), ERROR_RATE, 10) == ""


def test_the_deviation_of_a_share_is_that_of_a_binomial():
    assert deviation("accuracy", {"accuracy": 0.5}, 100) == 0.05
    assert deviation("bleu", {"bleu": 30.0, "deviation": 0.8}, 100) == 0.8


def test_a_score_that_is_no_share_needs_a_measured_deviation():
    found = trials((30.0, 1.0), (29.0, 1.0), name="bleu")
    assert noise_between(found.values(), BLEU, 500) == ""
    found[0].segments[0].scores["deviation"] = 0.8
    assert "are within noise" in noise_between(found.values(), BLEU, 500)
    found[0].segments[0].scores["deviation"] = 0.1
    assert noise_between(found.values(), BLEU, 500) == ""

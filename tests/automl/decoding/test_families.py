"""Every family decodes to the tokens that recomputing everything at every step gives, whatever the rule."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.tokenizers import EOS, PAD
from automl.decoding.answers import Decoded, Draw, Hypotheses, Penalty, Request, answered
from automl.decoding.programs import beam_program, sampling_program
from automl.decoding.sampling import among
from tests.automl.decoding.slow import (
    ANY,
    COPIES,
    DECODED,
    LENGTH,
    SOURCE,
    opinionated,
    slow_beam,
    slow_walk,
    source_of,
)
from tests.automl.models.cases import CASES, VOCABULARY

pytestmark = pytest.mark.usefixtures("strict_types")

DRAWING = {name: sampling_program(case.model, LENGTH) for name, case in DECODED.items()}
SEARCHING = {name: beam_program(case.model, LENGTH, 3) for name, case in DECODED.items()}
FREE = np.full((3, LENGTH), PAD, np.int32)
BEGUN = np.array([[6, 5, PAD, PAD, PAD], [PAD] * LENGTH, [9, *[PAD] * (LENGTH - 1)]], np.int32)
SOME = np.isin(np.arange(VOCABULARY), [EOS, 5, 7, 8, 11])
SEEDS = np.array([7, 8, 9], np.uint32)


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DECODED)
def any_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def drawn(
    name: str,
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
    prefix: Any = FREE,
    allowed: Any = ANY,
    stops: Any = ((PAD, PAD),),
    **biases: float,
) -> Any:
    request = Request(jnp.int32(LENGTH), *map(jnp.asarray, (prefix, allowed, np.array(stops, np.int32))))
    draw = Draw(jnp.asarray(SEEDS), jnp.float32(temperature), jnp.int32(top_k), jnp.float32(top_p))
    case = DECODED[name]
    found: Decoded = DRAWING[name](opinionated(case, **biases), source_of(case), COPIES, request, draw)
    return [answers[0].tokens for answers in answered(found)], np.asarray(found.scores)


def by_chance(temperature: float, top_k: int = 0, top_p: float = 1.0) -> Any:
    """The choice of a token by the noise that a row's seed gives at a position."""

    def choose(scores: Any, position: int) -> Any:
        keys = [jax.random.fold_in(jax.random.key(seed), position) for seed in SEEDS]
        noise = np.stack([np.asarray(jax.random.gumbel(key, (VOCABULARY,))) for key in keys])
        warm = scores / temperature
        for row in warm:
            order = np.argsort(-row)
            chances = np.exp(row[order] - np.logaddexp.reduce(row))
            stays = [i for i in range(VOCABULARY) if (not top_k or i < top_k) and (i == 0 or chances[:i].sum() < top_p)]
            row[np.setdiff1d(order, order[stays])] = -np.inf
        return (warm + noise).argmax(axis=1)

    return choose


def test_without_warmth_the_likeliest_that_is_allowed_is_drawn_behind_a_prefix_and_until_a_stop(any_name: str) -> None:
    case, stops = DECODED[any_name], ((5, 5), (11,))
    outputs, scores = drawn(any_name, 0.0, prefix=BEGUN, allowed=SOME, stops=((5, 5), (PAD, 11), (PAD, PAD)))
    greedily = lambda likely, _: likely.argmax(axis=1)  # noqa: E731
    expected, totals = slow_walk(case, opinionated(case), greedily, BEGUN, stops, SOME)
    assert outputs == expected
    np.testing.assert_allclose(scores, totals, atol=1e-3)
    assert outputs[0][:2] == [6, 5]
    assert outputs[2][0] == 9


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), [(2.0, 0, 1.0), (1.5, 4, 1.0), (1.0, 0, 0.8)])
def test_what_is_drawn_follows_from_the_seed_and_the_probabilities(
    name: str, temperature: float, top_k: int, top_p: float
) -> None:
    outputs, scores = drawn(name, temperature, top_k, top_p)
    expected, totals = slow_walk(CASES[name], opinionated(CASES[name]), by_chance(temperature, top_k, top_p))
    assert outputs == expected
    np.testing.assert_allclose(scores, totals, atol=1e-3)


def searched(name: str, power: float, wanted: int = 3, prefix: Any = FREE, allowed: Any = ANY, **biases: float) -> Any:
    penalty, case = Penalty(jnp.float32(power), jnp.int32(wanted)), DECODED[name]
    request = Request(jnp.int32(LENGTH), *map(jnp.asarray, (prefix, allowed)))
    found: Hypotheses = SEARCHING[name](opinionated(case, **biases), source_of(case), COPIES, request, penalty)
    return answered(found)


@pytest.mark.parametrize(("power", "bias"), [(1.0, 2.0), (0.0, 4.0), (1.0, -100.0)])
def test_a_beam_finds_what_the_slow_search_finds(name: str, power: float, bias: float) -> None:
    found = searched(name, power, eos=bias)
    for row, answers in enumerate(found):
        expected = slow_beam(CASES[name], opinionated(CASES[name], eos=bias), SOURCE[row], power)
        assert [answer.tokens for answer in answers] == [said for said, _ in expected]
        assert [answer.score for answer in answers] == pytest.approx([total for _, total in expected], abs=1e-3)


def test_a_beam_keeps_to_a_prefix_and_to_tokens_that_are_allowed(any_name: str) -> None:
    case = DECODED[any_name]
    for row, answers in enumerate(searched(any_name, 1.0, prefix=BEGUN, allowed=SOME, eos=2.0)):
        begun = [token for token in BEGUN[row] if token != PAD]
        expected = slow_beam(case, opinionated(case, eos=2.0), source_of(case)[row], 1.0, begun, SOME)
        assert [answer.tokens for answer in answers] == [said for said, _ in expected]
        assert [answer.score for answer in answers] == pytest.approx([total for _, total in expected], abs=1e-3)


def test_a_beam_gives_no_more_than_there_is() -> None:
    name = "recurrent -> recurrent, additive"
    nothing = np.isin(np.arange(VOCABULARY), [EOS])
    found = searched(name, 1.0, prefix=BEGUN, allowed=nothing)
    assert [[answer.tokens for answer in answers] for answers in found] == [[[6, 5]], [[]], [[9]]]


def test_asking_for_the_best_alone_gives_the_same_best(name: str) -> None:
    best, several = searched(name, 1.0, 1, eos=2.0), searched(name, 1.0, 3, eos=2.0)
    assert [answers[0] for answers in best] == [answers[0] for answers in several]


def test_a_beam_as_wide_as_all_there_is_finds_the_likeliest_target_of_all() -> None:
    case, most = CASES["GRU -> recurrent, concat"], 2
    parameters = opinionated(case, eos=3.0)
    program = beam_program(case.model, LENGTH, 9)
    penalty = Penalty(jnp.float32(0.0), jnp.int32(1))
    found = answered(program(parameters, SOURCE, COPIES, Request(jnp.int32(most)), penalty))
    letters = [token for token in range(VOCABULARY) if token > 3]
    targets = [(EOS,), *((letter, EOS) for letter in letters)]
    for row in range(3):
        scores = {}
        for target in targets:
            choose = lambda likely, position, target=target: [target[min(position, len(target) - 1)]] * 3  # noqa: E731
            _, totals = slow_walk(case, parameters, choose)
            scores[target] = totals[row]
        assert found[row][0].tokens == list(max(scores, key=lambda target: scores[target]))[:-1]


def test_tokens_that_are_not_allowed_are_never_drawn() -> None:
    outputs, _ = drawn("recurrent -> recurrent, additive", 3.0, allowed=SOME, eos=-100.0)
    assert {token for output in outputs for token in output} <= set(np.flatnonzero(SOME).tolist())
    assert all(outputs)


def test_the_likeliest_token_always_stays() -> None:
    logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.2, 0.2, 0.6]]))
    for top_k, top_p in ((1, 1.0), (0, 0.0)):
        left = np.asarray(among(logits, jnp.int32(top_k), jnp.float32(top_p))) > -1e8
        np.testing.assert_array_equal(left, [[False, True, False], [False, False, True]])
    left = np.asarray(among(logits, jnp.int32(0), jnp.float32(0.7))) > -1e8
    np.testing.assert_array_equal(left, [[False, True, True], [True, True, True]])


def test_each_row_ends_at_its_own_limit_whatever_else_is_in_its_batch() -> None:
    name = "GRU -> recurrent, concat"
    parameters, limits = opinionated(CASES[name], eos=-100.0), [2, LENGTH, 4]
    draw = Draw(jnp.asarray(SEEDS), jnp.float32(0.0), jnp.int32(0), jnp.float32(1.0))
    penalty = Penalty(jnp.float32(1.0), jnp.int32(3))

    def said(most: Any) -> Any:
        request = Request(jnp.asarray(most, jnp.int32))
        drawn = DRAWING[name](parameters, SOURCE, COPIES, request, draw)
        return answered(drawn), answered(SEARCHING[name](parameters, SOURCE, COPIES, request, penalty))

    together = said(limits)
    for row, limit in enumerate(limits):
        for mixed, alone in zip(together, said([limit] * 3), strict=True):
            assert [answer.tokens for answer in mixed[row]] == [answer.tokens for answer in alone[row]]
            assert [a.score for a in mixed[row]] == pytest.approx([a.score for a in alone[row]], abs=1e-4)
    assert [len(answers[0].tokens) for answers in together[0]] == limits

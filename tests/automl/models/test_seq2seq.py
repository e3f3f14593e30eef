import json

import jax
import numpy as np
import pytest

from automl.models.parameters import declared
from automl.models.seq2seq import Seq2Seq
from search_spaces import costs
from search_spaces.dials import from_dict, to_dict
from search_spaces.seq2seq import Seq2Seq as Configuration
from search_spaces.spaces import space
from tests.automl.models.cases import VOCABULARY, Case, inputs_of, noise, tokens, widened
from tests.search_spaces.sampling import sampled

SOURCE = tokens(3, (4, 1, 6), 6)
TARGET = tokens(3, (2, 5, 4), 5, end=True)
NOTHING = (np.zeros_like(SOURCE), np.float32(0))


def test_what_lies_under_the_padding_changes_neither_loss_nor_gradient(case: Case) -> None:
    program, garbage = case.loss_and_gradient, (tokens(3, (6,), 6, seed=1), np.float32(7))
    clean = program(case.parameters, SOURCE, TARGET, NOTHING)
    dirty = program(case.parameters, SOURCE, TARGET, garbage)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), clean, dirty)
    dead = {name for name, gradient in clean[1].items() if not np.any(gradient)}
    assert not dead


def test_more_padding_changes_neither_loss_nor_gradient(case: Case) -> None:
    source, target = widened(SOURCE, 2), widened(TARGET, 2)
    narrow = case.loss_and_gradient(case.parameters, SOURCE, TARGET, NOTHING)
    wide = case.loss_and_gradient(case.parameters, source, target, (np.zeros_like(source), np.float32(0)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), narrow, wide)


def test_later_target_tokens_change_no_earlier_logits(case: Case) -> None:
    inputs = tokens(3, (5,), 5)
    changed = inputs.copy()
    changed[:, 3] = 4 + (changed[:, 3] - 3) % 8
    before, _ = case.logits(case.parameters, SOURCE, inputs)
    after, _ = case.logits(case.parameters, SOURCE, changed)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert not np.isclose(before[:, 3:], after[:, 3:]).all(axis=(1, 2)).any()


def test_every_source_token_matters_wherever_it_stands(case: Case) -> None:
    inputs, changed = tokens(3, (5,), 5), SOURCE.copy()
    last = (SOURCE != 0).sum(axis=1) - 1
    changed[range(3), last] = 4 + (SOURCE[range(3), last] - 3) % 8
    before, _ = case.logits(case.parameters, SOURCE, inputs)
    after, _ = case.logits(case.parameters, changed, inputs)
    assert not np.isclose(before, after).all(axis=(1, 2)).any()


def test_decoding_step_by_step_equals_the_whole_target_at_once(case: Case) -> None:
    whole, stepped = case.logits(case.parameters, SOURCE, inputs_of(tokens(3, (5,), 5)))
    np.testing.assert_allclose(whole, stepped, atol=1e-5)


def test_a_row_does_not_see_the_others(case: Case) -> None:
    inputs, others = tokens(3, (5,), 5), SOURCE.copy()
    others[1:] = tokens(3, (5, 2, 3), 6, seed=2)[1:]
    alone, _ = case.logits(case.parameters, SOURCE, inputs)
    among, _ = case.logits(case.parameters, others, inputs)
    np.testing.assert_array_equal(alone[0], among[0])


def test_noise_changes_the_logits_by_its_rate_and_key(case: Case) -> None:
    def logits(rate: float, seed: int) -> bytes:
        dropped = case.logits(case.parameters, SOURCE, inputs_of(TARGET), noise(rate, seed))[0]
        return np.asarray(dropped).tobytes()

    assert logits(0.5, 0) == logits(0.5, 0)
    assert len({logits(0.5, 0), logits(0.5, 1), logits(0.2, 0), logits(0.0, 0)}) == 4
    assert logits(0.0, 0) == logits(0.0, 1)


@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_sampled_configuration_is_json_and_back_and_builds_a_model_of_the_size_it_costs(count: int) -> None:
    for configuration in [*sampled(space(), count * 9 // 10), *sampled(space(sources=False), count // 10)]:
        assert from_dict(Configuration, json.loads(json.dumps(to_dict(configuration)))) == configuration
        model = Seq2Seq(configuration, VOCABULARY, VOCABULARY + 3)
        count = sum(param.get_value().size for param in declared(model).values())
        assert count == costs.parameters(configuration, VOCABULARY, VOCABULARY + 3), configuration

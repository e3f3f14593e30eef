from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.tokenizers import BOS, EOS, PAD, UNK
from automl.decoding import LENGTHS, Decoded, decode, greedy_program, padded, sayable
from tests.automl.models.cases import CASES, VOCABULARY, Case, tokens

pytestmark = pytest.mark.usefixtures("strict_types")

SOURCE, LENGTH = tokens(3, (4, 1, 6), 6), 5
COPIES = np.arange(VOCABULARY, dtype=np.int32)
PROGRAMS = {name: greedy_program(case.model, LENGTH) for name, case in CASES.items()}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opinionated(case: Case, **biases: float) -> dict[str, Any]:
    """Parameters whose logits lie far apart, with biases for some tokens."""
    bias = np.zeros(VOCABULARY, np.float32)
    for token, value in biases.items():
        bias[{"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK}[token]] = value
    changed = dict(case.parameters)
    for path, value in case.parameters.items():
        if path.endswith("output.kernel") or (path.endswith("embedding.table") and path.startswith("decoder")):
            changed[path] = 8 * value
        if path.endswith("output.bias"):
            changed[path] = jnp.asarray(bias)
        if path.endswith("output.share.bias"):
            changed[path] = value - 20  # what is copied knows nothing of the biases
    return changed


def said(name: str, source: Any = SOURCE, **biases: float) -> tuple[Any, Any]:
    decoded = PROGRAMS[name](opinionated(CASES[name], **biases), jnp.asarray(source), jnp.asarray(COPIES))
    return np.asarray(decoded.tokens), np.asarray(decoded.scores)


@pytest.mark.parametrize("bias", [-2.0, 2.0])
def test_greedy_output_is_the_teacher_forced_argmax(name: str, bias: float) -> None:
    outputs, scores = said(name, eos=bias)
    inputs = np.concatenate([np.full((3, 1), BOS, np.int32), outputs[:, :-1]], axis=1)
    logits, _ = CASES[name].logits(opinionated(CASES[name], eos=bias), SOURCE, inputs)
    likely = np.asarray(jax.nn.log_softmax(sayable(logits)))
    for row, output in enumerate(outputs):
        spoken = [*output[output != PAD].tolist(), EOS][:LENGTH]
        assert likely[row].argmax(axis=-1)[: len(spoken)].tolist() == spoken
        assert scores[row] == pytest.approx(sum(likely[row, i, token] for i, token in enumerate(spoken)), abs=1e-3)


def test_padding_begin_and_unknown_are_never_said(name: str) -> None:
    outputs, _ = said(name, pad=100, bos=100, unk=100, eos=-100)
    assert outputs.min() > UNK
    assert outputs.shape == (3, LENGTH)


def test_nothing_follows_the_end(name: str) -> None:
    outputs, scores = said(name, eos=100)
    np.testing.assert_array_equal(outputs, PAD)
    np.testing.assert_allclose(scores, 0, atol=1e-4)


def test_a_row_of_padding_alone_ends_at_once_and_leaves_the_others_be(name: str) -> None:
    source = SOURCE.copy()
    source[1] = PAD
    outputs, scores = said(name, source, eos=-100)
    alone, _ = said(name, eos=-100)
    assert (outputs[1].tolist(), scores[1]) == ([PAD] * LENGTH, 0)
    np.testing.assert_array_equal(outputs[[0, 2]], alone[[0, 2]])


def echo(parameters: Any, source: Any, copies: Any) -> Decoded:
    """Stands for a program: says the source again, and scores it by its sum."""
    assert source.shape[1] in LENGTHS
    return Decoded(source, source.sum(axis=1).astype(jnp.float32))


@given(st.lists(st.lists(st.integers(4, 11), max_size=20), max_size=12), st.integers(1, 5))
def test_answers_come_in_the_order_of_the_sources(sources: list[list[int]], batch_size: int) -> None:
    answers = decode(echo, {}, sources, COPIES, batch_size, 99)
    assert [answer.tokens for answer in answers] == sources
    assert [answer.score for answer in answers] == [sum(source) for source in sources]


def test_batches_have_few_shapes() -> None:
    shapes = {padded([[4] * n for n in range(length)], 3 + length).shape for length in range(1, 30)}
    assert {columns for _, columns in shapes} == {8, 16, 32}
    assert padded([[4] * 3000], 1).shape == (1, 3000)


def test_a_source_that_is_too_long_is_not_read() -> None:
    answers = decode(echo, {}, [[5, 6], [7] * 9], COPIES, 2, 8)
    assert (answers[0].tokens, answers[1].tokens, answers[1].score) == ([5, 6], [], -np.inf)


def test_answers_do_not_depend_on_the_batch() -> None:
    case = CASES["recurrent -> recurrent, additive"]
    sources = [[int(token) for token in row if token != PAD] for row in tokens(5, (4, 1, 6), 6, seed=3)]
    program, parameters = greedy_program(case.model, LENGTH), opinionated(case, eos=1)
    together = decode(program, parameters, sources, COPIES, 3, 99)
    reverse = decode(program, parameters, sources[::-1], COPIES, 3, 99)[::-1]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in reverse]
    assert len({tuple(answer.tokens) for answer in together}) > 1

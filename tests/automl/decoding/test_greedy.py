from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.tokenizers import BOS, EOS, PAD, UNK
from automl.decoding import steps
from automl.decoding.answers import (
    LENGTHS,
    MANY,
    MOST_BATCH_BYTES,
    MOST_TOKENS,
    Decoded,
    Lot,
    Program,
    Request,
    allotted,
    batches,
    decode,
    padded,
    side_by_side,
)
from automl.decoding.footprint import MOST_ROW_BYTES, Footprint
from automl.decoding.programs import greedy_program
from automl.decoding.steps import LEAST_GOING, rooms, sayable
from automl.errors import InputError
from search_spaces import attention, decoders, encoders
from search_spaces.seq2seq import Seq2Seq
from tests.automl.decoding.slow import COPIES, LENGTH, SOURCE, opinionated
from tests.automl.models.cases import CASES, tokens

pytestmark = pytest.mark.usefixtures("strict_types")

GROWING = ("transformer -> rotary transformer", "recurrent -> recurrent, additive")
PROGRAMS = {name: greedy_program(case.model, LENGTH) for name, case in CASES.items()}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


@pytest.mark.parametrize(("bias", "prefix"), [(-2.0, ()), (0.0, ()), (2.0, ()), (0.0, (6, 5)), (4.0, (6, 5))])
def test_where_there_is_doubt_a_target_ends_when_it_is_unlikely_to_go_on(
    name: str, bias: float, prefix: tuple[int, ...]
) -> None:
    parameters, begun = opinionated(CASES[name], eos=bias), np.zeros((3, LENGTH), np.int32)
    begun[:, : len(prefix)] = prefix
    request = Request(
        jnp.asarray(np.int32(LENGTH)), jnp.asarray(begun) if prefix else None, doubt=jnp.asarray(np.bool_(True))
    )
    found = PROGRAMS[name](parameters, jnp.asarray(SOURCE), jnp.asarray(COPIES), request)
    outputs, each = np.asarray(found.tokens), np.asarray(found.each)
    inputs = np.concatenate([np.full((3, 1), BOS, np.int32), outputs[:, :-1]], axis=1)
    logits, _ = CASES[name].logits(parameters, SOURCE, inputs)
    likely = np.asarray(jax.nn.log_softmax(logits.at[..., np.array([PAD, BOS])].set(-1e9)))
    for row, output in enumerate(outputs):
        length, going = int((output != PAD).sum()), 0.0
        assert tuple(output[: len(prefix)]) == prefix
        for place in range(len(prefix), min(length + 1, LENGTH)):
            before, going = going, going + np.log1p(-np.exp(likely[row, place, EOS]))
            assert (going < np.log(LEAST_GOING)) == (place == length)
            if place < length:
                others = likely[row, place].copy()
                others[[EOS, UNK]] = -np.inf
                assert output[place] == others.argmax()
                assert each[row, place] == pytest.approx(before + likely[row, place, output[place]], abs=1e-3)


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
    answers = decode(Program(echo), {}, sources, COPIES, batch_size, 99)
    assert [answer.tokens for answer in answers] == sources
    assert [answer.score for answer in answers] == [sum(source) for source in sources]


def test_batches_have_few_shapes() -> None:
    shapes = {padded([[4] * n for n in range(length)], 3 + length).shape for length in range(1, 30)}
    assert {columns for _, columns in shapes} == {8, 16, 32}
    assert {allotted(length) for length in range(2049, 6144)} == {4096, 6144}


def test_long_sources_come_in_smaller_batches() -> None:
    sources = [[4] * 9, [4] * 9000, *[[4] * 600] * 70, [4] * 9001]
    taken = list(batches(sources, longest=9000))
    assert [(len(lot.members), lot.rows) for lot in taken] == [(1, 1), *[(8, 8)] * 8, (7, 8)]
    assert sorted(index for lot in taken for index in lot.members) == list(range(72))
    assert all(lot.rows * lot.length <= MOST_TOKENS for lot in taken)


@pytest.mark.parametrize(("share", "rows"), [(64, 64), (63, 32), (8, 8), (7, 4), (0.5, 1)])
def test_batches_are_smaller_where_rows_take_more(share: float, rows: int) -> None:
    taken = list(batches([[4] * 9] * 64, 99, row_bytes=lambda length: int(MOST_BATCH_BYTES / share)))
    assert [(len(lot.members), lot.rows) for lot in taken] == [(rows, rows)] * (64 // rows)
    fixed = batches([[4] * 9] * 64, 99, 5, row_bytes=lambda length: int(MOST_BATCH_BYTES / share))
    assert {lot.rows for lot in fixed} == {min(rows, 5)}


def test_a_row_that_alone_takes_too_much_is_refused_with_what_would_be_less() -> None:
    kind = decoders.Transformer(512, 6, 4, attention.MultiHead(8))
    large = Footprint((Seq2Seq(encoders.Identity(), kind),), 100, 100)
    assert large.decoding(8, 4096) < MOST_ROW_BYTES < replace(large, refuses=False).decoding(8, 4096, 64)
    with pytest.raises(
        InputError, match=r"of 4,096 tokens by a beam of 64 would take 1\d\.\d GiB; 4 at most: .* a smaller"
    ):
        large.decoding(8, 4096, 64)
    with pytest.raises(InputError, match=r"would take .* GiB; 4 at most: ask for fewer tokens"):
        large.scoring(8, 32768)


def test_full_batches_of_many_sources_are_padded_less() -> None:
    few, many = [[4] * 11] * (MANY - 1), [[4] * 11] * MANY
    assert {(lot.rows, lot.length) for lot in batches(few, 99)} == {(64, 16)}
    assert {(lot.rows, lot.length) for lot in batches(many, 99)} == {(64, 12)}
    assert {(lot.rows, lot.length) for lot in batches([*many, [4] * 6], 99)} == {(64, 12), (1, 8)}
    assert {lot.length for lot in batches([[4] * 13] * MANY, 99)} == {16}
    assert {(lot.rows, lot.length) for lot in batches(many, 99, rows=64)} == {(64, 16)}


def test_batches_that_run_side_by_side_come_in_their_order() -> None:
    lots = [Lot([index], 1, 8) for index in range(20)]
    assert list(side_by_side(lambda lot: sum(range(9999 * (lot.members[0] % 3))) and lot.members[0], lots)) == [
        index if index % 3 else 0 for index in range(20)
    ]
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda lot: 1 // lot.members[0], lots))


def test_caches_grow_in_three_steps_at_most() -> None:
    transformer, recurrent = (CASES[name].model.decoder.pick(lambda member: member) for name in GROWING)
    assert (rooms(transformer, 5), rooms(transformer, 3), rooms(recurrent, 5)) == ([2, 5], [3], [5])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "LEAST_ROOM", 8)
        assert [rooms(transformer, length) for length in (8, 16, 64)] == [[8], [8, 16], [16, 32, 64]]


def test_a_source_that_is_too_long_is_not_read() -> None:
    answers = decode(Program(echo), {}, [[5, 6], [7] * 9], COPIES, 2, 8)
    assert (answers[0].tokens, answers[1].tokens, answers[1].score) == ([5, 6], [], -np.inf)


def test_answers_do_not_depend_on_the_batch() -> None:
    case = CASES["recurrent -> recurrent, additive"]
    sources = [[int(token) for token in row if token != PAD] for row in tokens(5, (4, 1, 6), 6, seed=3)]
    program, parameters = Program(greedy_program(case.model, LENGTH)), opinionated(case, eos=1)
    together = decode(program, parameters, sources, COPIES, 3, 99)
    reverse = decode(program, parameters, sources[::-1], COPIES, 3, 99)[::-1]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in reverse]
    assert len({tuple(answer.tokens) for answer in together}) > 1

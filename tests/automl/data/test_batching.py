from collections import Counter
from itertools import islice, takewhile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.batching import FEW, MANY, MULTIPLE, SHORTEST, BatchPlan, Bucket, Run, plan, rows_of
from automl.data.table import Split

LENGTHS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=60)
PLANS = st.builds(
    lambda lengths, batch_size, run_length, tokens: (
        lengths,
        plan(split_of(lengths), batch_size, run_length).of_tokens(tokens),
    ),
    LENGTHS,
    st.integers(1, 16),
    st.integers(1, 5),
    st.integers(1, 400),
)
MIXED = [(3 + i % 4, 2 + i % 3) for i in range(60)] + [(30 + i % 5, 25) for i in range(20)]


def split_of(lengths: list[tuple[int, int]]) -> Split:
    source, target = (np.cumsum([0, *side], dtype=np.int64) for side in zip(*lengths, strict=True))
    return Split(np.ones(source[-1], np.int32), source, np.ones(target[-1], np.int32), target, len(lengths))


def epoch(order: BatchPlan, seed: int, number: int) -> list[Run]:
    first, last = number * order.steps_per_epoch, (number + 1) * order.steps_per_epoch
    return list(takewhile(lambda run: run.first_step < last, order.runs(seed, first)))


@given(PLANS, st.integers(0, 3))
def test_every_row_appears_exactly_once_in_an_epoch(
    drawn: tuple[list[tuple[int, int]], BatchPlan], number: int
) -> None:
    lengths, order = drawn
    rows = np.concatenate([run.rows.ravel() for run in epoch(order, 0, number)])
    assert Counter(rows[rows >= 0].tolist()) == Counter(range(len(lengths)))


@given(PLANS)
def test_tokens_count_the_targets_and_their_ends(drawn: tuple[list[tuple[int, int]], BatchPlan]) -> None:
    lengths, order = drawn
    runs = epoch(order, 0, 0)
    for run in runs:
        assert run.tokens.tolist() == [sum(lengths[i][1] + 1 for i in step.flat if i >= 0) for step in run.rows]
    assert sum(run.tokens.sum() for run in runs) == order.tokens_per_epoch == sum(n + 1 for _, n in lengths)


@given(PLANS)
def test_the_work_of_a_run_is_that_of_its_shape_against_that_of_its_rows(
    drawn: tuple[list[tuple[int, int]], BatchPlan],
) -> None:
    lengths, order = drawn
    runs = epoch(order, 0, 0)
    computed, needed = (sum(each) for each in zip(*(order.work(run, run.bucket) for run in runs), strict=True))
    own = [Bucket(max(source, 1), target + 1) for source, target in lengths]
    assert needed == pytest.approx(sum(map(order.cost, own)))
    assert computed >= needed
    assert order.work(runs[0], order.hull)[0] >= order.work(runs[0], runs[0].bucket)[0]


@given(PLANS)
def test_rows_fit_their_shape_and_shapes_are_few(drawn: tuple[list[tuple[int, int]], BatchPlan]) -> None:
    lengths, order = drawn
    for run in epoch(order, 0, 0):
        members = [lengths[i] for i in run.rows.ravel() if i >= 0]
        assert run.bucket.source >= max(source for source, _ in members)
        assert run.bucket.target >= max(target for _, target in members) + 1
        assert all(n % MULTIPLE == 0 or n <= SHORTEST for n in (run.bucket.source, run.bucket.target))
        assert run.rows.shape[2] == order.batch_size
    assert len(set(order.buckets)) <= len(order.buckets) <= FEW.most


@given(PLANS, st.integers(0, 2**31), st.integers(0, 40))
def test_runs_go_on_exactly_from_any_step(
    drawn: tuple[list[tuple[int, int]], BatchPlan], seed: int, from_step: int
) -> None:
    _, order = drawn
    assert _steps(order, seed, from_step, 12) == _steps(order, seed, 0, from_step + 12)[from_step:]
    assert all(len(run.rows) > 0 for run in islice(order.runs(seed, from_step), 3))


@given(PLANS)
def test_runs_are_no_longer_than_asked_for(drawn: tuple[list[tuple[int, int]], BatchPlan]) -> None:
    _, order = drawn
    steps = [run.first_step for run in epoch(order, 1, 0)]
    lengths = [len(run.rows) for run in epoch(order, 1, 0)]
    assert max(run.rows[:, :, 0].size for run in epoch(order, 1, 0)) <= order.run_length
    assert steps == np.cumsum([0, *lengths])[:-1].tolist()


def test_epochs_and_seeds_differ_in_their_order() -> None:
    order = plan(split_of(MIXED), 8, 4)
    orders = [
        [batch.tolist() for run in epoch(order, seed, number) for batch in run.rows]
        for seed, number in [(0, 0), (0, 1), (1, 0), (1, 1)]
    ]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    assert orders[0] == [batch.tolist() for run in epoch(order, 0, 0) for batch in run.rows]


def test_a_few_long_rows_do_not_make_every_batch_long() -> None:
    order = plan(split_of(MIXED), 8, 4)
    assert order.buckets == (Bucket(8, 8), Bucket(36, 28))
    assert [len(members) for members in order.members] == [60, 20]


def test_a_class_and_its_end_are_not_padded() -> None:
    assert plan(split_of([(5, 1)] * 9), 8, 4).buckets == (Bucket(8, 2),)


def test_many_rows_may_have_three_shapes_and_fewer_two() -> None:
    lengths = [(3, 4)] * 50 + [(11, 10)] * 30 + [(39, 33)] * 20
    assert plan(split_of(lengths * 10), 8, 4).buckets == (Bucket(4, 8), Bucket(12, 12), Bucket(40, 36))
    assert len(plan(split_of(lengths * 9), 8, 4).buckets) == 2


def test_more_shapes_are_worth_it_where_training_is_long() -> None:
    lengths = [(length, length) for length in range(2, 52) for _ in range(30)]
    few, many = (plan(split_of(lengths), 8, 4, shapes=shapes) for shapes in (FEW, MANY))
    assert len(few.buckets) <= FEW.most < len(many.buckets) <= MANY.most
    rows = np.sort(np.concatenate(many.members))
    assert rows.tolist() == list(range(len(lengths)))


def test_the_rows_of_every_shape_fit_in_the_last() -> None:
    lengths = [(30, 30)] * 500 + [(58, 54)] * 460 + [(238, 33)] * 40
    order = plan(split_of(lengths), 8, 4)
    assert order.hull == order.buckets[-1] == Bucket(240, 56)


def test_rows_have_room_in_a_larger_shape_unless_it_costs_far_more() -> None:
    order = plan(split_of(([(3, 4)] * 50 + [(11, 10)] * 30 + [(39, 33)] * 20) * 10), 8, 4)
    _, middle, long = order.buckets
    assert [order.roomy(bucket) for bucket in order.buckets] == [middle, middle, long]
    near = plan(split_of([(3, 4)] * 600 + [(7, 8)] * 400), 8, 4)
    assert [near.roomy(bucket) for bucket in near.buckets] == [near.hull] * len(near.buckets)
    assert len(near.buckets) == 2


def test_rows_are_sorted_by_what_divides_them_best() -> None:
    lengths = [(4, 3)] * 60 + [(20, 3)] * 20 + [(12, 11)] * 20
    assert plan(split_of(lengths), 8, 4).buckets == (Bucket(4, 4), Bucket(20, 12))


def test_rows_of_like_length_share_one_shape() -> None:
    assert plan(split_of([(7, 6)] * 50), 8, 4).buckets == (Bucket(8, 8),)


def test_a_step_takes_the_batches_that_come_nearest_to_its_tokens() -> None:
    order = plan(split_of([(5, 9)] * 100), 4, 16)
    found = {tokens: order.of_tokens(tokens).batches_per_step for tokens in (1, 40, 70, 90, 400, 9000)}
    assert found == {1: (1,), 40: (1,), 70: (2,), 90: (2,), 400: (10,), 9000: (16,)}
    steps = epoch(order.of_tokens(400), 0, 0)
    assert sorted(int(n) for run in steps for n in (run.rows >= 0).sum(axis=(1, 2))) == [32, 32, 36]


@pytest.mark.parametrize(("length", "rows"), [(1, 128), (6, 64), (7, 64), (10, 64), (30, 16), (500, 8)])
def test_a_batch_has_as_many_rows_as_make_up_its_tokens(length: int, rows: int) -> None:
    assert rows_of(split_of([(3, length)] * 9), 512) == rows


@pytest.mark.parametrize("rows", [1, 5])
def test_a_batch_is_no_larger_than_the_split(rows: int) -> None:
    order = plan(split_of([(3, 3)] * rows), 64, 16)
    assert (order.batch_size, order.steps_per_epoch) == (rows, 1)


def _steps(order: BatchPlan, seed: int, from_step: int, count: int) -> list[tuple[int, Bucket, list[int], int]]:
    steps = (
        (run.first_step + i, run.bucket, run.rows[i].tolist(), int(run.tokens[i]))
        for run in order.runs(seed, from_step)
        for i in range(len(run.rows))
    )
    return list(islice(steps, count))

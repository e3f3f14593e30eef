"""Private training: what one pair can change, what noise is added to, and that all of it is had again."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from automl.data.batching import Bucket
from automl.models.parameters import initialise
from automl.segments import Mechanism, SegmentResult, Workload
from automl.training.course import Course
from automl.training.executables import single
from automl.training.hulls import Hull
from automl.training.population_trainer import PopulationTrainer
from automl.training.privacy import Guard, clipped_sum, noised
from automl.training.sampling import EXAMPLES, RUN, Draws, PoissonPlan
from automl.training.steps import new_state, training
from automl.training.trainer import Trainer
from search_spaces.attention import Additive
from search_spaces.decoders import Recurrent as Decoder
from search_spaces.encoders import Recurrent as Encoder
from search_spaces.optimizers import AdamW
from tests.automl.training.trials import CONFIGURATION, After, onward, segment, trained, varied

pytest.importorskip("jax_privacy", reason="the extra privacy is not installed")

MECHANISM = Mechanism(rate=0.05, noise_multiplier=1.1, key=bytes(32))
STEPS = 11
ROWS = arrays(np.float32, st.tuples(st.integers(1, 6), st.just(5)), elements=st.floats(-1e4, 1e4, width=32))


@pytest.fixture(scope="module")
def private(workload: Workload) -> Trainer:
    return Trainer(dataclasses.replace(workload, privacy=MECHANISM))


@pytest.fixture(scope="module")
def whole(private: Trainer) -> SegmentResult:
    return trained(private, segment(to_tokens=10**6, most_steps=STEPS))


@jax.jit
def of_six(rows: Any, absent: Any, clipping: Any) -> Any:
    def loss(own: Any, row: Any) -> Any:
        return own["a"] @ row[0, :2] + own["b"] @ row[0, 2:]

    return clipped_sum(loss, {"a": jnp.zeros(2), "b": jnp.zeros(3)}, rows, absent, clipping)


def summed(rows: Any, clipping: float, absent: Any = None) -> Any:
    """Sum gradients that are the rows, over two parameters; those up to six are absent."""
    missing, filled = np.ones(6, bool), np.zeros((6, 5), np.float32)
    filled[: len(rows)], missing[: len(rows)] = rows, False if absent is None else absent
    found = of_six(filled, missing, np.float32(clipping))
    return np.concatenate([found["a"], found["b"]]).astype(np.float64)


@settings(max_examples=40)
@given(ROWS, st.sampled_from([0.1, 1.0, 30.0]), st.integers(0, 5))
def test_no_pair_moves_the_sum_by_more_than_the_clipping_norm(rows: Any, clipping: float, which: int) -> None:
    absent = np.arange(len(rows)) == which
    moved = np.linalg.norm(summed(rows, clipping) - summed(rows, clipping, absent))
    assert moved <= clipping * (1 + 1e-4)


def test_a_gradient_within_the_norm_is_left_as_it_is_and_a_longer_one_keeps_its_direction() -> None:
    row = np.array([[3.0, 0.0, 4.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(summed(row, 10.0), row[0])
    np.testing.assert_allclose(summed(row, 1.0), row[0] / 5, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_none_and_a_gradient_that_is_no_number_add_nothing(value: float) -> None:
    rows = np.array([[1.0, 0, 0, 0, 0], [value] * 5], np.float32)
    np.testing.assert_array_equal(summed(rows, 2.0, np.array([False, True])), [1, 0, 0, 0, 0])
    assert np.isfinite(summed(rows, 2.0)).all()


def guard(key: int = 0, real: Any = None) -> Guard:
    keys: Any = np.array([[key, 1], [key, 2]], np.uint32)
    return Guard(jnp.float32(1.0), jnp.float32(3.0), jnp.float32(2.0), jnp.asarray(keys), real)


def test_noise_has_the_deviation_of_the_mechanism_and_follows_from_the_key_of_the_step() -> None:
    nothing = {"a": jnp.zeros((200, 100)), "b": jnp.zeros(7)}
    first, second, other = noised(nothing, guard(), 0), noised(nothing, guard(), 1), noised(nothing, guard(9), 0)
    assert float(first["a"].std()) == pytest.approx(1.5, rel=0.03)
    assert abs(float(first["a"].mean())) < 0.05
    np.testing.assert_array_equal(first["b"], noised(nothing, guard(), 0)["b"])
    assert not np.any(np.isclose(first["b"], second["b"]) | np.isclose(first["b"], other["b"]))


@settings(max_examples=20)
@given(arrays(bool, 12), st.integers(0, 2**32 - 1))
def test_noise_is_never_on_padding(real: Any, key: int) -> None:
    sums = {"a": jnp.where(jnp.asarray(real), 5.0, 0.0)}
    found = np.asarray(noised(sums, guard(key, {"a": jnp.asarray(real)}), 0)["a"])
    assert (found[~real] == 0).all()
    assert (found[real] != 2.5).all()


def course(trainer: Trainer, **values: Any) -> Course:
    job = segment(to_tokens=10**6, **values)
    dataset = trainer.dataset(CONFIGURATION)
    return Course(job, CONFIGURATION, PoissonPlan.of(dataset.plan, MECHANISM, job), 0)


def test_a_padded_model_stays_padded_under_noise(private: Trainer) -> None:
    sizes = private.dataset(CONFIGURATION).table.meta["vocabulary"]
    small = varied(encoder=Encoder("gru", 32, 1, True), decoder=Decoder("gru", 32, 1, Additive(32)))
    hull = Hull.of(small, sizes["source"], sizes["target"])
    assert len(hull.members) == 2
    start = initialise(hull.true(small), 0)
    real: Any = {name: jnp.asarray(mask) for name, mask in hull.padded(ones(start), small).items()}
    own = course(private)
    run = next(own.order.runs(0, 0))
    chunk = own.chunk(run)
    assert chunk.guard is not None
    chunk = chunk._replace(guard=chunk.guard._replace(real=real))
    program = jax.jit(training(hull.model, run.bucket, (AdamW,)))
    data = private.dataset(CONFIGURATION).data
    state, _ = program(hull.laid(new_state(start), small), data, chunk, hull.given(small), hull.sizes(small))
    for name, mask in real.items():
        moved = np.asarray(state.parameters[name])
        assert (moved[~np.asarray(mask)] == 0).all(), name
        pushed = np.asarray(state.optimizer.first[name])  # a parameter may by chance be back where it was
        assert (pushed[np.asarray(mask)] != 0).all(), name
        assert (pushed[~np.asarray(mask)] == 0).all(), name


def ones(values: Any) -> dict[str, Any]:
    return {name: np.ones(value.shape, bool) for name, value in values.items()}


def test_a_segment_takes_the_steps_that_are_paid_for_and_no_more(private: Trainer, whole: SegmentResult) -> None:
    assert whole.step == STEPS
    assert STEPS % RUN
    assert trained(private, segment(to_tokens=10**6, most_steps=1)).step == 1
    cooled = trained(private, onward(whole, to_tokens=10**7, cooldown=True, most_steps=5))
    assert cooled.step == STEPS + 5


def test_what_is_counted_says_nothing_of_which_pairs_were_drawn(private: Trainer, whole: SegmentResult) -> None:
    train = private.dataset(CONFIGURATION).plan
    assert whole.tokens == STEPS * round(MECHANISM.rate * train.tokens_per_epoch)
    assert whole.execution["padding"] == pytest.approx(600 * train.cost(train.hull) / train.costs.sum(), rel=0.02)


def test_no_loss_of_train_is_said(private: Trainer) -> None:
    notes: list[str] = []
    trained(private, segment(to_tokens=10**6, most_steps=4), report=lambda beat: notes.append(str(beat)))
    assert any("tokens" in note for note in notes)
    assert not any("loss" in note for note in notes)


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_trial_that_was_interrupted_ends_as_one_that_was_not_to_the_bit(
    private: Trainer, whole: SegmentResult, workload: Workload, chunks: int
) -> None:
    first = trained(private, segment(to_tokens=10**6, most_steps=STEPS), stop=After(chunks))
    assert 0 < first.step < STEPS
    other = Trainer(dataclasses.replace(workload, privacy=MECHANISM))
    rest = trained(other, onward(first, to_tokens=10**6, most_steps=STEPS - first.step))
    assert (rest.checkpoint, rest.scores, rest.tokens) == (whole.checkpoint, whole.scores, whole.tokens)


def test_pairs_that_do_not_fit_the_device_are_trained_on_as_privately_and_to_the_same_bits(
    whole: SegmentResult, workload: Workload
) -> None:
    stream = Trainer(dataclasses.replace(workload, privacy=MECHANISM, resident=0))
    assert stream.dataset(CONFIGURATION).is_streamed
    first = trained(stream, segment(to_tokens=10**6, most_steps=STEPS), stop=After(1))
    assert 0 < first.step < STEPS
    rest = trained(stream, onward(first, to_tokens=10**6, most_steps=STEPS - first.step))
    assert (rest.checkpoint, rest.tokens) == (whole.checkpoint, whole.tokens)
    assert "data" not in vars(stream.dataset(CONFIGURATION))


def test_another_key_draws_and_adds_other_noise(whole: SegmentResult, workload: Workload) -> None:
    other = Trainer(dataclasses.replace(workload, privacy=dataclasses.replace(MECHANISM, key=b"x" * 32)))
    assert trained(other, segment(to_tokens=10**6, most_steps=STEPS)).checkpoint != whole.checkpoint


@pytest.mark.parametrize(
    "values",
    [
        {"trial": 4},
        {"seed": 6},
        {"configuration": varied(clipping=0.5)},
        {"cooldown": True},
        {"cooldown": True, "from_step": 4},
        {"cooldown": True, "to_tokens": 9},
        {"cooldown": True, "most_steps": 9},
    ],
)
def test_steps_that_could_differ_share_no_noise(values: dict[str, Any]) -> None:
    one, other = Draws.of(b"k" * 32, segment()), Draws.of(b"k" * 32, segment(**values))
    assert not set(map(tuple, one.noise(0, 20).tolist())) & set(map(tuple, other.noise(0, 20).tolist()))
    assert one.batches(0).integers(2**60) != other.batches(0).integers(2**60)


def test_segments_of_one_trial_have_the_noise_of_their_steps() -> None:
    one = Draws.of(b"k" * 32, segment())
    other = Draws.of(b"k" * 32, segment(from_step=7, checkpoint="0" * 64, to_tokens=99, most_steps=5))
    np.testing.assert_array_equal(one.noise(7, 5), other.noise(7, 5))
    assert len(set(map(tuple, one.noise(0, 100).tolist()))) == 100


def test_each_pair_is_drawn_by_itself_with_the_same_probability() -> None:
    rows, rate, runs = 200, 0.1, 500
    plan = PoissonPlan(Bucket(8, 8), rows, 1000, (1.0, 1.0), rate, 1.0, Draws(b"k" * 32))
    sizes, drawn = [], np.zeros(rows)
    for run, _ in zip(plan.runs(0, 0), range(runs), strict=False):
        for step in run.rows:
            found = step[step >= 0]
            assert len(np.unique(found)) == len(found)
            sizes.append(len(found))
            drawn[found] += 1
    steps = RUN * runs
    assert np.abs(drawn / steps - rate).max() < 5 * np.sqrt(rate * (1 - rate) / steps)
    assert np.mean(sizes) == pytest.approx(rows * rate, rel=0.02)
    assert np.var(sizes) == pytest.approx(rows * rate * (1 - rate), rel=0.15)


@pytest.mark.parametrize("from_step", [1, 3, 4, 6])
def test_runs_begin_at_any_step_with_the_pairs_of_that_step(from_step: int) -> None:
    plan = PoissonPlan(Bucket(8, 8), 50, 400, (1.0, 1.0), 0.2, 1.0, Draws(b"k" * 32))
    steps = [sorted(step[step >= 0]) for run, _ in zip(plan.runs(0, 0), range(3), strict=False) for step in run.rows]
    run = next(plan.runs(0, from_step))
    assert run.first_step == from_step
    assert [sorted(step[step >= 0]) for step in run.rows] == steps[from_step : from_step + len(run.rows)]


def test_more_pairs_than_an_array_has_room_for_are_all_kept() -> None:
    plan = PoissonPlan(Bucket(8, 8), 1000, 400, (1.0, 1.0), 0.1, 1.0, Draws(b"k" * 32))
    usual = plan.capacity(1)
    assert plan.capacity(usual) == usual
    assert plan.capacity(usual + 1) == 2 * usual
    assert usual * EXAMPLES > RUN * 1000 * 0.1


def test_without_noise_and_clipping_a_step_goes_by_the_mean_over_pairs(private: Trainer) -> None:
    """The usual program does, where the tokens of a pair count by as much less as there are more of them."""
    configuration = varied(dropout=0.0, clipping=10.0)
    calm, job = Mechanism(rate=1.0, noise_multiplier=0.0, key=bytes(32)), segment(configuration, to_tokens=10**6)
    dataset, static = private.dataset(configuration), private._static(configuration)
    course = Course(job, configuration, PoissonPlan.of(dataset.plan, calm, job), 0)
    run = next(course.order.runs(0, 0)).upto(1)
    chunk, lengths = course.chunk(run), dataset.plan.lengths
    program = jax.jit(training(single(static), run.bucket, (AdamW,)))
    state, losses = program(private._fresh(static, 5), dataset.data, chunk)
    weights = dataset.data.weights.at[: len(lengths)].set(lengths.mean() / lengths)
    usual = chunk._replace(guard=None, tokens=jnp.full_like(chunk.tokens, lengths.sum()))
    expected, _ = program(private._fresh(static, 5), dataset.data._replace(weights=weights), usual)
    assert float(losses.sum()) == 0
    for name, value in expected.optimizer.first.items():
        np.testing.assert_allclose(state.optimizer.first[name], value, rtol=1e-3, atol=2e-6)


def test_a_population_is_never_trained_privately(workload: Workload) -> None:
    with pytest.raises(ValueError, match="alone"):
        PopulationTrainer(dataclasses.replace(workload, privacy=MECHANISM, slots=2))

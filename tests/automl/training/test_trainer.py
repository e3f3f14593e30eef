import dataclasses
import math
import re
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from automl.data.table import build_table
from automl.errors import FailureReason, TrialFailure
from automl.models.parameters import initialise
from automl.segments import (
    Beat,
    Evaluation,
    EvaluationResult,
    Preparation,
    PreparationResult,
    ProgramFolder,
    SegmentResult,
    Workload,
)
from automl.training import checkpoints
from automl.training.checkpoints import read_tensors
from automl.training.course import Course
from automl.training.executables import model_of
from automl.training.soups import soup
from automl.training.stopwatch import PARTS
from automl.training.trainer import Trainer
from automl.weights import averaged
from search_spaces import costs
from search_spaces.dials import to_dict
from search_spaces.encoders import Recurrent as Encoder
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from search_spaces.schedules import Linear, PolynomialAverage, WarmupStableDecay
from storage import objects
from storage.buckets import Unreachable
from tests.automl.training.trials import (
    CONFIGURATION,
    EPOCH,
    After,
    failure,
    never,
    new_trainer,
    onward,
    segment,
    silent,
    trained,
    varied,
)
from tests.conftest import Data, Document

TOKENS = 6_000


@pytest.fixture(scope="module")
def whole(trainer: Trainer) -> SegmentResult:
    return trained(trainer, segment(to_tokens=TOKENS))


@pytest.fixture(scope="module")
def begin(trainer: Trainer) -> SegmentResult:
    return trained(trainer, segment(), stop=After(2))


def test_a_trial_ends_at_the_first_chunk_past_its_tokens(trainer: Trainer, whole: SegmentResult) -> None:
    per_step = trainer.dataset(CONFIGURATION).plan.tokens_per_epoch / EPOCH
    assert TOKENS <= whole.tokens < TOKENS + 5 * per_step
    assert whole.tokens == sum(
        trainer.dataset(CONFIGURATION).data.target_lengths[i] + 1 for i in rows_seen(trainer, whole.step)
    )


def rows_seen(trainer: Trainer, steps: int) -> list[int]:
    seen: list[int] = []
    for run in trainer.dataset(CONFIGURATION).plan.runs(5, 0):
        if run.first_step >= steps:
            break
        seen += [int(row) for row in run.rows[: steps - run.first_step].ravel() if row >= 0]
    return seen


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_an_interrupted_trial_ends_as_an_uninterrupted_one_to_the_bit(
    trainer: Trainer, whole: SegmentResult, chunks: int
) -> None:
    first = trained(trainer, segment(to_tokens=TOKENS), stop=After(chunks))
    assert 0 < first.step < whole.step
    rest = trained(trainer, onward(first, to_tokens=TOKENS))
    assert dataclasses.replace(rest, from_step=0, seconds={}) == dataclasses.replace(whole, seconds={})


def test_another_process_goes_on_to_the_same_bits(
    trainer: Trainer, whole: SegmentResult, begin: SegmentResult, workload: Workload
) -> None:
    other = new_trainer(workload)
    rest = trained(other, onward(begin, to_tokens=TOKENS))
    assert (rest.checkpoint, rest.scores, rest.tokens) == (whole.checkpoint, whole.scores, whole.tokens)


def test_the_seed_decides_the_trial(trainer: Trainer, begin: SegmentResult) -> None:
    assert trained(trainer, segment(), stop=After(2)).checkpoint == begin.checkpoint
    assert trained(trainer, segment(seed=6), stop=After(2)).checkpoint != begin.checkpoint


@pytest.mark.parametrize(
    "dials",
    [
        {"dropout": 0.4},
        {"label_smoothing": 0.0},
        {"clipping": 0.1},
        {"batch_tokens": 1024},
        {"schedule": WarmupStableDecay(40)},
        {"schedule": Linear(2, 30)},
        {"averaging": PolynomialAverage(3)},
        {"optimizer": AdamW(0.01, 0.09)},
        {"optimizer": AdamW(0.02, 0.01)},
        {"optimizer": Lion(0.001, 0.01)},
    ],
)
def test_dials_that_are_data_change_the_trial_and_compile_nothing(
    trainer: Trainer, begin: SegmentResult, dials: dict[str, Any]
) -> None:
    programs = set(trainer.compiled)
    other = trained(trainer, segment(varied(**dials)), stop=After(2))
    assert other.checkpoint != begin.checkpoint
    assert (set(trainer.compiled), other.seconds["compiling"]) == (programs, 0)


@pytest.mark.parametrize("optimizer", [Adafactor(0.01, 0.01), Muon(0.01, 0.01)])
def test_an_optimizer_that_works_on_whole_matrices_has_a_program_of_its_own(
    trainer: Trainer, begin: SegmentResult, optimizer: Any
) -> None:
    programs = len(trainer.compiled)
    other = trained(trainer, segment(varied(optimizer=optimizer)), stop=After(2))
    assert len(trainer.compiled) == programs + 1
    assert other.scores["loss"] < 3


def test_another_size_has_a_program_of_its_own(trainer: Trainer, begin: SegmentResult) -> None:
    programs = len(trainer.compiled)
    other = trained(trainer, segment(varied(encoder=Encoder("gru", 8, 1, False))), stop=After(1))
    assert len(trainer.compiled) == programs + 1
    assert other.parameters < begin.parameters


@pytest.mark.parametrize("begun", [False, True])
def test_a_segment_that_is_stopped_before_its_first_step_has_no_result(
    trainer: Trainer, begin: SegmentResult, begun: bool
) -> None:
    with pytest.raises(TrialFailure) as failure:
        trained(trainer, onward(begin) if begun else segment(), stop=After(0))
    assert failure.value.reason is FailureReason.STOPPED


def test_a_trial_out_of_seconds_ends_after_a_chunk(trainer: Trainer, begin: SegmentResult) -> None:
    assert trained(trainer, segment(seconds=0)).step == 4
    assert trained(trainer, onward(begin, seconds=0)).step == EPOCH


def test_a_cooldown_takes_the_planned_steps_and_ends_at_rate_nought(trainer: Trainer, begin: SegmentResult) -> None:
    planned = 15 * trainer.dataset(CONFIGURATION).plan.tokens_per_epoch // EPOCH
    end = trained(trainer, onward(begin, to_tokens=begin.tokens + planned, cooldown=True))
    assert 15 <= end.step - begin.step < 15 + 4
    further = trained(trainer, onward(end, to_tokens=end.tokens, cooldown=True))
    assert further.step > end.step


def test_a_cooldown_moves_the_parameters_less_and_less(
    trainer: Trainer, begin: SegmentResult, checkpoints: Path
) -> None:
    plan = begin.tokens + 4 * trainer.dataset(CONFIGURATION).plan.tokens_per_epoch // EPOCH
    cooled = trained(trainer, onward(begin, to_tokens=plan, cooldown=True), stop=After(1))
    steady = trained(trainer, onward(begin, to_tokens=plan), stop=After(1))
    start, cool, hot = (weights(checkpoints, result) for result in (begin, cooled, steady))
    assert cooled.step == steady.step
    assert 0 < np.linalg.norm(cool - start) < np.linalg.norm(hot - start)


def weights(folder: Path, result: SegmentResult) -> np.ndarray:
    tensors = read_tensors(folder, result.checkpoint)
    return np.concatenate([v.ravel() for name, v in sorted(tensors.items()) if name.startswith("parameters/")])


def test_training_leaves_the_start_values_alone(trainer: Trainer) -> None:
    static = trainer._static(CONFIGURATION)
    values = initialise(model_of(static), 5)
    state = trainer._fresh(static, 5)
    before = {name: value.copy() for name, value in values.items()}
    trained(trainer, segment(), stop=After(1))
    assert all(np.array_equal(values[name], before[name]) for name in values)
    assert all(np.array_equal(state.average[name], before[name]) for name in values)


def test_the_result_counts_parameters_and_seconds_by_part(begin: SegmentResult) -> None:
    assert begin.parameters == costs.parameters(CONFIGURATION, 12, 12)
    assert begin.seconds.keys() == set(PARTS)
    assert min(begin.seconds["training"], begin.seconds["evaluating"], begin.seconds["writing"]) > 0


def test_reports_say_what_is_done(trainer: Trainer, begin: SegmentResult) -> None:
    beats: list[Beat] = []
    trained(trainer, segment(), report=beats.append, stop=After(1))
    trainer.run(evaluation(begin, "test"), beats.append, never)
    assert [beat.phase for beat in beats].count("tokenizing") == 2
    beats = [beat for beat in beats if beat.phase != "tokenizing"]
    assert re.fullmatch(r"1,\d{3} tokens, training loss 2\.\d\d", str(beats[0]))
    assert [(beat.phase, beat.step) for beat in beats[:3]] == [("training", 4), ("evaluating", 4), ("writing", 4)]
    assert str(beats[3]) == "decoding test"


def test_a_loss_that_is_no_number_fails_the_trial(trainer: Trainer) -> None:
    failed = failure(
        trainer, segment(varied(optimizer=AdamW(1e30, 0.0), schedule=WarmupStableDecay(1)), to_tokens=TOKENS)
    )
    assert (failed.reason, str(failed)) == (FailureReason.NAN_LOSS, "the training loss is no longer a finite number")
    assert trained(trainer, segment(), stop=After(1)).step == 4


def test_a_model_that_breaks_in_its_last_step_fails_on_valid(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl.training.trainer.finite_mean", lambda losses, chunk: 0.0)
    failed = failure(trainer, segment(varied(optimizer=AdamW(1e30, 0.0), schedule=WarmupStableDecay(1)), to_tokens=1))
    assert failed.reason is FailureReason.NAN_LOSS
    assert str(failed) == "the loss on valid is nan at step 4"


def test_a_flipped_byte_is_found(trainer: Trainer, begin: SegmentResult, checkpoints: Path) -> None:
    path = objects.path(checkpoints, begin.checkpoint)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    failures = [failure(trainer, job) for job in (onward(begin), evaluation(begin))]
    path.write_bytes(content)
    assert {failed.reason for failed in failures} == {FailureReason.CORRUPT_CHECKPOINT}


def evaluation(result: SegmentResult, split: str = "valid") -> Evaluation:
    return Evaluation(3, to_dict(CONFIGURATION), result.checkpoint, split)


@pytest.mark.parametrize("data", [b"", b"not safetensors at all", b"\xff" * 100])
def test_sound_bytes_that_are_no_checkpoint_are_refused(trainer: Trainer, checkpoints: Path, data: bytes) -> None:
    digest = objects.write(checkpoints, data)
    assert failure(trainer, segment(checkpoint=digest)).reason is FailureReason.CORRUPT_CHECKPOINT


def test_checkpoints_out_of_reach_are_no_damage(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_reach(*_: object) -> bytes:
        raise Unreachable(5, "s3://bucket/folder cannot be read (TimeoutError)")

    monkeypatch.setattr(objects, "read", out_of_reach)
    failed = failure(trainer, segment(from_step=4, checkpoint="0" * 64))
    assert (failed.reason, str(failed)[:11]) == (FailureReason.STORAGE, "s3://bucket")


def test_building_a_token_table_is_a_phase_of_its_own(trainer: Trainer) -> None:
    beats: list[Beat] = []
    trainer.run(segment(to_tokens=1), beats.append, lambda: False)
    assert beats[0].phase == "tokenizing"


def test_a_missing_checkpoint_is_found(trainer: Trainer) -> None:
    failed = failure(trainer, segment(from_step=4, checkpoint="0" * 64))
    assert (failed.reason, "is missing" in str(failed)) == (FailureReason.CORRUPT_CHECKPOINT, True)


@pytest.mark.parametrize(
    "encoder", [Encoder("gru", 16, 1, True), Encoder("lstm", 24, 1, True), Encoder("gru", 24, 2, True)]
)
def test_a_checkpoint_of_another_model_is_refused(trainer: Trainer, begin: SegmentResult, encoder: Encoder) -> None:
    failed = failure(trainer, dataclasses.replace(onward(begin), configuration=to_dict(varied(encoder=encoder))))
    assert (failed.reason, str(failed)[-16:]) == (FailureReason.CORRUPT_CHECKPOINT, "of another model")


def test_a_checkpoint_of_another_step_is_refused(trainer: Trainer, begin: SegmentResult) -> None:
    failed = failure(trainer, dataclasses.replace(onward(begin), from_step=4))
    assert (failed.reason, str(failed)) == (FailureReason.CORRUPT_CHECKPOINT, "the checkpoint is of another step")


def test_a_device_without_memory_fails_the_trial(trainer: Trainer) -> None:
    def full(beat: Beat) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory allocating 9 bytes")

    assert failure(trainer, segment(to_tokens=1), full).reason is FailureReason.OUT_OF_MEMORY


def test_a_tiny_task_is_learned_and_decoding_agrees_with_the_teacher_on_the_way(trainer: Trainer) -> None:
    half = trained(trainer, segment())
    end = trained(trainer, onward(half, to_tokens=110_000, cooldown=True))
    assert 0.9 > half.scores["exact_match"] > 0.1
    assert end.scores["exact_match"] > 0.9
    for result in (half, end):
        decoded = trainer.run(evaluation(result), silent, never)
        assert isinstance(decoded, EvaluationResult)
        assert decoded.rows == 71
        assert {name: result.scores[name] for name in decoded.scores} == pytest.approx(decoded.scores)


@pytest.fixture(scope="module")
def two_shapes(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A trainer on words of which a few are longer, in a process of its own, as it were."""
    return on_words(tmp_path_factory.mktemp("shapes"), 7)


def on_words(folder: Path, longest: int, cache: ProgramFolder | None = None) -> Trainer:
    """Return a trainer on words of three letters, and a few of so many."""
    texts = ["".join(letters) for letters in product("abcdef", repeat=3)][:160]
    texts += [letter * longest for letter in "abcdef"]
    for name, part in (("train", texts), ("valid", texts[::9])):
        (folder / f"{name}.tsv").write_text("".join(f"{text}\t{text}\n" for text in part), encoding="utf-8")
    data = Data({name: folder / f"{name}.tsv" for name in ("train", "valid")})
    table = build_table(Document(data), folder / "cache")
    workload = Workload(str(table.folder), str(folder / "checkpoints"), ("exact_match",), threads=1, cache=cache)
    return Trainer(workload)


def test_a_new_trial_compiles_one_shape_and_the_others_when_it_goes_on(two_shapes: Trainer) -> None:
    order = two_shapes.dataset(CONFIGURATION).plan
    assert (len(order.buckets), order.hull) == (2, order.buckets[1])
    begin = trained(two_shapes, segment(to_tokens=order.tokens_per_epoch))
    assert [key[1] for key in two_shapes.compiled] == [order.hull]
    trained(two_shapes, onward(begin, to_tokens=2 * order.tokens_per_epoch))
    assert [key[1] for key in two_shapes.compiled] == [order.hull, order.buckets[0]]
    again = trained(two_shapes, segment(to_tokens=order.tokens_per_epoch))
    assert again.scores["loss"] == pytest.approx(begin.scores["loss"], rel=1e-4)
    assert again.checkpoint != begin.checkpoint  # in its own shapes, that is with other roundings


def test_a_new_trial_pads_no_rows_to_several_times_their_length(tmp_path: Path) -> None:
    far = on_words(tmp_path, 20)
    order = far.dataset(CONFIGURATION).plan
    trained(far, segment(to_tokens=order.tokens_per_epoch))
    assert {key[1] for key in far.compiled} == set(order.buckets)


def test_a_new_trial_that_trains_for_long_has_each_shape_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = on_words(tmp_path, 7)
    order = patient.dataset(CONFIGURATION).plan
    monkeypatch.setattr(Course, "expected_seconds", lambda *_: 1e9)
    trained(patient, segment(to_tokens=order.tokens_per_epoch))
    assert {key[1] for key in patient.compiled} == set(order.buckets)


def test_a_cooldown_without_time_to_compile_goes_on_in_a_shape_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = on_words(tmp_path, 7)
    order = hurried.dataset(CONFIGURATION).plan
    begin = trained(hurried, segment(to_tokens=order.tokens_per_epoch))
    monkeypatch.setattr(hurried, "slowest_compilation", 1e9)
    planned = begin.tokens + 3 * order.tokens_per_epoch
    end = trained(hurried, onward(begin, to_tokens=planned, seconds=1e6, cooldown=True))
    assert (end.step - begin.step, end.programs.compiled) == (3 * order.steps_per_epoch, 0)


def test_what_another_process_has_prepared_is_not_compiled_again(tmp_path: Path) -> None:
    place = ProgramFolder(str(tmp_path / "programs"), str(tmp_path / "key"))
    other, own = (on_words(tmp_path, 7, place) for _ in range(2))
    order = own.dataset(CONFIGURATION).plan
    result = other.run(Preparation(3, to_dict(CONFIGURATION)), silent, never)
    assert isinstance(result, PreparationResult)
    assert {key[1] for key in other.compiled} == set(order.buckets)
    begin = trained(own, segment(to_tokens=order.tokens_per_epoch))
    end = trained(own, onward(begin, to_tokens=2 * order.tokens_per_epoch))
    assert [key[1] for key in own.compiled] == [order.hull, order.buckets[0]]
    assert (begin.programs.compiled, end.programs.compiled) == (0, 0)


def test_rows_take_the_largest_shape_as_long_as_another_process_compiles_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = on_words(tmp_path, 7)
    order = own.dataset(CONFIGURATION).plan
    begin = trained(own, segment(to_tokens=order.tokens_per_epoch))
    monkeypatch.setattr(own.programs, "is_compiled_elsewhere", lambda *_: True)
    trained(own, onward(begin, to_tokens=2 * order.tokens_per_epoch))
    assert [key[1] for key in own.compiled] == [order.hull]
    own.is_timed = False  # what other processes do then decides nothing
    trained(own, onward(begin, to_tokens=2 * order.tokens_per_epoch))
    assert [key[1] for key in own.compiled] == [order.hull, order.buckets[0]]


@pytest.mark.parametrize("wins", ["last", "average"])
def test_a_trial_that_is_trained_out_keeps_the_better_of_last_and_averaged_parameters(
    trainer: Trainer, begin: SegmentResult, wins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_better", lambda self, scores, than: wins == "last")
    end = trained(trainer, onward(begin, to_tokens=begin.tokens + 500, cooldown=True))
    tensors = read_tensors(trainer.checkpoints, end.checkpoint)
    names = [name for name in tensors if name.startswith("average/")]
    same = [np.array_equal(tensors[name], tensors[name.replace("average/", "parameters/", 1)]) for name in names]
    assert names
    assert all(same) == (wins == "last")


def test_a_trial_that_is_trained_out_is_blended_with_other_times_of_its_model_that_make_it_better(
    trainer: Trainer, begin: SegmentResult
) -> None:
    job = onward(begin, to_tokens=begin.tokens + 2_000, cooldown=True)
    alone = trained(trainer, job)
    blended = trained(trainer, replace(job, blends=("0" * 64, begin.checkpoint)))
    ends = [averaged(read_tensors(trainer.checkpoints, each.checkpoint)) for each in (begin, alone, blended)]
    assert blended.scores["loss"] <= alone.scores["loss"]
    assert blended.scores["sequence_error_rate"] <= alone.scores["sequence_error_rate"]
    means = [ends[1], {name: (ends[0][name] + ends[1][name]) / 2 for name in ends[1]}]
    assert any(all(np.allclose(ends[2][name], mean[name], atol=1e-6) for name in mean) for mean in means)


def test_an_end_that_is_waited_for_is_not_blended(
    trainer: Trainer, begin: SegmentResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    own = checkpoints.read_tensors
    monkeypatch.setattr(checkpoints, "read_tensors", lambda place, digest: read.append(digest) or own(place, digest))
    job = replace(onward(begin, to_tokens=begin.tokens + 500, cooldown=True), blends=("0" * 64, begin.checkpoint))
    trained(trainer, job)
    assert read == [begin.checkpoint, *job.blends]
    read.clear()
    trained(trainer, job, stop=After(1))
    assert read == [begin.checkpoint]


@pytest.mark.parametrize("loss", [0.0, math.inf])
def test_other_times_are_taken_in_by_the_loss_on_valid(
    trainer: Trainer, begin: SegmentResult, loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = onward(begin, to_tokens=begin.tokens + 500, cooldown=True)
    alone = averaged(read_tensors(trainer.checkpoints, trained(trainer, job).checkpoint))
    monkeypatch.setattr("automl.training.trainer.soup", partial(_of_loss, loss))
    mixed = trained(trainer, replace(job, blends=(begin.checkpoint,)))
    found = averaged(read_tensors(trainer.checkpoints, mixed.checkpoint))
    first = averaged(read_tensors(trainer.checkpoints, begin.checkpoint))
    wanted = alone if loss else {name: (alone[name] + first[name]) / 2 for name in alone}
    assert all(np.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)


def _of_loss(loss: float, *given: Any) -> Any:
    """A soup whose every taste has that loss."""
    end, scores, others, _, is_worse = given
    return soup(end, scores, others, lambda _: {**scores, "loss": min(scores["loss"], 10.0) - 1.0 + loss}, is_worse)


def test_of_equal_objectives_the_lower_loss_is_the_better(trainer: Trainer) -> None:
    low, high = ({"sequence_error_rate": 0.5, "loss": loss} for loss in (1.0, 2.0))
    assert trainer._better(low, high)
    assert not trainer._better(high, low)
    assert trainer._better({"sequence_error_rate": 0.4, "loss": 9.0}, low)


def test_a_trial_goes_on_in_the_largest_shape_while_its_own_is_compiled_beside_it(
    two_shapes: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = two_shapes.dataset(CONFIGURATION).plan
    begin = trained(two_shapes, segment(to_tokens=order.tokens_per_epoch))
    job = onward(begin, to_tokens=2 * order.tokens_per_epoch)
    alone, never_done = trained(two_shapes, job), NeverDone()
    monkeypatch.setattr(two_shapes, "compiler", never_done)
    monkeypatch.setattr(two_shapes, "compiled", {})
    beside = trained(two_shapes, job)
    assert ([key[1] for key in two_shapes.compiled], len(never_done.asked)) == ([order.hull], 1)
    assert beside.scores["loss"] == pytest.approx(alone.scores["loss"], abs=1e-3)


class NeverDone:
    """A compiler that is never done."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, key: str, *_: Any) -> Future[Any]:
        self.asked.append(key)
        return Future()


def test_what_is_remembered_is_measured_where_it_is_asked_for(trainer: Trainer, begin: SegmentResult) -> None:
    plain, asked = (
        trainer.run(dataclasses.replace(evaluation(begin), membership=wanted), silent, never)
        for wanted in (False, True)
    )
    assert isinstance(plain, EvaluationResult)
    assert isinstance(asked, EvaluationResult)
    assert (plain.membership, plain.scores) == (None, asked.scores)
    assert asked.membership is not None
    assert asked.membership.rows == 71
    assert 0.4 < asked.membership.told < 0.8
    assert asked.membership.valid == pytest.approx(begin.scores["loss"], rel=0.1)

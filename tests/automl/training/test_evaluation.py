from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.batching import FEW, BatchPlan, Bucket, Shapes, costs_of
from automl.data.sources import Columns
from automl.data.table import Split, TokenTable, build_table
from automl.data.tokenizers import BOS, EOS, PAD, UNK
from automl.decoding import answers
from automl.decoding.answers import Decoded, Program
from automl.metrics import metric
from automl.models.facts import bind
from automl.models.parameters import initialise
from automl.training import evaluation
from automl.training.compilations import compilations
from automl.training.decoders import Decoders
from automl.training.evaluation import Counts, Evaluator, deviation, forced_rows
from automl.training.executables import model_of
from automl.training.losses import TokenCounts
from automl.training.signature import signature
from search_spaces.decoding import Beam, Decoding, Greedy
from tests.automl.models.cases import inputs_of
from tests.automl.training.trials import CONFIGURATION
from tests.conftest import Data, Document

STATIC = signature(CONFIGURATION, 12, 12, 64)


def evaluator(table: TokenTable, *metrics: str, split: str = "valid") -> Evaluator:
    return Evaluator(table, split, [metric(name) for name in metrics])


@pytest.fixture(scope="module")
def parameters() -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in initialise(model_of(STATIC), 0).items()}


@pytest.fixture(scope="module")
def counts(reversals: TokenTable, parameters: dict[str, jax.Array]) -> Counts:
    return evaluator(reversals, "exact_match").counts(STATIC, parameters)


@pytest.fixture(scope="module")
def target(reversals: TokenTable) -> Any:
    split = reversals.split("valid")
    return padded(split.target, split.target_offsets, EOS)


@pytest.fixture(scope="module")
def logits(reversals: TokenTable, parameters: dict[str, jax.Array], target: Any) -> Any:
    split, model = reversals.split("valid"), model_of(STATIC)
    program = jax.jit(lambda values, source, inputs: bind(model, values)(source, inputs))
    return program(parameters, padded(split.source, split.source_offsets), inputs_of(target))


def test_the_loss_is_the_mean_over_every_real_token_of_the_split(counts: Counts, logits: Any, target: Any) -> None:
    likely = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), target[..., None], axis=-1)[..., 0]
    assert counts.loss == pytest.approx(-likely[target != PAD].mean(), rel=1e-5)


def test_guesses_are_of_tokens_that_may_be_said(counts: Counts, logits: Any, target: Any) -> None:
    guesses = np.array(logits)
    guesses[..., [PAD, BOS, UNK]] = -np.inf
    right = (guesses.argmax(axis=-1) == target) | (target == PAD)
    assert counts.token_accuracy == pytest.approx(right[target != PAD].mean())
    assert counts.right.tolist() == right.all(axis=1).tolist()


def test_rows_that_are_forced_in_several_shapes_count_as_in_one(
    reversals: TokenTable, counts: Counts, parameters: dict[str, jax.Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "FEW_PLACES", 0)
    monkeypatch.setattr(evaluation, "plan", halved)
    several = evaluator(reversals, "exact_match")
    assert len(several.shapes(STATIC)) == 2
    assert sorted(row for _, rows in several.shapes(STATIC) for row in rows) == list(range(several.forced.rows))
    found = several.counts(STATIC, parameters)
    assert found.loss == pytest.approx(counts.loss, rel=1e-5)
    assert found.token_accuracy == pytest.approx(counts.token_accuracy)
    assert found.right.tolist() == counts.right.tolist()


def test_rows_that_take_much_are_forced_a_few_at_a_time_and_count_the_same(
    reversals: TokenTable, counts: Counts, parameters: dict[str, jax.Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = evaluator(reversals, "exact_match")
    assert [forced_rows(STATIC.footprint(), shape) for shape, _ in one.shapes(STATIC)] == [64]
    monkeypatch.setattr(answers, "MOST_BATCH_BYTES", 3 * STATIC.footprint().scoring(8, 8))
    parts = one.shapes(STATIC)
    assert {forced_rows(STATIC.footprint(), evaluation.padded(shape)) for shape, _ in parts} <= {1, 2, 4}
    assert sorted(row for _, rows in parts for row in rows) == list(range(one.forced.rows))
    found = one.counts(STATIC, parameters)
    assert found.loss == pytest.approx(counts.loss, rel=1e-5)
    assert found.right.tolist() == counts.right.tolist()


@pytest.mark.parametrize("decoding", [Greedy(), Beam(3)])
def test_what_takes_much_is_decoded_a_few_rows_at_a_time_and_says_the_same(
    reversals: TokenTable, parameters: dict[str, jax.Array], decoding: Decoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, counted, seen = evaluator(reversals, "bleu"), compilations(), []
    program = Decoders(one.programs, STATIC, one.limits).program(decoding)

    def run(values: Any, source: Any, copies: Any) -> Any:
        seen.append(source.shape)
        return program.run(values, source, copies)

    noted = replace(program, run=run)
    whole, shapes = one.outputs(noted, parameters), set(seen)
    assert {rows for rows, _ in shapes} == {64}
    before = counted.count
    assert (one.outputs(noted, parameters), counted.count) == (whole, before)
    seen.clear()
    monkeypatch.setattr(answers, "MOST_BATCH_BYTES", 2 * program.row_bytes(8))
    assert one.outputs(noted, parameters) == whole
    assert set(seen) == {(2, length) for _, length in shapes}
    assert counted.count - before == len(shapes)


def halved(split: Split, batch_size: int, run_length: int, *, shapes: Shapes) -> BatchPlan:
    """Stands for a plan of two shapes, where few are worth it."""
    assert shapes == FEW
    source, target = np.diff(split.source_offsets), np.diff(split.target_offsets) + 1
    parts = [np.flatnonzero(source <= 5).astype(np.int32), np.flatnonzero(source > 5).astype(np.int32)]
    found = tuple(Bucket(int(source[part].max()), int(target[part].max())) for part in parts)
    return BatchPlan(found, tuple(parts), target, costs_of(source, target, 0.0), batch_size, run_length)


def padded(flat: Any, offsets: Any, end: int = PAD) -> Any:
    rows = [[*flat[a:b].tolist(), end] for a, b in pairwise(offsets.tolist())]
    width = max(map(len, rows))
    return np.array([row + [PAD] * (width - len(row)) for row in rows], np.int32)


def test_a_token_that_train_does_not_have_costs_no_more_than_any_unlikely_one(counts: Counts, target: Any) -> None:
    assert UNK in target
    assert counts.loss < 10


def test_metrics_that_count_exact_matches_of_one_reference_need_no_decoding(reversals: TokenTable) -> None:
    assert not evaluator(reversals, "sequence_error_rate", "exact_match", "accuracy").needs_decoding
    assert evaluator(reversals, "sequence_error_rate", "token_error_rate").needs_decoding


@pytest.mark.parametrize("name", ["bits_per_token", "perplexity", "bits_per_character"])
def test_likelihoods_need_no_decoding_and_hold_no_smoothing(reversals: TokenTable, counts: Counts, name: str) -> None:
    one = evaluator(reversals, name)
    assert not one.needs_decoding
    texts = [acceptable[0] for acceptable in one.references]
    characters = sum(len(text) + 1 for text in texts)  # a token is a character here
    assert (counts.likelihood.tokens, counts.likelihood.characters) == (characters, characters)
    assert counts.likelihood.nats == pytest.approx(counts.loss * characters, rel=1e-5)


def test_any_of_several_references_is_right(tmp_path: Path) -> None:
    train = "".join(f"{a}{b}\t{b}{a}\n" for a in "abcd" for b in "abcd")
    (tmp_path / "train.tsv").write_text(train, encoding="utf-8")
    (tmp_path / "valid.tsv").write_text("aaa\tb\tcd\nbbb\ta\td\n", encoding="utf-8")
    data = Data({name: tmp_path / f"{name}.tsv" for name in ("train", "valid")})
    one = evaluator(build_table(Document(data), tmp_path), "exact_match", "sequence_error_rate")
    assert (one.needs_decoding, one.forced.rows, one.firsts.tolist()) == (False, 4, [0, 2])
    sums = TokenCounts(jnp.array([3.0, 9.0, 1.0, 9.0]), jnp.array([1, 3, 1, 1]), jnp.array([2, 3, 2, 2]))
    counts = one.counts(STATIC, {}, lambda *_: sums)
    assert (counts.right.tolist(), counts.loss, counts.token_accuracy) == ([True, False], 1.0, 0.5)
    assert one.decoded_scores({}, says(one.table, {"aaa": "cd", "bbb": "c"})) == {
        "exact_match": 0.5,
        "sequence_error_rate": 0.5,
    }


def says(table: TokenTable, answers: dict[str, str]) -> Program:
    """Stands for a program that answers each source so."""

    def program(parameters: Any, source: Any, copies: Any) -> Decoded:
        tokens = np.full(source.shape, PAD, np.int32)
        for row, text in enumerate(table.source_tokenizer.decode_batch(source.tolist())):
            encoded = table.target_tokenizer.encode_batch([answers.get(text, "")])[0]
            tokens[row, : len(encoded)] = encoded
        return Decoded(jnp.asarray(tokens), jnp.zeros(len(tokens)))

    return Program(program)


@pytest.mark.parametrize("rows", [200, 4000])
def test_the_deviation_of_a_share_is_near_that_of_a_binomial(rows: int) -> None:
    outputs, references = ["a", "b"] * (rows // 2), [["a"]] * rows

    def share(said: list[str], right: list[list[str]]) -> float:
        return sum(o in r for o, r in zip(said, right, strict=True)) / len(said)

    assert deviation(share, outputs, references) == pytest.approx((0.25 / rows) ** 0.5, rel=0.5)
    assert deviation(share, ["a"] * rows, references) == 0


def test_at_its_end_a_trial_knows_how_far_a_likelihood_is_off_by_chance(
    reversals: TokenTable, parameters: dict[str, jax.Array]
) -> None:
    likely = evaluator(reversals, "bits_per_character")
    assert "deviation" not in likely.forced_scores(STATIC, parameters)
    found = likely.forced_scores(STATIC, parameters, spread=True)
    assert 0 < found["deviation"] < 0.2 * found["bits_per_character"]


def test_weights_make_rows_say_less() -> None:
    ids, offsets = np.zeros(4, np.int32), np.arange(5)
    for weights, rows in ((None, 4), ([1, 1, 1, 1], 4), ([1, 0, 0, 0], 1), ([3, 1, 1, 1], 3)):
        own = None if weights is None else np.array(weights, np.float32)
        assert Split(ids, offsets, ids, offsets, rows=4, weights=own).effective_rows == rows


def test_sources_count_by_their_weights(reversals: TokenTable, tmp_path: Path) -> None:
    valid = reversals.corpus.pairs("valid")
    weights = [3.0, *[1.0] * (len(valid) - 1)]
    for name in ("train", "valid"):
        rows = [(s, t, w) for (s, t), w in zip(valid, weights, strict=True)]
        text = "".join(f"{s}{s if name == 'train' else ''}\t{t}\t{w}\n" for s, t, w in rows)
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8")
    files = {name: tmp_path / f"{name}.tsv" for name in ("train", "valid")}
    table = build_table(Document(Data(files, Columns(0, (1,), 2))), tmp_path / "cache")
    train = table.split("train")
    assert train.weights is not None
    assert np.average(train.weights, weights=np.diff(train.target_offsets) + 1) == pytest.approx(1)
    assert train.weights.max() == pytest.approx(3 * train.weights.min())
    static = signature(CONFIGURATION, *(table.meta["vocabulary"][side] for side in ("source", "target")), 64)
    own = {name: jnp.asarray(value) for name, value in initialise(model_of(static), 0).items()}
    weighted = evaluator(table, "exact_match", "bits_per_character")
    plain = evaluator(table, "exact_match", "bits_per_character")
    plain.weights = None
    sums = plain.counts(static, own), weighted.counts(static, own)
    first = Evaluator(table, "valid", [])
    first.weights = np.eye(len(valid))[0]
    expected = sums[0].likelihood.nats + 2 * first.counts(static, own).likelihood.nats
    assert sums[1].likelihood.nats == pytest.approx(expected, rel=1e-5)
    assert sums[1].likelihood.characters == sums[0].likelihood.characters + 2 * (len(valid[0][1]) + 1)

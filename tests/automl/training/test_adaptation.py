"""What LoRA adds to matrices: nothing at first, the same in however large an array, and only that is trained."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from automl.data.corpus import Given
from automl.data.table import TokenTable, build_table
from automl.errors import TrialFailure
from automl.models.parameters import declared, forms, initialise
from automl.models.seq2seq import Seq2Seq as Model
from automl.segments import Evaluation, EvaluationResult, Workload
from automl.training import adaptation
from automl.training.adaptation import DOWN, UP, adapted, factor_forms, factor_sizes, initial_factors
from automl.training.checkpoints import read_tensors
from automl.training.hulls import Hull
from automl.training.layout import Layout
from automl.training.optimizers import Recipe, initial_moments, updated
from automl.training.population_trainer import PopulationTrainer
from automl.training.schedules import pace
from automl.training.trainer import Trainer
from automl.weights import averaged
from search_spaces import costs
from search_spaces.attention import Additive
from search_spaces.dials import to_dict
from search_spaces.encoders import Convolution
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from search_spaces.schedules import ExponentialAverage, WarmupStableDecay
from search_spaces.seq2seq import RANKS, Seq2Seq
from tests.automl.training.trials import CONFIGURATION, After, new_trainer, onward, segment, trained
from tests.conftest import Document, written_pairs

SHAPE = replace(
    CONFIGURATION,
    encoder=replace(CONFIGURATION.encoder, hidden_size=32),
    decoder=replace(CONFIGURATION.decoder, attention=Additive(32)),
)
TUNED = replace(SHAPE, start="bundle", tuned="lora", lora_rank=4, lora_alpha=8)
TOKENS = 4_000
MODEL = Model(replace(CONFIGURATION, encoder=Convolution(24, 1)), 12, 12)
BASE: Any = jax.tree.map(jnp.asarray, initialise(MODEL, 0))


def on_device(values: Any) -> Any:
    return jax.tree.map(jnp.asarray, values)


@pytest.mark.parametrize("rank", RANKS)
def test_nothing_is_added_at_first(rank: int) -> None:
    found = adapted(BASE, on_device(initial_factors(MODEL, 3, rank)), forms(MODEL), jnp.float32(2.0))
    assert found.keys() == BASE.keys()
    for path, value in BASE.items():
        np.testing.assert_array_equal(found[path], value)


def test_what_is_added_to_a_matrix_is_a_product_of_its_rank_times_the_scale() -> None:
    draw = np.random.default_rng(0)
    own = {
        path: value if path.endswith(DOWN) else draw.normal(size=value.shape).astype(np.float32)
        for path, value in initial_factors(MODEL, 3, 4).items()
    }
    found = adapted(BASE, on_device(own), forms(MODEL), jnp.float32(0.5))
    path = "decoder.Recurrent.output.kernel"
    np.testing.assert_allclose(found[path], BASE[path] + 0.5 * own[path + DOWN] @ own[path + UP], atol=1e-5)
    for path, form in forms(MODEL).items():
        difference = np.asarray(found[path] - BASE[path])
        if form.kind != "matrix":
            assert not difference.any(), path
            continue
        stack = np.moveaxis(difference, (form.rows, form.columns), (-2, -1))
        ranks = np.linalg.matrix_rank(stack, tol=1e-4)
        assert np.all(ranks == min(4, *stack.shape[-2:])), path


@pytest.mark.parametrize("optimizer", [AdamW(0.01), Lion(0.001), Adafactor(0.03), Muon(0.02)])
def test_room_for_larger_ranks_changes_nothing_and_stays_0(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start = initial_factors(MODEL, 3, 4)
    roomy = stepped(optimizer, start)
    monkeypatch.setattr(adaptation, "RANKS", (2, 4))
    narrow = {path: param.get_value().shape for path, param in adaptation.factors(MODEL).items()}
    for path, value in stepped(
        optimizer, {path: start[path][tuple(map(slice, narrow[path]))] for path in start}
    ).items():
        cut = tuple(map(slice, value.shape))
        np.testing.assert_allclose(roomy[path][cut], value, atol=2e-5, err_msg=path)
        assert np.count_nonzero(roomy[path]) == np.count_nonzero(roomy[path][cut]), path


def stepped(optimizer: Any, start: Any) -> dict[str, Any]:
    """Factors of rank 4 after a few steps towards another model."""
    of, aim, rank = forms(MODEL), initialise(MODEL, 9), jnp.int32(4)
    kinds, recipe = (type(optimizer),), on_device(Recipe.of(replace(TUNED, optimizer=optimizer)))
    numbers = pace(optimizer, WarmupStableDecay(1), ExponentialAverage(), 0, 5, None)

    def loss(own: Any) -> Any:
        found = adapted(BASE, own, of, jnp.float32(2.0))
        return sum(jnp.square(found[path] - aim[path]).sum() for path in aim)

    @jax.jit
    def step(own: Any, moments: Any, now: Any) -> Any:
        sizes = factor_sizes(BASE, of, None, rank)
        return updated(
            own,
            jax.grad(loss)(own),
            moments,
            now,
            recipe,
            Layout.apart(own, factor_forms(of)),
            sizes=sizes,
            kinds=kinds,
        )

    own = on_device(start)
    moments = initial_moments(own)
    for index in range(5):
        own, moments = step(own, moments, jax.tree.map(lambda values, at=index: jnp.asarray(values[at]), numbers))
    assert any(np.any(value) for path, value in own.items() if path.endswith(UP))
    return {path: np.asarray(value) for path, value in own.items()}


@pytest.mark.parametrize("rank", RANKS)
def test_what_is_trained_is_counted_exactly(rank: int) -> None:
    configuration = replace(TUNED, lora_rank=rank)
    shapes = declared(Model(configuration, 12, 12)).items()
    sizes = [
        (param.get_value().size, *(param.get_value().shape[axis] for axis in (form.rows, form.columns)))
        for _, param in shapes
        if (form := param.get_metadata("form")).kind == "matrix"
    ]
    count = sum(size // (rows * columns) * min(rank, rows, columns) * (rows + columns) for size, rows, columns in sizes)
    assert costs.trained(configuration, 12, 12) == count
    assert costs.step_memory(configuration, costs.Extent(12, 12, 64, 8, 8)) > 0


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> TokenTable:
    """Words to be copied, and a model that was drawn to begin with."""
    folder = tmp_path_factory.mktemp("begun")
    document = written_pairs(folder, lambda word: word, {"train": 600, "valid": 60, "test": 30})
    first = build_table(document, folder / "cache")
    tokenizers = first.source_tokenizer.to_json(), first.target_tokenizer.to_json()
    sizes = first.source_tokenizer.size, first.target_tokenizer.size
    given = Given(*tokenizers, initialise(Model(SHAPE, *sizes), 1))
    return build_table(Document(document.data, given=given), folder / "cache")


@pytest.fixture(scope="module")
def workload_of_begun(begun: TokenTable, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = tmp_path_factory.mktemp("kept")
    return Workload(str(begun.folder), str(folder), ("sequence_error_rate",), threads=1)


@pytest.fixture(scope="module")
def tuning(workload_of_begun: Workload) -> Trainer:
    return new_trainer(workload_of_begun)


@pytest.fixture(scope="module")
def whole(tuning: Trainer) -> Any:
    return trained(tuning, segment(TUNED, to_tokens=TOKENS, cooldown=True))


def tensors_of(trainer: Trainer, result: Any) -> dict[str, Any]:
    return dict(read_tensors(trainer.checkpoints, result.checkpoint))


def test_only_factors_are_trained_and_their_sum_with_the_bundle_is_the_model(
    begun: TokenTable, tuning: Trainer, whole: Any
) -> None:
    tensors, base = tensors_of(tuning, whole), begun.corpus.parameters
    model = averaged(tensors)
    assert {name: value.shape for name, value in model.items()} == {name: v.shape for name, v in base.items()}
    same = {name: np.array_equal(model[name], base[name]) for name in base}
    of = forms(Model(TUNED, begun.source_tokenizer.size, begun.target_tokenizer.size))
    assert {name for name in same if not same[name]} == {name for name in of if of[name].kind == "matrix"}
    assert {name.rsplit(".", 1)[-1] for name in tensors if name.startswith("optimizer/")} == {"down", "up"}
    assert whole.parameters == sum(value.size for value in base.values())


def test_the_scores_of_a_trial_are_those_of_its_sum(tuning: Trainer, whole: Any) -> None:
    job = Evaluation(3, to_dict(TUNED), whole.checkpoint, split="valid")
    again = tuning.run(job, lambda _: None, lambda: False)
    assert isinstance(again, EvaluationResult)
    assert again.scores["sequence_error_rate"] == whole.scores["sequence_error_rate"]


def test_an_interrupted_trial_of_factors_ends_as_an_uninterrupted_one_to_the_bit(tuning: Trainer) -> None:
    straight = trained(tuning, segment(TUNED, to_tokens=TOKENS))
    first = trained(tuning, segment(TUNED, to_tokens=TOKENS), stop=After(1))
    assert 0 < first.step < straight.step
    rest = trained(tuning, onward(first, configuration=TUNED, to_tokens=TOKENS))
    assert (rest.step, rest.checkpoint) == (straight.step, straight.checkpoint)


def test_rank_and_scale_are_data_and_compile_nothing(tuning: Trainer, whole: Any) -> None:
    programs = set(tuning.compiled)
    other = trained(tuning, segment(replace(TUNED, lora_rank=16, lora_alpha=64), to_tokens=TOKENS))
    assert other.checkpoint != whole.checkpoint
    assert set(tuning.compiled) == programs


def test_factors_train_among_others_as_alone(tuning: Trainer, workload_of_begun: Workload) -> None:
    together = PopulationTrainer(replace(workload_of_begun, slots=4))
    together.dataset(TUNED).plan = tuning.dataset(TUNED).plan
    alone, among = (trained(each, segment(TUNED, to_tokens=TOKENS)) for each in (tuning, together))
    assert among.execution["program"] == "hull"
    mine, theirs = tensors_of(tuning, alone), tensors_of(together, among)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(theirs[name], value, atol=5e-3, err_msg=name)


def test_a_state_of_factors_is_laid_into_a_hull_and_cut_out_again(tuning: Trainer) -> None:
    static = tuning._static(TUNED)
    state = tuning._fresh(static, 1, TUNED.lora_rank)
    hull = Hull.of(TUNED, static.source_vocabulary, static.target_vocabulary)
    assert len(hull.members) == 2
    back = hull.cut(hull.laid(state, TUNED), TUNED)
    jax.tree.map(np.testing.assert_array_equal, back, jax.tree.map(np.asarray, state))


def test_a_bundle_of_another_model_is_refused(tuning: Trainer) -> None:
    larger = replace(TUNED, encoder=replace(TUNED.encoder, hidden_size=64))
    with pytest.raises(TrialFailure, match="are of another model"):
        trained(tuning, segment(larger, to_tokens=TOKENS))


def test_a_default_configuration_has_no_factors() -> None:
    assert adaptation.rank_of(Seq2Seq()) is None
    assert adaptation.rank_of(TUNED) == 4

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from automl.models.facts import bind
from automl.models.parameters import declared, forms, initialise, true_shapes
from automl.models.seq2seq import Seq2Seq
from search_spaces.decoders import Recurrent
from search_spaces.encoders import Recurrent as Encoder
from search_spaces.encoders import Transformer
from search_spaces.seq2seq import Seq2Seq as Configuration
from tests.automl.models.cases import CASES, VOCABULARY, Case

CONFIGURATION = Configuration(decoder=Recurrent(hidden_size=8))


def start(configuration: Configuration, seed: int = 0) -> dict[str, np.ndarray]:
    return initialise(Seq2Seq(configuration, VOCABULARY, VOCABULARY), seed)


def test_the_same_seed_gives_the_same_values() -> None:
    first, second = start(CONFIGURATION), start(CONFIGURATION)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert {value.dtype.name for value in first.values()} == {"float32"}


def test_another_seed_gives_other_values() -> None:
    first, second = start(CONFIGURATION), start(CONFIGURATION, seed=1)
    constant = {name for name in first if np.array_equal(first[name], second[name])}
    assert constant == {name for name in first if name.endswith("bias")}


def test_a_parameter_does_not_depend_on_the_others() -> None:
    wide = Configuration(encoder=Transformer(model_size=32, num_layers=1))
    deep = dataclasses.replace(wide, encoder=Transformer(model_size=32, num_layers=2), decoder=CONFIGURATION.decoder)
    first, second = start(wide), start(deep)
    shared = [name for name in first if name in second and first[name].shape == second[name].shape]
    assert len(shared) > 10
    assert all(np.array_equal(first[name], second[name]) for name in shared)


@pytest.mark.parametrize("name", CASES)
def test_no_two_matrices_start_alike(name: str) -> None:
    matrices = [np.asarray(v) for path, v in CASES[name].parameters.items() if v.ndim > 1 and not path.endswith("bias")]
    assert len({matrix.tobytes()[:24] for matrix in matrices}) == len(matrices)


def test_start_values_have_the_spread_that_keeps_activations_level() -> None:
    values = start(Configuration(Encoder("lstm"), Recurrent("lstm")))
    kernel, recurrent = values["decoder.Recurrent.of_hidden.kernel"], values["decoder.Recurrent.cells.0.lstm.hidden"]
    assert kernel.var() == pytest.approx(2 / sum(kernel.shape), rel=0.05)
    for gate in range(4):
        np.testing.assert_allclose(recurrent[:, gate].T @ recurrent[:, gate], np.eye(128), atol=1e-5)
    assert values["decoder.Recurrent.embedding.table"].std() == pytest.approx(128**-0.5, rel=0.1)
    np.testing.assert_array_equal(values["encoder.Recurrent.layers.0.forwards.lstm.bias"].sum(axis=1), [0, 128, 0, 0])


def test_building_a_model_computes_nothing() -> None:
    model = Seq2Seq(CONFIGURATION, VOCABULARY, VOCABULARY)
    assert all(isinstance(param.get_value(), jax.ShapeDtypeStruct) for param in declared(model).values())


def test_a_model_can_be_bound_inside_a_trace_and_used_again(case: Case) -> None:
    bound = bind(case.model, case.parameters)
    assert {name: param.get_value().shape for name, param in declared(bound).items()} == {
        name: value.shape for name, value in case.parameters.items()
    }
    doubled = {name: 2 * value for name, value in case.parameters.items()}
    path = next(name for name in case.parameters if name.endswith("embedding.table") and name.startswith("encoder"))

    def table(values: Any) -> Any:
        return bind(case.model, values).encoder.pick(lambda encoder: encoder.embedding.table.get_value() * 1)

    for values in (case.parameters, doubled):
        np.testing.assert_array_equal(jax.jit(table)(values), values[path])


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_of_two_axes_is_a_matrix_or_an_embedding_or_a_table_of_biases(name: str) -> None:
    found, shapes = forms(CASES[name].model), true_shapes(CASES[name].model)
    for path, value in CASES[name].parameters.items():
        plain = value.ndim == 1 or path.endswith("bias")
        assert (found[path].kind == "vector") == plain, path
        assert (found[path].kind == "embedding") == path.endswith("table"), path
        rows = 1 if plain else value.shape[found[path].rows]
        assert shapes[path] == (rows, value.shape[found[path].columns])

"""Parameters end to end: nothing is lost, and an optimizer makes of the arrays what it makes of the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.models.parameters import EMBEDDING, MATRIX, VECTOR, Form
from automl.training.layout import ENCODER, Layout
from automl.training.matrices import Stack
from automl.training.optimizers import initial_moments, updated
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from tests.automl.models.cases import random
from tests.automl.training.test_optimizers import pace_at, recipe_of

SHAPES = {
    "encoder.wide": (5, 8),
    "encoder.wider": (5, 3, 8),
    "encoder.bias": (3,),
    "tall": (9, 4),
    "as_tall": (9, 4),
    "table": (7, 4),
    "gates": (6, 3, 4),
    "one": (1,),
}
FORMS = {
    "encoder.wide": MATRIX,
    "encoder.wider": Form("matrix", 0, 2),
    "encoder.bias": VECTOR,
    "tall": MATRIX,
    "as_tall": MATRIX,
    "table": EMBEDDING,
    "gates": Form("matrix", 0, 2),
    "one": VECTOR,
}
SIZES = {name: (own.rows, own.columns) for name, own in ((n, Stack.of(FORMS[n], SHAPES[n])) for n in SHAPES)}
PARAMETERS = {name: jnp.asarray(random(*shape, seed=1), jnp.float32) for name, shape in SHAPES.items()}

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
models = st.dictionaries(
    st.sampled_from([ENCODER + "a", ENCODER + "b", "c", "d", "e"]),
    st.tuples(shapes, st.sampled_from([MATRIX, EMBEDDING, VECTOR])),
    min_size=1,
)


@given(models, st.sampled_from([Layout.of, Layout.apart]))
def test_what_is_packed_is_unpacked_again(model: dict[str, Any], laid_out: Any) -> None:
    drawn = np.random.default_rng(1)
    parameters = {name: jnp.asarray(drawn.random(shape, np.float32)) for name, (shape, _) in model.items()}
    layout = laid_out(parameters, {name: form for name, (_, form) in model.items()})
    arrays = layout.packed(parameters)
    found = layout.unpacked(arrays)
    assert found.keys() == parameters.keys()
    for name, value in parameters.items():
        np.testing.assert_array_equal(found[name], value)
    assert all(
        name.startswith(ENCODER) == array.startswith(ENCODER) for array in arrays for name in layout.members[array]
    )


def test_the_arrays_are_few() -> None:
    assert len(Layout.of(PARAMETERS, FORMS).kinds) == 4


@pytest.mark.parametrize("optimizer", [AdamW(), Lion(), Adafactor(), Muon()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("clipping", [1.0, 1e6])
def test_a_step_of_the_arrays_is_that_of_the_parameters(optimizer: Any, clipping: float) -> None:
    gradients = {name: jnp.asarray(random(*shape, seed=2), jnp.float32) for name, shape in SHAPES.items()}
    layout, of = Layout.of(PARAMETERS, FORMS), (type(optimizer),)
    recipe = jax.tree.map(jnp.asarray, recipe_of(optimizer)._replace(clipping=np.float32(clipping)))
    rest = pace_at(optimizer, 3), recipe
    apart = Layout.apart(PARAMETERS, FORMS)  # and with sizes each matrix by itself, whatever shape others have
    alone, _ = updated(PARAMETERS, gradients, initial_moments(PARAMETERS), *rest, apart, sizes=SIZES, kinds=of)
    arrays, given = layout.packed(PARAMETERS), layout.packed(gradients)
    together, _ = updated(arrays, given, initial_moments(arrays), *rest, layout, kinds=of)
    for name, value in layout.unpacked(together).items():
        np.testing.assert_allclose(value, alone[name], rtol=1e-5, atol=1e-6)
        assert not np.array_equal(value, PARAMETERS[name])

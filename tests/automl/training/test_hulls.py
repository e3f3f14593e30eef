"""A hull holds every trial of its kinds, whatever the sizes."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.control.draws import Evenly
from automl.models.parameters import declared
from automl.training.hulls import Hull
from search_spaces.attention import Additive
from search_spaces.hulls import shared
from search_spaces.presets import preset
from search_spaces.seq2seq import Seq2Seq
from tests.automl.training.trials import CONFIGURATION

SIZES = (11, 9)


def sized(width: int, layers: int) -> Seq2Seq:
    encoder = replace(CONFIGURATION.encoder, hidden_size=width, num_layers=layers)
    decoder = replace(CONFIGURATION.decoder, hidden_size=2 * width, attention=Additive(32))
    return replace(CONFIGURATION, encoder=encoder, decoder=decoder)


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_is_laid_into_a_hull_is_cut_out_again(random):
    configuration = preset("small").sample(Evenly(random))
    hull = Hull.of(configuration, *SIZES)
    shapes = {path: own.get_value().shape for path, own in declared(hull.true(configuration)).items()}
    values = {path: np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape) for path, shape in shapes.items()}
    laid = hull.padded(values, configuration)
    assert sum(np.count_nonzero(own) for own in laid.values()) == sum(own.size for own in values.values())
    nothing = hull.empty()._replace(parameters=laid)
    for path, value in hull.cut(nothing, configuration).parameters.items():
        np.testing.assert_array_equal(value, values[path])


def test_widths_up_to_the_widest_and_few_layers_share_a_hull():
    assert Hull.of(sized(32, 2), *SIZES) == Hull.of(sized(64, 2), *SIZES)
    assert Hull.of(sized(32, 3), *SIZES) == Hull.of(sized(32, 4), *SIZES)
    assert Hull.of(sized(32, 1), *SIZES) != Hull.of(sized(32, 2), *SIZES)
    assert Hull.of(sized(32, 1), *SIZES) != Hull.of(sized(256, 1), *SIZES)


def test_recipes_share_a_hull():
    one = sized(32, 1)
    assert Hull.of(replace(one, dropout=0.4), *SIZES) == Hull.of(one, *SIZES)


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_shares_a_hull_can_be_said_without_a_model(random):
    one = preset("base").sample(Evenly(random))
    other = resized(one, lambda: random.choice((32, 64, 128, 256)), lambda: random.choice((1, 2, 3, 4)))
    assert (shared(one) == shared(other)) == (Hull.of(one, *SIZES) == Hull.of(other, *SIZES))


@pytest.mark.parametrize(
    ("change", "is_shared"),
    [({"length_slack": 4.0}, True), ({"start": "bundle", "tuned": "decoder"}, True), ({"tuned": "lora"}, False)],
)
def test_how_training_began_is_data_to_a_program_but_for_factors(change, is_shared):
    one = sized(32, 1)
    assert (shared(replace(one, **change)) == shared(one)) is is_shared


def resized(value, width, layers):
    """The same kinds with other widths, by `width`, and numbers of layers, by `layers`."""
    changed = {}
    for field in fields(value):
        own = getattr(value, field.name)
        if field.name in ("encoder", "decoder"):
            changed[field.name] = resized(own, width, layers)
        elif field.name in ("hidden_size", "model_size"):
            changed[field.name] = width()
        elif field.name == "num_layers":
            changed[field.name] = layers()
    return replace(value, **changed)


@pytest.mark.parametrize("width", [24, 48])
def test_an_unusual_width_has_a_hull_of_its_own(width):
    assert len(Hull.of(sized(width, 1), *SIZES).members) == 1

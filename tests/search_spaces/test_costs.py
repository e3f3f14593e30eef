import random
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from automl.models.parameters import declared
from automl.models.seq2seq import Seq2Seq as Model
from search_spaces import attention, decoders, embeddings, encoders, outputs, presets, stems
from search_spaces.costs import (
    Extent,
    decoding_memory,
    decoding_operations,
    fewest_and_most_parameters,
    forward_operations,
    parameters,
    scoring_memory,
    step_memory,
    step_operations,
)
from search_spaces.dials import OneOf
from search_spaces.optimizers import Adafactor, AdamW, Lion, Muon
from search_spaces.seq2seq import RECIPE, Seq2Seq
from search_spaces.spaces import space
from tests.search_spaces import compiled, unrolled
from tests.search_spaces.sampling import sampled

POINTER, HEADS, SHARED = outputs.PointerGenerator(), attention.MultiHead(4), attention.MultiHead(8, 4)
LSTM, CONVOLUTION = (
    encoders.Recurrent("lstm", 64, 2, True, True),
    encoders.Convolution(64, 2, 5, embeddings.Learned(64)),
)
PAIRS = [
    (LSTM, decoders.Transformer(64, 1, 4, HEADS, embeddings.RelativeBias(32), "rms", False, "relu"), POINTER, Muon()),
    (encoders.Recurrent("mingru", 64), decoders.SimpleRecurrent(64, 1, 4, HEADS), outputs.Softmax(), Lion()),
    (CONVOLUTION, decoders.Recurrent("gru", 64, 1, SHARED), POINTER, Adafactor()),
    (encoders.Convolution(64, 1), decoders.SimpleRecurrent(64, 1, 2, HEADS), outputs.Softmax(), AdamW()),
    (encoders.Identity(), decoders.Transformer(128, 1, 2, SHARED, embeddings.ALiBi()), outputs.Softmax(), Adafactor()),
    (
        encoders.Transformer(64, 1, 4, SHARED, embeddings.Rotary(), "layer", True, "swiglu", 4),
        decoders.Recurrent("lstm", 128, 2, attention.Additive(64)),
        outputs.Softmax(),
        AdamW(),
    ),
    *(
        (encoders.Recurrent("gru", 64, 1, False), decoders.Recurrent("gru", 64, 1, kind), outputs.Softmax(), AdamW())
        for kind in (attention.Dot(), attention.General(), attention.Concat(64), attention.Local())
    ),
    (
        encoders.Transformer(64, 1, 2, HEADS, embeddings.NoPositions()),
        decoders.SimpleRecurrent(64, 1, 2, HEADS, "rms", False, "relu"),
        POINTER,
        AdamW(),
    ),
]
CASES = [
    Seq2Seq(encoder, decoder, output, place % 2 == 0, optimizer)
    for place, (encoder, decoder, output, optimizer) in enumerate(PAIRS)
]
EXTENT = Extent(source_vocabulary=40, target_vocabulary=50, rows=4, source=7, target=6)


@pytest.mark.parametrize("configuration", [*space().defaults(), *sampled(space(), 60)])
def test_parameters_are_counted_exactly(configuration: Seq2Seq) -> None:
    model = Model(configuration, 41, 29)
    count = sum(param.get_value().size for param in declared(model).values())
    assert parameters(configuration, 41, 29) == count


def kinds_in(value: Any) -> set[type]:
    if not is_dataclass(value):
        return set()
    return {type(value)}.union(*(kinds_in(getattr(value, item.name)) for item in fields(value)))


def test_every_kind_of_a_model_is_among_the_cases_whose_operations_are_counted() -> None:
    ranges = [*space().ranges.items(), *space(sources=False).ranges.items()]
    told = [path for path, dial in ranges if path.split(".")[0] not in {*RECIPE, "source_tokens", "target_tokens"}]
    every = {kind for path, dial in ranges if path in told and isinstance(dial, OneOf) for kind in dial.kinds}
    assert len(every) > 20
    assert {*every, AdamW, Lion, Adafactor, Muon} <= set().union(*map(kinds_in, CASES))


def assert_counted(configuration: Seq2Seq, extent: Extent) -> None:
    assert forward_operations(configuration, extent) == pytest.approx(unrolled.forward(configuration, extent), rel=0.05)
    assert step_operations(configuration, extent) == pytest.approx(unrolled.step(configuration, extent), rel=0.05)
    decoded = unrolled.decoding(configuration, extent)
    assert decoding_operations(configuration, extent) == pytest.approx(decoded, rel=0.05)


@pytest.mark.parametrize("configuration", CASES)
def test_operations_are_within_a_twentieth_of_those_that_xla_counts(configuration: Seq2Seq) -> None:
    assert_counted(configuration, EXTENT)


@pytest.mark.slow
def test_operations_are_so_over_a_sample_of_all_configurations_and_shapes() -> None:
    draw = random.Random(0)
    wide = {
        "model_size": [64, 128, 256],
        "hidden_size": [64, 128, 256],
        "size": [64, 128, 256],
        "num_layers": [1, 2, 3],
    }
    for configuration in [*sampled(space(wide), 60), *sampled(space(wide, sources=False), 10)]:
        rows, source, target = (draw.choice(choices) for choices in ((1, 2, 8), (3, 8, 12), (3, 8, 12)))
        assert_counted(configuration, Extent(draw.choice([20, 150]), draw.choice([20, 150]), rows, source, target))


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_step_of_two_batches_costs_less_than_two_steps_and_more_than_one(name: str) -> None:
    configuration = presets.preset(name).default()
    one, two = (step_operations(configuration, EXTENT, batches) for batches in (1, 2))
    assert one < two < 2 * one


def assert_bounded(configuration: Seq2Seq, extent: Extent) -> None:
    peak = compiled.peak_memory(configuration, extent)
    assert peak <= step_memory(configuration, extent) <= 2 * peak, (configuration, extent)


@pytest.mark.parametrize(
    ("place", "extent"),
    [
        (1, Extent(40, 200, rows=8, source=24, target=12)),
        (2, Extent(100, 50, rows=16, source=16, target=16)),
        (4, Extent(40, 60, rows=16, source=8, target=20)),
        (7, Extent(50, 500, rows=4, source=12, target=12)),
    ],
)
def test_memory_is_an_upper_bound_and_at_most_twice_what_xla_allots(place: int, extent: Extent) -> None:
    assert_bounded(CASES[place], extent)


@pytest.mark.slow
def test_memory_is_so_over_a_sample_of_all_configurations_and_shapes() -> None:
    draw = random.Random(0)
    sizes = [32, 64, 128, 256]
    narrowing = {"model_size": sizes, "hidden_size": sizes, "size": [64, 128], "num_layers": [1, 2]}
    for configuration in [*sampled(space(narrowing), 40), *sampled(space(narrowing, sources=False), 8)]:
        vocabularies = draw.choice([30, 200, 1000]), draw.choice([30, 200, 1000])
        rows, source, target = draw.choice([8, 32, 64]), draw.choice([8, 24, 48]), draw.choice([8, 24, 48])
        assert_bounded(configuration, Extent(*vocabularies, rows, source, target))


COPYING = Seq2Seq(
    encoders.Transformer(64, 1, 4, SHARED, embeddings.Rotary(), "rms", False, "swiglu"),
    decoders.Transformer(64, 2, 4, SHARED, embeddings.RelativeBias(), "rms", False, "swiglu"),
    POINTER,
)


READING = Seq2Seq(encoders.Transformer(64, 1, 4, SHARED), decoders.Transformer(64, 1, 4, SHARED))
IMAGES = (
    stems.Convolutions(96, 96, 3, 4, 64, 2),
    *(
        pytest.param(stem, marks=pytest.mark.slow)
        for stem in (stems.Convolutions(96, 96, 3), stems.Patches(96, 96, 3, 8))
    ),
)


@pytest.mark.parametrize("stem", IMAGES)
def test_memory_of_decoding_and_scoring_counts_what_is_made_of_an_image(stem: stems.Image) -> None:
    assert_about(replace(READING, stem=stem), Extent(260, 40, rows=8, source=96 * 96 * 3, target=16), 1)


@pytest.mark.parametrize(
    ("configuration", "beam"),
    [
        (COPYING, 4),
        *(
            pytest.param(configuration, beam, marks=pytest.mark.slow)
            for beam in (1, 4)
            for configuration in CASES
            if configuration != COPYING
        ),
    ],
)
def test_memory_of_decoding_and_scoring_is_about_what_xla_allots(configuration: Seq2Seq, beam: int) -> None:
    assert_about(configuration, Extent(200, 200, rows=16, source=96, target=128), beam)


def assert_about(configuration: Seq2Seq, extent: Extent, beam: int) -> None:
    for counted, allotted in (
        (decoding_memory(configuration, extent, beam), compiled.decoding_memory(configuration, extent, beam)),
        (scoring_memory(configuration, extent), compiled.scoring_memory(configuration, extent)),
    ):
        assert 0.9 * allotted < counted < 3.5 * allotted


@pytest.mark.parametrize("name", presets.PRESETS)
def test_no_model_of_a_preset_is_smaller_or_larger_than_its_extremes(name: str) -> None:
    whole = presets.preset(name)
    fewest, most = fewest_and_most_parameters(whole, 100, 100)
    assert all(fewest <= parameters(configuration, 100, 100) <= most for configuration in sampled(whole, 30))


def test_the_extremes_are_models_of_the_space() -> None:
    sizes = {
        "hidden_size": [32, 64],
        "model_size": [32, 64],
        "kernel_size": 3,
        "num_layers": 1,
        "length": 64,
        "size": 32,
    }
    kinds = {"encoder": "Convolution", "decoder": "Recurrent", "output": "Softmax", "cell": "gru", "norm": "layer"}
    few = space({**sizes, **kinds, "positions": ["NoPositions", "Learned"], "attention": ["Dot", "Additive"]})
    counts = {parameters(configuration, 20, 30) for configuration in sampled(few, 200)}
    assert fewest_and_most_parameters(few, 20, 30) == (min(counts), max(counts))

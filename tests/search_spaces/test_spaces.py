from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import encoders
from search_spaces.attention import Additive, MultiHead
from search_spaces.dials import Choice, OneOf, SpaceError, Uniform, from_dict, to_dict
from search_spaces.optimizers import Muon
from search_spaces.seq2seq import LATER, Seq2Seq
from search_spaces.spaces import Space, space
from tests.search_spaces.sampling import sampled

WHOLE = space()
PINNED = {"encoder": "Recurrent", "decoder": "Recurrent", "decoder.Recurrent.attention": "Additive"}


def test_the_default_is_that_of_the_dataclasses() -> None:
    assert WHOLE.default() == Seq2Seq()


def test_defaults_cover_every_encoder_with_every_decoder_and_begin_with_the_default() -> None:
    defaults = WHOLE.defaults()
    assert defaults[0] == WHOLE.default()
    pairs = [(type(c.encoder).__name__, type(c.decoder).__name__) for c in defaults]
    assert pairs[:2] == [("Recurrent", "Recurrent"), ("Transformer", "Transformer")]
    assert len(pairs) == 9
    assert set(pairs) == {(a, b) for a in WHOLE.ranges["encoder"].names() for b in WHOLE.ranges["decoder"].names()}


def test_defaults_are_made_of_the_kinds_that_are_left() -> None:
    defaults = space({"encoder": "Transformer"}).defaults()
    assert {type(c.encoder).__name__ for c in defaults} == {"Transformer"}
    assert {type(c.decoder).__name__ for c in defaults} == {"Recurrent", "Transformer", "SimpleRecurrent"}


def test_sampling_draws_every_kind_and_every_value() -> None:
    drawn = [WHOLE.parameters(configuration) for configuration in sampled(WHOLE, 900)]
    for path in WHOLE.reached():
        dial = WHOLE.ranges[path]
        seen = {values[path] for values in drawn if path in values}
        match dial:
            case Choice(values):
                assert seen == (set(values) if len(values) > 1 else set()), path
            case Uniform(low, high):
                assert all(low <= float(value) <= high for value in seen), path
            case OneOf():
                assert seen == set(dial.names() if len(dial.kinds) > 1 else ()), path


def test_a_trial_is_asked_by_the_path_of_each_dial() -> None:
    trial = optuna.trial.FixedTrial(WHOLE.parameters(Seq2Seq()))
    assert WHOLE.sample(trial) == Seq2Seq()
    assert trial.params == WHOLE.parameters(Seq2Seq())
    assert "decoder.Recurrent.attention.Additive.size" in trial.params


def test_distributions_are_those_of_the_parameters() -> None:
    for configuration in sampled(WHOLE, 20):
        parameters, distributions = WHOLE.parameters(configuration), WHOLE.distributions(configuration)
        assert parameters.keys() == distributions.keys()
        for path, value in parameters.items():
            match distributions[path]:
                case Choice(values):
                    assert value in values, path
                case Uniform(low, high):
                    assert low <= float(value) <= high, path


def test_the_end_of_a_path_narrows_every_dial_that_ends_so() -> None:
    narrowed = space({"hidden_size": [64], "size": 128})
    assert narrowed.ranges["encoder.Recurrent.hidden_size"] == Choice((64,))
    assert narrowed.ranges["decoder.Recurrent.hidden_size"] == Choice((64,))
    assert narrowed.ranges["encoder.Transformer.model_size"] == Choice((32, 64, 128, 256, 512))
    assert narrowed.ranges["decoder.Recurrent.attention.Additive.size"] == Choice((128,))


def test_a_full_path_narrows_one_dial() -> None:
    narrowed = space({"encoder.Recurrent.hidden_size": [256, 64]})
    assert narrowed.ranges["encoder.Recurrent.hidden_size"] == Choice((64, 256))
    assert narrowed.ranges["decoder.Recurrent.hidden_size"] == Choice((32, 64, 128, 256, 512))


def test_each_dial_takes_of_a_list_what_is_in_its_range() -> None:
    narrowed = space({"attention": ["Additive", "MultiHead"], "num_layers": [2, 4]})
    assert narrowed.ranges["decoder.Recurrent.attention"] == OneOf((Additive, MultiHead))
    assert narrowed.ranges["encoder.Transformer.attention"] == WHOLE.ranges["encoder.Transformer.attention"]
    assert narrowed.ranges["encoder.Recurrent.num_layers"] == Choice((2, 4))
    assert narrowed.ranges["decoder.Recurrent.num_layers"] == Choice((2,))


def test_a_list_of_two_numbers_is_the_ends_of_a_range() -> None:
    narrowed = space({"learning_rate": [4e-3, 1e-3], "dropout": 0})
    assert narrowed.ranges["optimizer.AdamW.learning_rate"] == Uniform(1e-3, 4e-3, log=True)
    assert narrowed.ranges["dropout"] == Uniform(0.0, 0.0)


def test_the_default_moves_to_the_nearest_value_that_is_left() -> None:
    narrowed = space({"hidden_size": 256, "dropout": [0.4, 0.5], "decoder": "Transformer", "num_layers": [1]})
    default = narrowed.default()
    assert default.encoder == encoders.Recurrent(hidden_size=256)
    assert (default.dropout, type(default.decoder).__name__) == (0.4, "Transformer")


def test_pinned_dials_are_neither_asked_nor_reported() -> None:
    pinned = space({**PINNED, "dropout": 0.2, "cell": "gru"})
    for configuration in sampled(pinned, 5):
        assert not {"encoder", "decoder", "dropout", "encoder.Recurrent.cell"} & pinned.parameters(configuration).keys()
        assert configuration.dropout == 0.2
        assert to_dict(configuration.encoder)["cell"] == "gru"


def test_a_short_name_leaves_dials_alone_that_know_none_of_its_values() -> None:
    narrowed = space({"attention": "Additive", "num_layers": 6})
    assert narrowed.ranges["decoder.Recurrent.attention"] == OneOf((Additive,))
    assert narrowed.ranges["encoder.Transformer.attention"] == WHOLE.ranges["encoder.Transformer.attention"]
    assert narrowed.ranges["encoder.Transformer.num_layers"] == Choice((6,))
    assert narrowed.ranges["encoder.Recurrent.num_layers"] == WHOLE.ranges["encoder.Recurrent.num_layers"]


def test_a_wider_configuration_has_each_width_one_choice_larger_and_a_lower_rate() -> None:
    found = WHOLE.wider(Seq2Seq())
    assert found is not None
    own, larger = (WHOLE.parameters(each) for each in (Seq2Seq(), found))
    changed = {path: value for path, value in larger.items() if value != own.get(path)}
    assert changed == {
        "encoder.Recurrent.hidden_size": 256,
        "decoder.Recurrent.hidden_size": 256,
        "decoder.Recurrent.attention.Additive.size": 256,
        "optimizer.AdamW.learning_rate": 0.001,
    }


def test_what_is_wider_keeps_a_rate_that_is_pinned_or_scaled_by_its_optimizer() -> None:
    pinned = space({"optimizer.AdamW.learning_rate": 0.002}).wider(Seq2Seq())
    assert pinned is not None
    assert pinned.optimizer == Seq2Seq().optimizer
    muon = WHOLE.wider(replace(Seq2Seq(), optimizer=Muon()))
    assert muon is not None
    assert muon.optimizer == Muon()


def test_nothing_is_wider_where_the_widths_are_the_largest_or_pinned() -> None:
    assert space({"hidden_size": 128}).wider(Seq2Seq()) is None
    assert space({"hidden_size": [64, 128]}).wider(Seq2Seq()) is None
    only_encoder = space({"decoder.Recurrent.hidden_size": 128}).wider(Seq2Seq())
    assert only_encoder is not None
    assert (only_encoder.encoder.hidden_size, only_encoder.decoder.hidden_size) == (256, 128)


def test_what_is_wider_is_one_of_the_space() -> None:
    part = space({"hidden_size": [32, 64], "model_size": [64, 256]})
    pairs = [(configuration, part.wider(configuration)) for configuration in sampled(part, 200)]
    for configuration, wider in pairs:
        if wider is not None:
            asked = part.parameters(wider)
            assert asked.keys() == part.parameters(configuration).keys()
            assert part.configured(asked) == wider != configuration
    assert {wider is None for _, wider in pairs} == {True, False}


def test_the_size_adds_kinds_and_multiplies_choices() -> None:
    assert WHOLE.size() == sum(space({"encoder": kind}).size() for kind in WHOLE.ranges["encoder"].names())
    recurrent = space(PINNED)
    assert (
        recurrent.size()
        == 4 * space({**PINNED, "size": 64}).size()
        == 2 * space({**PINNED, "bidirectional": True}).size()
    )
    assert recurrent.size() == space({**PINNED, "dropout": 0.1}).size()


@pytest.mark.parametrize(
    ("narrowing", "message"),
    [
        ({"hidden_size": 100}, "space.encoder.Recurrent.hidden_size: 100 is outside its range 32, 64, 128, 256, 512"),
        (
            {"hidden_size": [64, 100]},
            "space.encoder.Recurrent.hidden_size: [64, 100] is outside its range 32, 64, 128,",
        ),
        ({"hidden_size": "64"}, "space.encoder.Recurrent.hidden_size: '64' is outside its range 32, 64, 128, 256"),
        ({"num_heads": True}, "space.encoder.Transformer.attention.MultiHead.num_heads: True is outside its range 1,"),
        ({"bidirectional": 1}, "space.encoder.Recurrent.bidirectional: 1 is outside its range True, False"),
        (
            {"decoder.Recurrent.num_layers": [3, 4]},
            "space.decoder.Recurrent.num_layers: [3, 4] is outside its range 1, 2",
        ),
        ({"size": []}, "space.decoder.Recurrent.attention.Additive.size: [] is outside its range 32, 64, 128, 256"),
        ({"dropout": 0.6}, "space.dropout: 0.6 is outside its range 0.0 to 0.5"),
        ({"dropout": float("nan")}, "space.dropout: nan is outside its range 0.0 to 0.5"),
        ({"dropout": [0.1, 0.2, 0.3]}, "space.dropout: [0.1, 0.2, 0.3] is outside its range 0.0 to 0.5"),
        (
            {"encoder": "Identity"},
            "space.encoder: 'Identity' is not among its kinds Recurrent, Transformer, Convolution",
        ),
        ({"encoder": "recurrent"}, "space.encoder: 'recurrent' is not among its kinds Recurrent, Transformer"),
        (
            {"encoder.Transformer.attention": "Additive"},
            "space.encoder.Transformer.attention: 'Additive' is not among its kinds MultiHead",
        ),
        (
            {"attention": ["Additve"]},
            "space.decoder.Recurrent.attention: ['Additve'] is not among its kinds Additive, ",
        ),
        ({"hiden_size": 64}, "space.hiden_size: no such dial; did you mean 'hidden_size'?"),
        ({"decoder.Recurrent.size": 1}, "space.decoder.Recurrent.size: no such dial; did you mean 'decoder.Recurrent."),
        ({"x": 1}, "space.x: no such dial"),
    ],
)
def test_what_cannot_be_is_refused_by_dial_and_range(narrowing: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as refused:
        space(narrowing)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("narrowing", "message"),
    [
        ({"encoder": "Transformer"}, "space.encoder: 'Transformer' is not among its kinds Identity"),
        ({"output": "PointerGenerator"}, "space.output: 'PointerGenerator' is not among its kinds Softmax"),
    ],
)
def test_a_language_model_has_no_encoder_and_copies_nothing(narrowing: dict[str, Any], message: str) -> None:
    assert {type(c.encoder).__name__ for c in sampled(space(sources=False), 20)} == {"Identity"}
    with pytest.raises(SpaceError) as refused:
        space(narrowing, sources=False)
    assert str(refused.value) == message


@given(st.data())
def test_a_space_narrowed_to_one_configuration_holds_it_alone(data: st.DataObject) -> None:
    values = {path: data.draw(st.sampled_from(_values(dial)), path) for path, dial in WHOLE.ranges.items()}
    only = space(values)
    assert (only.size(), only.parameters(only.default())) == (1, {})
    asked_nothing = optuna.trial.FixedTrial({})
    assert only.sample(asked_nothing) == only.default() == Space(WHOLE.ranges, values).default()


def _values(dial: Any) -> list[Any]:
    match dial:
        case Choice(values):
            return list(values)
        case Uniform(low, high):
            return [low, high]
        case _:
            return list(dial.names())


def test_dials_that_mean_something_to_few_are_searched_where_they_are_named() -> None:
    assert not [path for name in LATER for path in space().free(name)]
    named = space({"history_turns": [1, 4]})
    assert {configuration.history_turns for configuration in sampled(named, 40)} == {1, 4}


def test_a_configuration_of_before_has_what_then_was_so() -> None:
    values = to_dict(Seq2Seq())
    before = {name: value for name, value in values.items() if name not in LATER}
    assert from_dict(Seq2Seq, before) == Seq2Seq()
    with pytest.raises(SpaceError, match="lacks the dial 'dropout'"):
        from_dict(Seq2Seq, {name: value for name, value in values.items() if name != "dropout"})


def test_a_dial_beside_another_is_drawn_and_told_where_it_means_something() -> None:
    both = space({"tuned": ["whole", "lora"], "lora_rank": [2, 32]})
    drawn = sampled(both, 60)
    assert {configuration.lora_rank for configuration in drawn if configuration.tuned == "lora"} == {2, 32}
    assert {configuration.lora_rank for configuration in drawn if configuration.tuned == "whole"} == {8}
    for configuration in drawn:
        assert ("lora_rank" in both.parameters(configuration)) == (configuration.tuned == "lora")

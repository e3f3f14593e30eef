import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import attention, decoders, encoders
from search_spaces.dials import Choice, OneOf, SpaceError, Uniform, choice, dials, from_dict, parameters, to_dict
from search_spaces.optimizers import Optimizer
from search_spaces.schedules import Averaging, Schedule, WarmupStableDecay
from search_spaces.seq2seq import Seq2Seq

OPTIMIZERS, SCHEDULES, AVERAGES = get_args(Optimizer), get_args(Schedule), get_args(Averaging)


def built(kind: type) -> st.SearchStrategy[Any]:
    """Any `kind`, with numbers for its numbers: a NaN isn't equal to itself."""
    return st.builds(kind, **{f.name: st.floats(allow_nan=False) for f in fields(kind) if f.type in (float, "float")})


CONFIGURATIONS = st.builds(
    Seq2Seq,
    encoder=st.one_of(built(encoders.Recurrent), built(encoders.Transformer)),
    decoder=st.one_of(built(decoders.Recurrent), built(decoders.Transformer)),
    optimizer=st.one_of(
        st.builds(kind, learning_rate=st.floats(0, 1), weight_decay=st.floats(0, 1)) for kind in OPTIMIZERS
    ),
    schedule=st.one_of(map(built, SCHEDULES)),
    averaging=st.one_of(map(built, AVERAGES)),
    batch_tokens=st.integers(1, 4096),
    clipping=st.floats(0, 1),
    dropout=st.floats(0, 1),
    label_smoothing=st.floats(0, 1),
)


@given(CONFIGURATIONS)
def test_a_configuration_survives_json(configuration: Seq2Seq) -> None:
    assert from_dict(Seq2Seq, json.loads(json.dumps(to_dict(configuration)))) == configuration


def test_json_names_each_kind() -> None:
    values = to_dict(Seq2Seq(decoder=decoders.Recurrent(attention=attention.MultiHead(2))))
    assert values["decoder"] == {
        "kind": "Recurrent",
        "cell": "gru",
        "hidden_size": 128,
        "num_layers": 1,
        "attention": {"kind": "MultiHead", "num_heads": 2, "group": 1},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("dropout"), "Seq2Seq lacks the dial 'dropout'"),
        (lambda v: v.update(dropuot=0.1), "Seq2Seq has no dial 'dropuot'; it has encoder, decoder"),
        (lambda v: v["encoder"].update(kind="Conv"), "encoder has no kind 'Conv'; it has Recurrent, Transformer"),
        (lambda v: v["encoder"].pop("kind"), "encoder has no kind None; it has Recurrent, Transformer"),
        (lambda v: v.update(encoder="Recurrent"), "encoder has no kind None; it has Recurrent, Transformer"),
        (lambda v: v["decoder"]["attention"].pop("size"), r"decoder\.Recurrent\.attention\.Additive\. lacks the dial"),
        (lambda v: v["decoder"].update(kind="Transformer"), r"decoder\.Transformer\. has no dial 'cell'"),
    ],
)
def test_a_wrong_document_is_refused_by_path(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    values = to_dict(Seq2Seq())
    change(values)
    with pytest.raises(SpaceError, match=message):
        from_dict(Seq2Seq, values)


def test_dials_are_named_by_their_path_through_the_kinds() -> None:
    found = {path: (dial, default) for path, dial, default in dials(Seq2Seq)}
    assert found["decoder.Recurrent.attention.Additive.size"] == (Choice((32, 64, 128, 256)), 128)
    assert found["optimizer.AdamW.learning_rate"] == (Uniform(2e-4, 8e-3, log=True), 2e-3)
    kinds = (encoders.Recurrent, encoders.Transformer, encoders.Convolution, encoders.Identity)
    assert found["encoder"] == (OneOf(kinds), "Recurrent")
    assert found["encoder.Transformer.attention.MultiHead.num_heads"] == (Choice((1, 2, 4, 8)), 4)


def test_every_default_lies_in_its_range() -> None:
    for path, dial, default in dials(Seq2Seq):
        match dial:
            case Choice(values):
                assert default in values, path
            case Uniform(low, high):
                assert low <= default <= high, path
            case OneOf():
                assert default == dial.names()[0], path


def test_the_first_line_about_each_kind_names_its_paper() -> None:
    chosen = [dial for path, dial, _ in dials(Seq2Seq) if not path.endswith("_tokens") and isinstance(dial, OneOf)]
    kinds = {kind for dial in chosen for kind in dial.kinds}
    assert len(kinds) > 25
    nameless = [kind for kind in kinds if not re.search(r"\d{4}", str(kind.__doc__).partition("\n")[0])]
    assert not nameless


def test_parameters_are_those_of_the_kinds_chosen() -> None:
    found = parameters(Seq2Seq(encoder=encoders.Transformer(num_layers=2)))
    assert found["encoder"] == "Transformer"
    assert found["encoder.Transformer.num_layers"] == 2
    assert not [path for path in found if path.startswith("encoder.Recurrent")]


def test_a_choice_without_values_has_its_default_alone() -> None:
    @dataclass(frozen=True)
    class Kind:
        depth: int = choice(3)

    assert list(dials(Kind)) == [("depth", Choice((3,)), 3)]


def test_spaces_need_the_standard_library_alone() -> None:
    modules = "attention costs decoders dials embeddings encoders optimizers outputs presets schedules seq2seq spaces"
    code = (
        f"import importlib, sys; before = set(sys.modules)\n"
        f"for name in {modules!r}.split(): importlib.import_module('search_spaces.' + name)\n"
        f"new = {{name.split('.')[0] for name in set(sys.modules) - before}}\n"
        f"print(*sorted(new - sys.stdlib_module_names))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["search_spaces"]


def test_a_configuration_of_before_has_what_was_so_before() -> None:
    older = {name: value for name, value in to_dict(Seq2Seq())["schedule"].items() if name != "stable_steps"}
    found = from_dict(Seq2Seq, {**to_dict(Seq2Seq()), "schedule": older})
    assert (found.schedule, Seq2Seq().schedule) == (WarmupStableDecay(100, 100_000), WarmupStableDecay(100, 2000))

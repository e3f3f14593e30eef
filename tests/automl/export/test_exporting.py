"""What is exported is whole, says what the model says, or is not there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.boxes import read_text
from automl.bundle import read_bundle, write_bundle
from automl.commands.winners import FormName
from automl.data.boxes import Boxes
from automl.data.pixels import Canvas
from automl.data.table import TokenTable
from automl.description import described
from automl.errors import InputError
from automl.export import exporting
from automl.export.exporting import ROWS, Sample, export
from automl.export.forms import FORMS
from automl.records import sample
from automl.weights import quantised
from search_spaces import attention, decoders, embeddings, encoders
from search_spaces.outputs import PointerGenerator
from search_spaces.seq2seq import Seq2Seq
from tests.automl.bundles import SMALL, TRANSFORMER, Drawn

BUNDLE = Drawn(TRANSFORMER).bundle()
SAMPLE = Sample([[4, 5], [6], [7, 8, 9]], [["a"], ["b"], ["c"]])
SAID = {"tokens": [[4], [5], [6]], "scores": [-1.0, -2.0, -3.0], "seconds": 2.0, "jax": False}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Let child processes write a file, and say what they are told to."""
    said = dict.fromkeys((*FORMS, "short"), SAID)

    def child(task: str, name: str, folder: Path, *rest: object, text: str = "") -> Any:
        if folder.name == "short":
            return said["short"]
        if task == "write" and name == "int8":
            FORMS[name].write(BUNDLE, folder)
        elif task == "write":
            (folder / "written").write_text(name)
        return said[name]

    monkeypatch.setattr(exporting, "_child", child)
    monkeypatch.setattr(exporting, "find_spec", lambda package: object())
    return lambda name, values: said.update({name: {**SAID, **values}})


def test_several_forms_lie_inside_the_bundle(runs: Any, tmp_path: Path) -> None:
    told: list[str] = []
    found = export(BUNDLE, tmp_path / "model", ["bundle", "onnx", "ctranslate2"], SAMPLE, told.append)
    assert {path.name for path in (tmp_path / "model").iterdir() if path.is_dir()} == {"onnx", "ctranslate2"}
    assert (tmp_path / "model" / "onnx" / "tokenizer.source.json").is_file()
    assert read_bundle(tmp_path / "model").config["kind"] == "sequence_to_sequence"
    assert (found["onnx"].same, found["onnx"].apart, found["onnx"].speed) == (1, 0, 1)
    assert told[-1] == (
        "of automl.load, onnx, ctranslate2, automl.load decodes fastest here; "
        "not compared: int8, stablehlo, ctranslate2-int8"
    )
    assert told[0] == "onnx: 100.0% of 3 sources as the model says them, 1 times as fast"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"tokens": [[4], [5], [7]]}, "says something else than the model on 1 of 3 sources"),
        ({"scores": [-1.0, -2.5, -3.0]}, "log-probabilities are up to 0.5 apart"),
        ({"scores": [-1.0, float("nan"), -3.0]}, "apart from the model's"),
        ({"jax": True}, "imports JAX, which it has to do without"),
    ],
)
def test_a_form_that_says_something_else_leaves_nothing_of_any(
    runs: Any, tmp_path: Path, values: Any, reason: str
) -> None:
    runs("onnx", values)
    with pytest.raises(InputError, match=f"--format onnx: .*{reason}"):
        export(BUNDLE, tmp_path / "model", ["ctranslate2", "onnx"], SAMPLE)
    assert list(tmp_path.iterdir()) == []


def test_what_int8_costs_is_said_and_kept(runs: Any, tmp_path: Path) -> None:
    several = Sample([*SAMPLE.sources * 4, [9]], [["a"], ["b"], ["c"]] * 4)  # the last one is of train
    own = {**SAID, "tokens": [*[[4], [5], [6]] * 4, [7]], "scores": [-1.0] * 13}
    runs("bundle", own)
    told: list[str] = []
    runs("int8", {**own, "tokens": [[5], *own["tokens"][1:]], "seconds": 1.0})
    export(BUNDLE, tmp_path / "model", ["int8"], several, told.append)
    assert told[0].endswith("score 0.08333 instead of 0")
    assert told[1].startswith("of automl.load, int8, int8 decodes fastest here, 2 times as fast as automl.load; ")
    cost = read_bundle(tmp_path / "model" / "int8").metrics["int8"]
    assert cost == {"rows": 13, "scored": 12, "same": 12 / 13, "float32": 0.0, "int8": pytest.approx(1 / 12)}


def test_a_form_may_say_less_of_sources_that_are_longer_than_all_of_train(runs: Any, tmp_path: Path) -> None:
    lengths = {"sources": [2], "most": [5], "grows": True}
    config = {**BUNDLE.config, "decoding": {**BUNDLE.config["decoding"], "lengths": lengths}}
    bundle = replace(BUNDLE, config=config)
    longer = {"tokens": [[4], [5], [6, 6, 6, 6, 6, 6]]}
    runs("bundle", longer)
    runs("int8", longer)
    assert export(bundle, tmp_path / "model", ["onnx", "int8"], SAMPLE)["onnx"].same == 1
    runs("onnx", longer)
    with pytest.raises(InputError, match="on 1 of 3 sources"):
        export(bundle, tmp_path / "model", ["onnx"], SAMPLE)


def test_a_bundle_alone_is_loaded_back_too(runs: Any, tmp_path: Path) -> None:
    runs("bundle", {"scores": [-1.0, float("nan"), -3.0]})
    with pytest.raises(InputError, match="has no probability; export another --trial"):
        export(BUNDLE, tmp_path / "a" / "b" / "model", ["bundle"], SAMPLE)
    assert list(tmp_path.iterdir()) == []
    runs("bundle", {})
    assert export(BUNDLE, tmp_path / "a" / "b" / "model", ["bundle"], SAMPLE) == {}


def test_what_a_link_leads_to_is_replaced_and_not_the_link(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "third")
    for _ in range(2):
        export(BUNDLE, tmp_path / "latest", ["bundle"], SAMPLE)
        assert (tmp_path / "latest").is_symlink()
        assert read_bundle(tmp_path / "third").config == read_bundle(tmp_path / "latest").config


def test_what_needs_jax_may_import_it(runs: Any, tmp_path: Path) -> None:
    runs("stablehlo", {"jax": True})
    assert export(BUNDLE, tmp_path / "model", ["stablehlo"], SAMPLE)["stablehlo"].jax


def test_a_process_that_takes_too_long_is_ended_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MOST_SECONDS", 0.01)
    with pytest.raises(InputError, match=r"--format bundle: .* not be run within 0.01 s; use a faster machine"):
        export(BUNDLE, tmp_path / "model", ["int8"], SAMPLE)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_has_sources_of_test_and_train_where_valid_has_too_few(reversals: TokenTable) -> None:
    found = sample(reversals, 30)
    assert len(found.sources) == len(set(map(tuple, found.sources))) == ROWS
    assert found.references == [*reversals.references("valid"), *reversals.references("test")]
    assert found.sources[70] == reversals.source_tokenizer.encode_batch(["abc"])[0]
    assert len(sample(reversals, 3).sources) == 1  # all others are longer


def test_the_command_line_knows_every_form() -> None:
    assert [form.value for form in FormName] == list(FORMS)


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        (SMALL, "its encoder is Recurrent"),
        (Seq2Seq(TRANSFORMER.encoder, decoders.SimpleRecurrent(16, 1, 2)), "its decoder is SimpleRecurrent"),
        (Seq2Seq(TRANSFORMER.encoder, TRANSFORMER.decoder, PointerGenerator()), "it copies"),
        (Seq2Seq(encoders.Transformer(16, 1, 2, attention.MultiHead(2), window=4), TRANSFORMER.decoder), "a window"),
        (
            Seq2Seq(TRANSFORMER.encoder, decoders.Transformer(16, 1, 2, attention.MultiHead(2), embeddings.Rotary())),
            "the positions of its decoder are Rotary",
        ),
    ],
)
def test_what_a_form_cannot_hold_is_refused_by_name_with_the_forms_that_can(
    tmp_path: Path, configuration: Seq2Seq, why: str
) -> None:
    with pytest.raises(InputError, match=f"ctranslate2: cannot hold this model .*{why}.*; bundle, int8, stablehlo"):
        export(Drawn(configuration).bundle(), tmp_path / "model", ["ctranslate2"], SAMPLE)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"jax2onnx is not installed; pip install 'automl-seq2seq\[onnx\]'"):
        export(BUNDLE, tmp_path / "model", ["onnx"], SAMPLE)


def test_int8_weights_are_read_back_within_half_a_step(tmp_path: Path) -> None:
    wide = Drawn(Seq2Seq(encoders.Recurrent("gru", 32, 1, True), decoders.Recurrent("gru", 32, 1))).bundle()
    write_bundle(wide, tmp_path / "whole")
    write_bundle(Drawn(described(wide.config).configuration).bundle(weights="int8"), tmp_path / "int8")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("int8", "whole")]
    assert sizes[0] < 0.5 * sizes[1]
    stored, found = quantised(wide.weights), read_bundle(tmp_path / "int8").weights
    for name, value in wide.weights.items():
        step = stored[f"{name}.int8_scale"] if f"{name}.int8_scale" in stored else 0 * value
        assert (abs(found[name] - value) <= 0.51 * step + 1e-9).all()
    assert json.loads((tmp_path / "int8" / "config.json").read_text())["weights"] == "int8"


def test_boxes_are_compared_by_those_that_are_sure_and_scored_with_all_that_was_told() -> None:
    boxes = Boxes(Canvas(8, 8, 1), 8, ["cat", "dog"])
    sure, unsure = [4, 4, 11, 11, 12], [4, 4, 6, 6, 13]
    own = {"tokens": [[*sure, *unsure]], "told": [[[*sure, *unsure], [-0.1] * 5 + [-3.0] * 5, None]]}
    other = {"tokens": [sure], "told": [[sure, [-0.2] * 5, [[[12, 13]] * 5, [[-0.2, -1.6]] * 5]]]}
    assert exporting._alike(boxes, own, other) == [True]
    assert exporting._alike(boxes, {**own, "told": []}, other) == [False]
    [text] = exporting._texts(boxes, other)
    [found] = read_text(text)
    assert (found.label, found.others[0][0]) == ("cat", "dog")

"""Every form, written and loaded again, says what the model says; in the whole pipeline by a fresh process each."""

from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

from automl.bundle import Bundle, write_bundle
from automl.export.arrays import as_array, spoken
from automl.export.exporting import Sample, _child, export
from automl.export.forms import FORMS
from automl.export.runtimes import Spoken
from automl.export.traced import decoding_program
from search_spaces import attention, decoders, embeddings, encoders
from search_spaces.seq2seq import Seq2Seq
from tests.automl.bundles import SMALL, TRANSFORMER, Drawn, ensemble
from tests.automl.models.cases import CASES

GENERATOR = np.random.default_rng(0)
SOURCES = [GENERATOR.integers(4, 12, size).tolist() for size in (3, 1, 6, 9, 14, 2)]
HEADS = attention.MultiHead(4, 2)
TRANSFORMERS = {
    "plain": TRANSFORMER,
    "grouped heads, another size, normalised last": Seq2Seq(
        encoders.Transformer(24, 2, 2, HEADS, embeddings.Learned(8), "rms", False, "swiglu"),
        decoders.Transformer(16, 1, 2, HEADS, embeddings.NoPositions(), "layer", False, "relu"),
        tied_embeddings=True,
    ),
    "root mean square": Seq2Seq(
        encoders.Transformer(16, 1, 2, HEADS, embeddings.NoPositions(), "rms", True, "swiglu"),
        decoders.Transformer(16, 1, 2, HEADS, embeddings.Learned(4), "rms", True, "swiglu"),
    ),
}


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: make test-exports")


def own(bundle: Bundle) -> Spoken:
    return spoken(*jax.jit(decoding_program(bundle))(dict(bundle.weights), as_array(SOURCES)))


def again(name: str, bundle: Bundle, folder: Path) -> Spoken:
    """Write the form, those that are traced in a process of their own, and run it."""
    (folder / name).mkdir()
    if name.startswith("ctranslate2"):
        FORMS[name].write(bundle, folder / name)
    else:
        write_bundle(bundle, folder / "bundle")
        _child("write", name, folder / name, folder / "bundle")
    return FORMS[name].open(folder / name)(SOURCES)


def telling(configuration: Seq2Seq) -> tuple[Bundle, Spoken]:
    """Return a model that does not say the same of all sources, and what it says."""
    for seed in range(9):
        bundle = Drawn(configuration, seed, end=2.0).bundle()
        said = own(bundle)
        if len({tuple(tokens) for tokens in said.tokens}) > 1:
            return bundle, said
    raise AssertionError("every model that was drawn says the same of all sources")


def check(name: str, configuration: Seq2Seq, folder: Path) -> None:
    bundle, expected = telling(configuration)
    found = again(name, bundle, folder)
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


@needs("flatbuffers")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def test_every_family_says_the_same_as_stablehlo(name: str, tmp_path: Path) -> None:
    check("stablehlo", CASES[name].configuration, tmp_path)


@needs("flatbuffers")
def test_mingru_has_a_program_for_each_length_as_stablehlo(tmp_path: Path) -> None:
    check("stablehlo", Seq2Seq(encoders.Recurrent("mingru", 8, 1, True), SMALL.decoder), tmp_path)
    programs = {
        file.stem: jax.export.deserialize(bytearray(file.read_bytes())) for file in tmp_path.glob("*/*.stablehlo")
    }
    assert {program.platforms for program in programs.values()} == {("cpu", "cuda", "tpu")}
    assert {name: str(program.in_avals[-1].shape[1]) for name, program in programs.items()} == {
        name: name for name in ("8", "16", "32")
    }


@needs("jax2onnx", "onnxruntime")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def test_every_family_says_the_same_as_onnx(name: str, tmp_path: Path) -> None:
    check("onnx", CASES[name].configuration, tmp_path)
    assert [file.name for file in (tmp_path / "onnx").iterdir()] == ["model.onnx"]


@needs("jax2onnx", "onnxruntime")
@pytest.mark.slow
@pytest.mark.parametrize("members", [(SMALL, TRANSFORMER), (TRANSFORMER, TRANSFORMER), (SMALL, SMALL, SMALL)])
def test_models_that_speak_as_one_say_the_same_as_onnx(members: tuple[Seq2Seq, ...], tmp_path: Path) -> None:
    bundle = ensemble(*(Drawn(each, seed, end=2.0) for seed, each in enumerate(members)))
    expected, found = own(bundle), again("onnx", bundle, tmp_path)
    assert len({tuple(tokens) for tokens in expected.tokens}) > 1
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


@needs("ctranslate2")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_say_the_same_in_ctranslate2(name: str, tmp_path: Path) -> None:
    check("ctranslate2", TRANSFORMERS[name], tmp_path)


@needs("ctranslate2")
def test_int8_says_nearly_the_same_in_ctranslate2(tmp_path: Path) -> None:
    bundle = Drawn(TRANSFORMER, end=2.0).bundle()
    expected, found = own(bundle), again("ctranslate2-int8", bundle, tmp_path)
    assert sum(a == b for a, b in zip(found.tokens, expected.tokens, strict=True)) >= 4


@needs("flatbuffers")
def test_a_fresh_process_says_what_the_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    sample = Sample(SOURCES, [["a"] for _ in SOURCES])
    found = export(Drawn(SMALL, end=2.0).bundle(), tmp_path / "model", ["stablehlo"], sample)
    assert found["stablehlo"].same == 1
    written = jax.export.deserialize(bytearray((tmp_path / "model" / "stablehlo" / "any.stablehlo").read_bytes()))
    assert written.platforms == ("cpu", "cuda", "tpu")
    assert written.in_avals[-1].shape[0] != written.in_avals[-1].shape[1]  # both are free

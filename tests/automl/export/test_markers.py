"""What stands of the training data in the forms that a winner is exported to: their vocabularies, and nothing else.

Every byte of every file of a form is looked at, names and metadata inside of it included. Of tokens that are characters
nothing may be found. Where words are tokens the vocabulary has to hold them, since a model without it could not read raw
input: there the files are named that may, and no other may.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from automl.bundle import Bundle
from automl.data.tokenizers import Tokenizer
from automl.export.exporting import Sample, export
from automl.export.forms import FORMS
from automl.models.parameters import initialise
from automl.models.seq2seq import Seq2Seq as Module
from search_spaces.tokenizers import Whitespace
from tests.automl.bundles import TRANSFORMER, Drawn
from tests.automl.export.test_forms import needs
from tests.automl.marked import MARKER, Left, leave, marked, marker, watched

DOCUMENT = """
[data]
train = "train.tsv"
source_tokens = "characters"
target_tokens = "characters"
[space]
preset = "tiny"
encoder = "Transformer"
decoder = "Transformer"
positions = "Sinusoidal"
output = "Softmax"
window = 0
model_size = 32
num_layers = 1
"""
NAMED = [pytest.param(name, marks=needs(*form.packages)) for name, form in FORMS.items() if name != "bundle"]
TOKENIZERS = {"tokenizer.source.json", "tokenizer.target.json"}
VOCABULARIES = {"source_vocabulary.json", "target_vocabulary.json", "shared_vocabulary.json"}
"""What CTranslate2 writes beside the tokenizers."""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """A search whose winner can have every form."""
    search = ("search", "secret.toml", "--trials", "1", "--workers", "1")
    return leave(tmp_path_factory.mktemp("forms"), DOCUMENT, {"search": search})


@pytest.mark.parametrize("name", NAMED)
def test_of_characters_no_form_holds_a_marker(left: Left, name: str) -> None:
    assert left.said["search"].code == 0, left.said["search"].err
    exported = watched(left.folder, "export", "secret", name, "--format", name)
    assert exported.code == 0, exported.err
    assert {path.name for path in (left.folder / name / name).iterdir()} >= TOKENIZERS
    assert marked(left.folder / name) == set()
    assert not MARKER.search((exported.out + exported.err).encode())


def spoken_words() -> Bundle:
    """A model whose tokens are words of the data."""
    tokenizer = Tokenizer.learn(Whitespace(), [marker(number) for number in range(20)])
    weights = initialise(Module(TRANSFORMER, tokenizer.size, tokenizer.size), 0)
    weights["decoder.Transformer.output.bias"][2] = 2.0  # so that it ends
    vocabulary = {"source": tokenizer.size, "target": tokenizer.size}
    drawn = Drawn(TRANSFORMER).bundle(vocabulary=vocabulary)
    return replace(drawn, weights=weights, source_tokenizer=tokenizer.to_json(), target_tokenizer=tokenizer.to_json())


@pytest.mark.parametrize("name", NAMED)
def test_of_words_a_form_holds_those_of_its_vocabulary_and_only_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    export(spoken_words(), tmp_path / "model", [name], Sample([[4, 5], [6], [7, 8, 9]], [["a"]] * 3))
    found = {Path(file).name for file in marked(tmp_path / "model")}
    assert found >= TOKENIZERS
    assert found - TOKENIZERS <= (VOCABULARIES if name.startswith("ctranslate2") else set())

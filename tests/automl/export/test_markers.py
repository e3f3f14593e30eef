"""What stands of the training data in the forms that a winner is exported to: their vocabularies, and nothing else.

Every byte of every file of a form is looked at, names and metadata inside of it included. Of tokens that are characters
nothing may be found. Where words are tokens the vocabulary has to hold them, since a model without it could not read raw
input: there the files are named that may, and no other may.
"""

from dataclasses import replace
from importlib.util import find_spec
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
from tests.automl.marked import MARKER, SOON, Left, leave, marked, marker

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
    """A search whose winner can have every form, and all forms of it whose packages are installed."""
    search = ("search", "secret.toml", "--trials", "1", "--workers", "1")
    export = ("export", "secret", "model", *(part for name in installed() for part in ("--format", name)))
    return leave(tmp_path_factory.mktemp("forms"), DOCUMENT + SOON, {"search": search, "export": export})


def installed() -> list[str]:
    return [name for name, form in FORMS.items() if name != "bundle" and all(map(find_spec, form.packages))]


def test_the_forms_were_written_and_nothing_that_was_said_holds_a_marker(left: Left) -> None:
    for name, each in left.said.items():
        assert each.code == 0, (name, each.err)
        assert not MARKER.search((each.out + each.err).encode())
    assert marked(left.folder / "model") == set()


@pytest.mark.parametrize("name", NAMED)
def test_of_characters_no_form_holds_a_marker(left: Left, name: str) -> None:
    assert {path.name for path in (left.folder / "model" / name).iterdir()} >= TOKENIZERS
    assert marked(left.folder / "model" / name) == set()


def spoken_words() -> Bundle:
    """A model whose tokens are words of the data."""
    tokenizer = Tokenizer.learn(Whitespace(), [marker(number) for number in range(20)])
    weights = initialise(Module(TRANSFORMER, tokenizer.size, tokenizer.size), 0)
    weights["decoder.Transformer.output.bias"][2] = 2.0  # so that it ends
    vocabulary = {"source": tokenizer.size, "target": tokenizer.size}
    drawn = Drawn(TRANSFORMER).bundle(vocabulary=vocabulary)
    return replace(drawn, weights=weights, source_tokenizer=tokenizer.to_json(), target_tokenizer=tokenizer.to_json())


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All forms of such a model."""
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(folder / "cache"))
        export(spoken_words(), folder / "model", installed(), Sample([[4, 5], [6], [7, 8, 9]], [["a"]] * 3))
    return folder / "model"


@pytest.mark.parametrize("name", NAMED)
def test_of_words_a_form_holds_those_of_its_vocabulary_and_only_there(spoken: Path, name: str) -> None:
    files = marked(spoken)
    assert {file for file in files if "/" not in file} == TOKENIZERS  # of the bundle itself
    found = {Path(file).name for file in files if file.startswith(f"{name}/")}
    assert found >= TOKENIZERS
    assert found - TOKENIZERS <= (VOCABULARIES if name.startswith("ctranslate2") else set())

"""What a model says of its own predictions, against what it computes as it decodes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from automl.bundle import Bundle
from automl.data.tokenizers import BOS, Tokenizer
from automl.description import described
from automl.explanation.neighbours import nearest
from automl.inference import Explained, Model
from automl.models.facts import bind
from automl.models.outputs import Output
from automl.models.seq2seq import Seq2Seq as Module
from search_spaces import attention, decoders, encoders
from search_spaces.outputs import PointerGenerator
from search_spaces.seq2seq import Seq2Seq
from tests.automl.bundles import LETTERS, SMALL, TRANSFORMER, Drawn
from tests.automl.models.learning import COMBINATIONS, LENGTH, learned

COPYING = replace(SMALL, output=PointerGenerator())
SIMPLE = replace(TRANSFORMER, decoder=decoders.SimpleRecurrent(16, 2, 1, attention.MultiHead(2)))
KINDS = {"recurrent": SMALL, "copying": COPYING, "transformer": TRANSFORMER, "simple": SIMPLE}
LEARNS_TO_REVERSE = "minGRU, both directions, residual → GRU, concat"


def sure(kind: str) -> Model:
    return Model(Drawn(KINDS[kind], end=3.0).bundle())


def decoded_by_hand(bundle: Bundle, source: str, target: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The weights that the output is given as a model decodes token by token, without compiling or padding."""
    described_model = described(bundle.config)
    tokenizer = Tokenizer.from_json(bundle.source_tokenizer)
    model = Module(described_model.configuration, tokenizer.size, tokenizer.size)
    seen: list[Any] = []
    call = Output.__call__

    def recorded(self: Output, x: Any, embedding: Any, weights: Any, copies: Any) -> Any:
        seen.append(np.asarray(weights)[0, 0])
        return call(self, x, embedding, weights, copies)

    monkeypatch.setattr(Output, "__call__", recorded)
    ids, said = tokenizer.encode_batch([source, target])
    tokens = jnp.array([ids])
    bound = bind(model, {name: jnp.asarray(value) for name, value in bundle.weights.items()})
    memory = bound.encode(tokens, copies=tokens)
    (decoder,) = bound.decoder.members().values()
    carry = decoder.start(memory, len(said) + 1)
    for place, token in enumerate([BOS, *said]):
        carry, _ = decoder.step(memory, carry, jnp.array([token]), jnp.array(place))
    return np.array(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_the_weights_that_the_model_decodes_by(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Drawn(KINDS[kind]).bundle()
    found = Model(bundle).attention("abcde", "edc")
    assert (list(found.source), list(found.target)) == ([*"abcde"], [*"edc", "<eos >"])
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-6)
    by_hand = decoded_by_hand(bundle, "abcde", "edc", monkeypatch)
    np.testing.assert_allclose(found.weights, by_hand, atol=1e-6)
    assert found.weights.std() > 1e-3


@pytest.mark.parametrize("kind", ["recurrent", "copying"])
def test_confidences_are_the_factors_of_the_probability(kind: str) -> None:
    model = sure(kind)
    sources = ["abc", "hgfedcba", "a"]
    found = model.explained(sources)
    assert [each.output for each in found] == model.predict(sources)
    for source, each in zip(sources, found, strict=True):
        assert np.log(each.confidence).sum() == pytest.approx(model.score([source], [each.output])[0], abs=1e-4)
        assert (each.highest >= each.confidence - 1e-7).all()
        equal = [token == likeliest for token, likeliest in zip(each.target, each.likeliest, strict=True)]
        np.testing.assert_array_equal(equal, np.isclose(each.highest, each.confidence))


def first(model: Model, source: str) -> dict[str, Explained]:
    """What the model makes of each letter as the first of a target."""
    return dict(zip(LETTERS, model.explained([source] * len(LETTERS), list(LETTERS)), strict=True))


def test_what_is_copied_and_what_is_said_anyway_make_up_the_confidence() -> None:
    bundle = Drawn(COPYING).bundle()
    model, without = (Model(replace(bundle, weights=_sharing(bundle, share))) for share in (0.3, -30.0))
    mixed, softmax = first(model, "aab"), first(without, "aab")
    copied = {letter: float(each.copied[0] * each.confidence[0]) for letter, each in mixed.items()}
    weights = mixed["a"].weights[0]
    assert all(copied[letter] == 0 for letter in "cdefgh")
    assert copied["a"] / copied["b"] == pytest.approx((weights[0] + weights[1]) / weights[2], rel=1e-4)
    share = copied["a"] + copied["b"]
    for letter in LETTERS:
        anyway = (1 - share) * softmax[letter].confidence[0]
        assert mixed[letter].confidence[0] == pytest.approx(anyway + copied[letter], rel=1e-4)
        assert softmax[letter].copied[0] < 1e-9


def _sharing(bundle: Bundle, bias: float) -> dict[str, Any]:
    (name,) = (name for name in bundle.weights if name.endswith("share.bias"))
    return {**bundle.weights, name: np.full_like(bundle.weights[name], bias)}


def test_a_model_that_has_learnt_to_reverse_looks_along_the_other_diagonal() -> None:
    configuration = COMBINATIONS[LEARNS_TO_REVERSE]
    weights = {name: np.asarray(value) for name, value in learned(configuration, "reverse copy").average.items()}
    model = Model(replace(Drawn(configuration).bundle(), weights=weights))
    sources = [_word(seed) for seed in range(20)]
    found = model.explained(sources)
    assert sum(each.output == source[::-1] for source, each in zip(sources, found, strict=True)) >= 19
    mean = np.mean([each.weights[:LENGTH] for each in found], axis=0)
    assert list(mean.argmax(axis=1)) == list(range(LENGTH - 1, -1, -1))
    assert np.fliplr(mean).diagonal().mean() > 0.5


def _word(seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), LENGTH))


def test_a_source_that_train_holds_is_its_own_nearest_example() -> None:
    train: dict[str, Sequence[str]] = {"abc": ["x", "y"], "abd": ["z"], "hhhhhh": ["w"]}
    found = nearest(Model(Drawn().bundle()), ["abc", "hhhhh"], train, 2)
    assert [(n.source, n.edits) for n in found[0]] == [("abc", 0), ("abd", 1)]
    assert list(found[0][0].targets) == ["x", "y"]
    assert found[0][0].similarity == pytest.approx(1)
    assert found[1][0].source == "hhhhhh"


def test_what_reads_no_source_is_explained_without_maps() -> None:
    model = Model(Drawn(Seq2Seq(encoders.Identity(), decoders.Recurrent("gru", 16, 1))).bundle())
    found = model.explained([""], ["abc"])[0]
    assert (found.source, len(found.confidence)) == ([], 4)

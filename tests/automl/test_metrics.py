import math

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from automl.errors import InputError
from automl.metrics import METRICS, Likelihood, LikelihoodMetric, TextMetric, edits, metric, signatures
from automl.metrics.edits import edit_distances

OUTPUTS = ["a b c", "a", "x y z w"]
REFERENCES = [["a b", "a b c"], ["b"], ["x y", "x z w"]]


OF_TEXTS = [name for name, entry in METRICS.items() if isinstance(entry, TextMetric)]
OF_LIKELIHOOD = [name for name, entry in METRICS.items() if isinstance(entry, LikelihoodMetric)]


def score(name: str, outputs: list[str], references: list[list[str]]) -> float:
    entry = METRICS[name]
    assert isinstance(entry, TextMetric)
    return entry.function(outputs, references, str.split)


def likely(name: str, found: Likelihood) -> float:
    entry = METRICS[name]
    assert isinstance(entry, LikelihoodMetric)
    return entry.function(found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sequence_error_rate", 2 / 3),
        ("exact_match", 1 / 3),
        ("accuracy", 1 / 3),
        ("token_error_rate", (0 + 1 + 1) / (3 + 1 + 3)),
        ("word_error_rate", (0 + 1 + 1) / (3 + 1 + 3)),
        ("character_error_rate", (0 + 1 + 2) / (5 + 1 + 5)),
    ],
)
def test_the_best_reference_of_each_source_counts(name: str, expected: float) -> None:
    assert score(name, OUTPUTS, REFERENCES) == pytest.approx(expected)


@pytest.mark.parametrize("name", OF_TEXTS)
def test_a_perfect_and_a_silent_model_get_the_bounds(name: str) -> None:
    references = [["one two three four five"], ["six seven eight nine ten", "six or more"]]
    if name.startswith("mean_average_precision"):
        references = [['[{"class": "cat", "box": [0, 0, 8, 8]}]'], ['[{"class": "dog", "box": [4, 4, 8, 8]}]']]
    assert score(name, [acceptable[0] for acceptable in references], references) == METRICS[name].perfect
    if name == "ter":  # which divides by the mean length of the references
        references[1].pop()
    assert score(name, ["", ""], references) == pytest.approx(METRICS[name].worst)


@pytest.mark.parametrize("name", METRICS)
def test_bounds_agree_with_the_direction(name: str) -> None:
    entry = METRICS[name]
    worst = 1e9 if entry.worst is None else entry.worst
    assert entry.better(entry.perfect, worst)
    assert not entry.better(worst, worst)
    assert entry.name == name


@pytest.mark.parametrize("name", OF_TEXTS)
def test_outputs_without_references_to_match_are_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"zip\(\)|differ in length"):
        score(name, ["a", "b"], [["a"]])


def test_tokens_decide_whether_sequences_are_equal() -> None:
    assert score("sequence_error_rate", ["a b"], [["a  b"]]) == 0
    assert edits.sequence_error_rate(["a b"], [["a  b"]], list) == 1


def test_bleu_and_chrf_equal_sacrebleu() -> None:
    outputs, references = ["the cat sat on a mat", "hello there"], [["the cat sat on the mat"], ["hello there you"]]
    streams = [[acceptable[0] for acceptable in references]]
    assert score("bleu", outputs, references) == sacrebleu.corpus_bleu(outputs, streams).score
    assert score("chrf", outputs, references) == sacrebleu.corpus_chrf(outputs, streams).score


def test_bleu_takes_sources_with_more_and_fewer_references() -> None:
    outputs = ["the cat sat on the mat", "he went all the way home"]
    assert score("bleu", outputs, [["a dog", outputs[0]], [outputs[1]]]) == 100


def test_signatures_say_how_a_score_came_about() -> None:
    found = signatures(METRICS, [["a", "b"], ["c"]])
    assert found["bleu"].startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp")
    assert found["chrf"].startswith("nrefs:var|case:mixed|eff:yes|nc:6|nw:0")
    assert found["ter"].startswith("nrefs:var|case:lc|tok:tercom")
    assert found["rouge2"].startswith("nrefs:var|refs:best|case:lc|stem:no|tok:unicode-words|score:f1")
    assert "rouge2|rouge-score:" in found["rouge2"]
    assert "exact_match" not in found


def test_ter_counts_a_moved_phrase_as_one_edit() -> None:
    outputs, references = ["on the mat the cat sat"], [["the cat sat on the mat"]]
    assert score("ter", outputs, references) == sacrebleu.corpus_ter(outputs, [references[0]]).score
    assert score("ter", outputs, references) == pytest.approx(100 / 6)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
@given(st.lists(st.text("ab cC1,_-", max_size=20), min_size=2, max_size=2))
def test_rouge_of_english_is_that_of_the_package(name: str, texts: list[str]) -> None:
    theirs = RougeScorer([name], use_stemmer=False).score(texts[0], texts[1])[name].fmeasure
    assert score(name, [texts[1]], [[texts[0]]]) == pytest.approx(100 * theirs)


@pytest.mark.parametrize("text", ["Größe über alles", "слово за слово", "我喜欢苹果"])
def test_rouge_knows_words_of_every_script(text: str) -> None:
    assert score("rouge2", [text], [[text]]) == 100
    assert 0 < score("rouge1", [text[: len(text) // 2 + 1]], [[text]]) < 100


def test_the_best_reference_counts_for_rouge() -> None:
    assert score("rougeL", ["a b"], [["x y", "a b"]]) == 100


def test_macro_f1_counts_every_class_alike() -> None:
    true, said = ["a"] * 8 + ["b", "b"], ["a"] * 9 + ["b"]
    assert score("macro_f1", said, [[label] for label in true]) == pytest.approx((16 / 17 + 2 / 3) / 2)
    assert score("macro_f1", ["c"], [["a", "c"]]) == 1


def test_likelihoods_are_counted_in_each_unit() -> None:
    found = Likelihood(nats=8 * math.log(2), tokens=4, characters=16)
    assert likely("bits_per_token", found) == pytest.approx(2)
    assert likely("perplexity", found) == pytest.approx(4)
    assert likely("bits_per_character", found) == pytest.approx(0.5)


@pytest.mark.parametrize("name", OF_LIKELIHOOD)
def test_certainty_is_perfect_and_doubt_is_worse(name: str) -> None:
    sure, unsure = (likely(name, Likelihood(nats, 4, 16)) for nats in (0.0, 4.0))
    assert sure == METRICS[name].perfect
    assert METRICS[name].better(sure, unsure)


def plain_distance(left: list[str], right: list[str]) -> int:
    line = list(range(len(right) + 1))
    for row, token in enumerate(left, start=1):
        above, line = line, [row]
        for column, other in enumerate(right, start=1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (token != other)))
    return line[-1]


TOKENS = st.lists(st.sampled_from("abc"), max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, TOKENS), max_size=12))
@pytest.mark.parametrize("cells", [edits.CELLS, 10])
def test_edit_distances_equal_those_filled_in_one_by_one(cells: int, pairs: list) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "CELLS", cells)
        distances = edit_distances([left for left, _ in pairs], [right for _, right in pairs])
    assert distances.tolist() == [plain_distance(left, right) for left, right in pairs]


def test_an_unknown_metric_names_the_closest_and_all() -> None:
    with pytest.raises(InputError, match=r"'sequence_eror' is not known; did you mean 'sequence_error_rate'\? There"):
        metric("sequence_eror")
    with pytest.raises(InputError, match=", ".join(METRICS)):
        metric("?")


WEIGHTED = [name for name in OF_TEXTS if METRICS[name].weighted]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OF_TEXTS)
def test_a_source_of_weight_two_counts_as_two_where_sources_can_count_differently(name: str) -> None:
    entry = METRICS[name]
    assert isinstance(entry, TextMetric)
    twice = entry.score([OUTPUTS[0], *OUTPUTS], [REFERENCES[0], *REFERENCES], str.split)
    weighted = entry.score(OUTPUTS, REFERENCES, str.split, [2.0, 1.0, 1.0])
    plain = entry.score(OUTPUTS, REFERENCES, str.split)
    assert weighted == pytest.approx(twice if name in WEIGHTED else plain)
    assert (name in WEIGHTED) == (weighted != plain)

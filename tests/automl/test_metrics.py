import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from automl import metrics
from automl.errors import InputError
from automl.metrics import METRICS, edit_distances, metric, signature

OUTPUTS = ["a b c", "a", "x y z w"]
REFERENCES = [["a b", "a b c"], ["b"], ["x y", "x z w"]]


def score(name: str, outputs: list[str], references: list[list[str]]) -> float:
    return METRICS[name].function(outputs, references, str.split)


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


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_and_a_silent_model_get_the_bounds(name: str) -> None:
    references = [["one two three four five"], ["six seven eight nine ten", "six"]]
    assert score(name, [acceptable[0] for acceptable in references], references) == METRICS[name].perfect
    assert score(name, ["", ""], references) == pytest.approx(METRICS[name].worst)


@pytest.mark.parametrize("name", METRICS)
def test_bounds_agree_with_the_direction(name: str) -> None:
    entry = METRICS[name]
    assert entry.better(entry.perfect, entry.worst)
    assert not entry.better(entry.worst, entry.worst)
    assert entry.name == name


@pytest.mark.parametrize("name", METRICS)
def test_outputs_without_references_to_match_are_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"zip\(\)|differ in length"):
        score(name, ["a", "b"], [["a"]])


def test_tokens_decide_whether_sequences_are_equal() -> None:
    assert METRICS["sequence_error_rate"].function(["a b"], [["a  b"]], str.split) == 0
    assert METRICS["sequence_error_rate"].function(["a b"], [["a  b"]], list) == 1


def test_bleu_and_chrf_equal_sacrebleu() -> None:
    outputs, references = ["the cat sat on a mat", "hello there"], [["the cat sat on the mat"], ["hello there you"]]
    streams = [[acceptable[0] for acceptable in references]]
    assert score("bleu", outputs, references) == sacrebleu.corpus_bleu(outputs, streams).score
    assert score("chrf", outputs, references) == sacrebleu.corpus_chrf(outputs, streams).score


def test_bleu_takes_sources_with_more_and_fewer_references() -> None:
    outputs = ["the cat sat on the mat", "he went all the way home"]
    assert score("bleu", outputs, [["a dog", outputs[0]], [outputs[1]]]) == 100


def test_signatures_say_how_a_score_came_about() -> None:
    assert signature("bleu", [["a", "b"], ["c"]]).startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp")
    assert signature("chrf", [["a"]]).startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0")


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
@pytest.mark.parametrize("cells", [metrics.CELLS, 10])
def test_edit_distances_equal_those_filled_in_one_by_one(cells: int, pairs: list) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "CELLS", cells)
        distances = edit_distances([left for left, _ in pairs], [right for _, right in pairs])
    assert distances.tolist() == [plain_distance(left, right) for left, right in pairs]


def test_an_unknown_metric_names_the_closest_and_all() -> None:
    with pytest.raises(InputError, match=r"'sequence_eror' is not known; did you mean 'sequence_error_rate'\? There"):
        metric("sequence_eror")
    with pytest.raises(InputError, match=", ".join(METRICS)):
        metric("?")

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import automl
from automl.bundle import write_bundle
from automl.decoding import answers, footprint
from automl.decoding.generation import Generation
from automl.errors import InputError
from automl.inference import Model
from automl.segments import ProgramFolder
from automl.training.compilations import compilations
from search_spaces import decoders, encoders
from search_spaces.decoding import Beam, Sampling
from search_spaces.seq2seq import Seq2Seq
from tests.automl.bundles import LETTERS, Drawn

LANGUAGE = Seq2Seq(encoders.Identity(), decoders.Recurrent("gru", 16, 1))
SOURCES = ["abc", "", "hgfedcba", "aab", "cab", "bbbb"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> ProgramFolder:
    folder = tmp_path_factory.mktemp("programs")
    return ProgramFolder(str(folder / "cache"), str(folder / "key"))


@pytest.fixture(scope="module")
def model(programs: ProgramFolder) -> Model:
    return Model(Drawn().bundle(), programs)


@pytest.fixture(scope="module")
def language_model(programs: ProgramFolder) -> Model:
    return Model(Drawn(LANGUAGE).bundle(), programs)


def test_one_source_or_many_give_the_same(model: Model) -> None:
    together = model.predict(SOURCES)
    assert together == [model.predict([source])[0] for source in SOURCES]
    assert len(set(together)) > 2
    assert together[1] == ""


def test_sources_without_end_are_predicted_as_they_come(model: Model) -> None:
    endless = (LETTERS[i % 8] for i in count())
    assert list(islice(model.predict_batch(endless), 9)) == model.predict([LETTERS[i % 8] for i in range(9)])


def test_several_threads_get_what_one_gets(programs: ProgramFolder) -> None:
    shared, alone = Model(Drawn(seed=3).bundle(), programs), Model(Drawn(seed=3).bundle(), programs)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda source: shared.predict([source])[0], SOURCES * 4))
    assert found == alone.predict(SOURCES) * 4


def test_candidates_come_best_first_with_scores_that_score_confirms(programs: ProgramFolder) -> None:
    model = Model(Drawn(end=4.0).bundle(), programs)
    found = model.candidates(SOURCES[:1], 3, Beam(4, 0.0))[0]
    scores = [candidate.score for candidate in found]
    assert scores == sorted(scores, reverse=True)
    assert len({candidate.output for candidate in found}) == 3
    ended = [candidate for candidate in found if len(candidate.output) < 12]
    confirmed = model.score(SOURCES[:1] * len(ended), [candidate.output for candidate in ended])
    assert ended
    assert confirmed == pytest.approx([candidate.score for candidate in ended], abs=1e-3)


def test_a_better_target_scores_higher(model: Model) -> None:
    said = model.predict(["abc"])[0]
    best, other = model.score(["abc", "abc"], [said, said[::-1] + "a"])
    assert best > other
    with pytest.raises(InputError, match="2 sources and 1 targets"):
        model.score(["a", "b"], ["a"])


def test_attention_has_a_row_for_each_target_token_and_sums_to_one(model: Model) -> None:
    found = model.attention("abc", "cb")
    assert (list(found.source), list(found.target)) == (["a", "b", "c"], ["c", "b", "<eos >"])
    assert found.weights.shape == (3, 3)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-5)


def test_attention_is_that_of_the_own_output_where_no_target_is_given(model: Model) -> None:
    assert "".join(model.attention("abc").target[:-1]) == model.predict(["abc"])[0]


def test_what_reads_no_source_attends_to_none(language_model: Model) -> None:
    with pytest.raises(InputError, match="reads no source"):
        language_model.attention("a")


@pytest.mark.parametrize("how", [Generation(), Generation(Sampling(0.8, 3, 0.9, 5), stops=("a", "dd"), prefix="hg")])
def test_a_stream_gives_in_pieces_what_is_generated(language_model: Model, model: Model, how: Generation) -> None:
    for each, source in ((language_model, ""), (model, "abc")):
        whole = each.generate(source, how)
        assert "".join(each.stream(source, how)) == whole[0]


def test_what_is_generated_follows_from_the_seed(language_model: Model) -> None:
    found = language_model.generate(how=Generation(Sampling(2.0, seed=1)), count=8)
    assert found == language_model.generate(how=Generation(Sampling(2.0, seed=1)), count=8)
    assert len(set(found)) > 4
    assert found != language_model.generate(how=Generation(Sampling(2.0, seed=2)), count=8)


def test_what_is_generated_keeps_to_prefix_stops_length_and_tokens(language_model: Model) -> None:
    warm = Sampling(5.0)
    begun = language_model.generate(how=Generation(warm, prefix="abc"), count=8)
    assert all(text.startswith("abc") for text in begun)
    assert all(len(text) <= 4 for text in language_model.generate(how=Generation(warm, most=4), count=8))
    stopped = language_model.generate(how=Generation(warm, stops=("a", "bc")), count=8)
    assert not any("a" in text or "bc" in text for text in stopped)
    assert set("".join(language_model.generate(how=Generation(warm, allowed=("b", "h")), count=8))) == {"b", "h"}


@pytest.mark.parametrize("how", [Generation(prefix="xyz"), Generation(allowed=("abc",))])
def test_what_is_no_token_can_be_neither_begun_with_nor_allowed(language_model: Model, how: Generation) -> None:
    with pytest.raises(InputError, match="no token of this model"):
        language_model.generate(how=how)


def test_a_source_that_is_too_long_is_refused_or_read_in_part(model: Model, programs: ProgramFolder) -> None:
    with pytest.raises(InputError, match="source 1026 has 31 tokens; this model reads 30"):
        model.predict([*["a"] * 1025, "a" * 31])
    cutting = Model(Drawn().bundle(), programs, too_long="truncate")
    with pytest.warns(UserWarning, match="1 sources of up to 31 tokens are read up to token 30"):
        cut = cutting.predict(["a" * 30 + "b", "b"])
    assert cut == model.predict(["a" * 30, "b"])


@pytest.mark.parametrize("count", [2, 70])
def test_outputs_that_are_drawn_do_not_depend_on_their_number(language_model: Model, count: int) -> None:
    how = Generation(Sampling(2.0, seed=1), most=5)
    found = language_model.generate(how=how, count=count)
    assert len(found) == count
    assert found[:2] == language_model.generate(how=how, count=8)[:2]


@pytest.mark.parametrize("source", ["", " ", "\0", "a\0b", "😀👍🏽", "e\u0301", "a\nb"])
def test_odd_texts_have_an_output(model: Model, source: str) -> None:
    assert len(model.predict([source])) == 1


@pytest.mark.parametrize(("given", "reason"), [(3, "not int"), (None, "not NoneType"), (b"abc", "not bytes")])
def test_what_is_no_text_is_refused(model: Model, given: object, reason: str) -> None:
    with pytest.raises(TypeError, match=f"a source is a text, {reason}"):
        model.predict([given])  # type: ignore[list-item]


def test_half_a_character_is_refused(model: Model) -> None:
    with pytest.raises(InputError, match="half of a character at place 1"):
        model.predict(["a\ud800"])


def test_what_cannot_be_asked_for_is_refused_in_one_line(language_model: Model) -> None:
    for wrong in ({"most": 0}, {"stops": ("a", "")}):
        with pytest.raises(InputError, match=r"most is 0|empty text"):
            Generation(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="count is 0"):
        language_model.generate(count=0)
    with pytest.raises(InputError, match="count is -1"):
        language_model.candidates([""], -1)
    with pytest.raises(InputError, match="too_long is 'cut'; it is one of refuse, truncate"):
        Model(Drawn().bundle(), too_long="cut")  # type: ignore[arg-type]


def test_the_front_door_lets_long_sources_be_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(Drawn().bundle(), tmp_path / "model")
    monkeypatch.setattr("automl.loading.load", lambda folder, too_long: too_long)
    assert automl.load(tmp_path / "model", too_long="truncate") == "truncate"  # type: ignore[comparison-overlap]


def test_a_bundle_decodes_as_it_says(model: Model, programs: ProgramFolder) -> None:
    decoding = {"method": "beam", "beam": 4, "length_penalty": 0.0, "max_length": 12}
    searching = Model(Drawn().bundle(decoding=decoding), programs)
    likely = [candidates[0].output for candidates in model.candidates(SOURCES, 1, Beam(4, 0.0))]
    assert searching.predict(SOURCES) == likely
    assert all(math.isfinite(score) for score in searching.score(SOURCES, likely))


def test_a_source_of_nothing_needs_no_room_for_a_prefix(programs: ProgramFolder) -> None:
    lengths = {"sources": [4, 8], "most": [2, 9], "grows": True}
    model = Model(Drawn().bundle(decoding={"method": "greedy", "max_length": 9, "lengths": lengths}), programs)
    said = model.predict(["abcdef", ""], prefix="hgh")
    assert said == [model.predict(["abcdef"], prefix="hgh")[0], ""]
    assert said[0].startswith("hgh")


def test_outputs_begin_with_a_prefix_and_go_on_with_what_is_allowed(model: Model) -> None:
    sources, bounds = [source for source in SOURCES if source], {"prefix": "hg", "allowed": ("a", "b")}
    likely = model.candidates(sources, 3, Beam(4), **bounds)  # type: ignore[arg-type]
    assert {len(candidates) for candidates in likely} == {3}
    best = model.predict(sources, Beam(4), **bounds)  # type: ignore[arg-type]
    assert best == [candidates[0].output for candidates in likely]
    greedy = model.predict(sources, **bounds)  # type: ignore[arg-type]
    for output in (*greedy, *(candidate.output for candidates in likely for candidate in candidates)):
        assert output[:2] == "hg"
        assert set(output[2:]) <= {"a", "b"}
    assert len(set(greedy)) > 1


def test_for_an_empty_source_nothing_is_said_and_once(model: Model) -> None:
    assert model.candidates([""], 3, Beam(4)) == [[("", 0.0)]]


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"prefix": "a" * 13}, "prefix has 13 tokens; an output has 12 at most"),
        ({"prefix": "xyz"}, "'xyz' holds what is no token of this model"),
        ({"allowed": ("a", "abc")}, "'abc' is no token of this model"),
    ],
)
def test_what_no_output_can_hold_is_refused(model: Model, bounds: Any, reason: str) -> None:
    for ask in (model.predict, lambda sources, **bounds: model.candidates(sources, 2, **bounds)):
        with pytest.raises(InputError, match=reason):
            ask(["a"], **bounds)


def test_what_is_drawn_for_a_source_follows_from_it_and_the_seed(model: Model) -> None:
    how = Sampling(3.0, seed=3)
    together = model.predict(SOURCES, how)
    assert together == [model.predict([source], how)[0] for source in SOURCES]
    assert together == [model.generate(source, Generation(how))[0] for source in SOURCES]
    assert model.predict(SOURCES[::-1] * 2, how) == together[::-1] * 2
    assert len(set(together)) == len(SOURCES)
    assert together != model.predict(SOURCES, Sampling(3.0, seed=4))


def test_odd_inputs_within_the_buckets_compile_nothing_new() -> None:
    counted, model = compilations(), Model(Drawn().bundle())
    for length, rows in product((8, 16), (1, 8)):
        model.predict(["a" * length] * rows)
    model.predict(["a"], prefix="b")
    before = counted.count
    for lengths in ([1], [3, 7], [9, 16, 2], [5] * 8, [0, 11, 1, 6], [13]):
        assert len(model.predict([LETTERS[length % 8] * length for length in lengths])) == len(lengths)
    model.predict(["bcd"], prefix="hg", allowed=("a", "e"))
    assert counted.count == before
    model.predict(["a" * 17])
    assert counted.count > before


def test_sources_that_take_much_are_decoded_a_few_at_a_time_or_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    how, targets, pairs = Generation(Sampling(2.0)), ["ab"] * len(SOURCES), tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"{'abcdefgh'[:n]}\t{('hgfedcba' * n)[:12]}\n" for n in range(1, 9)), encoding="utf-8")

    def likely() -> dict[str, float]:
        found: dict[str, float] = model.evaluate(pairs, ["perplexity", "bits_per_character"])["metrics"]
        return found

    whole = model.predict(SOURCES), model.generate("a", how, 3), model.score(SOURCES, targets), likely()
    monkeypatch.setattr(answers, "MOST_BATCH_BYTES", 1)
    alone = model.predict(SOURCES), model.generate("a", how, 3), model.score(SOURCES, targets), likely()
    assert alone[:2] == whole[:2]
    assert alone[2] == pytest.approx(whole[2], abs=1e-4)
    assert alone[3] == pytest.approx(whole[3], rel=1e-5)
    monkeypatch.setattr(footprint, "MOST_ROW_BYTES", 1)
    for ask in (
        lambda: model.predict(["abc"]),
        lambda: model.candidates(["abc"], 3),
        lambda: model.generate("abc"),
        lambda: next(model.stream("abc")),
        lambda: model.score(["abc"], ["a"]),
        lambda: model.attention("abc", "a"),
        likely,
    ):
        with pytest.raises(InputError, match=r"a source of \d and a target of .* tokens .*would take"):
            ask()


@pytest.mark.parametrize(("exact", "expected"), [({}, ["b", "c"]), ({"further": False}, ["b"])])
def test_a_bundle_says_whether_columns_behind_the_target_are_further_ones(
    programs: ProgramFolder, tmp_path: Path, exact: dict[str, bool], expected: list[str]
) -> None:
    (tmp_path / "pairs.tsv").write_text("a\tb\tc\n", encoding="utf-8")
    model = Model(Drawn().bundle(data={"source": 0, "target": [1], **exact}), programs)
    assert model.references(tmp_path / "pairs.tsv") == {"a": expected}


def test_a_model_of_texts_is_not_scored_by_metrics_of_boxes(model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="metric: mean_average_precision scores boxes alone; use "):
        model.evaluate(tmp_path / "pairs.tsv", ["mean_average_precision"])


def test_what_a_file_lacks_is_said_where_a_model_is_scored_by_it(programs: ProgramFolder, tmp_path: Path) -> None:
    pairs, said = tmp_path / "pairs.tsv", list[str]()
    pairs.write_text("a\tb\na\tb\nc\t\nd\txyz\n", encoding="utf-8")
    found = Model(Drawn().bundle(), programs, on_notice=said.append).evaluate(pairs)
    assert (found["rows"], found["dropped"]) == (2, {"no target": 1, "duplicate": 1})
    assert said == [
        "pairs.tsv: 1 row dropped: no target (the first on line 3)",
        "pairs.tsv: 1 row dropped: duplicate",
        "pairs.tsv: 1 of 2 sources have no target that this model can say",
    ]


def test_likelihoods_leave_out_what_a_search_leaves_out(programs: ProgramFolder, tmp_path: Path) -> None:
    (tmp_path / "few.tsv").write_text("abc\tab\n", encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text(f"abc\tab\na\t{'ab' * 9}\n", encoding="utf-8")
    lengths, said = {"sources": [8, 64], "most": [5, 12], "grows": True}, list[str]()
    decoding = {"method": "greedy", "max_length": 12, "lengths": lengths}
    model = Model(Drawn().bundle(decoding=decoding), programs, on_notice=said.append)
    few, all_of_them = (model.evaluate(tmp_path / name, ["perplexity"]) for name in ("few.tsv", "pairs.tsv"))
    assert few["metrics"] == pytest.approx(all_of_them["metrics"])
    assert said == ["too long, with their targets, to count: 1 sources"]


def test_what_is_drawn_without_a_source_may_be_as_long_as_for_the_longest_of_train(programs: ProgramFolder) -> None:
    lengths = {"sources": [8, 64], "most": [5, 12], "grows": True}
    decoding = {"method": "greedy", "max_length": 12, "lengths": lengths}
    speaking = Drawn(LANGUAGE, end=-100.0).bundle(decoding=decoding)
    assert len(Model(speaking, programs).generate()[0]) == 12


def test_outputs_may_be_longer_for_longer_sources_than_train_had(programs: ProgramFolder) -> None:
    lengths = {"sources": [8], "most": [5], "grows": True}
    endless = Drawn(end=-100.0).bundle(decoding={"method": "greedy", "max_length": 5, "lengths": lengths})
    model = Model(endless, programs)
    sources = ["a" * 8, "a" * 9, "a" * 30]
    assert [len(output) for output in model.predict(sources)] == [5, 10, 20]
    assert model.predict(sources) == [model.predict([source])[0] for source in sources]
    assert len(model.generate("a", Generation(most=40))[0]) == 40
    with pytest.raises(InputError, match=r"40,000 tokens are asked for; 32,768 at most"):
        model.generate("a", Generation(most=40_000))


STARTS = {
    "greedily": (Drawn(), "model.predict(['abc', 'b'])"),
    "with a beam": (Drawn(), "model.predict(['abc', 'b'], Beam(3))"),
    "with a prefix": (Drawn(), "model.predict(['abc', 'b'], prefix='a')"),
    "scores alone": (Drawn(), "[round(score, 3) for score in model.score(['abc'], ['ab'])]"),
    "without sources": (Drawn(LANGUAGE), "model.generate('', Generation(most=5), 2)"),
}
CODE = """
import sys
from automl.decoding.generation import Generation
from automl.loading import load
from search_spaces.decoding import Beam
assert "flax" not in sys.modules
model = load(sys.argv[1])
print({what})
print("flax" in sys.modules)
"""


@pytest.mark.parametrize("how", STARTS)
def test_a_second_start_builds_no_model(tmp_path: Path, how: str) -> None:
    drawn, what = STARTS[how]
    write_bundle(drawn.bundle(), tmp_path / "model")
    environment = {"AUTOML_CACHE": str(tmp_path / "cache"), "AUTOML_PROGRAM_KEY": str(tmp_path / "key")}
    said = [
        subprocess.run(
            [sys.executable, "-c", CODE.format(what=what), str(tmp_path / "model")],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert [each[-1] for each in said] == ["True", "False"]
    assert said[0][0] == said[1][0] != "[]"

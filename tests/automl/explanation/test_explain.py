"""`automl explain`: its files, and what is counted in them by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.bundle import write_bundle
from automl.cli import run
from automl.errors import InputError
from automl.explanation.explanation import importance_of
from tests.automl.bundles import Drawn

PAIRS = {"abc": "abc", "hgf": "x y", "aab": "b", "b": "hh", "cab": "gfg", "abcdefgh": "abba"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A winner, pairs of which it gets some right, and sources."""
    folder = tmp_path_factory.mktemp("explain")
    bundle = Drawn(end=3.0).bundle()
    write_bundle(
        replace(bundle, metrics={"importance": {"dropout": 0.25, "encoder.Recurrent.cell": 0.75}}), folder / "noted"
    )
    write_bundle(bundle, folder / "model")
    from automl.inference import Model

    right = Model(bundle).predict(["hgf", "b"])
    pairs = PAIRS | dict(zip(("hgf", "b"), right, strict=True))
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target or 'a'}\n" for source, target in pairs.items()))
    (folder / "lines.txt").write_text("abc\n<b>\n\n")
    return folder


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(folder / "cache"))
        patch.setenv("AUTOML_PROGRAM_KEY", str(folder / "key"))
        arguments = ["--input", str(folder / "lines.txt"), "--data", str(folder / "pairs.tsv"), "--maps", "5"]
        train = ["--train", str(folder / "pairs.tsv")]
        assert run(["explain", str(folder / "model"), *arguments, *train, "--out", str(folder / "why")]) == 0
    return folder / "why"


@pytest.fixture(scope="module")
def predictions(written: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (written / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def counted(written: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / "explanation.json").read_text())
    return found


def test_the_files_are_a_page_its_predictions_its_counts_and_pictures(written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    assert {"explanation.html", "explanation.json", "predictions.jsonl"} <= names
    page = (written / "explanation.html").read_text()
    assert all(title in page for title in ("Where it looked", "Reliability of tokens", "Nearest in train", "<svg"))
    assert "<bdi>&lt;b&gt;</bdi>" in page


def test_of_the_first_predictions_it_is_kept_where_the_model_looked(predictions: list[dict[str, Any]]) -> None:
    assert [each["source"] for each in predictions] == ["abc", "<b>", "", *PAIRS]
    mapped = [each for each in predictions if each["weights"] is not None]
    assert [each["source"] for each in mapped] == ["abc", "<b>", "abc", "hgf"]
    for each in mapped:
        assert len(each["weights"]) == len(each["output_tokens"])
        assert all(sum(row) == pytest.approx(1, abs=1e-6) for row in each["weights"])


def test_calibration_follows_from_the_predictions_by_hand(
    predictions: list[dict[str, Any]], counted: dict[str, Any]
) -> None:
    labelled = [each for each in predictions if each["references"] is not None]
    outputs, tokens = [], []
    for each in labelled:
        probability = 1.0
        for confidence in each["confidence"]:
            probability *= confidence
        outputs.append((probability, each["output"] in each["references"]))
        expected = each["expected"]
        for i, token in enumerate(expected["tokens"]):
            tokens.append((expected["highest"][i], expected["likeliest"][i] == token))
    for name, judged in (("outputs", outputs), ("tokens", tokens)):
        assert counted[name]["count"] == len(judged)
        assert counted[name]["error"] == pytest.approx(error_by_hand(judged), abs=1e-12)
    assert {right for _, right in outputs} == {right for _, right in tokens} == {True, False}


def error_by_hand(judged: list[tuple[float, bool]]) -> float:
    total = 0.0
    for place in range(10):
        low, high = place / 10, (place + 1) / 10
        inside = [(c, r) for c, r in judged if low < c <= high or (place == 0 and c == 0)]
        if inside:
            total += abs(sum(r for _, r in inside) - sum(c for c, _ in inside))
    return total / len(judged)


def test_errors_follow_from_the_predictions_by_hand(predictions: list[dict[str, Any]], counted: dict[str, Any]) -> None:
    labelled = [each for each in predictions if each["references"] is not None]
    everything = "".join(PAIRS)
    for group in counted["errors"]["by_length"]:
        low, _, high = group["name"].partition(" to ")
        rows = [each for each in labelled if int(low) <= len(each["source"]) <= int(high or low)]
        assert group["rows"] == len(rows)
        assert group["wrong"] == sum(each["output"] not in each["references"] for each in rows)
    for group in counted["errors"]["by_rarity"]:
        low, _, high = group["name"].partition(" to ")
        rows = [e for e in labelled if int(low) <= min(map(everything.count, e["source"])) <= int(high or low)]
        assert (group["rows"], group["wrong"]) == (len(rows), sum(not each["right"] for each in rows))
    assert sum(group["rows"] for group in counted["errors"]["by_length"]) == len(PAIRS)
    for mistake in counted["errors"]["mistakes"]:
        pairs = [p for e in labelled for p in zip(e["expected"]["tokens"], e["expected"]["likeliest"], strict=True)]
        missed = [likeliest for token, likeliest in pairs if token == mistake["symbol"] != likeliest]
        assert (mistake["wrong"], mistake["times"]) == (len(missed), missed.count(mistake["instead"]))


def explained(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, Any]:
    out = folder / f"why-{model}"
    arguments = ["--input", str(folder / "lines.txt"), "--out", str(out), "--maps", "0", "--json"]
    assert run(["explain", str(folder / model), *arguments]) == 0
    return (out / "explanation.html").read_text(), json.loads(capsys.readouterr().out)


def test_what_the_dials_mattered_is_shown_as_the_bundle_says_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, said = explained(folder, "noted", capsys)
    assert list(said["importance"].items()) == [("encoder.Recurrent.cell", 0.75), ("dropout", 0.25)]
    assert page.index("encoder.Recurrent.cell</td><td>75.0%") < page.index("dropout</td><td>25.0%")


def test_a_bundle_that_does_not_say_what_mattered_is_explained_without(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, said = explained(folder, "model", capsys)
    assert said["importance"] == {}
    assert "What the dials mattered" not in page


@pytest.mark.parametrize("said", [{"dropout": "much"}, {"dropout": float("nan")}, {"dropout": 2}, ["dropout"], 1])
def test_shares_that_are_none_are_refused(said: Any) -> None:
    with pytest.raises(InputError, match="importance is no share"):
        importance_of({"importance": said})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "absent.txt"], "there is no such file"),
        (["--data", "absent.tsv"], "absent.tsv"),
        (["--train", "absent.tsv"], "absent.tsv"),
    ],
)
def test_a_file_that_is_missing_is_named_in_one_line(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", str(folder / "model"), *arguments]) == 2
    assert said in capsys.readouterr().err

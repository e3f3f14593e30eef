import json
import re
from pathlib import Path

import pytest

import benchmarks
from benchmarks.measurement import Result, interleaved

FOUND = Result("walk", {"speed": 2.5}, {"steps": 3}, {"speed": ">= 2"}, ("0.1 on 2 cores", "0.2 on 2 cores"))


def test_the_sides_take_turns() -> None:
    order: list[str] = []
    found = interleaved({"ours": lambda: order.append("ours"), "theirs": lambda: order.append("theirs")}, 2)
    assert order == ["ours", "theirs", "ours", "theirs"]
    assert {name: len(results) for name, results in found.items()} == {"ours": 2, "theirs": 2}


def test_a_result_is_one_document_or_a_table_with_its_goals(capsys: pytest.CaptureFixture[str]) -> None:
    FOUND.show(as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["ratios"], document["measured"]) == (1, {"speed": 2.5}, {"steps": 3})
    FOUND.show(as_json=False)
    assert "2.5× goal >= 2" in capsys.readouterr().out


def test_the_makefile_names_every_benchmark() -> None:
    folder = Path(benchmarks.__file__).parent
    runnable = {file.stem for file in folder.glob("*.py") if "__main__" in file.read_text(encoding="utf-8")}
    runnable |= {file.parent.name for file in folder.glob("*/__main__.py")}
    (named,) = re.findall(r"^BENCHMARKS \?= (.*)$", (folder.parent / "Makefile").read_text(encoding="utf-8"), re.M)
    assert set(named.split()) == runnable

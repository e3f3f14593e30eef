from pathlib import Path

import pytest

from automl.budget import parse_parameters
from automl.tasks.document import document_from_mapping
from benchmarks import finishes
from benchmarks.finishes import CELLS, MOST
from benchmarks.searches import read_lines


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_searched_to_be_distilled_within_a_limit(name: str, tmp_path: Path) -> None:
    document = document_from_mapping(finishes.document(name, tmp_path, 2.0), tmp_path)
    assert (document.limits.finish, document.limits.time) == ("distill", 120)
    assert document.most == {"parameters": parse_parameters(MOST)}


def test_in_every_result_the_winner_is_never_worse_on_valid_and_every_model_is_inside_the_limit() -> None:
    for line in read_lines(finishes.RESULTS):
        valid = {name: own["scores"][line["metric"]] for name, own in line["finishes"].items()}
        assert valid[line["winner"]] <= valid["single"]
        assert valid.get("ensemble", 0.0) <= valid["single"]
        single = [own["parameters"] for name, own in line["finishes"].items() if name != "ensemble"]
        assert max(single) <= parse_parameters(MOST)


def test_the_results_that_are_shown_are_those_that_were_written() -> None:
    shown = (Path(finishes.__file__).parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    assert finishes.table(read_lines(finishes.RESULTS)) in shown


def test_the_last_line_of_a_cell_is_shown() -> None:
    def said(valid: float, test: float, size: int) -> dict:
        return {"scores": {"error": valid}, "test_scores": {"error": test}, "parameters": size}

    line = {
        "cell": "g2p_ice",
        "metric": "error",
        "finishes": {"single": said(0.2, 0.3, 1000), "distilled": said(0.15, 0.2, 1000)},
        "winner": "distilled",
        "minutes": 3.0,
        "load": ["0.5 on 2 cores"],
        "commit": "abc",
    }
    rows = finishes.table([{**line, "winner": "single"}, line]).splitlines()
    (shown,) = [row for row in rows if "g2p_ice" in row]
    assert shown == (
        "| `g2p_ice` | 20.00 %, 30.00 % (1,000) | – | 15.00 %, 20.00 % (1,000) | distilled "
        "| 3.0 min, load 0.5 on 2 cores | abc |"
    )
    assert finishes.gained(line) == pytest.approx(1.5)
    assert len({row.count("|") for row in rows}) == 1

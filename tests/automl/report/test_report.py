import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from automl.budget import Budget
from automl.control import history
from automl.control.controller import Controller
from automl.control.criteria import Criteria
from automl.control.plan import Plan
from automl.errors import FailureReason
from automl.metrics import metric
from automl.records import read_record
from automl.report import findings, page, summary
from automl.report.drawing import described, drawing
from automl.report.figures import figures
from search_spaces.spaces import space
from storage.database import open_database
from storage.events import list_events
from storage.searches import claim, create_search, get_search
from tests.automl.control.pretended_training import PretendingExecutor
from tests.automl.control.simulation import Curve, space_of

VOID = {"meta", "path", "rect", "marker"}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A search with a failed trial, without training, and its events."""
    folder = tmp_path_factory.mktemp("searched")
    database = open_database(f"sqlite:///{folder / 'automl.db'}")
    document = {"kind": "sequence_to_sequence", "metric": {"name": "sequence_error_rate"}, "data": {"train": "<b>.tsv"}}
    create_search(database, "<i>words</i>", document, "0" * 64)
    executor = PretendingExecutor(folder / "objects", space_of(3, Curve(floor=0.08, scale=3000.0)))
    executor.failures = {2: [FailureReason.NAN_LOSS]}
    plan = Plan(space(), Criteria(metric("sequence_error_rate")), Budget(time=180.0), folder / "objects", 20_000)
    lease = claim(database, "<i>words</i>", "a test", 60.0)
    search = get_search(database, "<i>words</i>")
    Controller(database, search, lease, executor, plan, clock=executor.clock, waiting=executor.wait).run()
    record = read_record(database, "<i>words</i>")
    yield record, list_events(database, record.row.id)
    database.close()


@pytest.fixture(scope="module")
def searched(known):
    record, events = known
    return findings(record, space(), events)


@pytest.fixture(scope="module")
def html(searched):
    return page(searched)


def test_the_best_score_never_rises_and_ends_at_the_winners(searched):
    best = [m.best for m in searched.measurements]
    assert best == sorted(best, reverse=True)
    assert best[-1] == searched.leaderboard[0].scores["sequence_error_rate"]
    assert [m.seconds for m in searched.measurements] == sorted(m.seconds for m in searched.measurements)


def test_a_score_over_a_limit_is_not_the_best_so_far(known):
    record, _ = known
    strict = replace(record.criteria, limits={"sequence_error_rate": 1e-9})
    measured = findings(replace(record, criteria=strict), space()).measurements
    assert {m.best for m in measured} == {None}
    assert any(m.score is not None for m in measured)


def test_a_search_whose_dials_are_out_of_the_space_is_reported_all_the_same(known):
    record, _ = known
    assert len(history.tried(list(record.trials.values()), record.criteria, record.row.rung_tokens)) > 8
    elsewhere = findings(record, space({"hidden_size": [32, 64], "num_layers": [3, 4]}))
    assert (dict(elsewhere.importance), len(elsewhere.leaderboard)) == ({}, len(findings(record, space()).leaderboard))
    told = replace(record, row=replace(record.row, state="finished", summary={"importance": {"encoder": 1.0}}))
    assert findings(told, space()).importance == {"encoder": 1.0}


def test_a_winner_has_the_scores_that_it_was_chosen_by(known):
    record, _ = known
    trial, segment = record.best
    greedy = record.to_mapping()["best"]["scores"]
    chosen = {
        "trial": trial.row.number,
        "checkpoint": segment.checkpoint,
        "scores": {name: value / 2 for name, value in greedy.items()},
        "test_scores": {"sequence_error_rate": 0.25},
        "configuration": {},
        "parameters": 1,
    }
    beam = replace(record, row=replace(record.row, summary={"best": chosen}))
    assert beam.to_mapping()["best"]["scores"] == chosen["scores"]


def test_every_trial_belongs_to_a_family_and_the_best_family_has_the_winner(searched):
    begun = [row for row in searched.leaderboard if row.parent is None]
    assert sum(family.trials for family in searched.families) == len(begun)
    assert searched.families[0].score == searched.leaderboard[0].scores["sequence_error_rate"]


def test_failures_and_decisions_are_told_with_their_reasons(searched):
    assert [(f.trial, f.reason) for f in searched.failures] == [(2, "NAN_LOSS")]
    assert {"start", "thaw", "branch", "train out", "finish"} >= {step.kind for step in searched.decisions} != set()


def test_the_work_at_padded_sizes_is_told(searched, html):
    assert searched.padding == 1.25
    assert "work at padded sizes<b>1.25 ×</b>" in html
    assert "padding: 1.25 times the work that was needed" in summary.lines(searched)


def test_findings_are_plain_json(searched):
    mapping = json.loads(json.dumps(searched.to_mapping(), allow_nan=False))
    assert {"search", "leaderboard", "measurements", "importance", "families", "failures", "decisions"} <= set(mapping)


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.opened, self.wrong = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.opened or self.opened.pop() != tag:
            self.wrong.append(tag)


def test_a_page_is_well_formed_and_escapes_names(html):
    parser = Balance()
    parser.feed(html)
    assert (parser.wrong, parser.opened) == ([], [])
    assert "<i>words</i>" not in html
    assert "&lt;i&gt;words&lt;/i&gt;" in html


def test_a_page_needs_nothing_from_elsewhere(html):
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(?:src|href)=", own.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert "default-src 'none'" in html


def test_a_page_draws_every_figure_once(searched, html):
    for number in range(len(figures(searched))):
        assert html.count(f'Plotly.newPlot("figure{number}"') == 1
        assert html.count(f'<div id="figure{number}">') == 1


def test_a_search_without_results_has_a_page_too(searched):
    mapping = {**searched.search, "best": None, "trials": {}}
    empty = replace(
        searched, search=mapping, leaderboard=[], measurements=[], importance={}, families=[], failures=[], decisions=[]
    )
    written = page(empty)
    assert "No trial has a result yet." in written
    assert "Plotly" not in written


@pytest.mark.parametrize("configuration", space().defaults(), ids=str)
def test_every_family_can_be_drawn(configuration):
    drawn = drawing(configuration)
    for kind in (configuration.encoder, configuration.decoder):
        assert type(kind).__name__ in drawn
        layers = getattr(kind, "num_layers", 1)
        assert drawn.count(f"{type(kind).__name__} ") >= min(layers, 1)
    assert "learning rate" in described(configuration)


def test_the_summary_says_how_the_score_fell_what_families_reached_and_what_failed(searched):
    told = list(summary.lines(searched))
    best = searched.leaderboard[0]
    assert told[0].startswith("best so far: ")
    assert f"{best.scores['sequence_error_rate']:.4g}" in told[0]
    assert told[1].startswith(f"families: {best.encoder} → {best.decoder}")
    assert [line for line in told if line.startswith("failed: trial 2 (")]


def test_the_best_so_far_as_values_falls_at_every_step_and_ends_at_the_winners(searched):
    scores = [step["score"] for step in summary.learnt(searched)["best_so_far"]]
    assert scores == sorted(set(scores), reverse=True)
    assert scores[-1] == searched.leaderboard[0].scores["sequence_error_rate"]


@pytest.mark.parametrize("decoded", [True, False])
def test_what_was_not_decoded_has_a_loss_and_no_score(searched, decoded):
    kept = searched.measurements[2:] if decoded else []
    looks = [
        replace(m, score=None, best=None) for m in (searched.measurements[:2] if decoded else searched.measurements)
    ]
    looked = replace(searched, measurements=[*looks, *kept])
    drawn = figures(looked)
    curves = [loss for line in drawn["Learning curves"]["data"] for loss in line["y"]]
    assert len(curves) == len(searched.measurements)
    assert ("Best score so far" in drawn) == decoded
    assert len(summary.improvements(looked)) <= len(kept)
    assert page(looked)
    assert summary.learnt(looked)["best_so_far"] == [] or decoded

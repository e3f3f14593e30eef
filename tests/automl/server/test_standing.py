"""The page of a search while it waits, runs and has ended: each part of it, and what stands there when there is none."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from automl.errors import FailureReason, TrialFailure
from automl.executors import EXECUTORS, InlineExecutor
from automl.segments import Evaluation
from tests.automl.server.service import PretendedTrainer

TRIALS = 12
FLOOR = 0.02
"""No score falls below some times this, so that trials are seen to have stalled."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Lets nothing do that is a moment old."""
    monkeypatch.setattr("automl.server.rows.BELIEVED_SECONDS", 0.0)
    monkeypatch.setattr("automl.server.shelves.Kept.serves", lambda self, stamp, now, patience: self.stamp == stamp)


class Onlooker(PretendedTrainer):
    """Has somebody look as certain segments are run; trials have different sizes."""

    def __init__(self, checkpoints, look, *moments):
        super().__init__(checkpoints)
        self.look, self.moments, self.count, self.seen = look, moments, 0, []

    def run(self, job, report, stop):
        self.count += 1
        if self.count in self.moments:
            self.seen.append(self.look())
        result = super().run(job, report, stop)
        if isinstance(job, Evaluation):
            return result
        scores = {name: max(value, FLOOR * (1 + job.trial % 7)) for name, value in result.scores.items()}
        return replace(result, scores=scores, parameters=1000 * (1 + job.trial % 4))


class Hopeless(PretendedTrainer):
    """Trains nothing."""

    def run(self, job, report, stop):
        raise TrialFailure(FailureReason.NAN_LOSS, "the loss is not finite")


def train_by(monkeypatch, trainer):
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(lambda: trainer))


def titles(page):
    return re.findall("<h2>(.*?)</h2>", page)


def test_a_search_of_two_objectives_is_told_part_by_part(place, monkeypatch):
    ada, browser = place.person(), place.browser()
    task = place.task(place.upload(ada), trials=TRIALS)
    task |= {"metric": {"name": ["sequence_error_rate", "parameters"]}, "budget": {"time": "1h", "trials": TRIALS}}
    assert ada.post("/v1/searches", json={"task": task}).status_code == 202
    look = lambda: browser.get("/searches/words").text  # noqa: E731
    trainer = Onlooker(place.options.checkpoints, look, 1, 30)
    train_by(monkeypatch, trainer)
    place.work()
    first, live = trainer.seen
    assert ("There is no score yet" in first, "Running now" in first, ">Pause<" in first) == (True, True, True)
    assert re.search(r"<dt>time left</dt><dd>\d+ min \d+ s", live)
    assert f"{TRIALS} at most" in live
    assert re.search(r'Running now</h2><ul><li><a href="/searches/words/trials/\d+">Trial \d+</a>: \w+ → \w+, ', live)
    page = look()
    assert 'class="state finished"' in page
    for part in ("Best score so far", "Learning curves", "The Pareto front", "What each family reached", "Leaderboard"):
        assert (part in titles(live), part in titles(page)) == (True, True), part
    assert {"Which dials mattered", "Failures", "What was decided, and why"} <= set(titles(page))
    assert "Trial 1</a>" in page
    assert "NAN_LOSS, the loss is not finite" in page
    assert re.search(r"</span> start: trial 0 \(.*?\): started the default", live)
    assert ("Running now" in page, "<dt>time left</dt>" in page) == (False, False)
    figure = re.search('aria-label="The Pareto front" data-figure="([^"]*)"', page)[1]
    front = json.loads(unescape(figure))["data"][0]
    assert (front["name"], len(front["x"]) > 0) == ("on the front", True)


def test_a_search_that_waits_says_for_what(place):
    place.submit(place.person())
    browser = place.browser()
    assert "no worker runs" in browser.get("/searches/words").text
    csrf = {"csrf": place.form_token(browser)}
    assert browser.post("/searches/words/pause", data=csrf).status_code == 303
    page = browser.get("/searches/words").text
    assert ("nothing trained is lost" in page, ">Go on<" in page) == (True, True)
    assert "There is no result to try yet" in browser.get("/searches/words/try").text
    assert browser.post("/searches/words/cancel", data=csrf).status_code == 303
    page = browser.get("/searches/words").text
    assert ("cancelled before anything was found" in page, 'href="/new"' in page) == (True, True)


def test_a_pause_that_waits_for_what_runs_is_said(place, monkeypatch):
    browser = place.browser()
    csrf = {"csrf": place.form_token(browser)}
    look = lambda: browser.post("/searches/words/pause", data=csrf) and browser.get("/searches/words").text  # noqa: E731
    trainer = Onlooker(place.options.checkpoints, look, 2)
    train_by(monkeypatch, trainer)
    place.submit(place.person())
    place.work()
    assert "It pauses as soon as what runs is saved" in trainer.seen[0]


def test_a_search_that_failed_says_why_and_what_can_be_done(place, monkeypatch):
    train_by(monkeypatch, Hopeless(place.options.checkpoints))
    place.submit(place.person())
    place.work()
    browser = place.browser()
    page = browser.get("/searches/words").text
    for part in (
        'class="state failed"',
        '<p class="wrong">',
        "NAN_LOSS, the loss is not finite",
        ">Go on<",
        "Mend what",
    ):
        assert part in page, part
    trial = browser.get("/searches/words/trials/0").text
    assert ("the loss is not finite" in trial, "Download it" in trial) == (True, False)


def test_what_cannot_be_done_is_said_on_the_page_of_the_search(searched):
    browser = searched.browser()
    html = {"Accept": "text/html"}
    csrf = {"csrf": searched.form_token(browser)}
    answer = browser.post("/searches/words/extend", data=csrf | {"time": "a while"}, headers=html)
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert ('value="a while"' in answer.text, "Leaderboard" in titles(answer.text)) == (True, True)
    answer = browser.post("/searches/words/pause", data=csrf, headers=html)
    assert (answer.status_code, "only one that waits or runs" in answer.text) == (409, True)
    assert browser.post("/searches/words/praise", data=csrf).status_code == 404
    answer = browser.get("/searches/words/compare", headers=html)
    assert (answer.status_code, "mark two trials" in answer.text, "Back to words" in answer.text) == (422, True, True)


def test_a_trial_is_compared_with_the_winner(searched):
    browser = searched.browser()
    link = re.search(r'href="([^"]*/compare[^"]*)"', browser.get("/searches/words/trials/2").text)
    page = browser.get(unescape(link[1])).text
    assert {"How they stand", "Dials that differ"} <= set(titles(page))
    assert "/compare" not in browser.get("/searches/words/trials/0").text


def test_lists_name_the_states_of_trials_as_one_search_does(searched):
    ada = searched.person()
    listed = ada.get("/v1/searches").json()["items"][0]["trials"]
    assert listed == ada.get("/v1/searches/words").json()["trials"] == {"finished": 1, "failed": 1, "paused": 2}


@pytest.mark.parametrize(("scope", "said"), [("run", "Begin the first"), ("read", "may look, and not begin one")])
def test_who_has_no_search_yet_is_told_what_can_be_done(searched, scope, said):
    assert said in searched.browser("newcomer", scope).get("/").text

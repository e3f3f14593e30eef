"""The pages in a real browser, by mouse and by keyboard, large and small, by day and by night, with scripts and without.

Nothing comes from elsewhere, and nothing complains.
"""

import random
import threading
from dataclasses import replace

import pytest

from automl.executors import EXECUTORS, InlineExecutor
from automl.segments import Evaluation
from automl.server.options import Limits
from tests.automl.server.browser import DESK, NEEDED, PHONE, Visit
from tests.automl.server.service import WORDS, PretendedTrainer
from tests.automl.server.test_images import png, scenes, zipped

pytestmark = NEEDED


class Landscape(PretendedTrainer):
    """Learns as models do, some sooner and some better, and waits at one of its segments until it is let on."""

    def __init__(self, checkpoints, waits_at):
        super().__init__(checkpoints)
        self.waits_at, self.count, self.gate = waits_at, 0, threading.Event()

    def run(self, job, report, stop):
        self.count += 1
        if self.count == self.waits_at:
            self.gate.wait()
        result = super().run(job, report, stop)
        if isinstance(job, Evaluation):
            return replace(result, scores={"sequence_error_rate": 0.06})
        chance = random.Random(job.trial)
        floor, pace = 0.04 + 0.2 * chance.random(), 4_000 + 16_000 * chance.random()
        error = min(floor + 0.9 * 2 ** (-result.tokens / pace), 0.98)
        scores = {"loss": 2.5 * error, "token_accuracy": 1 - error / 3, "sequence_error_rate": error}
        scores["latency"] = 0.004 + 0.0004 / floor * (1 + chance.random())
        seconds = {"training": result.tokens / 4000, "compiling": 3.0, "evaluating": 0.3, "writing": 0.1}
        return replace(result, scores=scores, parameters=465_934, seconds=seconds)


@pytest.fixture
def visit(running, chromium):
    """A service of a test's own, and somebody who visits it."""
    place, port = running(Limits(rate=1e6, burst=10**6))

    def begin(**options):
        return place, Visit(chromium, f"http://127.0.0.1:{port}", place.token(), **options)

    return begin


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_from_a_file_to_a_prediction(visit, tmp_path, scheme, window):
    place, visit = visit(color_scheme=scheme, viewport=window)
    page = visit.page
    kind = f"{scheme}-{'phone' if window == PHONE else 'desk'}"
    (tmp_path / "words.tsv").write_text(WORDS)
    page.get_by_role("link", name="New search").click()
    visit.look(f"new-{kind}")
    visit.drop(tmp_path / "words.tsv", ".drop")
    page.get_by_text("words.tsv is chosen").wait_for()
    page.get_by_role("button", name="Look at it").click()
    page.get_by_label("Time to search").fill("")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Trials, at most").fill("4")
    visit.look(f"adjust-{kind}")
    page.get_by_role("button", name="Start the search").click()
    page.wait_for_url("**/searches/words")
    worker = threading.Thread(target=place.work)
    worker.start()
    page.locator("#live .state.finished").wait_for()  # without loading the page again
    worker.join()
    page.locator(".js-plotly-plot").first.wait_for()
    visit.look(f"finished-{kind}")
    page.get_by_label("Compare trial 0").check()
    page.get_by_label("Compare trial 2").check()
    page.get_by_role("button", name="Compare two").click()
    visit.look(f"compare-{kind}")
    place.share_samples()
    page.goto(f"{visit.base}/searches/words/trials/0")
    visit.look(f"trial-{kind}")
    page.get_by_role("link", name="Samples").click()
    page.get_by_role("heading", name="Samples of trial 0").wait_for()
    visit.look(f"samples-{kind}")
    page.go_back()
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("One source a line").fill("ab")
    page.get_by_role("button", name="Predict, and show where it looks").click()
    assert page.locator("output").inner_text() == "AB"
    page.locator(".js-plotly-plot").first.wait_for()
    visit.look(f"try-{kind}")
    page.goto(f"{visit.base}/searches/words")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the model").click()
    assert download.value.suggested_filename == "words-0.zip"
    page.goto(f"{visit.base}/searches/words/exports?format=onnx")
    visit.look(f"export-{kind}")
    page.get_by_role("button", name="Make it").click()
    page.get_by_role("link", name="Download onnx").wait_for()
    visit.look(f"exported-{kind}")
    for name in ("", "reference"):
        page.goto(f"{visit.base}/{name}")
        visit.look(f"{name or 'searches'}-{kind}")
    page.goto(f"{visit.base}/searches/nothing")
    visit.look(f"problem-{kind}")
    visit.forgive("404")
    page.get_by_role("link", name="To the searches").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{visit.base}/login")
    visit.look(f"login-{kind}")
    visit.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_images_to_boxes(visit, tmp_path, scheme):
    place, visit = visit(color_scheme=scheme, viewport=PHONE)
    page = visit.page
    (tmp_path / "scenes.zip").write_bytes(zipped(scenes()))
    (tmp_path / "new.png").write_bytes(png(0, (64, 48)))
    page.get_by_role("link", name="New search").click()
    page.get_by_label("File to learn from").set_input_files(tmp_path / "scenes.zip")
    page.get_by_role("button", name="Look at it").click()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Trials, at most").fill("2")
    visit.look(f"adjust-images-{scheme}")
    page.get_by_role("button", name="Start the search").click()
    page.wait_for_url("**/searches/scenes")
    place.work()
    page.reload()
    page.get_by_role("link", name="Try the winner").click()
    page.get_by_label("Image, .png or .jpg").set_input_files(tmp_path / "new.png")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("img", name="The image, with a numbered frame around each object").wait_for()
    assert page.locator("output").inner_text() == "cat"
    visit.look(f"try-images-{scheme}")
    visit.end()


def test_the_whole_way_by_keyboard(visit, tmp_path):
    place, visit = visit()
    page = visit.page
    (tmp_path / "words.tsv").write_text(WORDS)

    def reach(name, most=40):
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText || document.activeElement.name || ''").strip() == name:
                return
        raise AssertionError(f"{name} cannot be reached by the keyboard")

    reach("New search")
    page.keyboard.press("Enter")
    page.wait_for_url("**/new")
    visit.look("new-keyboard")
    reach("train")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "words.tsv")
    reach("Look at it")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start the search").wait_for()
    visit.look("adjust-keyboard")
    reach("time")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    reach("More")
    page.keyboard.press("Enter")
    reach("trials")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.wait_for_url("**/searches/words")
    place.work()
    page.locator("#live .state.finished").wait_for()
    visit.look("search-keyboard")
    reach("Try the winner")
    page.keyboard.press("Enter")
    page.wait_for_url("**/try")
    visit.look("try-keyboard")
    page.keyboard.type("ab")
    reach("Predict")
    page.keyboard.press("Enter")
    assert page.locator("output").inner_text() == "AB"
    visit.end()


@pytest.mark.parametrize(
    ("scheme", "window"), [("light", DESK), ("dark", DESK), ("dark", PHONE)], ids=["light", "dark", "phone"]
)
def test_a_search_is_followed_while_it_runs(visit, monkeypatch, scheme, window):
    place, visit = visit(color_scheme=scheme, viewport=window)
    page = visit.page
    kind = f"{scheme}-{'phone' if window == PHONE else 'desk'}"
    trainer = Landscape(place.options.checkpoints, waits_at=120)
    monkeypatch.setitem(EXECUTORS, "inline", lambda *_: InlineExecutor(lambda: trainer))
    ada = place.person()
    task = place.task(place.upload(ada)) | {"budget": {"time": "20m", "trials": 16}}
    task |= {"metric": {"name": ["sequence_error_rate", "latency"]}}
    assert ada.post("/v1/searches", json={"task": task}).status_code == 202
    page.goto(f"{visit.base}/searches/words")
    visit.look(f"queued-{kind}")
    worker = threading.Thread(target=place.work)
    worker.start()
    try:
        page.get_by_role("heading", name="The Pareto front").wait_for()
        page.get_by_role("heading", name="Running now").wait_for()
        page.locator(".js-plotly-plot").nth(3).wait_for()
        page.get_by_text("Every dial").click()
        page.get_by_label("Compare trial 0").check()
        page.get_by_label("Time in all").fill("25m")
        page.get_by_role("link", name="Try the winner").focus()
        visit.look(f"live-{kind}")
        before = page.locator("#live dl").first.inner_text()
    finally:
        trainer.gate.set()
        worker.join()
    page.locator("#live .state.finished").wait_for()
    assert page.locator("#live dl").first.inner_text() != before
    assert page.get_by_label("Compare trial 0").is_checked()
    assert page.get_by_label("Time in all").input_value() == "25m"
    assert page.locator("details[open]").get_by_text("Every dial").count() == 1
    assert page.evaluate("document.activeElement.innerText") == "Try the winner"
    visit.look(f"search-{kind}")
    page.get_by_role("link", name="Report", exact=True).click()
    page.locator(".js-plotly-plot").first.wait_for()
    visit.look(f"report-{kind}")
    page.get_by_role("link", name="Back to the search").click()
    page.wait_for_url("**/searches/words")
    visit.end()


def test_the_whole_way_on_a_phone_without_scripts(visit, tmp_path):
    place, visit = visit(java_script_enabled=False, viewport=PHONE)
    page = visit.page
    (tmp_path / "words.tsv").write_text(WORDS)
    page.get_by_role("link", name="New search").click()
    visit.measure("new")
    page.get_by_label("File to learn from").set_input_files(tmp_path / "words.tsv")
    page.get_by_role("button", name="Look at it").click()
    page.get_by_label("Time to search").fill("soon")
    page.get_by_role("button", name="Start the search").click()
    page.get_by_role("alert").wait_for()
    visit.measure("adjust")
    visit.forgive("422")
    page.get_by_label("Time to search").fill("")
    page.get_by_label("Trials, at most").fill("4")
    page.get_by_role("button", name="Start the search").click()
    page.wait_for_url("**/searches/words")
    visit.measure("queued")
    place.work()
    page.reload()
    assert page.get_by_text("Scripts draw this figure").first.is_visible()
    visit.measure("search")
    page.get_by_label("Compare trial 0").check()
    page.get_by_label("Compare trial 2").check()
    page.get_by_role("button", name="Compare two").click()
    visit.measure("compare")
    page.get_by_role("link", name="Trial 2").first.click()
    visit.measure("trial")
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("One source a line").fill("ab")
    page.get_by_role("button", name="Predict, and show where it looks").click()
    assert page.locator("output").inner_text() == "AB"
    visit.measure("try")
    visit.end()


def test_what_is_dropped_is_taken_where_there_is_a_frame_and_nowhere_else(visit, tmp_path):
    _, visit = visit()
    page = visit.page
    (tmp_path / "words.tsv").write_text(WORDS)
    (tmp_path / "folder").mkdir()
    page.goto(f"{visit.base}/new")
    visit.drop(tmp_path / "words.tsv", "h1")
    assert page.url == f"{visit.base}/new"
    assert page.get_by_text("words.tsv is chosen").count() == 0
    visit.drop(tmp_path / "folder", ".drop")
    page.get_by_text("That is a folder").wait_for()
    visit.drop(tmp_path / "words.tsv", ".drop")
    page.get_by_text("words.tsv is chosen").wait_for()
    visit.end()


def test_a_file_that_is_too_large_is_said_before_it_is_sent(running, chromium, tmp_path):
    place, port = running(Limits(rate=1e6, burst=10**6, upload_bytes=2**20))
    visit = Visit(chromium, f"http://127.0.0.1:{port}", place.token())
    (tmp_path / "large.tsv").write_text(WORDS * 10_000)
    visit.page.goto(f"{visit.base}/new")
    visit.page.get_by_label("File to learn from").set_input_files(tmp_path / "large.tsv")
    visit.page.get_by_text("large.tsv has 4 MiB; at most 1 MiB can be sent").wait_for()
    visit.page.get_by_role("button", name="Look at it").click()
    assert visit.page.url == f"{visit.base}/new"
    assert visit.page.get_by_role("heading", name="What it holds").count() == 0
    visit.end()

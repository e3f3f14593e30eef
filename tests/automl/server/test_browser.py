"""The newcomer's path in a real browser, by mouse and by keyboard; nothing comes from elsewhere, and nothing complains.

It needs Chromium; `AUTOML_SCREENSHOTS` names a folder for pictures, `AUTOML_AXE` the script of axe-core to check pages with.
"""

import os
import shutil
import threading
from pathlib import Path

import pytest

from automl.server.options import Limits
from tests.automl.server.service import WORDS
from tests.automl.server.test_images import png, scenes, zipped

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
PHONE = {"width": 360, "height": 740}


class Visit:
    """A browser at a service, and what went wrong in it."""

    def __init__(self, browser, place, port, **options):
        self.base = f"http://127.0.0.1:{port}"
        self.place = place
        self.complaints, self.hosts = [], set()
        self.page = browser.new_context(**options).new_page()
        self.page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # From the first: who asks for choosers as Enter is pressed may be too late, and Chromium opens one of its own.
        self.page.on("filechooser", lambda _: None)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(f"{self.base}/login#{place.token()}")
        self.page.wait_for_url(f"{self.base}/")

    def look(self, name):
        """Check a page, and keep a picture of it."""
        axe = os.environ.get("AUTOML_AXE")
        if axe:
            found = self.page.evaluate(Path(axe).read_text() + "; axe.run()")["violations"]
            assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == [], (name, found)
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, f"{name} is wider than the window"
        folder = os.environ.get("AUTOML_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def end(self):
        assert self.complaints == []
        assert len(self.hosts) == 1
        self.page.context.close()


@pytest.fixture
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [{"width": 1200, "height": 800}, PHONE], ids=["desk", "phone"])
def test_from_a_file_to_a_prediction(running, chromium, tmp_path, scheme, window):
    place, port = running(Limits(rate=1e6, burst=10**6))
    visit = Visit(chromium, place, port, color_scheme=scheme, viewport=window)
    page = visit.page
    kind = f"{scheme}-{'phone' if window == PHONE else 'desk'}"
    (tmp_path / "words.tsv").write_text(WORDS)
    page.get_by_role("link", name="New search").click()
    visit.look(f"new-{kind}")
    page.get_by_label("File to learn from").set_input_files(tmp_path / "words.tsv")
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
    visit.look(f"search-{kind}")
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
    for name in ("", "reference"):
        page.goto(f"{visit.base}/{name}")
        visit.look(f"{name or 'searches'}-{kind}")
    page.goto(f"{visit.base}/searches/nothing")
    visit.look(f"problem-{kind}")
    visit.complaints = [complaint for complaint in visit.complaints if "404" not in complaint]
    page.get_by_role("link", name="To the searches").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{visit.base}/login")
    visit.look(f"login-{kind}")
    visit.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_images_to_boxes(running, chromium, tmp_path, scheme):
    place, port = running(Limits(rate=1e6, burst=10**6))
    visit = Visit(chromium, place, port, color_scheme=scheme, viewport=PHONE)
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


def test_the_whole_way_by_keyboard(running, chromium, tmp_path):
    place, port = running(Limits(rate=1e6, burst=10**6))
    visit = Visit(chromium, place, port)
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

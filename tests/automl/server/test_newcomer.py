"""A newcomer's path as it is: one command, a browser, a file of dates, a search of a minute, a prediction."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.automl.server.browser import NEEDED, Visit
from tests.automl.server.test_serving import PROGRAM

pytestmark = NEEDED
GENERATE = Path(__file__).parents[3] / "examples" / "dates" / "generate.py"
DATES = 4_000
PATIENCE = 900_000
ISO = r"\d{4}-\d\d-\d\d"
LONGER = ("4m", "10m")
"""What somebody grants a search whose minute was not enough on a machine that has other work."""


@contextmanager
def served(folder):
    """`automl serve` in a folder, with its worker: where it serves, and the token that it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOML_")}
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(
            [PROGRAM, "serve", "--port", "0"],
            cwd=folder,
            env=environment | {"AUTOML_CACHE": str(folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        token = child.stdout.readline().strip()
        found = None
        while found is None:
            assert child.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
            found = re.search(r"serving at (http://\S+:\d+)", (folder / "log").read_text())
        yield found[1], token
    finally:
        child.terminate()
        child.wait()
        child.stdout.close()


def tried(page, sources):
    """What the winner says of some sources, as soon as the search has ended."""
    page.locator("#live .state.finished").wait_for()
    page.get_by_role("link", name="Try the winner").click()
    page.get_by_label("One source a line").click()
    page.keyboard.type("\n".join(sources))
    page.get_by_role("button", name="Predict", exact=True).click()
    page.locator("output").first.wait_for()
    return page.locator("output").all_inner_texts()


def test_dates_are_learnt_in_a_minute_by_who_has_a_mouse_and_a_keyboard(chromium, tmp_path):
    subprocess.run([sys.executable, GENERATE, "--out", tmp_path / "data", "--rows", str(DATES)], check=True)
    (tmp_path / "data" / "train.tsv").rename(tmp_path / "data" / "dates.tsv")
    unseen = (tmp_path / "data" / "unseen.txt").read_text().splitlines()
    with served(tmp_path) as (base, token):
        visit = Visit(chromium, base, token)
        page = visit.page
        page.set_default_timeout(PATIENCE)
        page.get_by_role("link", name="Begin the first").click()
        with page.expect_file_chooser() as chooser:
            page.get_by_label("File to learn from").click()
        chooser.value.set_files(tmp_path / "data" / "dates.tsv")
        page.get_by_role("button", name="Look at it").click()
        page.get_by_role("heading", name="What it holds").wait_for()
        page.get_by_label("Time to search").click()
        page.keyboard.press("Control+A")
        page.keyboard.type("60s")
        page.get_by_role("button", name="Start the search").click()
        page.wait_for_url("**/searches/dates")
        outputs = tried(page, unseen)
        for longer in LONGER:
            if all(re.fullmatch(ISO, output) for output in outputs):
                break
            page.goto(f"{base}/searches/dates")
            page.get_by_label("Time in all").fill(longer)
            page.get_by_role("button", name="Set the time").click()
            page.locator("#live .state:not(.finished)").wait_for()
            outputs = tried(page, unseen)
        assert [output for output in outputs if not re.fullmatch(ISO, output)] == []
        assert len(outputs) == len(unseen)
        visit.look("dates")
        page.goto(f"{base}/searches/dates")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the model").click()
        assert re.fullmatch(r"dates-\d+\.zip", download.value.suggested_filename)
        visit.end()

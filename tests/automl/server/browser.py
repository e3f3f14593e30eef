"""A browser at a service: Debian's Chromium, where it is installed.

`AUTOML_SCREENSHOTS` names a folder for pictures, `AUTOML_AXE` the script of axe-core to check pages with.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
NEEDED = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]
DESK, PHONE = {"width": 1200, "height": 800}, {"width": 360, "height": 740}


@contextmanager
def launched() -> Iterator:
    """Yield a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """Somebody who has signed in to a service, and what went wrong on the way."""

    def __init__(self, browser, base, token, **options):
        self.base = base
        self.complaints, self.hosts = [], set()
        self.page = browser.new_context(**options).new_page()
        self.page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # From the first: who asks for choosers as Enter is pressed may be too late, and Chromium opens one of its own.
        self.page.on("filechooser", lambda _: None)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(f"{self.base}/login#{token}")
        if not options.get("java_script_enabled", True):
            self.page.get_by_label("Key").fill(token)
            self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.base}/")

    def look(self, name):
        """Check a page, and keep a picture of it."""
        axe = os.environ.get("AUTOML_AXE")
        if axe:
            found = self.page.evaluate(Path(axe).read_text() + "; axe.run()")["violations"]
            assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == [], (name, found)
        self.measure(name)
        folder = os.environ.get("AUTOML_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def measure(self, name):
        """Check that nothing of a page lies beside the window."""
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, f"{name} is wider than the window"

    def drop(self, path, target):
        """Drop a file on part of a page, as a hand would."""
        box = self.page.locator(target).first.bounding_box()
        there = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        session = self.page.context.new_cdp_session(self.page)
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **there})
        session.detach()

    def forgive(self, status):
        """Chromium complains of every answer that is an error; those with a status were asked for."""
        self.complaints = [complaint for complaint in self.complaints if status not in complaint]

    def end(self):
        assert self.complaints == []
        assert len(self.hosts) == 1
        self.page.context.close()

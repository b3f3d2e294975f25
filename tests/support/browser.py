"""A headless Chromium that shows a page as wide, and in such light, as a test asks for."""

from __future__ import annotations

import base64
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("chromium", "chromedriver")
OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
]
LEFT_OUT = ("about:", "data:", "chrome:", "devtools:")


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, path: Path) -> None:
        """Load a file, with nothing logged before."""
        self._driver.get_log("performance")
        self._driver.get_log("browser")
        self._driver.get(path.as_uri())

    def look(self, *, width: int, scheme: str) -> None:
        """Change the window's width and whether the user likes it light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._do("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._do("Emulation.setEmulatedMedia", features=[feature])

    def run(self, script: str) -> Any:
        """Return what a script of the test finds in the page."""
        return self._driver.execute_script(script)

    def requests(self) -> set[str]:
        """Return every address that was asked for since the page was opened."""
        events = (json.loads(e["message"])["message"] for e in self._driver.get_log("performance"))
        asked = {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }
        return {url for url in asked if not url.startswith(LEFT_OUT)}

    def complaints(self) -> list[str]:
        """Return what stands in the console."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self, *, width: int, height: int) -> bytes:
        """Return the page's upper part as a PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self._do("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    def _do(self, command: str, **parameters: object) -> Any:
        return self._driver.execute_cdp_cmd(command, parameters)


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """Start a browser of one's own.

    Args:
        profile: a folder that need not exist, for this browser alone.
    """
    found = [shutil.which(program) for program in PROGRAMS]
    if None in found:
        missing = f"no {' and '.join(PROGRAMS)}: apt-get install chromium chromium-driver"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    driver = webdriver.Chrome(options, Service(found[1]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()

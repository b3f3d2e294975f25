"""Headless Chromium of a chosen window width and colour scheme."""

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
LEFT_OUT = ("about:", "data:", "chrome:", "chrome-untrusted:", "devtools:")


class Browser:
    """Browser window with one page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, path: Path) -> None:
        """Open a file and clear the logs."""
        self._driver.get_log("performance")
        self._driver.get_log("browser")
        self._driver.get(path.as_uri())

    def visit(self, address: str) -> None:
        """Open an address and clear the logs."""
        self._driver.get_log("performance")
        self._driver.get_log("browser")
        self._driver.get(address)

    def type_into(self, selector: str, text: str) -> None:
        """Type a text into the first element that a CSS selector finds."""
        self._driver.find_element("css selector", selector).send_keys(text)

    def look(self, *, width: int, scheme: str) -> None:
        """Set the window's width and the preferred colour scheme, light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._do("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._do("Emulation.setEmulatedMedia", features=[feature])

    def run(self, script: str) -> Any:
        """Run a script in the page and return its result."""
        return self._driver.execute_script(script)

    def requests(self) -> set[str]:
        """Return the address of every request since the page was opened."""
        events = (json.loads(e["message"])["message"] for e in self._driver.get_log("performance"))
        asked = {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }
        return {url for url in asked if not url.startswith(LEFT_OUT)}

    def complaints(self) -> list[str]:
        """Return the messages of the browser's console."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self, *, width: int, height: int) -> bytes:
        """Return a PNG of the upper part of the page."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self._do("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    def _do(self, command: str, **parameters: object) -> Any:
        return self._driver.execute_cdp_cmd(command, parameters)


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own.

    Args:
        profile: folder of the browser profile, created if missing.
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

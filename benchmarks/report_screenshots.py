"""Screenshots for docs/report.md: wide in light colours, narrow in dark colours.

    .venv/bin/python benchmarks/report_screenshots.py "$(.venv/bin/batch report)"

Needs Debian's chromium and chromium-driver, and at least two runs to compare.
"""

import argparse
import base64
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_MOST_BYTES = 200_000


class Picture(NamedTuple):
    """Screenshot to take."""

    name: str
    width: int
    height: int
    scheme: str
    part: str
    """CSS selector of the element at the top."""


PICTURES = (
    Picture("report-desk.png", 1200, 1060, "light", "#verdict"),
    Picture("report-changes.png", 1200, 900, "light", "#changes"),
    Picture("report-phone.png", 390, 1000, "dark", "#verdict"),
)


def main() -> None:
    """Take all screenshots of the report that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="a report.html")
    report = parser.parse_args().report.resolve()
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    with tempfile.TemporaryDirectory() as profile:
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        try:
            driver.get(report.as_uri())
            for picture in PICTURES:
                take(driver, picture)
        finally:
            driver.quit()


def take(driver: webdriver.Chrome, picture: Picture) -> None:
    """Take one screenshot and print its size."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": picture.width,
            "height": picture.height,
            "deviceScaleFactor": 1,
            "mobile": picture.width < 500,
        },
    )
    light = {"name": "prefers-color-scheme", "value": picture.scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [light]})
    top = driver.execute_script(
        "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY",
        picture.part,
    )
    clip = {"x": 0, "y": top, "width": picture.width, "height": picture.height, "scale": 1}
    taken = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
    )
    content = base64.b64decode(taken["data"])
    if len(content) > _MOST_BYTES:
        raise SystemExit(
            f"{picture.name}: {len(content):,} bytes, expected {_MOST_BYTES:,} at most"
        )
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / picture.name).write_bytes(content)
    print(f"{picture.name}  {picture.width} x {picture.height}  {len(content):,} bytes")


if __name__ == "__main__":
    main()

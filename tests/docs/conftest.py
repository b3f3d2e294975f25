"""A workshop in which the documentation's commands run."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from csv_folders import planted, write_folder
from doc_blocks import ROOT
from real_servers import free_port, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECONDS = 300
TITLES = {1: "Toy Story (1995)", 2: "Heat (1995)"}
# Commands that would take hours run on small data.
SMALL = {
    "--trials 40": "--trials 2",
    "--like ml-32m --scale 0.1": "--like ml-32m --scale 0.0005 --movies 1500",
}
# CI runs the Makefile's targets and installs the example's packages. These shims only check that
# they exist.
# they are there.
SHIMS = {
    "make": 'exec {make} --dry-run --directory {root} "$@"',
    "npm": "exec test -d {root}/docs/examples/node/node_modules",
    "redis-cli": 'exec {redis_cli} -p {port} "$@"',
}


@dataclass(frozen=True)
class Workshop:
    """Folder as after an installation, with a live generation and a server."""

    folder: Path
    environment: Mapping[str, str]
    generation: str
    redis_url: str

    def fitted(self, text: str) -> str:
        """Replace a server's paths and addresses in the documentation by those of the workshop."""
        places = {
            "redis://localhost:6379": self.redis_url.removesuffix("/0"),
            "COMMAND [ARGUMENT ...]": ".venv/bin/python docs/examples/python/conformance.py",
            "/opt/reco/": f"{self.folder}/",
            "/etc/reco": f"{self.folder}/etc/reco",
            "/srv/ratings": f"{self.folder}/path/to/folder",
            "/var/lib/reco": f"{self.folder}/home",
        }
        for shown, real in {**places, **SMALL}.items():
            text = text.replace(shown, real)
        return re.sub(r"\bGENERATION\b", self.generation, text)

    def run(
        self, *command: str, text: str = "", cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, by default in the workshop's folder."""
        return subprocess.run(
            command,
            input=text,
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """Publish a small run to the embedded store and to a Redis."""
    folder = Path(tempfile.mkdtemp(prefix="reco-"))  # a socket's path must be short
    port = free_port()
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "docs").symlink_to(ROOT / "docs")
    _write_data(folder / "path" / "to" / "folder")
    environment = {
        "HOME": str(folder),
        "PATH": f"{_shims(folder / 'shims', port)}:{os.environ['PATH']}",
        "RECO_HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    url = f"redis://localhost:{port}/0"
    (folder / "etc" / "reco").mkdir(parents=True)
    (folder / "etc" / "reco" / "reco.toml").write_text("ranked_k = 500\n", "utf-8")
    (folder / "etc" / "reco.env").write_text(f"export REDIS_URL={url}\n", "utf-8")
    shop = Workshop(folder, environment, "", url)
    try:
        with running_server("--port", str(port), "--bind", "127.0.0.1"):
            night = shop.run(".venv/bin/batch", "run", "--data", "path/to/folder")
            assert night.returncode == 0, night.stderr
            generation = night.stdout.split()[1]
            again = shop.run(".venv/bin/batch", "republish", generation, "--redis-url", url)
            assert again.returncode == 0, again.stderr
            yield Workshop(folder, environment, generation, url)
    finally:
        for home in (folder / "home", *folder.glob("*/home")):  # some pages use a home of their own
            shop.run(".venv/bin/batch", "store", "stop", "--home", str(home))
        shutil.rmtree(folder)


def _write_data(folder: Path) -> None:
    """Write data that the examples need: user 42, two films by name, a Western."""
    ratings, movies = planted()
    named = [
        (number, TITLES.get(number, title), f"{genres}|Western" if number % 2 else genres)
        for number, title, genres in movies
    ]
    write_folder(folder, ratings, named)


def _shims(folder: Path, port: int) -> Path:
    folder.mkdir()
    for name, line in SHIMS.items():
        words = line.format(
            root=ROOT, port=port, make=shutil.which("make"), redis_cli=shutil.which("redis-cli")
        )
        path = folder / name
        path.write_text(f"#!/bin/sh\n{words}\n", "utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder

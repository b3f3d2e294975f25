"""Nights that are killed and resumed, as processes, and what is left of them."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reco_store import Keys, connect

NAMESPACE = "resumed"
KEYS = Keys(NAMESPACE)
FORCE = ("--force", "nights of other models went before")
OPTIONS = ("--checkpoint-seconds", "0", "--namespace", NAMESPACE, *FORCE)
KILLED = -9
_PROGRAM = Path(__file__).with_name("dying.py")


@dataclass(frozen=True)
class ResumedNights:
    """Runs nights on the same data for the same server.

    Args:
        data: folder of the ratings and movies.
        url: of a server that only these nights use.
    """

    data: Path
    url: str

    def run(
        self,
        home: Path,
        *words: str,
        at: object = 0,
        of: str = "SIGKILL",
        models: str = "small",
    ) -> tuple[int, list[str]]:
        """Run a night in a home; it dies at a step, if one is given, of a signal or of ENOSPC.

        Returns:
            Its exit code, and the lines of standard error.
        """
        self.end_lease()
        ended = subprocess.run(
            [sys.executable, _PROGRAM, "run", "--data", self.data, *OPTIONS, *words],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "REDIS_URL": self.url,
                "RECO_HOME": str(home),
                "DIE_AT": str(at),
                "DIE_OF": of,
                "MODELS": models,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return ended.returncode, ended.stderr.splitlines()

    def end_lease(self) -> None:
        """Let the lock of a killed night go, as it does after a minute."""
        with connect(self.url) as client:
            client.delete(KEYS.lock)

    def require_live(self, home: Path) -> None:
        """The artifact is complete and served, and nothing is unfinished."""
        self.require_served(home)
        assert not any((home / "unfinished").iterdir())

    def require_served(self, home: Path) -> None:
        """The artifact is what readers see."""
        with connect(self.url) as client:
            assert client.get(KEYS.current).decode() == artifact(home).name


def artifact(home: Path) -> Path:
    """Return the folder of the only artifact."""
    (folder,) = (home / "artifacts").iterdir()
    return folder


def is_unfinished(home: Path) -> bool:
    """Tell whether there is a night to go on with, or one that has not begun to keep anything."""
    folder = home / "unfinished" / NAMESPACE
    return any(folder.glob("*/night.json")) or not any((home / "artifacts").glob("*/manifest.json"))


def unfinished(home: Path) -> Path:
    """Return the folder of the only unfinished night."""
    (folder,) = (home / "unfinished" / NAMESPACE).iterdir()
    return folder


def answers(home: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the digests of all lists, cards and weights, and the manifest.

    Without names and times, and without the gate's report and outcome, which depend on the store.
    """
    folder = artifact(home)
    weights = folder.glob("models/*/variables/variables.data-*")
    files = [*folder.glob("lists/*"), folder / "movies.parquet", *weights]
    sums = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for other in ("generation", "created", "began", "seconds", "losses", "gate"):
        del manifest[other]
    manifest.pop("published", None)  # written with the outcome
    return sums, manifest

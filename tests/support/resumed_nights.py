"""Runs in processes that are killed and resumed, and their remains."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reco_store import Keys, connect

NAMESPACE = "resumed"
KEYS = Keys(NAMESPACE)
FORCE = ("--force", "nights of other models went before")
OPTIONS = ("--checkpoint-seconds", "0", "--namespace", NAMESPACE, *FORCE)
KILLED = -9
_PROGRAM = Path(__file__).with_name("killed_batch.py")


@dataclass(frozen=True)
class ResumedNights:
    """Runs on the same data for the same server.

    Args:
        data: folder of the ratings and movies.
        url: of a server that is used by no other test.
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
        """Run in a home; optionally die at a step by a signal or by ENOSPC.

        Returns:
            The exit code, and the lines of standard error.
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
        """Release the lock of a killed run, as its expiry does after a minute."""
        with connect(self.url) as client:
            client.delete(KEYS.lock)

    def require_live(self, home: Path) -> None:
        """Require a complete and live artifact, with nothing unfinished."""
        self.require_served(home)
        assert not any((home / "unfinished").iterdir())

    def require_served(self, home: Path) -> None:
        """Require that readers see the artifact's generation."""
        with connect(self.url) as client:
            assert client.get(KEYS.current).decode() == artifact(home).name


def artifact(home: Path) -> Path:
    """Return the folder of the only artifact."""
    (folder,) = (home / "artifacts").iterdir()
    return folder


def is_unfinished(home: Path) -> bool:
    """Return whether there is a run to resume or one that has kept nothing yet."""
    folder = home / "unfinished" / NAMESPACE
    return any(folder.glob("*/night.json")) or not any((home / "artifacts").glob("*/manifest.json"))


def unfinished(home: Path) -> Path:
    """Return the folder of the only unfinished run."""
    (folder,) = (home / "unfinished" / NAMESPACE).iterdir()
    return folder


def settled(run: Callable[[], Path]) -> Path:
    """Run until a run keeps the choice of the one before it, and return its home.

    Every run starts from the choice of the last one, so only then do equal runs have equal answers.
    """
    before = None
    for _ in range(6):
        home = run()
        manifest = json.loads((artifact(home) / "manifest.json").read_text("utf-8"))
        before, last = manifest["metrics"]["chosen"]["retrieval"], before
        if before == last:
            return home
    raise AssertionError("the choice changes with every run")


def answers(home: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the digests of all lists, cards and weights, and the manifest.

    Names and times are left out, and so are the gate's report, outcome and hindsight:
        they depend on the store.
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
    for other in ("published", "hindsight"):  # the outcome, and the figures of what was live
        manifest.pop(other, None)
    return sums, manifest

"""Runs in child processes that can be killed or stopped at any byte they send.

``Nights`` starts this file as a program, which imports the store once and forks for every run.
An *instant* is (number of a send, share of its bytes, signal): the run sends that share of the
bytes, then signals itself before it sends the rest. A server cannot distinguish moments between
two sends, so these are all instants there are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

from redis.connection import AbstractConnection

from real_servers import wait_until
from reco_store.connection import transfer
from reco_store.connection.connect import connect
from reco_store.contract.keys import Keys
from reco_store.control.lock import RunLock
from reco_store.publishing.outcome import GateInput, Verdict
from reco_store.publishing.promotion import promote
from reco_store.publishing.publisher import publish
from reco_terminal.console import guard
from small_generations import small_night

Instant = tuple[int, float, str]


class Night:
    """One forked run, observed and controlled by the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> dict[str, Any]:
        """Return its process id, and its exit code or "stopped"."""
        try:
            content: dict[str, Any] = json.loads((self.folder / "state").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return content

    def wait(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        wait_until(lambda: "code" in self.state())
        return int(self.state()["code"])

    def wait_until_stopped(self) -> bool:
        """Wait until it stops itself; return False if it ends first."""
        wait_until(lambda: "stopped" in self.state() or "code" in self.state())
        return "stopped" in self.state()

    def is_at(self, word: str) -> bool:
        """Return whether it has reached its gate ("gate") or reported its sends ("sends")."""
        return (self.folder / word).exists()

    def go_on(self) -> None:
        """Let it continue from its gate or after it stopped itself."""
        (self.folder / "go").touch()
        if "stopped" in self.state():
            os.kill(self.state()["pid"], signal.SIGCONT)

    @property
    def sends(self) -> int:
        """Number of sends of the whole run."""
        return int((self.folder / "sends").read_text("utf-8"))

    @property
    def stderr(self) -> str:
        """Contents of its standard error."""
        return (self.folder / "err").read_text("utf-8")


class Nights:
    """Program that forks runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = count()
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, text=True
        )

    def start(self, url: str, number: int, **options: Any) -> Night:
        """Start a run; ``options`` are those of ``_be``."""
        folder = self.folder / f"night{next(self.numbers)}"
        folder.mkdir()
        request = {"folder": str(folder), "url": url, "number": number, **options}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Night(folder)

    def close(self) -> None:
        """End the program; unfinished runs end by themselves."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def _main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for the watchers
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(json.loads(line))
            os._exit(0)


def _watch(request: dict[str, Any]) -> None:
    """Fork the run and write its outcome to a file."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(request.pop("folder"))
    pid = os.fork()
    if pid == 0:
        os._exit(_run(folder, request))
    while True:
        status = os.waitpid(pid, os.WUNTRACED)[1]
        if os.WIFSTOPPED(status):
            _write(folder, {"pid": pid, "stopped": True})
        else:
            _write(folder, {"pid": pid, "code": os.waitstatus_to_exitcode(status)})
            return


def _write(folder: Path, state: dict[str, Any]) -> None:
    new = folder / "new"
    new.write_text(json.dumps(state), "utf-8")
    new.rename(folder / "state")


def _run(folder: Path, request: dict[str, Any]) -> int:
    err = os.open(folder / "err", os.O_CREAT | os.O_WRONLY)
    os.dup2(err, 2)
    sends = _strike_at(request.pop("instant", None))
    try:
        with guard():
            _be(folder, **request)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stderr.flush()
    (folder / "sends").write_text(str(sends[0]), "utf-8")
    return 0


def _be(
    folder: Path,
    *,
    url: str,
    number: int,
    users: int = 3,
    keep: int = 1,
    lease: float = 60.0,
    batch: int = 5,
    waits: bool = False,
    heartbeat: bool = False,
    switch: bool = True,
    promotes: bool = False,
) -> None:
    """Publish, stage or promote a generation in small batches, so that there are many instants."""
    transfer.MAX_BATCH_COMMANDS = transfer.UNLINK_BATCH_KEYS = batch

    def gate(_: GateInput) -> Verdict:
        (folder / "gate").touch()
        while waits and not (folder / "go").exists():
            time.sleep(0.005)
        return Verdict(passed=True)

    keys = Keys("reco")
    with connect(url) as client:
        lock = RunLock(client, keys, lease_seconds=lease, heartbeat=heartbeat)
        night = small_night(number, users)
        with lock:
            if promotes:
                promote(night.generation, lock=lock, keep=keep)
            else:
                publish(client, keys, night, lock=lock, keep=keep, gate=gate, switch=switch)


def _strike_at(instant: Instant | None) -> list[int]:
    """Count the sends of every connection and strike in the middle of one."""
    send = AbstractConnection.send_packed_command
    sends = [0]

    def striking(self, command, check_health=True):  # noqa: FBT002  the library's signature
        pieces = [command] if isinstance(command, (str, bytes)) else list(command)
        data = b"".join(p.encode() if isinstance(p, str) else p for p in pieces)
        if not self._sock:
            self.connect()
        sends[0] += 1
        if instant is not None and sends[0] == instant[0]:
            passed = round(instant[1] * len(data))
            if passed:
                self._sock.sendall(data[:passed])
            os.kill(os.getpid(), signal.Signals[instant[2]])
            data = data[passed:]
            if not data:
                return
        send(self, [data], check_health=check_health)

    # the class that connects does not override this
    AbstractConnection.send_packed_command = striking
    return sends


if __name__ == "__main__":
    _main()

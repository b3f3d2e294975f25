"""Machines of a network on this one: network namespaces that a cable joins, for root on Linux."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESSES = ("10.213.77.1", "10.213.77.2")


class Machine:
    """Network namespace with its own loopback and address.

    Args:
        name: of the namespace.
        cable: name of its end of the cable.
        address: IPv4 address of that end.
    """

    def __init__(self, name: str, cable: str, address: str) -> None:
        self.name, self.cable, self.address = name, cable, address

    def start(self, *command: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start a process on the machine."""
        words = ("ip", "netns", "exec", self.name, *map(str, command))
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, **options)

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the machine."""
        pids = map(int, _ip("netns", "pids", self.name).split())
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def kill(self) -> None:
        """Kill all processes; their connections are closed, as by a machine that restarts."""
        running = self.processes()
        for process in running:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(running, timeout=30)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Yield two machines that a cable joins; skip the test where they cannot be made.

    In the end all of their processes must have ended.
    """
    if shutil.which("ip") is None:
        pytest.skip("there is no command ip (package iproute2)")
    number = os.getpid()
    machines = [
        Machine(f"reco-{number}-{place}", f"reco{number}{place}"[-15:], address)
        for place, address in zip("ab", _ADDRESSES, strict=True)
    ]
    one, other = machines
    with ExitStack() as stack:
        try:
            for machine in machines:
                _ip("netns", "add", machine.name)
                stack.callback(_ip, "netns", "del", machine.name)
            ends = ("link", "add", one.cable, "netns", one.name, "type", "veth")
            _ip(*ends, "peer", "name", other.cable, "netns", other.name)
            for machine in machines:
                inside = ("-n", machine.name)
                _ip(*inside, "address", "add", f"{machine.address}/24", "dev", machine.cable)
                for link in ("lo", machine.cable):
                    _ip(*inside, "link", "set", link, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield one, other
        assert not [process for machine in machines for process in machine.processes()]


def _ip(*words: str) -> str:
    done = subprocess.run(("ip", *words), capture_output=True, text=True, check=True)
    return done.stdout

"""A command with its standard output on a terminal of a given width."""

import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """What a command has shown."""

    code: int
    out: str
    err: str

    @property
    def bare(self) -> str:
        """Standard output without styles."""
        return _STYLE.sub("", self.out)


def show(
    words: Sequence[object], environment: Mapping[str, str], *, columns: int, **more: str
) -> Shown:
    """Run a command; keyword arguments add to the environment, in which COLUMNS is not set."""
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (50, columns))
    known = {name: value for name, value in environment.items() if name != "COLUMNS"}
    with subprocess.Popen(
        list(map(str, words)),
        env={"TERM": "xterm-256color", **known, **more},
        stdin=its,
        stdout=its,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(its)
        out = read_all(mine)
        err = process.stderr.read() if process.stderr else b""
    os.close(mine)
    return Shown(process.returncode, out.decode().replace("\r\n", "\n"), err.decode())


def read_all(terminal: int) -> bytes:
    """Return what a terminal has shown when whoever wrote to it has ended."""
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side is closed
            return shown
        if not piece:
            return shown
        shown += piece

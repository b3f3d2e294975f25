"""Commands that write to a terminal of a given width."""

import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """Output of a command."""

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
    """Run a command; keyword arguments set environment variables, and COLUMNS is unset."""
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
    """Read a terminal until the writer has closed it."""
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux raises this when the other side is closed
            return shown
        if not piece:
            return shown
        shown += piece

"""Text layout for a terminal, in cells: wide characters and emoji count as two."""

import io
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reco_batch.errors import reason_of
from reco_terminal.console import discard_output

#: Gap between the parts of a line, where `fit_to_terminal` breaks it first.
PART_GAP: Final = " " * 3
_MINUTE: Final = 60
_HOUR: Final = 3600


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns no wider than the terminal; long cells are folded.

    Args:
        header: the name of each column.
        rows: printable texts, one per column.
    """
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in header:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    page = io.StringIO()
    # Unstyled, so there is nothing that NO_COLOR or a dumb terminal would have to remove.
    Console(file=page, width=_width(), color_system=None, legacy_windows=False).print(drawn)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


@contextmanager
def print_errors_as_warnings() -> Iterator[None]:
    """Turn a failure to print results of finished work into a warning: the exit code stays."""
    try:
        yield
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001  # whatever made the summary fail
        discard_output()
        print(f"warning: the summary could not be printed: {reason_of(error)}", file=sys.stderr)  # noqa: T201


def fit_to_terminal(text: str) -> str:
    """Return a text no wider than the terminal; unchanged if standard output is not a terminal.

    A line `label      value` that is too wide continues below its value: each part of the value
    gets a line, and words wrap. A line indented by two is a command to be copied, so it continues
    after a backslash. A path, with or without blanks, and an id stay whole, however narrow the
    terminal.
    """
    if not sys.stdout.isatty():
        return text
    width = _width()
    return "\n".join(part for line in text.splitlines() for part in _fit_line(line, width))


def _fit_line(line: str, width: int) -> Iterator[str]:
    label, _, value = line.partition("  ")
    if cell_len(line) <= width or (label and value.lstrip().startswith("/")):
        yield line
    elif line.startswith("  ") and line[2:3] != " ":
        quoted = map(shlex.quote, shlex.split(line))
        *before, last = _fill(quoted, width - 4)  # two cells before a line, two after it
        yield from (f"  {part} \\" for part in before)
        yield f"  {last}"
    else:
        indent = len(line) - len(value.lstrip()) if value else 0
        parts = line[indent:].split(PART_GAP)
        first, *rest = [row for part in parts for row in _fill(part.split(), width - indent)]
        yield line[:indent] + first
        yield from (" " * indent + row for row in rest)


def _fill(words: Iterable[str], width: int) -> list[str]:
    """Put words into as few lines as have room for them."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def wrap(text: str, width: int) -> list[str]:
    """Break a text into lines of a width at its blanks; a word that is wider stays whole."""
    lines = [""]
    for piece in re.findall(r" *[^ ]+", text):
        if lines[-1] and cell_len(lines[-1] + piece) > width:
            lines.append(piece.lstrip())
        else:
            lines[-1] += piece
    return lines


def duration(seconds: float) -> str:
    """Format a duration: `0.3 s`, `42 s`, `2 min 05 s`, `3 h 07 min`."""
    if seconds < 0.05:
        return "< 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02} min"


def _width() -> int:
    return Console().width

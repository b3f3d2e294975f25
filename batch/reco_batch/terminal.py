"""Text that fits the terminal, in cells: wide characters and emoji count as what they take."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, no wider than the terminal; what does not fit goes on below.

    Args:
        header: the name of each column.
        rows: printable texts, one a column.
    """
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in header:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    page = io.StringIO()
    # Not styled, so there is nothing that NO_COLOR or a dumb terminal would have to take away.
    width = Console().width
    Console(file=page, width=width, color_system=None, legacy_windows=False).print(drawn)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())

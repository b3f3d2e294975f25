"""Pages drawn as tables on a terminal. The only module that needs rich.

One movie is one line: a text that does not fit ends in an ellipsis. On a narrow terminal genres and
titles share the remaining width, and if that is too little for a title, columns are left out, the
least needed first. Explanations, which are shown on request only, are cut before the year goes.
Widths are counted in terminal cells, so CJK titles and emoji keep the columns aligned. rich leaves
colours out if NO_COLOR is set.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reco_cli import page_texts
from reco_cli.page import Page
from reco_terminal.console import printable

_GAP = 2  # cells between two columns
_LEAST_TITLE = 20  # a title is cut to this before another column is left out
_LEAST_BECAUSE = 20
_LEAST_GENRES = 12  # narrower genres are not worth the room
_GENRES_SHARE = 0.35  # of the width for text, if neither titles nor genres fit

# The columns in their order, each with its alignment.
_JUSTIFY: dict[str, Literal["left", "right"]] = {
    "#": "right",
    "id": "right",
    "title": "left",
    "year": "right",
    "genres": "left",
    "score": "right",
    "source": "left",
    "because": "left",
}
_LEFT_OUT_FIRST = ("genres", "source", "year", "because", "score")


def draw(page: Page) -> None:
    """Draw a page on standard output."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(Text(printable(page.heading), style="bold"))
    for number, grid in enumerate(_fact_grids(page.facts, console.width) if page.facts else ()):
        if number:
            console.print()
        console.print(grid)
    if page.rows:
        console.print(_row_table(page, console.width))
    for note in page.notes:
        console.print(Text(f"Note: {printable(note)}", style="yellow"))
    if page.footer:
        console.print(Text(printable(page.footer), style="dim"))


def column_widths(needs: Mapping[str, int], width: int) -> dict[str, int]:
    """Distribute the width of the terminal over the columns.

    Args:
        needs: width of the widest cell in each column, in terminal cells.
        width: width of the terminal, in cells.

    Returns:
        The columns to show, each with its width: with the gaps no wider than the terminal, unless
        that is too narrow even for a title alone.
    """
    widths = dict(needs)
    for name in ("", *_LEFT_OUT_FIRST):
        widths.pop(name, None)
        fixed = sum(need for column, need in widths.items() if column not in {"title", "genres"})
        room = width - fixed - _GAP * (len(widths) - 1)
        genres = _genres_width(widths.get("genres", 0), needs["title"], room)
        lacking = min(needs["title"], _LEAST_TITLE) - (room - genres)
        if name == "source" and 0 < lacking <= widths.get("because", 0) - _LEAST_BECAUSE:
            widths["because"] -= lacking
            room, lacking = room + lacking, 0
        if lacking <= 0:
            break
    shared = {"title": max(1, min(needs["title"], room - genres)), "genres": genres}
    return {name: shared.get(name, need) for name, need in widths.items()}


def _genres_width(need: int, title_need: int, room: int) -> int:
    """Return the width that titles leave to genres, or the genres' share if both need more."""
    return min(need, max(room - title_need, _LEAST_GENRES, int(room * _GENRES_SHARE)))


def _row_table(page: Page, width: int) -> Table:
    cells = {
        "#": [str(row.rank) for row in page.rows],
        "id": [row.movie_id if page.show_ids else "" for row in page.rows],
        "title": [page_texts.bare_title(row.title, row.year) for row in page.rows],
        "year": ["" if row.year is None else str(row.year) for row in page.rows],
        "genres": [", ".join(row.genres) for row in page.rows],
        "score": [row.score for row in page.rows],
        "source": [row.source_words or page_texts.source_words(row.source) for row in page.rows],
        "because": [row.because for row in page.rows],
    }
    shown = {
        name: [printable(text) for text in texts] for name, texts in cells.items() if any(texts)
    }
    needs = {name: max(map(cell_len, (name, *texts))) for name, texts in shown.items()}
    widths = column_widths(needs, width)

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for name, size in widths.items():
        table.add_column(name, justify=_JUSTIFY[name], no_wrap=True, width=size)
    for texts in zip(*(shown[name] for name in widths), strict=True):
        table.add_row(*map(Text, texts))
    return table


def column_blocks(needs: Sequence[int], room: int) -> list[slice]:
    """Divide columns into blocks, drawn one below the other, each as wide as fits.

    Args:
        needs: width of the widest cell in each column, in terminal cells.
        room: width of one block, without the names at its left.

    Returns:
        The columns of each block, in order: as many as fit with their gaps, at least one.
    """
    blocks: list[slice] = []
    start, used = 0, 0
    for index, need in enumerate(needs):
        used += _GAP + need
        if index > start and used > room:
            blocks.append(slice(start, index))
            start, used = index, _GAP + need
    return [*blocks, slice(start, len(needs))]


def _fact_grids(facts: Sequence[tuple[str, ...]], width: int) -> Iterator[Table]:
    names = [f"  {printable(name)}" for name, *_ in facts]
    columns = list(zip(*(map(printable, values) for _, *values in facts), strict=True))
    needs = [max(map(cell_len, column)) for column in columns]
    for block in column_blocks(needs, width - max(map(cell_len, names))):
        grid = Table.grid(padding=(0, _GAP))
        grid.add_column(no_wrap=True)
        for _ in columns[block]:
            grid.add_column(overflow="fold")
        for name, *values in zip(names, *columns[block], strict=True):
            grid.add_row(Text(name, style="dim"), *map(Text, values))
        yield grid

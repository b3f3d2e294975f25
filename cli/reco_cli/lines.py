r"""Pages as tab-separated lines, for pipes: `reco get-user 42 | cut -f2`.

A listing has one line an item and seven columns: rank, movieId, score, source, title,
year, genres; where reasons are asked for, a movie that has one has an eighth, its title.
Genres are joined by `|`; what does not exist is an empty field. An empty listing has no
line. `status` has one line a value: its dotted name, as in the JSON object, and the value, or
side by side one of each namespace.
There is no header and no colour. Tabs, newlines and every other control character inside a
value are written as an escape such as `\t`, so a line is always one record and a column
always one field.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from reco_cli.document import flattened
from reco_cli.page import Page, Row
from reco_terminal.console import printable


def result_lines(page: Page) -> Iterator[str]:
    """Yield the lines that belong to standard output, without line ends."""
    if page.listing:
        yield from map(_row_line, page.rows)
    else:
        yield from _value_lines(page.document)


def note_lines(page: Page) -> Iterator[str]:
    """Yield the lines about the result, which belong to standard error."""
    if not page.listing:
        return
    for name, *values in page.facts:
        yield f"{name}: {printable(' '.join(values))}"
    for note in (*page.notes, page.footer):
        yield f"note: {printable(note)}"


def _value_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for every name that one of the objects has, in each a field for every object."""
    first = {name: value for name, value in document.items() if name != "beside"}
    columns = [dict(flattened(part)) for part in (first, *document["beside"])]
    for name in dict.fromkeys(name for column in columns for name in column):
        yield "\t".join(map(printable, (name, *(column.get(name, "") for column in columns))))


def _row_line(row: Row) -> str:
    year = "" if row.year is None else str(row.year)
    fields = [row.movie_id, row.score, row.source, row.title, year, "|".join(row.genres)]
    if row.because:
        fields.append(row.because)
    return "\t".join((str(row.rank), *map(printable, fields)))

r"""Output of a page: a table on a terminal, tab-separated lines in a pipe, or one JSON object.

Results go to standard output. Notes about them go to standard error, except on a terminal, where
both are part of one picture.

Lines are for pipes, as in `reco get-user 42 | cut -f2`. A listing has one line an item and seven
columns: rank, movieId, score, source, title, year, genres; an eighth, the title of its explanation,
follows if explanations are asked for and the item has one. Genres are joined by `|`; an absent
value is an empty field; an empty listing has no line. `status` has one line a value: the dotted
name of the JSON object, and a field for each namespace.

There is no header and no colour. Tabs, newlines and every other control character inside a value
are written as an escape such as `\t`, so a line is always one record and a column always one field.
"""

import sys
from collections.abc import Iterator
from io import TextIOWrapper

from reco_cli.document import flattened, json_text
from reco_cli.page import Page, Row
from reco_store import NotInstalled
from reco_terminal.console import printable


def write(page: Page, *, as_json: bool) -> None:
    """Write a page to standard output in the form that suits it.

    Args:
        page: the answer of a command.
        as_json: write the JSON object, whatever standard output is.

    Raises:
        NotInstalled: standard output is a terminal, and rich is missing.
        RecoError: the page's own error, after it is written.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # An output in another encoding gets an escape for each character it cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        utf8 = sys.stdout.encoding.lower() == "utf-8"
        text = json_text(page.document, indented=sys.stdout.isatty(), ascii_only=not utf8)
        sys.stdout.write(text)
    elif sys.stdout.isatty():
        _draw(page)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _result_lines(page))
        sys.stderr.writelines(f"{line}\n" for line in _note_lines(page))
    if page.error is not None:
        sys.stdout.flush()
        raise page.error


def _draw(page: Page) -> None:
    try:
        from reco_cli.table import draw  # noqa: PLC0415 - rich is loaded for a table only
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        raise NotInstalled("a table on the terminal", "cli") from error
    draw(page)


def _result_lines(page: Page) -> Iterator[str]:
    """Yield the lines for standard output, without line ends."""
    return map(_row_line, page.rows) if page.listing else _value_lines(page)


def _note_lines(page: Page) -> Iterator[str]:
    """Yield the lines about the result, for standard error."""
    if page.listing:
        for name, *values in page.facts:
            yield f"{name}: {printable(' '.join(values))}"
    # The footer of a page of facts is advice for a terminal.
    for note in (*page.notes, page.footer) if page.listing else page.notes:
        yield f"note: {printable(note)}"


def _value_lines(page: Page) -> Iterator[str]:
    """Yield a line for each name that any of the objects has, with a field for every object."""
    first = {name: value for name, value in page.document.items() if name != "beside"}
    columns = [dict(flattened(part)) for part in (first, *page.document["beside"])]
    for name in dict.fromkeys(name for column in columns for name in column):
        if page.value_names is None or name in page.value_names:
            yield "\t".join(map(printable, (name, *(column.get(name, "") for column in columns))))


def _row_line(row: Row) -> str:
    year = "" if row.year is None else str(row.year)
    fields = [row.movie_id, row.score, row.source, row.title, year, "|".join(row.genres)]
    if row.because:
        fields.append(row.because)
    return "\t".join((str(row.rank), *map(printable, fields)))

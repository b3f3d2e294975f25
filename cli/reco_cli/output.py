"""Writes a page: a table on a terminal, lines in a pipe, or one JSON object.

Results go to standard output. What is said about them goes to standard error, except on
a terminal, where both belong to one picture.
"""

import sys
from io import TextIOWrapper

from reco_cli.document import json_text
from reco_cli.lines import note_lines, result_lines
from reco_cli.page import Page
from reco_store import NotInstalled


def write(page: Page, *, as_json: bool) -> None:
    """Write a page to standard output in the form that suits it.

    Args:
        page: what is to be written.
        as_json: write the JSON object, whatever standard output is.

    Raises:
        NotInstalled: standard output is a terminal, and rich is missing.
        RecoError: the page's own error, after it is written.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # An output in another encoding gets an escape for what it cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        utf8 = sys.stdout.encoding.lower() == "utf-8"
        text = json_text(page.document, indented=sys.stdout.isatty(), ascii_only=not utf8)
        sys.stdout.write(text)
    elif sys.stdout.isatty():
        _draw(page)
    else:
        sys.stdout.writelines(f"{line}\n" for line in result_lines(page))
        sys.stderr.writelines(f"{line}\n" for line in note_lines(page))
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

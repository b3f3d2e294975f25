"""Headers of input files: every fault at once, and which column probably is which."""

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.conversions import cell_of
from reco_batch.ingest.csv_form import CsvForm, looks_like_data

_SHOWN_NAMES: Final = 12
_TYPES: Final[Mapping[c.Kind, str]] = {
    c.Kind.ID: "ids as text, whole numbers or UUIDs",
    c.Kind.STARS: "numbers",
    c.Kind.TIME: "timestamps, dates, or whole numbers since 1970",
    c.Kind.TITLE: "text",
    c.Kind.GENRES: "text with | between genres, or lists of text",
}


def merged(refused: Sequence[DataRefused]) -> DataRefused:
    """Return one refusal for several faults."""
    first, *others = refused
    if not others:
        return first
    also = "".join(f" Also {other}" for other in others)
    return DataRefused(first.found, first.expected, first.remedy + also, first.file, first.line)


def header_refusals(
    name: str,
    found: Sequence[str],
    types: Sequence[pa.DataType] | None,
    columns: Mapping[str, c.Kind],
    form: CsvForm | None,
) -> list[DataRefused]:
    """Return all that is wrong with the columns of a file.

    Args:
        name: of the file.
        found: names of its columns.
        types: of its columns; None for CSV.
        columns: that are read.
        form: of a CSV file.
    """
    line = None if form is None else form.header_line
    if form is not None and looks_like_data(found):
        wanted = list(columns)[: len(found)]
        return [
            DataRefused(
                f"the first line, {form.delimiter.join(found)!r}, looks like a row",
                "a header with the names of the columns",
                f"Put the line {form.delimiter.join(wanted)} above it.",
                name,
                line,
            )
        ]
    places = c.matched(found, tuple(columns))
    refused = [
        DataRefused(
            f"{len(at)} columns are named {column!r}",
            "one of each name",
            "Remove or rename the others.",
            name,
            line,
        )
        for column, at in places.items()
        if len(at) > 1
    ]
    missing = [column for column in columns if column not in places and column not in c.OPTIONAL]
    others = [one for one in found if not c.matched([one], tuple(columns)) and not c.is_index(one)]
    if missing and (missing != [c.RATING] or others):
        refused.insert(0, _lacking(name, found, (missing, others), columns, form))
    if types is not None:
        kinds = {column: types[at[0]] for column, at in places.items()}
        refused += [
            _refused_type(name, column, kind, columns[column])
            for column, kind in kinds.items()
            if cell_of(columns[column], kind).convert is None
        ]
    return refused


def header_notes(name: str, found: Sequence[str], columns: Mapping[str, c.Kind]) -> list[str]:
    """Return a note for each optional column that a file probably has under another name."""
    places = c.matched(found, tuple(columns))
    others = [one for one in found if not c.matched([one], tuple(columns))]
    lacking = [column for column in columns if column in c.OPTIONAL and column not in places]
    guesses = c.guessed(others, lacking)
    return [
        f"{name} has no column {column!r}; {other!r} is not read: if that is it, name it {column}"
        for other, column in guesses.items()
    ]


def _lacking(
    name: str,
    found: Sequence[str],
    lacking: tuple[Sequence[str], Sequence[str]],
    columns: Mapping[str, c.Kind],
    form: CsvForm | None,
) -> DataRefused:
    """Return the refusal of a file without some columns, with the header that it should have."""
    missing, others = lacking
    places = c.matched(found, tuple(columns))
    guesses = c.guessed(others, [column for column in columns if column not in places])
    header = [guesses.get(one, one) for one in found]
    advice = []
    if guesses:
        likely = ", ".join(f"{one!r} is probably {column}" for one, column in guesses.items())
        write = "Name the columns" if form is None else "Write the header"
        advice.append(f"{write} {(form.delimiter if form else ',').join(header)}: {likely}.")
    unknown = [column for column in missing if column not in guesses.values()]
    if unknown:
        advice.append(
            f"Add {', '.join(map(repr, unknown))}, or give that name to the column that has it."
        )
    if missing == [c.RATING]:
        advice.append(f"If nobody gives stars, leave out {_named(others)}.")
    return DataRefused(
        f"the columns are {_named(found)}",
        f"also {_named(missing)}",
        " ".join(advice),
        name,
        None if form is None else form.header_line,
    )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(repr(one[:40]) for one in names[:_SHOWN_NAMES]) + more


def _refused_type(name: str, column: str, kind: pa.DataType, of: c.Kind) -> DataRefused:
    remedy = "Write the column in one of these types."
    if pa.types.is_null(kind):
        remedy = "Leave the column out." if column in c.OPTIONAL else "It has no values at all."
    shown = str(kind)
    if len(shown) > 80:
        shown = f"{shown[:80]}..."
    return DataRefused(f"the column {column!r} is of type {shown}", _TYPES[of], remedy, name)

"""Checks of the header of an input file: all faults at once, with guesses for misnamed columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.table_file import TableFile
from reco_batch.ingest.type_matrix import cell_of

_SHOWN_NAMES: Final = 12
_VALUE: Final = re.compile(r"\s*[-+]?\d[\d.,:TZ +-]*\s*")
_TYPES: Final[Mapping[c.Kind, str]] = {
    c.Kind.ID: "ids as text, whole numbers or UUIDs",
    c.Kind.STARS: "numbers",
    c.Kind.TIME: "timestamps, dates, or whole numbers since 1970",
    c.Kind.TITLE: "text",
    c.Kind.GENRES: "text with | between genres, or lists of text",
}


def merged(refused: Sequence[DataRefused]) -> DataRefused:
    """Return one refusal with the messages of several."""
    first, *others = refused
    if not others:
        return first
    also = "".join(f" Also {other}" for other in others)
    return DataRefused(first.found, first.expected, first.remedy + also, first.file, first.line)


def _looks_like_data(names: Sequence[str]) -> bool:
    """Return whether the names of the columns look like the values of a row."""
    return sum(_VALUE.fullmatch(name) is not None for name in names) >= 2


def header_refusals(file: TableFile, columns: Mapping[str, c.Kind]) -> list[DataRefused]:
    """Return all faults of the columns of a file.

    Args:
        file: the file.
        columns: the columns to read.
    """
    found = file.column_names
    if file.is_text and _looks_like_data(found):
        wanted = list(columns)[: len(found)]
        return [
            DataRefused(
                f"the first line, {file.delimiter.join(found)!r}, looks like a row",
                "a header with the names of the columns",
                f"Put the line {file.delimiter.join(wanted)} above it.",
                file.name,
                file.header_line,
            )
        ]
    positions = c.matched(found, tuple(columns))
    refused = [
        DataRefused(
            f"{len(at)} columns are named {column!r}",
            "one of each name",
            "Remove or rename the others.",
            file.name,
            file.header_line,
        )
        for column, at in positions.items()
        if len(at) > 1
    ]
    missing = [column for column in columns if column not in positions and column not in c.OPTIONAL]
    others = [one for one in found if not c.matched([one], tuple(columns)) and not c.is_index(one)]
    if missing and (missing != [c.RATING] or others):
        refused.insert(0, _lacking(file, (missing, others), columns))
    if file.column_types is not None:
        types = {column: file.column_types[at[0]] for column, at in positions.items()}
        refused += [
            _refused_type(file.name, column, type_, columns[column])
            for column, type_ in types.items()
            if cell_of(columns[column], type_).convert is None
        ]
    return refused


def header_notes(file: TableFile, columns: Mapping[str, c.Kind]) -> list[str]:
    """Return a note for each optional column that a file probably has under another name."""
    found = file.column_names
    positions = c.matched(found, tuple(columns))
    others = [one for one in found if not c.matched([one], tuple(columns))]
    lacking = [column for column in columns if column in c.OPTIONAL and column not in positions]
    guesses = c.guessed(others, lacking)
    return [
        f"{file.name} has no column {column!r}; {other!r} is not read: if that is it, name it "
        f"{column}"
        for other, column in guesses.items()
    ]


def _lacking(
    file: TableFile,
    lacking: tuple[Sequence[str], Sequence[str]],
    columns: Mapping[str, c.Kind],
) -> DataRefused:
    """Return the refusal of a file without some columns, with the header that it should have."""
    missing, others = lacking
    found = file.column_names
    positions = c.matched(found, tuple(columns))
    guesses = c.guessed(others, [column for column in columns if column not in positions])
    header = [guesses.get(one, one) for one in found]
    advice = []
    if guesses:
        likely = ", ".join(f"{one!r} is probably {column}" for one, column in guesses.items())
        write = "Write the header" if file.is_text else "Name the columns"
        advice.append(f"{write} {file.delimiter.join(header)}: {likely}.")
    unknown = [column for column in missing if column not in guesses.values()]
    if unknown:
        advice.append(
            f"Add {', '.join(map(repr, unknown))}, or give that name to the column that has it."
        )
    if missing == [c.RATING]:
        advice.append(f"If the data has no ratings, leave out {_named(others)}.")
    return DataRefused(
        f"the columns are {_named(found)}",
        f"also {_named(missing)}",
        " ".join(advice),
        file.name,
        file.header_line,
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

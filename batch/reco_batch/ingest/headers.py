"""Checks of the header of an input file: all faults at once, with guesses for misnamed columns."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import pyarrow as pa

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.conversion.type_matrix import Family, cell_of, family_of
from reco_batch.ingest.formats.table_file import TableFile
from reco_batch.ingest.tables import Table

_SHOWN_NAMES: Final = 12
_VALUE: Final = re.compile(r"\s*[-+]?\d[\d.,:TZ +-]*\s*")
_TYPES: Final[Mapping[c.Kind, str]] = {
    c.Kind.ID: "ids as text, whole numbers or UUIDs",
    c.Kind.STARS: "numbers",
    c.Kind.TIME: "timestamps, dates, or whole numbers since 1970",
    c.Kind.TITLE: "text",
    c.Kind.GENRES: "text with | between genres, or lists of text",
    c.Kind.FLAG: "true or false, or numbers",
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


def header_refusals(file: TableFile, table: Table) -> list[DataRefused]:
    """Return all faults of the columns of a file.

    Args:
        file: the file.
        table: the columns to read.
    """
    found = file.column_names
    if file.is_text and _looks_like_data(found):
        wanted = table.own_names(table.columns)[: len(found)]
        return [
            DataRefused(
                f"the first line, {file.delimiter.join(found)!r}, looks like a row",
                "a header with the names of the columns",
                f"Put the line {file.delimiter.join(wanted)} above it.",
                file.name,
                file.header_line,
            )
        ]
    places = table.places(found)
    refused = [
        DataRefused(
            f"{len(at)} columns are named {table.names[column]!r}",
            "one of each name",
            "Remove or rename the others.",
            file.name,
            file.header_line,
        )
        for column, at in places.items()
        if len(at) > 1
    ]
    missing = [column for column in table.required() if column not in places]
    others = [one for one in table.others(found) if not c.is_index(one)]
    if len(missing) > 1 and (c.EVENT in table.mapped or c.guessed(others, [c.EVENT])):
        missing = [column for column in missing if column != c.RATING]  # events have no stars
    lacks_only_stars = missing == [c.RATING]
    if missing and not (lacks_only_stars and (not others or _is_mapped(table))):
        refused.insert(0, _lacking(file, (missing, others), table))
    refused += [
        DataRefused(
            f"the columns are {_named(found)}",
            f"also {name!r}, which [input.columns] tags names",
            "Correct the name.",
            file.name,
            file.header_line,
        )
        for name in table.more_tags.values()
        if not c.matched(found, [name])
    ]
    return refused + _wrong_types(file, table)


def _is_mapped(table: Table) -> bool:
    """Return whether the user chose the columns: what is left over is no rating."""
    return {c.USER_ID, c.MOVIE_ID} <= table.mapped and c.RATING not in table.mapped


def _wrong_types(file: TableFile, table: Table) -> list[DataRefused]:
    if file.column_types is None:
        return []
    places = {column: at[0] for column, at in table.places(file.column_names).items()}
    more = c.matched(file.column_names, list(table.more_tags.values()))
    typed = chain(
        (
            (table.names[column], file.column_types[at], table.columns[column])
            for column, at in places.items()
        ),
        ((name, file.column_types[at[0]], c.Kind.GENRES) for name, at in more.items()),
    )
    refused = [
        _refused_type(file.name, name, type_, kind)
        for name, type_, kind in typed
        if cell_of(kind, type_).convert is None
    ]
    if c.AVAILABLE in places and not table.is_inverted:
        type_ = file.column_types[places[c.AVAILABLE]]
        if family_of(type_) in (Family.DATE, Family.TIMESTAMP):
            name = table.names[c.AVAILABLE]
            refused.append(
                DataRefused(
                    f"the column {name!r} of available items is of type {type_}",
                    _TYPES[c.Kind.FLAG],
                    f'Write available = "!{name}" if it is the time at which an item was removed.',
                    file.name,
                )
            )
    return refused


def header_notes(file: TableFile, table: Table) -> list[str]:
    """Return a note for each optional column that a file probably has under another name."""
    found = file.column_names
    places = table.places(found)
    lacking = [one for one in table.columns if one in c.OPTIONAL and one not in places]
    guesses = c.guessed(table.others(found), lacking)
    notes = [
        f"{file.name} has no column {column!r}; {other!r} is not read: if that is it, name it "
        f"{column}"
        for other, column in guesses.items()
    ]
    if c.USER_ID in table.columns and c.RATING not in places and _is_mapped(table):
        unread = [one for one in table.others(found) if not c.is_index(one)]
        if unread:
            notes.append(f"{file.name}: no column is mapped to rating; not read: {_named(unread)}")
    return notes


def _lacking(
    file: TableFile,
    lacking: tuple[Sequence[str], Sequence[str]],
    table: Table,
) -> DataRefused:
    """Return the refusal of a file without some columns, with the header that it should have."""
    missing, others = lacking
    found = file.column_names
    places = table.places(found)
    free = [one for one in table.columns if one not in places and one not in table.mapped]
    guesses = c.guessed(others, [one for one in free if one in (*c.RATINGS, *c.MOVIES)])
    header = [guesses.get(one, one) for one in found]
    advice = []
    if guesses:
        likely = ", ".join(f"{one!r} is probably {column}" for one, column in guesses.items())
        write = "Write the header" if file.is_text else "Name the columns"
        keep = "; or keep the names: `batch check-data` prints an [input] for them"
        advice.append(f"{write} {file.delimiter.join(header)}: {likely}{keep}.")
    unknown = [column for column in missing if column not in guesses.values()]
    if unknown := [one for one in unknown if one not in table.mapped]:
        listed = ", ".join(map(repr, unknown))
        mapped = [f"{table.key(one)} in [input.columns]" for one in unknown]
        advice.append(
            f"Add {listed}, or name the column that has it as {', '.join(mapped)}."
            if table.mapped
            else f"Add {listed}, or give that name to the column that has it."
        )
    if wrong := [one for one in missing if one in table.mapped]:
        advice.append(f"Correct {', '.join(table.key(one) for one in wrong)} in [input.columns].")
    if missing == [c.RATING]:
        advice.append(f"If the data has no ratings, leave out {_named(others)}.")
    return DataRefused(
        f"the columns are {_named(found)}",
        f"also {_named(table.own_names(missing))}",
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

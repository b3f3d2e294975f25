"""Type matrix of the input: the conversion of each Arrow type in each kind of column.

`MATRIX` is the table that the reader, the documentation and the tests use. A cell either converts
an array or refuses the column by the name of its type. Conversions never raise an error for a
value: missing and unreadable values become null, and unreadable ones are flagged.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reco_batch.data.columns import Kind
from reco_batch.ingest.conversion.converted_column import (
    MISSING,
    NUMBER,
    Converted,
    marked,
    mask,
    trimmed,
)
from reco_batch.ingest.conversion.times import (
    dates,
    float_times,
    time_text,
    timestamps,
    whole_times,
)

#: Largest whole number up to which every whole number is a float.
_EXACT: Final = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}
_EXPONENT: Final = r"^-?\d(\.\d+)?[eE]\+\d+$"
_LARGEST_EXPONENT: Final = 18
_DECIMAL_COMMA: Final = r"^([+-]?\d+),(\d{1,2})$"
_YES: Final = pa.array(["true", "yes", "t", "y", "on"])
_NO: Final = pa.array(["false", "no", "f", "n", "off"])
_DATE: Final = r"^\d{4}-\d{2}-\d{2}"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Family(StrEnum):
    """Arrow types with the same conversions, without dictionaries and run-end encoding."""

    INTEGER = "int8 ... int64, uint8 ... uint64"
    HALF = "halffloat"
    FLOAT = "float"
    DOUBLE = "double"
    DECIMAL = "decimal32 ... decimal256"
    BOOLEAN = "bool"
    TEXT = "string, large_string, string_view"
    BINARY = "binary, large_binary, binary_view, fixed_size_binary"
    UUID = "uuid"
    DATE = "date32, date64"
    TIMESTAMP = "timestamp (any unit, with or without a time zone)"
    TIME_OF_DAY = "time32, time64"
    DURATION = "duration"
    INTERVAL = "interval"
    NULL = "null"
    TEXTS = "list of string"
    NESTED = "other lists, struct, map, union"
    OTHER = "other extension types"


class Cell(NamedTuple):
    """Cell of the matrix: one conversion."""

    becomes: str
    """Result of the conversion in words, for the documentation."""
    convert: Callable[[pa.Array], Converted] | None
    """Conversion of an array; None: the column is refused."""


def family_of(kind: pa.DataType) -> Family:
    """Return the family of a type; for a dictionary or run-end encoding, that of its values."""
    if isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
        return family_of(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return Family.UUID if kind.extension_name == "arrow.uuid" else Family.OTHER
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if is_list or isinstance(kind, pa.FixedSizeListType | pa.ListViewType | pa.LargeListViewType):
        return Family.TEXTS if family_of(kind.value_type) is Family.TEXT else Family.NESTED
    return next((family for test, family in _TESTS if test(kind)), Family.NESTED)


def cell_of(kind: Kind, type_: pa.DataType) -> Cell:
    """Return the conversion of a type in a kind of column."""
    return MATRIX[family_of(type_)][kind]


def convert(kind: Kind, array: pa.Array, *, coded: bool = False) -> Converted:
    """Convert an array of any type that the matrix accepts.

    Ids become a dictionary of text in the order of occurrence; each different id is converted once.

    Args:
        kind: kind of the column.
        array: values of the column.
        coded: True if ids already are such a dictionary.
    """
    array = _unwrapped(array)
    to = cell_of(kind, array.type).convert
    if to is None:
        raise TypeError(f"{array.type} is refused in a column of kind {kind}")
    if kind is Kind.ID:
        return _coded(array, to, in_order=coded)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    return to(array)


def _unwrapped(array: pa.Array) -> pa.Array:
    """Return an array without run-end encoding, its values in one of few types."""
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if isinstance(array, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(array.indices, _usual(array.dictionary))
    return _usual(array)


def _usual(values: pa.Array) -> pa.Array:
    """Return values in the type of their family that supports every function."""
    family = family_of(values.type)
    if family is Family.TEXT:
        return pc.cast(values, pa.string())
    if family is Family.BINARY and not pa.types.is_fixed_size_binary(values.type):
        return pc.cast(values, pa.binary())
    if family is Family.DECIMAL:
        return pc.cast(values, pa.decimal256(76, max(values.type.scale, 0)))
    return values


def _coded(array: pa.Array, to: Callable[[pa.Array], Converted], *, in_order: bool) -> Converted:
    if not isinstance(array, pa.DictionaryArray):
        array, in_order = _encodable(array).dictionary_encode(), True
    ids = to(array.dictionary)
    indices = pc.cast(array.indices, pa.int32())
    unreadable = None
    if ids.unreadable is not None:
        at = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)
        there = np.asarray(indices.is_valid())
        unreadable = ids.unreadable[at] & there if len(ids.unreadable) else None
    # The dictionary of a file may have ids without a row, and in another order.
    if (
        not in_order
        or ids.array.null_count
        or pc.count_distinct(ids.array).as_py() < len(ids.array)
    ):
        return Converted(pc.take(ids.array, indices).dictionary_encode(), unreadable)
    return Converted(pa.DictionaryArray.from_arrays(indices, ids.array), unreadable)


def _encodable(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        return array.storage
    return pc.cast(array, pa.float32()) if array.type == pa.float16() else array


# Text


def _id_text(array: pa.Array) -> Converted:
    text, missing = trimmed(array)
    ids = pc.if_else(missing, None, text)
    rounded = mask(pc.fill_null(pc.match_substring_regex(ids, _EXPONENT), False))  # noqa: FBT003
    if not rounded.any():
        return Converted(ids)
    whole = [
        _in_full(one) if is_short else one
        for one, is_short in zip(ids.to_pylist(), rounded, strict=True)
    ]
    found = pa.array(whole, pa.string())
    return marked(found, rounded & np.asarray(found.is_null()))


def _in_full(number: str) -> str | None:
    """Return 100000 for 1e+05, and None for 1.23457E+10, which a spreadsheet has rounded."""
    digits, _, exponent = number.lower().partition("e")
    decimals = len(digits.partition(".")[2])
    exact = decimals == 0 or decimals == int(exponent)
    return f"{Decimal(number):f}" if exact and int(exponent) <= _LARGEST_EXPONENT else None


def _title_text(array: pa.Array) -> Converted:
    text = pc.cast(array, pa.string())
    return Converted(pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text))


def _integer_text(array: pa.Array) -> Converted:
    return Converted(pc.cast(array, pa.string()))


def _whole_text(array: pa.Array) -> Converted:
    """Return floats that are whole numbers as text; others are unreadable."""
    exact = _EXACT[array.type]
    values = array.to_numpy(zero_copy_only=False).astype(np.float64)
    whole = (np.abs(values) <= exact) & (np.floor(values) == values)
    text = pc.cast(pa.array(np.where(whole, values, 0).astype(np.int64)), pa.string())
    missing = np.isnan(values)
    return marked(pc.if_else(pa.array(whole), text, None), ~whole & ~missing)


def _decimal_text(array: pa.Array) -> Converted:
    text = pc.replace_substring_regex(pc.cast(array, pa.string()), r"\.0+$", "")
    whole = pc.fill_null(pc.match_substring_regex(text, r"^-?\d+$"), True)  # noqa: FBT003
    return marked(pc.if_else(whole, text, None), ~mask(whole))


def _float_label(array: pa.Array) -> Converted:
    """Return floats as text, whole numbers without a fraction."""
    text = pc.coalesce(_whole_text(array).array, pc.cast(array, pa.string()))
    return Converted(pc.if_else(pc.is_in(text, MISSING), None, text))


def _decimal_label(array: pa.Array) -> Converted:
    text = pc.replace_substring_regex(pc.cast(array, pa.string()), r"(\.\d*?)0+$", r"\1")
    return Converted(pc.utf8_rtrim(text, "."))


def _decoded(then: Callable[[pa.Array], Converted], array: pa.Array) -> Converted:
    """Decode bytes as UTF-8; invalid UTF-8 and control characters make a value unreadable."""
    raw = array.to_pylist()
    text = [None if value is None else _utf8(value) for value in raw]
    wrong = np.array([a is not None and b is None for a, b in zip(raw, text, strict=True)], bool)
    found = then(pa.array(text, pa.string()))
    if found.unreadable is not None:
        wrong |= found.unreadable
    return found._replace(unreadable=wrong if wrong.any() else None)


def _utf8(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _uuids(array: pa.Array) -> Converted:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    texts = [None if value is None else str(UUID(bytes=value)) for value in array.to_pylist()]
    return Converted(pa.array(texts, pa.string()))


def _genre_text(array: pa.Array) -> Converted:
    text, missing = trimmed(array)
    return Converted(pc.if_else(missing, "", text))


def _genre_lists(array: pa.Array) -> Converted:
    rows = ["|".join(genre for genre in row or () if genre) for row in array.to_pylist()]
    return Converted(pa.array(rows, pa.string()))


def _no_genres(array: pa.Array) -> Converted:
    return Converted(pa.array([""] * len(array), pa.string()))


# Stars


def _stars(array: pa.Array) -> Converted:
    return Converted(pc.cast(array, pa.float64(), safe=False))


def _star_text(array: pa.Array) -> Converted:
    try:
        return Converted(pc.cast(array, pa.float64()))
    except pa.ArrowInvalid:
        pass  # not all are plain numbers: try decimal commas, booleans and infinities
    text, missing = trimmed(array)
    text = pc.replace_substring_regex(text, _DECIMAL_COMMA, r"\1.\2")
    lower = pc.utf8_lower(text)
    text = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", text))
    number = pc.match_substring_regex(text, NUMBER)
    number = pc.or_(number, pc.match_substring_regex(lower, r"^[+-]?inf(inity)?$"))
    values = pc.cast(pc.if_else(number, text, None), pa.float64())
    return marked(values, ~mask(pc.fill_null(number, True)) & ~mask(missing))  # noqa: FBT003


# Flags


def _flag_numbers(array: pa.Array) -> Converted:
    """Return numbers above 0, such as a stock, as true."""
    values = pc.cast(array, pa.float64(), safe=False)
    values = pc.if_else(pc.is_nan(values), None, values)
    return Converted(pc.greater(values, 0))


def _flag_text(array: pa.Array) -> Converted:
    text, missing = trimmed(array)
    lower = pc.utf8_lower(text)
    word = pc.coalesce(
        pc.if_else(pc.is_in(lower, _YES), True, None),  # noqa: FBT003
        pc.if_else(pc.is_in(lower, _NO), False, None),  # noqa: FBT003
        pc.if_else(pc.match_substring_regex(text, _DATE), True, None),  # noqa: FBT003
    )
    number = pc.match_substring_regex(text, NUMBER)
    above = pc.greater(pc.cast(pc.if_else(number, text, None), pa.float64()), 0)
    flags = pc.if_else(missing, None, pc.coalesce(word, above))
    return marked(flags, np.asarray(flags.is_null()) & ~mask(missing))


def _flag_of_time(array: pa.Array) -> Converted:
    """Return true for a time, such as that of a deletion, whichever it is."""
    return Converted(pc.if_else(array.is_valid(), True, None))  # noqa: FBT003


def _no_flags(array: pa.Array) -> Converted:
    return Converted(pa.nulls(len(array), pa.bool_()))


# Attributes


def _number(array: pa.Array) -> Converted:
    values = pc.cast(array, pa.float64(), safe=False)
    return Converted(pc.if_else(pc.is_nan(values), None, values))


def _attribute_text(array: pa.Array) -> Converted:
    text, missing = trimmed(array)
    return Converted(pc.if_else(missing, None, text))


def _attribute_bytes(array: pa.Array) -> Converted:
    """Return bytes as text; bytes that are not UTF-8 are missing."""
    try:
        return _attribute_text(pc.cast(array, pa.string()))
    except pa.ArrowInvalid:
        return _decoded(_attribute_text, array)._replace(unreadable=None)


def _attribute_list(array: pa.Array) -> Converted:
    text = _genre_lists(array).array
    return Converted(pc.if_else(pc.equal(text, ""), None, text))


def _seconds(convert_time: Callable[[pa.Array], Converted], array: pa.Array) -> Converted:
    return Converted(pc.cast(convert_time(array).array, pa.float64()))


_TESTS: Final[tuple[tuple[Callable[[pa.DataType], bool], Family], ...]] = (
    (pa.types.is_integer, Family.INTEGER),
    (pa.types.is_float16, Family.HALF),
    (pa.types.is_float32, Family.FLOAT),
    (pa.types.is_float64, Family.DOUBLE),
    (pa.types.is_decimal, Family.DECIMAL),
    (pa.types.is_boolean, Family.BOOLEAN),
    (pa.types.is_string, Family.TEXT),
    (pa.types.is_large_string, Family.TEXT),
    (pa.types.is_string_view, Family.TEXT),
    (pa.types.is_binary, Family.BINARY),
    (pa.types.is_large_binary, Family.BINARY),
    (pa.types.is_binary_view, Family.BINARY),
    (pa.types.is_fixed_size_binary, Family.BINARY),
    (pa.types.is_date, Family.DATE),
    (pa.types.is_timestamp, Family.TIMESTAMP),
    (pa.types.is_time, Family.TIME_OF_DAY),
    (pa.types.is_duration, Family.DURATION),
    (pa.types.is_interval, Family.INTERVAL),
    (pa.types.is_null, Family.NULL),
)
_REFUSED: Final = Cell("refused", None)
_WHOLE: Final = Cell("whole numbers as text", _whole_text)


_LEFT_OUT: Final = Cell("left out", None)
_NUMBER: Final = Cell("number", _number)
_ABOVE: Final = Cell("true above 0", _flag_numbers)
_IF_TIME: Final = Cell("true if there is one", _flag_of_time)


def _row(  # noqa: PLR0917  # the columns of a table
    ids: Cell = _REFUSED,
    stars: Cell = _REFUSED,
    time: Cell = _REFUSED,
    title: Cell = _REFUSED,
    genres: Cell = _REFUSED,
    flag: Cell = _REFUSED,
    attribute: Cell = _LEFT_OUT,
) -> Mapping[Kind, Cell]:
    return dict(zip(Kind, (ids, stars, time, title, genres, flag, attribute), strict=True))


def _float_row(time: Cell) -> Mapping[Kind, Cell]:
    text = Cell("text", _float_label)
    return _row(_WHOLE, Cell("stars", _stars), time, text, text, _ABOVE, _NUMBER)


#: Conversion of each family of Arrow types, by kind of column.
MATRIX: Final[Mapping[Family, Mapping[Kind, Cell]]] = {
    Family.INTEGER: _row(
        Cell("text", _integer_text),
        Cell("stars", _stars),
        Cell("time, the unit by size", whole_times),
        Cell("text", _integer_text),
        Cell("text", _integer_text),
        _ABOVE,
        _NUMBER,
    ),
    Family.HALF: _float_row(_REFUSED),
    Family.FLOAT: _float_row(_REFUSED),
    Family.DOUBLE: _float_row(Cell("time, the unit by size", float_times)),
    Family.DECIMAL: _row(
        Cell("whole numbers as text", _decimal_text),
        Cell("stars", _stars),
        Cell("time, the unit by size", float_times),
        Cell("text", _decimal_label),
        Cell("text", _decimal_label),
        _ABOVE,
        _NUMBER,
    ),
    Family.BOOLEAN: _row(
        stars=Cell("1 and 0", _stars),
        flag=Cell("as it is", Converted),
        attribute=Cell("1 and 0", _number),
    ),
    Family.TEXT: _row(
        Cell("text without surrounding blanks", _id_text),
        Cell("stars, if it is a number", _star_text),
        Cell("time, if it is a number or ISO 8601", time_text),
        Cell("text", _title_text),
        Cell("genres", _genre_text),
        Cell("true, yes, t, y, on, a number above 0, or their opposites", _flag_text),
        Cell("text", _attribute_text),
    ),
    Family.BINARY: _row(
        Cell("text, if it is UTF-8", partial(_decoded, _id_text)),
        Cell("as text", partial(_decoded, _star_text)),
        Cell("as text", partial(_decoded, time_text)),
        Cell("text, if it is UTF-8", partial(_decoded, _title_text)),
        Cell("as text", partial(_decoded, _genre_text)),
        Cell("as text", partial(_decoded, _flag_text)),
        Cell("text, if it is UTF-8", _attribute_bytes),
    ),
    Family.UUID: _row(
        Cell("text with hyphens", _uuids), attribute=Cell("text with hyphens", _uuids)
    ),
    Family.DATE: _row(
        time=Cell("midnight UTC", dates),
        flag=_IF_TIME,
        attribute=Cell("seconds since 1970", partial(_seconds, dates)),
    ),
    Family.TIMESTAMP: _row(
        time=Cell("time; UTC without a time zone", timestamps),
        flag=_IF_TIME,
        attribute=Cell("seconds since 1970", partial(_seconds, timestamps)),
    ),
    Family.TIME_OF_DAY: _row(),
    Family.DURATION: _row(),
    Family.INTERVAL: _row(),
    Family.NULL: _row(genres=Cell("no genres", _no_genres), flag=Cell("missing", _no_flags)),
    Family.TEXTS: _row(
        genres=Cell("genres", _genre_lists),
        attribute=Cell("text with \\| between", _attribute_list),
    ),
    Family.NESTED: _row(),
    Family.OTHER: _row(),
}


def matrix_table() -> Iterator[str]:
    """Yield the matrix as the lines of a Markdown table."""
    yield "| type in Parquet | " + " | ".join(_HEADINGS.values()) + " |"
    yield "|---" * (1 + len(_HEADINGS)) + "|"
    for family, cells in MATRIX.items():
        yield f"| {family} | " + " | ".join(cells[kind].becomes for kind in _HEADINGS) + " |"


_HEADINGS: Final = {
    Kind.ID: "`userId`, `movieId`",
    Kind.STARS: "`rating`",
    Kind.TIME: "`timestamp`, `released`",
    Kind.TITLE: "`title`",
    Kind.GENRES: "`genres`",
    Kind.FLAG: "`available`",
    Kind.ATTRIBUTE: "attributes",
}

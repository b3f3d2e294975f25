"""Conversion of times, numbers of any unit or ISO 8601, to whole seconds since 1970, UTC."""

from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.ingest.conversion.converted_column import (
    NUMBER,
    Converted,
    TimeForm,
    marked,
    mask,
    trimmed,
)

#: Numbers below these count seconds, milliseconds, microseconds; others nanoseconds.
_MAGNITUDES: Final = np.array([1e11, 1e14, 1e17])
_LARGEST_INT64: Final = float(2**63)
_FIRST_YEAR: Final = 1000
_LAST_YEAR: Final = 2999
_ISO: Final = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,]\d+)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$"
)
_UNITS: Final = (
    TimeForm.SECONDS,
    TimeForm.MILLISECONDS,
    TimeForm.MICROSECONDS,
    TimeForm.NANOSECONDS,
)
_ISO_FORMS: Final = {10: TimeForm.DATES, 16: TimeForm.MINUTES, 19: TimeForm.TIMES}


def whole_times(array: pa.Array) -> Converted:
    """Read whole numbers, whose size shows the unit."""
    try:
        numbers = pc.cast(array, pa.int64())
    except pa.ArrowInvalid:  # some values of uint64 are larger
        return float_times(array)
    ends = pc.min_max(numbers)
    if ends["min"].as_py() is None:
        return Converted(numbers)
    first, last = (_unit(ends[end].as_py()) for end in ("min", "max"))
    if first != last:
        return float_times(numbers)
    scaled = pc.divide(numbers, 1000**first) if first else numbers
    return Converted(scaled, None, {_UNITS[first]: _first(np.asarray(numbers.is_valid()))})


def _unit(number: float) -> int:
    return int(np.searchsorted(_MAGNITUDES, abs(number), side="right"))


def float_times(array: pa.Array) -> Converted:
    """Read numbers with or without a fraction, each in the unit that its size shows."""
    numbers = pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    there = ~missing & (np.abs(numbers) < _LARGEST_INT64)
    units = np.searchsorted(_MAGNITUDES, np.abs(numbers), side="right")
    seconds = np.floor(np.where(there, numbers, 0) / 1000.0**units).astype(np.int64)
    values = pc.if_else(pa.array(there), pa.array(seconds), None)
    forms = {_UNITS[unit]: _first(there & (units == unit)) for unit in np.unique(units[there])}
    return marked(values, ~there & ~missing, forms)


def time_text(array: pa.Array) -> Converted:
    """Read numbers and ISO 8601; without an offset a time is UTC."""
    try:
        return whole_times(pc.cast(array, pa.int64()))
    except pa.ArrowInvalid:
        pass  # not all are whole numbers: try one form for all, then row by row
    return _even_iso(array) or _any_times(array)


def _even_iso(array: pa.Array) -> Converted | None:
    """Read ISO 8601 if all rows have the same form; otherwise return None."""
    ends = pc.min_max(pc.utf8_length(array))
    shortest, longest = ends["min"].as_py(), ends["max"].as_py()
    if shortest is None or array.null_count or shortest < 10:
        return None
    for type_ in (pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            moments = pc.cast(array, type_)
        except pa.ArrowInvalid:
            continue
        if type_.tz is None:
            form = _ISO_FORMS.get(longest, TimeForm.TIMES if shortest >= 19 else None)
            if form is None or (shortest != longest and shortest < 19):
                return None
        else:
            form = TimeForm.ZONED
        return Converted(_seconds(moments), None, {form: 0})
    return None


def _any_times(array: pa.Array) -> Converted:
    """Read numbers with fractions, and ISO 8601 in any of its usual forms, row by row."""
    text, missing = trimmed(array)
    number = pc.match_substring_regex(text, NUMBER)
    numbers = float_times(pc.cast(pc.if_else(number, text, None), pa.float64()))
    parts = pc.extract_regex(text, _ISO)
    date, time, zone = (pc.struct_field(parts, name) for name in ("date", "time", "zone"))
    short = np.asarray(pc.fill_null(pc.utf8_length(time), 0))
    clock = pc.if_else(pc.equal(time, ""), "00:00", time)
    moments = _moments(pc.binary_join_element_wise(date, clock, "T"))
    zoned = mask(pc.fill_null(pc.not_equal(zone, ""), False))  # noqa: FBT003
    seconds = pc.subtract(_seconds(moments), _offsets(zone))
    there = np.asarray(seconds.is_valid())
    forms = dict(numbers.forms)
    for form, rows in (
        (TimeForm.DATES, short == 0),
        (TimeForm.MINUTES, (short == 5) & ~zoned),
        (TimeForm.TIMES, (short == 8) & ~zoned),
        (TimeForm.ZONED, zoned),
    ):
        if (rows & there).any():
            forms[form] = _first(rows & there)
    values = pc.coalesce(numbers.array, seconds)
    return marked(values, ~np.asarray(values.is_valid()) & ~mask(missing), forms)


def _moments(text: pa.Array) -> pa.Array:
    try:
        return pc.cast(text, pa.timestamp("s"))
    except pa.ArrowInvalid:  # some are no dates, such as 30 February: find out which
        found = pd.to_datetime(text.to_pandas(), errors="coerce", format="ISO8601")
        return pa.array(found.dt.as_unit("s"), pa.timestamp("s"))


def _offsets(zone: pa.Array) -> pa.Array:
    """Return the offsets from UTC in seconds."""
    coded = pc.fill_null(zone, "").dictionary_encode()
    seconds = [_offset(text) for text in coded.dictionary.to_pylist()]
    return pc.take(pa.array(seconds, pa.int64()), coded.indices)


def _offset(text: str) -> int:
    if text[:1] not in ("+", "-"):
        return 0
    ahead = timedelta(hours=int(text[1:3]), minutes=int(text[3:].lstrip(":") or 0))
    return int(ahead.total_seconds()) * (-1 if text[0] == "-" else 1)


def _seconds(moments: pa.Array) -> pa.Array:
    return pc.cast(
        pc.floor_temporal(moments, unit="second").cast(pa.timestamp("s"), safe=False), pa.int64()
    )


def timestamps(array: pa.Array) -> Converted:
    """Read Arrow timestamps; without a time zone they are UTC."""
    there = np.asarray(array.is_valid())
    forms = {TimeForm.TIMES: _first(there)} if there.any() else {}
    plain = array.cast(pa.timestamp(array.type.unit))  # the instant, in UTC
    return Converted(_seconds(plain), None, forms)


def dates(array: pa.Array) -> Converted:
    """Read dates as midnight UTC."""
    days = pc.cast(pc.cast(array, pa.date32()), pa.timestamp("s"))
    there = np.asarray(array.is_valid())
    forms = {TimeForm.DATES: _first(there)} if there.any() else {}
    return Converted(pc.cast(days, pa.int64()), None, forms)


def are_years(times: "pd.Series[int]") -> bool:
    """Return whether whole numbers, read as seconds since 1970, are years such as 1994.

    As seconds all of them would be in the first hour of 1970.
    """
    known = times.dropna()
    return len(known) > 0 and bool(known.between(_FIRST_YEAR, _LAST_YEAR).all())


def start_of_years(years: "pd.Series[int]") -> "pd.Series[int]":
    """Return the first second of each year since 1970, UTC; missing where there is no year."""
    known = years.fillna(1970).to_numpy(np.int64)
    seconds = (known - 1970).astype("datetime64[Y]").astype("datetime64[s]").astype(np.int64)
    return pd.Series(seconds, years.index).astype("Int64").mask(years.isna())


def _first(rows: NDArray[np.bool_]) -> int:
    return int(rows.argmax())

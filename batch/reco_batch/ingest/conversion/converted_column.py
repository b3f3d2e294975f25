"""Converted columns: values, and flags of the rows whose value cannot be read."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Texts for a missing value that databases and pandas write.
_MISSING = (
    *("", "nan", "NaN", "NAN", "-nan", "-NaN", "null", "NULL", "Null", "none", "None", "NONE"),
    *("\\N", "N/A", "n/a", "NA", "#N/A", "#NA", "<NA>", "NaT"),
)
MISSING: Final = pa.array(_MISSING)
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


class TimeForm(StrEnum):
    """Form of the times of a file; a file has one form only."""

    SECONDS = "seconds since 1970"
    MILLISECONDS = "milliseconds since 1970"
    MICROSECONDS = "microseconds since 1970"
    NANOSECONDS = "nanoseconds since 1970"
    DATES = "dates"
    MINUTES = "dates with hours and minutes"
    TIMES = "dates with times of day"
    ZONED = "dates with times of day and an offset"


class Converted(NamedTuple):
    """Column in the type that later stages use."""

    array: pa.Array
    """Text, float64 stars, or int64 seconds; null if a value is missing or unreadable."""
    unreadable: NDArray[np.bool_] | None = None
    """Flags of the rows with an unreadable value; None if there are none."""
    forms: Mapping[TimeForm, int] = {}
    """Form of time -> first row with this form; empty unless a time column."""


def trimmed(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return texts without surrounding blanks, and flags of the missing ones."""
    text = pc.utf8_trim_whitespace(pc.cast(array, pa.string()))
    return text, pc.or_(pc.is_in(text, MISSING), pc.is_null(text))


def mask(flags: pa.Array) -> NDArray[np.bool_]:
    """Return flags without nulls as a NumPy array, [N]."""
    found: NDArray[np.bool_] = flags.to_numpy(zero_copy_only=False).astype(bool)
    return found


def marked(
    values: pa.Array, unreadable: NDArray[np.bool_], forms: Mapping[TimeForm, int] | None = None
) -> Converted:
    """Return converted values with the flags of unreadable rows, [N], if there are any."""
    return Converted(values, unreadable if unreadable.any() else None, forms or {})

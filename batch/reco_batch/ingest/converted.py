"""Converted columns: the values that were read, and which rows could not be."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Texts that mark a missing value, as databases and pandas write them.
_MISSING = (
    *("", "nan", "NaN", "NAN", "-nan", "-NaN", "null", "NULL", "Null", "none", "None", "NONE"),
    *("\\N", "N/A", "n/a", "NA", "#N/A", "#NA", "<NA>", "NaT"),
)
MISSING: Final = pa.array(_MISSING)
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


class TimeForm(StrEnum):
    """Forms in which a file may have its times, one form a file."""

    SECONDS = "seconds since 1970"
    MILLISECONDS = "milliseconds since 1970"
    MICROSECONDS = "microseconds since 1970"
    NANOSECONDS = "nanoseconds since 1970"
    DATES = "dates"
    MINUTES = "dates with hours and minutes"
    TIMES = "dates with times of day"
    ZONED = "dates with times of day and an offset"


class Converted(NamedTuple):
    """An array in the form that the rest of the job works with."""

    array: pa.Array
    """Text, float64 stars, or int64 seconds; null where a value is missing or not readable."""
    unreadable: NDArray[np.bool_] | None = None
    """Rows with a value that cannot be read; None: there is none."""
    forms: Mapping[TimeForm, int] = {}
    """Forms of times that occur in a time column -> first row of each; empty for other columns."""


def trimmed(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return texts without surrounding blanks, and which of them are missing."""
    text = pc.utf8_trim_whitespace(pc.cast(array, pa.string()))
    return text, pc.or_(pc.is_in(text, MISSING), pc.is_null(text))


def mask(flags: pa.Array) -> NDArray[np.bool_]:
    """Return flags without nulls as a NumPy array, [N]."""
    found: NDArray[np.bool_] = flags.to_numpy(zero_copy_only=False).astype(bool)
    return found


def marked(
    values: pa.Array, unreadable: NDArray[np.bool_], forms: Mapping[TimeForm, int] | None = None
) -> Converted:
    """Return values with the rows that cannot be read, [N], if there is one."""
    return Converted(values, unreadable if unreadable.any() else None, forms or {})

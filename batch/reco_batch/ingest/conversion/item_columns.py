"""Columns of the movies table beyond id, title and genres: release, availability, attributes.

Shapes: L listed movies, I movies, the unlisted ones at the end.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.data.dataset import NO_TIME, Attribute
from reco_batch.errors import DataRefused

#: Spellings of a truth value; a number counts as its text.
_TRUTH: Final[Mapping[str, bool]] = dict.fromkeys(
    ("true", "t", "yes", "y", "1", "1.0"), True
) | dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False)


class ItemColumns(NamedTuple):
    """Values of the further columns, in the form of `Movies`."""

    released: NDArray[np.int64] | None
    available: NDArray[np.bool_] | None
    attributes: Mapping[str, Attribute]


def item_columns(movies: pd.DataFrame, file: str, *, unlisted: int) -> ItemColumns:
    """Convert the columns of the movies table that models do not use.

    Args:
        movies: the table; `released` has seconds since 1970, other columns text or numbers.
        file: its name, for refusals.
        unlisted: number of movies to append without any value.

    Returns:
        Arrays of all movies. A movie without a value of `available` is available.

    Raises:
        DataRefused: a value of `available` is neither true nor false.
    """
    attributes = {
        str(name): _attribute(movies[name], unlisted)
        for name in movies.columns
        if name not in c.MOVIES and name not in (c.RELEASED, c.AVAILABLE)
    }
    return ItemColumns(
        _released(movies[c.RELEASED], unlisted) if c.RELEASED in movies else None,
        _available(movies[c.AVAILABLE], file, unlisted) if c.AVAILABLE in movies else None,
        attributes,
    )


def _released(column: "pd.Series[Any]", unlisted: int) -> NDArray[np.int64]:
    known = column.notna().to_numpy()
    seconds = np.full(len(column) + unlisted, NO_TIME, np.int64)
    seconds[: len(column)][known] = column[known].to_numpy(np.int64)
    return seconds


def _available(column: "pd.Series[Any]", file: str, unlisted: int) -> NDArray[np.bool_]:
    words = column.astype(str).str.strip().str.lower()
    found = words.map(_TRUTH).where(column.notna() & (words != ""), other=True)
    wrong = np.flatnonzero(found.isna())
    if len(wrong):
        raise DataRefused(
            f"{c.AVAILABLE} is {column.iloc[wrong[0]]!r}",
            "true or false",
            "Write true for what may be shown and false for what may not.",
            file,
            int(column.index[wrong[0]]),
        )
    return np.append(found.to_numpy(bool), np.zeros(unlisted, bool))


def _attribute(column: "pd.Series[Any]", unlisted: int) -> Attribute:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        return np.append(numbers, np.full(unlisted, np.nan))
    known = column.notna().to_numpy()
    texts = [_text(value) if here else "" for value, here in zip(column, known, strict=True)]
    return (*(text or None for text in texts), *(None,) * unlisted)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value).strip()

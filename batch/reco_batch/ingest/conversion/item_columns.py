"""Columns of the movies table beyond id, title and genres: release, availability, attributes.

Shapes: L listed movies, I movies, the unlisted ones at the end.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.data.dataset import NO_TIME, Attribute


class ItemColumns(NamedTuple):
    """Values of the further columns, in the form of `Movies`."""

    released: NDArray[np.int64] | None
    available: NDArray[np.bool_] | None
    attributes: Mapping[str, Attribute]


def item_columns(movies: pd.DataFrame, *, unlisted: int) -> ItemColumns:
    """Return the columns of the movies table that models do not use, as arrays of all movies.

    Args:
        movies: the table as it was read: `released` in seconds since 1970 and `available` as truth
            values; other columns are text or numbers.
        unlisted: number of movies to append without any value.
    """
    attributes = {
        str(name): _attribute(movies[name], unlisted)
        for name in movies.columns
        if name not in c.MOVIES and name not in (c.RELEASED, c.AVAILABLE)
    }
    return ItemColumns(
        _released(movies[c.RELEASED], unlisted) if c.RELEASED in movies else None,
        np.append(movies[c.AVAILABLE].to_numpy(bool), np.zeros(unlisted, bool))
        if c.AVAILABLE in movies
        else None,
        attributes,
    )


def _released(column: "pd.Series[Any]", unlisted: int) -> NDArray[np.int64]:
    known = column.notna().to_numpy()
    seconds = np.full(len(column) + unlisted, NO_TIME, np.int64)
    seconds[: len(column)][known] = column[known].to_numpy(np.int64)
    return seconds


def _attribute(column: "pd.Series[Any]", unlisted: int) -> Attribute:
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        return np.append(numbers, np.full(unlisted, np.nan))
    known = column.notna()
    texts = (value if here else None for value, here in zip(column, known, strict=True))
    return (*texts, *(None,) * unlisted)

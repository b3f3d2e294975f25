"""Synthetic movies: titles, years, genres, and the factors that models can learn.

Shapes: I movies, D factors, G genres.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Movies

_DIM: Final = 16
#: Genres of MovieLens with their approximate shares of the movies.
_GENRES: Final = {
    "Drama": 0.39,
    "Comedy": 0.26,
    "Thriller": 0.14,
    "Romance": 0.12,
    "Action": 0.12,
    "Documentary": 0.11,
    "Horror": 0.10,
    "Crime": 0.08,
    "Adventure": 0.07,
    "Sci-Fi": 0.06,
    "Animation": 0.05,
    "Children": 0.05,
    "Mystery": 0.05,
    "Fantasy": 0.05,
    "War": 0.03,
    "Western": 0.02,
    "Musical": 0.02,
    "Film-Noir": 0.01,
}
_NO_GENRES: Final = "(no genres listed)"
_NEWEST_YEAR: Final = 2023
_OLDEST_YEAR: Final = 1900
_MEAN_AGE_YEARS: Final = 25.0
_SECONDS_A_YEAR: Final = 31_556_952
#: Offset of the popularity (rank + offset) ** -2; smaller in a small catalogue. In ml-32m the most
#: rated movie has 0.3% of all ratings, the 1,000th a twelfth and the 40,000th a ten-thousandth of
#: that.
_OFFSET: Final = 400
_LEAST_MOVIES_A_RANK: Final = 25

_FIRST: Final = (  # noqa: SIM905  a list would be a line a word
    "Amber Broken Crimson Distant Electric Empty Endless Fallen Foreign Frozen Gentle Glass "
    "Golden Hidden Hollow Last Little Lonely Lost Midnight Nameless Narrow Northern Paper Quiet "
    "Restless Scarlet Second Secret Silent Silver Sleeping Small Southern Stolen Strange Sunken "
    "Velvet Wild Winter"
).split()
_SECOND: Final = (  # noqa: SIM905
    "Affair Bridge Candle Carnival Castle Circus City Coast Country Crossing Dancer Desert Echo "
    "Empire Engine Garden Ghost Harbour Horizon House Island Journey Kingdom Letter Lighthouse "
    "Machine Mirror Mountain Orchard Promise River Road Season Shadow Station Storm Stranger "
    "Summer Tiger Waltz"
).split()


class Catalogue(NamedTuple):
    """Synthetic movies with their latent properties."""

    movies: Movies
    factors: NDArray[np.float64]  # [I, D], unit vectors
    popularity: NDArray[np.float64]  # [I], probability independent of tastes
    quality: NDArray[np.float64]  # [I], mean rating relative to other movies, in stars
    second_out: NDArray[np.int64]  # [I], start of the release year, in seconds since 1970


def draw_catalogue(count: int, rng: np.random.Generator) -> Catalogue:
    """Draw a catalogue.

    Args:
        count: I.
        rng: random numbers for everything except the titles, which depend on the row.
    """
    bears = _draw_genres(count, rng)
    directions = unit_rows(rng.normal(size=(len(_GENRES), _DIM)))  # [G, D]
    factors = unit_rows(bears @ directions + rng.normal(0, 0.2, (count, _DIM)))
    quality = rng.normal(0, 0.4, count)
    ages = rng.exponential(_MEAN_AGE_YEARS, count).astype(np.int64)
    years = np.maximum(_NEWEST_YEAR - ages, _OLDEST_YEAR)
    movies = Movies(
        ids=tuple(str(row + 1) for row in range(count)),
        titles=tuple(f"{_name(row)} ({year})" for row, year in enumerate(years.tolist())),
        genres=tuple(_names(row) for row in bears),
        years=tuple(years.tolist()),
    )
    seconds = (years - 1970) * _SECONDS_A_YEAR
    return Catalogue(movies, factors, _draw_popularity(quality, rng), quality, seconds)


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows scaled to length 1."""
    scaled: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def genres_text(genres: tuple[str, ...]) -> str:
    """Return genres in the notation of MovieLens."""
    return "|".join(genres) or _NO_GENRES


def _draw_genres(count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the genres of each movie as flags, [I, G]."""
    return rng.random((count, len(_GENRES))) < np.array(list(_GENRES.values()))


def _draw_popularity(quality: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the popularity of each movie, [I], which correlates with its quality."""
    count = len(quality)
    order = np.argsort(-(quality + rng.normal(0, 0.8, count)), kind="stable")
    offset = max(1, min(_OFFSET, count // _LEAST_MOVIES_A_RANK))
    chance = np.empty(count)
    chance[order] = (np.arange(1, count + 1) + offset) ** -2.0
    chance /= chance.sum()
    return chance


def _name(row: int) -> str:
    first, second = _FIRST[row % len(_FIRST)], _SECOND[row // len(_FIRST) % len(_SECOND)]
    part = row // (len(_FIRST) * len(_SECOND)) + 1
    return f"{first} {second}" + (f" {part}" if part > 1 else "")


def _names(bears: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, borne in zip(_GENRES, bears, strict=True) if borne)

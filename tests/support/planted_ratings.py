"""Small planted ratings with a known taste, and their catalogue.

Every user likes one of three genres, rates its movies high and all others low. Any model that
learns ranks the liked genre first, so the correct answer is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reco_batch.data import columns as c
from reco_batch.data.dataset import Dataset, Movies, Ratings

if TYPE_CHECKING:
    from pathlib import Path

GENRES = ("Comedy", "Drama", "Horror")


def planted_ratings(
    *, seed: int = 0, users: int = 40, movies: int = 90, at_least: int = 10
) -> pd.DataFrame:
    """Make ratings in MovieLens form: text ids, whole seconds, no pair twice.

    User u likes the movies m with u % 3 == m % 3. The last movie has no rating. Ids increase by 7
    from `first_user` and by 10 from `first_movie`.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        count = int(rng.integers(at_least, at_least + 8))
        liked = np.arange(movies - 1) % 3 == user % 3
        share = np.where(liked, 15.0, 1.0)
        chosen = rng.choice(movies - 1, count, replace=False, p=share / share.sum())
        stars = np.clip(np.where(liked[chosen], 4.5, 2.0) + rng.integers(-1, 2, count) / 2, 0.5, 5)
        seconds = rng.integers(1_000_000_000, 1_500_000_000, count)
        rows.append(
            pd.DataFrame(
                {
                    c.USER_ID: str(7 * (user + 1)),
                    c.MOVIE_ID: [str(10 * (m + 1)) for m in chosen],
                    c.RATING: stars,
                    c.TIMESTAMP: seconds,
                }
            )
        )
    return pd.concat(rows).sample(frac=1, random_state=seed).reset_index(drop=True)


def planted_movies(*, movies: int = 90) -> Movies:
    """Make the catalogue of `planted_ratings`; movies 4 and 5 have the same title."""
    titles = [f"Film {m} ({1950 + m})" for m in range(movies)]
    titles[4] = titles[5] = "Émma (1996)"
    return Movies(
        ids=tuple(str(10 * (m + 1)) for m in range(movies)),
        titles=tuple(titles),
        genres=tuple((GENRES[m % 3],) for m in range(movies)),
        years=tuple(1996 if m in (4, 5) else 1950 + m for m in range(movies)),
    )


def as_dataset(ratings: pd.DataFrame, movies: Movies) -> Dataset:
    """Map users and movies to indices, as validation does."""
    user_ids = tuple(sorted(set(ratings[c.USER_ID])))
    return Dataset(
        user_ids,
        movies,
        Ratings(
            pd.Index(user_ids).get_indexer(ratings[c.USER_ID]).astype(np.int32),
            pd.Index(movies.ids).get_indexer(ratings[c.MOVIE_ID]).astype(np.int32),
            ratings[c.RATING].to_numpy(np.float32),
            ratings[c.TIMESTAMP].to_numpy(np.int64),
        ),
        (0.5, 5.0),
        first_time=ratings.groupby(c.USER_ID)[c.TIMESTAMP].min()[list(user_ids)].to_numpy(np.int64),
    )


def write_data(folder: Path, *, users: int = 40) -> Path:
    """Write the planted data as ratings.csv and movies.csv, and return the folder."""
    folder.mkdir()
    planted_ratings(users=users).to_csv(folder / "ratings.csv", index=False)
    movies = planted_movies()
    columns = {
        c.MOVIE_ID: movies.ids,
        c.TITLE: movies.titles,
        c.GENRES: ["|".join(genres) for genres in movies.genres],
    }
    pd.DataFrame(columns).to_csv(folder / "movies.csv", index=False)
    return folder

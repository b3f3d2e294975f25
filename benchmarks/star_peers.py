"""Rating predictors of other origin, that ours is compared with.

Settings are those with the least squared error on the validation part. Predictions are clipped to
the stars that occur.

Shapes: U users, I movies, N ratings, F features.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from peers import Settings, quiet
from protocol import Case

#: Ratings that a mean is shrunk by.
SHRINKAGE = 2.0
SWEEPS = 10
MYFM_RANK, MYFM_ITERATIONS = 10, 300


@dataclass
class Stars:
    """Ratings to fit, and pairs to predict, as rows of a case's users and movies."""

    case: Case

    @cached_property
    def fitted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """User and movie of each training rating."""
        return self._rows(self.case.train)

    @cached_property
    def asked(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """User and movie of each test rating."""
        return self._rows(self.case.test)

    @cached_property
    def rating(self) -> NDArray[np.float32]:
        """Training ratings."""
        return self.case.train["rating"].to_numpy(np.float32)

    def _rows(self, part: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return (
            self.case.users.get_indexer(part["userId"]),
            self.case.items.get_indexer(part["movieId"]),
        )

    @cached_property
    def means(self) -> tuple[float, NDArray[np.float32], NDArray[np.float32]]:
        """Mean, shrunken deviations of users [U] and, of the residuals, of movies [I]."""
        users, movies = self.fitted
        mean = float(self.rating.mean())
        left = self.rating - np.float32(mean)
        of_users = _shrunken(users, left, len(self.case.users))
        of_movies = _shrunken(movies, left - of_users[users], len(self.case.items))
        return mean, of_users, of_movies

    def of_means(self, users: NDArray[np.int64], movies: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the prediction of means alone."""
        mean, of_users, of_movies = self.means
        return mean + of_users[users] + of_movies[movies]

    @cached_property
    def content(self) -> sp.csr_matrix:
        """Genres of each movie as ones, and its decade, [I, F]."""
        genres = self.case.movies["genres"].fillna("").str.get_dummies("|")
        years = self.case.movies["title"].str.extract(r"\((\d{3})\d\)\s*$", expand=False)
        table = pd.concat([genres, pd.get_dummies(years)], axis=1).to_numpy(np.float32)
        return sp.csr_matrix(table)


def _shrunken(
    rows: NDArray[np.int64], values: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    sums = np.bincount(rows, values, minlength=count)
    return (sums / (np.bincount(rows, minlength=count) + SHRINKAGE)).astype(np.float32)


def means(stars: Stars) -> NDArray[np.float32]:
    """Return the shrunken means of users and movies."""
    return stars.of_means(*stars.asked)


def matrix_factorisation(stars: Stars, *, factors: int, l2: float) -> NDArray[np.float32]:
    """Return means and factors by alternating ridge regressions (as SVD recommenders fit them)."""
    users, movies = stars.fitted
    left = stars.rating - stars.of_means(users, movies)
    rng = np.random.default_rng(stars.case.seed)
    of_movies = rng.normal(0, 0.1, (len(stars.case.items), factors)).astype(np.float32)
    for _ in range(SWEEPS):
        of_users = ridge_rows(users, left, of_movies[movies], len(stars.case.users), l2=l2)
        of_movies = ridge_rows(movies, left, of_users[users], len(stars.case.items), l2=l2)
    asked_users, asked_movies = stars.asked
    products = (of_users[asked_users] * of_movies[asked_movies]).sum(axis=1)
    return stars.of_means(*stars.asked) + products


def content_ridge(stars: Stars, *, l2: float) -> NDArray[np.float32]:
    """Return means and each user's ridge regression on genres and decade."""
    users, movies = stars.fitted
    left = stars.rating - stars.of_means(users, movies)
    content = stars.content.toarray()
    of_users = ridge_rows(users, left, content[movies], len(stars.case.users), l2=l2)
    asked_users, asked_movies = stars.asked
    tastes = (of_users[asked_users] * content[asked_movies]).sum(axis=1)
    return stars.of_means(*stars.asked) + tastes


def ridge_rows(
    rows: NDArray[np.int64],
    target: NDArray[np.float32],
    features: NDArray[np.float32],
    count: int,
    *,
    l2: float,
) -> NDArray[np.float32]:
    """Return a ridge regression for each user or movie, [count, F].

    Args:
        rows: [N] the regression that a rating belongs to.
        target: [N].
        features: [N, F].
        count: number of regressions.
        l2: penalty.
    """
    found = np.zeros((count, features.shape[1]), np.float32)
    penalty = l2 * np.eye(features.shape[1], dtype=np.float32)
    order = np.argsort(rows, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(rows[order])) + 1):
        x = features[own]
        found[rows[own[0]]] = np.linalg.solve(x.T @ x + penalty, x.T @ target[own])
    return found


def myfm(stars: Stars, *, ordered: bool, sides: bool) -> NDArray[np.float32]:
    """Return myFM's Bayesian factorization machine (Freudenthaler et al. 2011).

    Args:
        stars: the case.
        ordered: ordered probit instead of regression.
        sides: features of a user are also the rated movies, of a movie its users, and its content.
    """
    import myfm  # noqa: PLC0415  # an extra

    blocks = [_side(stars, of_movies=number == 1, sides=sides) for number in range(2)]

    def block(pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> list[object]:
        return [myfm.RelationBlock(rows, side) for rows, side in zip(pairs, blocks, strict=True)]

    groups = [size for side in blocks for size in (side.shape[0], side.shape[1] - side.shape[0])]
    groups = [size for size in groups if size]
    levels, level = np.unique(stars.rating, return_inverse=True)
    kind = myfm.MyFMOrderedProbit if ordered else myfm.MyFMRegressor
    model = kind(rank=MYFM_RANK, random_seed=stars.case.seed)
    target = level if ordered else stars.rating.astype(float)
    with quiet():
        model.fit(
            None,
            target,
            X_rel=block(stars.fitted),
            n_iter=MYFM_ITERATIONS,
            n_kept_samples=MYFM_ITERATIONS - 20,
            group_shapes=groups,
        )
    if ordered:
        return model.predict_proba(None, X_rel=block(stars.asked)) @ levels
    return model.predict(None, X_rel=block(stars.asked))


def _side(stars: Stars, *, of_movies: bool, sides: bool) -> sp.csr_matrix:
    """Return a user's or movie's features, [U or I, F], its id first."""
    seen = stars.case.seen.T.tocsr() if of_movies else stars.case.seen
    ids = sp.identity(seen.shape[0], format="csr")
    if not sides:
        return ids
    lengths = np.sqrt(np.maximum(np.diff(seen.indptr), 1))
    implicit = sp.diags(1 / lengths) @ seen
    content = [stars.content] if of_movies else []
    return sp.hstack([ids, implicit, *content], format="csr").astype(float)


@dataclass
class StarPeer:
    """A rating predictor with the settings to choose from."""

    fit: Callable[..., NDArray[np.floating]]
    settings: Sequence[Settings] = ({},)

    def stars(self, case: Case) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Choose, fit, and return predictions of the test ratings with notes."""
        started = time.perf_counter()
        chosen, tried = self.settings[0], 0
        if len(self.settings) > 1:
            validation = case.validation()
            truth = validation.test["rating"].to_numpy()
            errors = [np.square(self._predict(validation, s) - truth).mean() for s in self.settings]
            chosen, tried = self.settings[int(np.argmin(errors))], len(errors)
        fitting = time.perf_counter()
        predicted = self._predict(case, chosen)
        notes = {
            "settings": chosen,
            "tried": tried,
            "choosing_seconds": round(fitting - started, 2),
            "fit_seconds": round(time.perf_counter() - fitting, 2),
        }
        return predicted, notes

    def _predict(self, case: Case, settings: Settings) -> NDArray[np.float32]:
        stars = Stars(case)
        predicted = np.asarray(self.fit(stars, **settings), np.float32)
        return predicted.clip(stars.rating.min(), stars.rating.max())


STAR_PEERS: Mapping[str, StarPeer] = {
    "user and movie means": StarPeer(means),
    "matrix factorisation": StarPeer(
        matrix_factorisation,
        [{"factors": factors, "l2": l2} for factors in (8, 32) for l2 in (5.0, 10.0, 20.0)],
    ),
    "ridge on genres and years": StarPeer(content_ridge, [{"l2": l2} for l2 in (5.0, 10.0, 20.0)]),
    "myFM regression": StarPeer(
        myfm, [{"ordered": False, "sides": sides} for sides in (False, True)]
    ),
    "myFM ordered probit": StarPeer(
        myfm, [{"ordered": True, "sides": sides} for sides in (False, True)]
    ),
}

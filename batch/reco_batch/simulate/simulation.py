"""Simulation of ratings in the number, distribution and learnability of MovieLens.

Planted structure for models to learn:

* Movies have latent factors, the sum of genre factors and a random part. Tastes are directions in
  the same space; a user is a mixture of three tastes.
* Users rate in sittings. Each sitting has one of the user's tastes, and its movies are drawn by
  popularity and by similarity to that taste, so movies of one sitting co-occur.
* Stars are a linear function of user, movie and the product of their factors, plus noise.
* Few movies have most of the ratings, and few users give most of them. No user rates a movie before
  its year, or twice.

Users are generated in blocks, each with its own random numbers, so memory does not grow with the
number of users. Pure functions; `files` writes the result.

Shapes: U users, I movies, D factors, T tastes; B users and S ratings, one per slot, of a block.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Movies, Ratings
from reco_batch.simulate.movies import Catalogue, draw_catalogue, unit_rows
from reco_store import UsageError

#: Smallest number of ratings of a user, as in MovieLens.
FEWEST_RATINGS: Final = 20
#: Largest share of the catalogue that one user rates.
_LARGEST_SHARE: Final = 1 / 4
_USERS_PER_BLOCK: Final = 1000
#: Standard deviation of the log-normal activity: as in ml-32m, a median of 73 ratings a user with a
#: mean of 159.
_ACTIVITY_SPREAD: Final = 1.39
_TASTES: Final = 48
_TASTES_PER_USER: Final = 3
#: A movie is exp(_FOCUS * cosine) times as likely in a sitting of a taste.
_FOCUS: Final = 8.0
_RATINGS_A_SITTING: Final = 25
#: Draws for each empty slot in each round; slots still empty afterwards are filled from the whole
#: catalogue, which takes a thousand times as long.
_ROUNDS: Final = (1, 1, 2, 4, 8, 16, 32, 64)
_FIRST_DAY: Final = 946_684_800  # 2000-01-01, in seconds since 1970
_LAST_DAY: Final = 1_697_068_800  # 2023-10-12, as in ml-32m
_SECONDS_A_YEAR: Final = 31_556_952
_MEAN_YEARS_ACTIVE: Final = 1.0


class Shape(NamedTuple):
    """Size of a data set."""

    users: int
    movies: int
    ratings: int

    def scaled(self, scale: float) -> "Shape":
        """Return the shape with users and ratings multiplied by `scale`, and the same catalogue.

        Users have the same number of ratings at every scale, so the cost of a run is a constant,
        for the catalogue, plus a part proportional to the users: two scales predict a third.
        """
        return self._replace(
            users=max(1, round(self.users * scale)), ratings=round(self.ratings * scale)
        )


#: Sizes of the MovieLens releases.
SHAPES: Final[Mapping[str, Shape]] = {
    "ml-latest-small": Shape(610, 9_742, 100_836),
    "ml-25m": Shape(162_541, 62_423, 25_000_095),
    "ml-32m": Shape(200_948, 87_585, 32_000_204),
}


class _People(NamedTuple):
    """Block of users."""

    ratings: NDArray[np.int64]  # [B]
    tastes: NDArray[np.int64]  # [B, 3]
    shares: NDArray[np.float64]  # [B, 3], cumulative shares of the tastes; the last is 1
    first_second: NDArray[np.int64]  # [B], time of the first rating
    years_active: NDArray[np.float64]  # [B]


class _Slots(NamedTuple):
    """Ratings without a movie yet: user, taste and time; by user, in the order of time."""

    user: NDArray[np.int64]  # [S], in the block
    taste: NDArray[np.int64]  # [S]
    second: NDArray[np.int64]  # [S], since 1970


class Simulation:
    """Synthetic data set; the same shape and seed give the same ratings."""

    def __init__(self, shape: Shape, *, seed: int) -> None:
        """Draw the catalogue and the tastes.

        Args:
            shape: size of the data set.
            seed: random seed.

        Raises:
            UsageError: there are too few movies for the ratings of a user, or fewer than twenty
                ratings a user.
        """
        most = int(shape.movies * _LARGEST_SHARE)
        if shape.ratings > shape.users * most / 2:
            least = int(np.ceil(2 * shape.ratings / shape.users / _LARGEST_SHARE))
            raise UsageError(
                f"{shape.movies:,} movies: expected at least {least:,}, "
                f"for {shape.ratings / shape.users:.0f} ratings a user"
            )
        if shape.ratings < shape.users * FEWEST_RATINGS:
            raise UsageError(
                f"{shape.ratings:,} ratings of {shape.users:,} users: "
                f"expected at least {FEWEST_RATINGS} of each"
            )
        self.shape = shape
        self._seed = seed
        rng = np.random.default_rng((seed, 0))
        self._catalogue = draw_catalogue(shape.movies, rng)
        self._tastes = _draw_tastes(self._catalogue, rng)  # [T, D]
        self._likely = _chances(self._catalogue, self._tastes)  # [T, I]
        self._up_to = np.cumsum(self._likely, axis=1)  # [T, I]
        self._up_to += np.arange(_TASTES)[:, np.newaxis]  # one ascending row of all: T + 1
        self._counts = _activity(shape, most, rng)  # [U]

    @property
    def movies(self) -> Movies:
        """The catalogue; ids count from 1."""
        return self._catalogue.movies

    def blocks(self) -> Iterator[Ratings]:
        """Yield the ratings of a thousand users at a time, by user and then by movie.

        Indices are those of the whole data set; ids are one more.

        Cost:
            About 2 microseconds a rating; memory for the tables of the catalogue, 70 MB for ml-32m,
            and for the ratings of one block.
        """
        for number, first in enumerate(range(0, self.shape.users, _USERS_PER_BLOCK), start=1):
            rng = np.random.default_rng((self._seed, number))
            people = _draw_people(self._counts[first : first + _USERS_PER_BLOCK], rng)
            slots = _draw_slots(people, rng)
            movie = self._draw_movies(slots, rng)
            stars = self._draw_stars(people, slots.user, movie, rng)
            order = np.lexsort((movie, slots.user))
            yield Ratings(
                (first + slots.user[order]).astype(np.int32),
                movie[order].astype(np.int32),
                stars[order],
                slots.second[order],
            )

    def _draw_movies(self, slots: _Slots, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return a movie for each slot, [S]: already released, and only once for each user."""
        movie = np.full(len(slots.user), -1)
        taken = np.empty(0, np.int64)  # user and movie as one number
        for draws in _ROUNDS:
            empty = np.repeat(np.flatnonzero(movie < 0), draws)
            found = self._draw(slots.taste[empty], rng)
            out = self._catalogue.second_out[found] <= slots.second[empty]
            empty, found = empty[out], found[out]
            pairs = slots.user[empty] * self.shape.movies + found
            _, first = np.unique(np.concatenate([taken, pairs]), return_index=True)
            new = np.sort(first[first >= len(taken)] - len(taken))
            new = new[np.unique(empty[new], return_index=True)[1]]  # one movie a slot
            movie[empty[new]] = found[new]
            taken = np.concatenate([taken, pairs[new]])
        for user in np.unique(slots.user[movie < 0]):
            start, stop = np.searchsorted(slots.user, (user, user + 1))
            self._fill(slots.taste[start:stop], slots.second[start], movie[start:stop], rng)
        return movie

    def _draw(self, taste: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return a random movie for each taste, [S]."""
        chance = taste + rng.random(len(taste))
        order = np.argsort(chance)  # neighbours read the same memory: four times as fast
        position = np.empty(len(taste), np.int64)
        position[order] = np.searchsorted(self._up_to.ravel(), chance[order], side="right")
        # Rounding may leave the last sum of a row below or above 1.
        found: NDArray[np.int64] = position - taste * self.shape.movies
        return np.clip(found, 0, self.shape.movies - 1, out=found)

    def _fill(
        self,
        taste: NDArray[np.int64],
        second: np.int64,
        movie: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        """Fill the empty slots of one user in place, if draws find too few new movies.

        Source:
            Sampling without replacement by an exponential race, Efraimidis and Spirakis,
            Information Processing Letters 2006, doi:10.1016/j.ipl.2005.11.003.
        """
        empty = np.flatnonzero(movie < 0)
        moods, times = np.unique(taste[empty], return_counts=True)
        chance = times @ self._likely[moods]  # [I]
        chance[self._catalogue.second_out > second] = 0
        finish = np.full(self.shape.movies, np.inf)
        np.divide(rng.standard_exponential(self.shape.movies), chance, out=finish, where=chance > 0)
        late = finish == np.inf  # come last: only users who rate all others get them
        finish[late] = finish[~late].max(initial=0) + 1 + self._catalogue.second_out[late]
        finish[movie[movie >= 0]] = np.inf
        winners = np.argpartition(finish, len(empty) - 1)[: len(empty)]
        movie[empty] = rng.permutation(np.sort(winners))

    def _draw_stars(
        self,
        people: _People,
        user: NDArray[np.int64],
        movie: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Return the stars of each rating, [S]: halves from 0.5 to 5."""
        parts = np.diff(people.shares, prepend=0)  # [B, 3]
        likes = np.einsum("bt,btd->bd", parts, self._tastes[people.tastes])  # [B, D]
        factors = self._catalogue.factors
        match = np.einsum("sd,sd->s", likes[user], factors[movie])
        mood = rng.normal(0, 0.35, len(people.ratings))
        stars = 2.7 + 1.8 * match + mood[user] + self._catalogue.quality[movie]
        stars += rng.normal(0, 0.6, len(movie))
        halves: NDArray[np.float32] = np.clip(np.rint(2 * stars) / 2, 0.5, 5).astype(np.float32)
        return halves


def _draw_tastes(catalogue: Catalogue, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return unit directions near some movies, [T, D]."""
    seeds = rng.integers(0, len(catalogue.factors), (_TASTES, 2))
    middle = catalogue.factors[seeds].sum(axis=1)
    return unit_rows(middle + rng.normal(0, 0.1, middle.shape))


def _chances(catalogue: Catalogue, tastes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of each movie in a sitting of each taste, [T, I]; rows sum to 1."""
    # einsum, because the last bits of a BLAS product depend on the number of cores.
    near = np.einsum("td,id->ti", tastes, catalogue.factors)
    chance: NDArray[np.float64] = catalogue.popularity * np.exp(_FOCUS * near)
    chance /= chance.sum(axis=1, keepdims=True)
    return chance


def _activity(shape: Shape, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the number of ratings of each user, [U]; few users give most of them."""
    weight = rng.lognormal(0, _ACTIVITY_SPREAD, shape.users)
    more = weight * ((shape.ratings - FEWEST_RATINGS * shape.users) / weight.sum())
    counts: NDArray[np.int64] = np.minimum(FEWEST_RATINGS + more.astype(np.int64), most)
    while (left := shape.ratings - int(counts.sum())) > 0:
        room = np.flatnonzero(counts < most)
        share = max(1, left // len(room))
        chosen = room[:left]
        counts[chosen] = np.minimum(counts[chosen] + share, most)
    return counts


def _draw_people(ratings: NDArray[np.int64], rng: np.random.Generator) -> _People:
    count = len(ratings)
    shares = np.cumsum(rng.dirichlet(np.ones(_TASTES_PER_USER), count), axis=1)
    shares[:, -1] = 1
    return _People(
        ratings,
        rng.integers(0, _TASTES, (count, _TASTES_PER_USER)),
        shares,
        rng.integers(_FIRST_DAY, _LAST_DAY - _SECONDS_A_YEAR, count),
        rng.exponential(_MEAN_YEARS_ACTIVE, count),
    )


def _draw_slots(people: _People, rng: np.random.Generator) -> _Slots:
    """Divide the ratings of each user into sittings, spread over the user's active time."""
    count = int(people.ratings.sum())
    user = np.repeat(np.arange(len(people.ratings)), people.ratings)
    first = np.cumsum(people.ratings) - people.ratings  # [B], each user's first slot
    begins = rng.random(count) < 1 / _RATINGS_A_SITTING
    begins[first] = True
    sitting = np.cumsum(begins) - 1
    whose = user[begins]
    mood = (rng.random(len(whose))[:, np.newaxis] > people.shares[whose]).sum(axis=1)
    taste = people.tastes[whose, mood]

    sittings = np.bincount(whose, minlength=len(people.ratings))
    active = np.minimum(
        people.years_active * _SECONDS_A_YEAR, (_LAST_DAY - people.first_second) / 4
    )
    pause = rng.exponential((active / sittings)[whose])
    passed = rng.integers(3, 40, count)
    passed[begins] += pause.astype(np.int64)
    passed[first] = 0
    since = np.cumsum(passed)
    second = people.first_second[user] + since - since[first][user]
    return _Slots(user, taste[sitting], second)

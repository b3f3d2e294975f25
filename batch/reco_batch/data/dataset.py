"""Dataset: ratings and movies as arrays, the input of every later stage.

Ids are strings in files and int32 row numbers in arrays. Users are in the order of their ids as
strings, which is the order of classes in a stratified split; movies are in the order of the movies
file. `ingest` reads and checks the files.

Shapes: N ratings, U users, I movies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.ordering import user_by_user
from reco_store.contract.codec import is_numeric_id
from reco_store.contract.words import DEFAULT_WORDS, Words, counted


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Aligned columns with one row for each rating, in file order."""

    user_index: NDArray[np.int32]  # [N]
    movie_index: NDArray[np.int32]  # [N]
    rating: NDArray[np.float32] | None  # [N], stars; None for implicit feedback
    timestamp: NDArray[np.int64] | None  # [N], seconds since 1970; None without times
    strength: NDArray[np.float32] | None = None
    """[N], of mean 1 over those above 0, and below 0 for a dislike; None: all count alike."""
    is_target: NDArray[np.bool_] | None = None
    """[N] interactions that are to be predicted, and make a movie popular; None: all."""
    target_time: NDArray[np.int64] | None = None
    """[N] time of the newest event of a target kind, -1 without any; None: it is `timestamp`."""

    def take(self, rows: NDArray[np.int64]) -> "Ratings":
        """Return the given rows, in the given order."""
        return Ratings(
            self.user_index[rows],
            self.movie_index[rows],
            None if self.rating is None else self.rating[rows],
            None if self.timestamp is None else self.timestamp[rows],
            None if self.strength is None else self.strength[rows],
            None if self.is_target is None else self.is_target[rows],
            None if self.target_time is None else self.target_time[rows],
        )

    def fitted(self, rows: NDArray[np.int64]) -> "Ratings":
        """Return the given rows to train on, in the given order, with strengths of mean 1 again.

        Penalties and losses are absolute, and with a half-life an earlier part has less strength.
        """
        taken = self.take(rows)
        if taken.strength is None or not (above := taken.strength[taken.strength > 0]).size:
            return taken
        scaled = taken.strength / above.mean(dtype=np.float64)
        return replace(taken, strength=scaled.astype(np.float32))

    @property
    def targets(self) -> "Ratings":
        """The interactions that are to be predicted, in the same order.

        Their time is that of the newest event of a target kind: a view makes no purchase recent.
        """
        own = self if self.is_target is None else self.take(np.flatnonzero(self.is_target))
        if own.target_time is None:
            return own
        return replace(own, timestamp=own.target_time, target_time=None)

    @property
    def stars(self) -> NDArray[np.float32]:
        """Stars of the ratings, [N], for callers that require them.

        Raises:
            ValueError: the feedback is implicit.
        """
        if self.rating is None:
            raise ValueError("the ratings have no stars (implicit feedback)")
        return self.rating

    def __len__(self) -> int:
        """Number of ratings."""
        return len(self.user_index)


class Events(NamedTuple):
    """Kinds of the events that became the interactions of a data set, in their order."""

    kinds: tuple[str, ...]
    """Kinds with a weight, K."""
    latest: NDArray[np.uint32]
    """[N, K] 1 + time of the newest event of each kind, in seconds since 1970, so that 0 means no
    event; without times 1 or 0."""
    seen: tuple[str, ...]
    """Kinds after which lists leave out the movie."""
    target: tuple[str, ...]
    """Kinds that are to be predicted."""

    @property
    def is_seen(self) -> NDArray[np.bool_]:
        """[N] interactions after which lists leave out the movie."""
        return self.of(self.seen) > 0

    def take(self, rows: NDArray[np.int64]) -> "Events":
        """Return the given interactions, in the given order."""
        return self._replace(latest=self.latest[rows])

    def of(self, kinds: Iterable[str]) -> NDArray[np.uint32]:
        """Return the time of the newest event of some kinds, [N], as in `latest`."""
        newest = np.zeros(len(self.latest), np.uint32)
        for kind in kinds:
            np.maximum(newest, self.latest[:, self.kinds.index(kind)], out=newest)
        return newest


#: Unit of ages and periods, in the unit of all times.
SECONDS_PER_DAY: Final = 86_400
#: Time of a movie whose release is not known; every known time is later.
NO_TIME: Final = int(np.iinfo(np.int64).min)
#: Values of an attribute, [I]: numbers, NaN where missing, or text, None where missing.
Attribute = NDArray[np.float64] | tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Movies:
    """Catalogue of movies; the row number is the movie index."""

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    genres: tuple[tuple[str, ...], ...]
    years: tuple[int | None, ...]
    unlisted: int = 0
    """Number of movies at the end that the movies file lacks; no list shows them."""
    released: NDArray[np.int64] | None = field(default=None, compare=False)
    """[I] seconds since 1970, or `NO_TIME`; None without the column."""
    available: NDArray[np.bool_] | None = field(default=None, compare=False)
    """[I] movies that may be shown; models learn from the ratings of all. None without the column.
    """
    attributes: Mapping[str, Attribute] = field(default_factory=dict, compare=False)
    """Other columns of the movies file by name, for rules; unlisted movies have no values."""

    def __len__(self) -> int:
        """Number of movies."""
        return len(self.ids)

    @property
    def listed(self) -> int:
        """Number of movies that lists may show, the first ones, in the order of the movies file."""
        return len(self) - self.unlisted

    @property
    def catalogue(self) -> "Movies":
        """The movies of the movies file alone."""
        listed = slice(self.listed)
        return Movies(
            self.ids[listed],
            self.titles[listed],
            self.genres[listed],
            self.years[listed],
            released=None if self.released is None else self.released[listed],
            available=None if self.available is None else self.available[listed],
            attributes={name: values[listed] for name, values in self.attributes.items()},
        )

    @property
    def numeric_ids(self) -> bool:
        """True if every id is a canonical integer, which JSON can contain as a number."""
        return all(map(is_numeric_id, self.ids))


class RejectedRow(NamedTuple):
    """Unusable row of the input that was left out."""

    file: str
    line: int
    reason: str
    row: str
    """Text of the row in the file; empty for binary formats."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings and repairs of validation; `describe` returns them as sentences."""

    notes: tuple[str, ...] = ()
    """Notes on unusual forms of the files, and how each was read."""
    rejected: tuple[RejectedRow, ...] = ()
    ratings_read: int = 0
    without_stars: bool = False
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Number of events of each kind; empty if the ratings are no events."""
    adds_up: bool = False
    """True if repeated events of a user and a movie add up."""
    duplicates_dropped: int = 0
    future_ratings: int = 0
    first_future_line: int = 0
    ratings_of_unknown_movies: int = 0
    unknown_movies: int = 0
    movies_without_ratings: int = 0
    words: Words = DEFAULT_WORDS
    """Words for movies and ratings in the sentences."""

    def describe(self) -> tuple[str, ...]:
        """Return one note for each finding that is not zero."""
        words = self.words
        if self.without_stars and words == DEFAULT_WORDS:
            done = "event" if self.kinds else "interaction"
            words = words._replace(interaction=done, interactions=f"{done}s")
        repeated = "their weights were added" if self.adds_up else "the latest of each was kept"

        ratings, movies = words.count_interactions, words.count_items
        notes = []
        if count := self.duplicates_dropped:
            what = words.adapt("repeated a user and a movie")
            notes.append(f"{ratings(count)} {what}: {repeated}")
        if count := self.ratings_of_unknown_movies:
            what = words.adapt(
                "that the movies file lacks: models learn from them, and no list shows such a movie"
            )
            notes.append(f"{ratings(count)} of {movies(self.unknown_movies)} {what}")
        if count := self.future_ratings:
            notes.append(
                f"{ratings(count)} dated after this run, the first on line "
                f"{self.first_future_line:,}: treated as if dated at the newest valid timestamp"
            )
        if count := self.movies_without_ratings:
            notes.append(
                f"{movies(count)} {words.adapt('without a rating')}: each has a card, and a "
                "similar list from an untrained vector"
            )
        return (*self.notes, *self._rejections(), *self._without_stars(words), *notes)

    def _without_stars(self, words: Words) -> tuple[str, ...]:
        if not self.without_stars:
            return ()
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.items())
        sentence = (
            f"{words.count_interactions(self.ratings_read)}{f' ({kinds})' if kinds else ''}, no "
            "rating column: ratings are not predicted; lists by predicted or mean rating are not "
            "published"
        )
        return (sentence,)

    def _rejections(self) -> tuple[str, ...]:
        if not self.rejected:
            return ()
        file, line, reason, _ = self.rejected[0]
        if len(self.rejected) > 1:
            skipped = f"{len(self.rejected):,} unusable rows were skipped: the first, "
        else:
            skipped = "one unusable row was skipped: "
        return (f"{skipped}{file}, line {line}: {reason}",)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Input of a run: ratings, movies and findings."""

    user_ids: tuple[str, ...]
    movies: Movies
    ratings: Ratings
    rating_scale: tuple[float, float]
    findings: Findings = field(default_factory=Findings)
    source: Mapping[str, object] = field(default_factory=dict)
    events: Events | None = None
    """Events of the ratings; None if these are no events of several kinds."""
    first_time: NDArray[np.int64] | None = None
    """[U] time of each user's first row of the input, repeated ones included, in seconds since
    1970; None without times."""

    @property
    def seen(self) -> Ratings:
        """Ratings after which lists leave out the movie, in their order."""
        if self.events is None or (is_seen := self.events.is_seen).all():
            return self.ratings
        return self.ratings.take(np.flatnonzero(is_seen))

    @property
    def seen_count(self) -> int:
        """Number of ratings in `seen`, without copying them."""
        return len(self.ratings) if self.events is None else int(self.events.is_seen.sum())

    @property
    def words(self) -> Words:
        """Words for movies and ratings in texts."""
        return self.findings.words

    @property
    def size_words(self) -> str:
        """Numbers of ratings, users and movies."""
        words = self.words
        return (
            f"{words.count_interactions(len(self.ratings))}, "
            f"{counted(len(self.user_ids), 'user')}, {words.count_items(self.movies.listed)}"
        )

    @property
    def has_stars(self) -> bool:
        """True for explicit ratings in stars, False for implicit feedback."""
        return self.ratings.rating is not None


class Histories(NamedTuple):
    """Rated movies of each user, as compressed rows (CSR without values)."""

    offsets: NDArray[np.int64]  # [U + 1]
    movie_index: NDArray[np.int32]  # [N], grouped by user

    def below(self, movie_count: int) -> "Histories":
        """Return the same rows without movies from index `movie_count` on, in the same order."""
        kept = self.movie_index < movie_count
        if kept.all():
            return self
        before = np.concatenate([[0], np.cumsum(kept)])
        return Histories(before[self.offsets], self.movie_index[kept])

    def of(self, user_index: int) -> NDArray[np.int32]:
        """Return the movies of one user."""
        return self.movie_index[self.offsets[user_index] : self.offsets[user_index + 1]]

    def block(self, start: int, stop: int) -> "Histories":
        """Return the rows of users `start` to `stop`, without copying."""
        offsets = self.offsets[start : stop + 1]
        return Histories(offsets - offsets[0], self.movie_index[offsets[0] : offsets[-1]])

    def first(self, count: int) -> "Histories":
        """Return the first entries of each row, at most `count`."""
        counts = np.diff(self.offsets)
        if count >= counts.max(initial=0):
            return self
        place = np.arange(len(self.movie_index)) - np.repeat(self.offsets[:-1], counts)
        offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, count))])
        return Histories(offsets.astype(np.int64), self.movie_index[place < count])

    def rows(self, user_index: NDArray[np.integer]) -> "Histories":
        """Return the rows of the given users, in the given order."""
        offsets, places = self.places(user_index)
        return Histories(offsets, self.movie_index[places])

    def places(
        self, user_index: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the offsets of `rows`, and the places of their entries in these rows."""
        counts = np.diff(self.offsets)[user_index]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        shift = np.repeat(self.offsets[user_index] - offsets[:-1], counts)
        return offsets, np.arange(offsets[-1]) + shift


def histories(
    ratings: Ratings, *, user_count: int, order: NDArray[np.int64] | None = None
) -> Histories:
    """Group the rated movies by user, newest first.

    Args:
        ratings: the ratings to group; without timestamps the later row counts as newer.
        user_count: U; users without a rating have an empty row.
        order: result of `newest_first`, if already computed.

    Returns:
        One row for each user.

    Cost:
        O(N log N) time.
    """
    order = newest_first(ratings) if order is None else order
    counts = np.bincount(ratings.user_index, minlength=user_count)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Histories(offsets, ratings.movie_index[order])


def newest_first(ratings: Ratings) -> NDArray[np.int64]:
    """Return the rows of the ratings by user, newest first, [N]; see `histories`."""
    times = ratings.timestamp

    def keys(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return -rows if times is None else -times[rows], -rows

    return user_by_user(ratings.user_index, keys)

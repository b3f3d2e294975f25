"""Default retrieval model: history encoder, item-item weights and popularity.

The two halves find different movies, so their sum finds more than either. Each is divided by the
standard deviation (`spread`) of a user's scores over the catalogue, so that the shares have the
same meaning for every user and catalogue:

    score = tower_share * encoder / spread + neighbour_share * trust * neighbours / spread
          + popularity_share * popularity + recent_share * recent popularity
    trust = n^2 / (n^2 + half_trust^2) for a user with n ratings

Encoder and popularity make one dot product; the item-item half is a sparse term of the score
(`scoring.sparse_term`).

Shapes: U users, B users of a block, I movies, N ratings, D joined width, T knots of time.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Ratings
from reco_batch.models.retrieval.encoder_weights import (
    EncoderWeights,
    time_features,
    unit_weights,
)
from reco_batch.models.retrieval.history_weights import as_matrix, history_weights
from reco_batch.models.trainable import Towers
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.explanations import Influence, strengths
from reco_batch.scoring.popularity import recent_counts
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.settings.hyperparameters import HybridParameters

#: User vectors computed at a time: 10 kB each, and 60 bytes per rating.
_AT_ONCE: Final = 16_384
#: Item-item scores computed at a time, 4 bytes each.
_SCORES_AT_ONCE: Final = 1 << 22
#: Smallest variance of scores to divide by.
_NO_VARIANCE: Final = 1e-12


class Users(NamedTuple):
    """Histories, times and trained vectors of users: the input of their scores."""

    rated: Rated
    """Histories with the strength of each rating, from `explanations.strengths`."""
    latest: NDArray[np.int64]
    """Times of the latest ratings, from `latest_ratings`, [U]."""
    own: NDArray[np.float32] | None
    """Trained vectors [U, D]; None for users that the model was not trained on."""

    @classmethod
    def of(cls, ratings: Ratings, *, user_count: int) -> "Users":
        """Return users that the model was not trained on, with these ratings."""
        rated = strengths(ratings, user_count=user_count)
        return cls(rated, latest_ratings(ratings, user_count=user_count), None)

    def block(self, start: int, stop: int) -> "Users":
        """Return users `start` to `stop`, without copying."""
        own = None if self.own is None else self.own[start:stop]
        return Users(self.rated.block(start, stop), self.latest[start:stop], own)

    def rows(self, user_index: NDArray[np.int64]) -> "Users":
        """Return the given users, in the given order."""
        own = None if self.own is None else self.own[user_index]
        return Users(self.rated.rows(user_index), self.latest[user_index], own)


class Halves(NamedTuple):
    """Trained parts of the model."""

    encoder: EncoderWeights
    years: tuple[int, int]
    """First and last knot of the time features."""
    neighbours: sp.csr_matrix
    """Item-item weights, [I, I]."""
    popularity: NDArray[np.float32]
    """Popularity of all time and of the last days, from `popularity_columns`, [I, 2]."""


class HybridRetrieval:
    """Trained model; scores trained users and unseen histories."""

    def __init__(
        self,
        halves: Halves,
        users: Users,
        parameters: HybridParameters,
        *,
        similar: NDArray[np.float32],
        ids: tuple[Sequence[str], Sequence[str]],
    ) -> None:
        """Join the halves.

        Args:
            halves: trained parts.
            users: users that they were trained on, with their own vectors.
            parameters: hyper-parameters of the hybrid.
            similar: [I, S] similarity vectors.
            ids: ids of the users and of the movies.
        """
        self._halves, self._parameters = halves, parameters
        self._similar, self._rated, self._ids = similar, users.rated, ids
        self._encoder_covariance = covariance(halves.encoder.movies)
        self._movies = np.column_stack([halves.encoder.movies, halves.popularity])
        self._embeddings, self._encoder_shares = self._folded_in(users)

    def fold_in(self, ratings: Ratings, *, user_count: int) -> Embeddings:
        """Return the embeddings of new users from their ratings.

        Args:
            ratings: ratings with a user_index below `user_count`; a user without any gets a vector
                that ranks movies by popularity.
            user_count: number of users.
        """
        return self._folded_in(Users.of(ratings, user_count=user_count))[0]

    def _folded_in(self, users: Users) -> tuple[Embeddings, NDArray[np.float32]]:
        """Return the users' embeddings, and the share of a rating of weight 1 in dot products."""
        count = len(users.latest)
        folded = np.empty((count, self._movies.shape[1]), np.float32)
        shares = np.empty((count, 1), np.float32)
        for block in _blocks(count, _AT_ONCE):
            part = users.block(block.start, block.stop)
            folded[block], shares[block] = self._folded(part)
        return Embeddings(folded, self._movies, self._sparse(users)), shares

    def _folded(self, users: Users) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the vectors of a block of users and the shares of their ratings."""
        halves = self._halves
        encoded, matrix = encoded_users(halves.encoder, users, self._parameters, halves.years)
        share = self._parameters.tower_share / spread(encoded, self._encoder_covariance)
        popular = np.tile(popularity_shares(self._parameters), (len(encoded), 1))
        unit = unit_weights(matrix)[:, np.newaxis]
        return (
            np.column_stack([share * encoded, popular]).astype(np.float32),
            (share * unit).astype(np.float32),
        )

    def _sparse(self, users: Users) -> SparseTerm:
        """Return the item-item term of users."""
        term = item_term(self._halves.neighbours, users, self._parameters)
        counts = np.diff(users.rated.history.offsets)
        share = self._parameters.neighbour_share * trust(self._parameters, counts)
        scale = (share / term_spread(term)).astype(np.float32)
        weights = term.rated.weights * np.repeat(scale, counts)
        return term._replace(rated=Rated(term.rated.history, weights))

    def movie_side(
        self,
    ) -> tuple[Halves, HybridParameters, NDArray[np.float32], Sequence[str]]:
        """Return halves, hyper-parameters, similarity vectors and movie ids: all but the users."""
        return self._halves, self._parameters, self._similar, self._ids[1]

    def embeddings(self) -> Embeddings:
        """Return the vectors of trained users and of all movies, and the item-item term."""
        return self._embeddings

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return the similarity vectors, [I, S]."""
        return self._similar

    def influence(self) -> Influence:
        """Return the contribution of each rating to the dot products of a trained user.

        Own vector, time, bias and popularity are left out, since they belong to no rating.
        """
        history, strength = self._rated
        weights = _weights(self._rated, self._parameters) * (strength > 0)
        encoded = self._halves.encoder.history
        # Zeros in the columns of bias and popularity.
        vectors = np.pad(encoded, [(0, 0), (0, self._movies.shape[1] - encoded.shape[1])])
        return Influence(
            vectors, (vectors.shape[1],), self._encoder_shares, Rated(history, weights)
        )

    def next_embeddings(self) -> Embeddings:
        """Return the embeddings of users with one movie as the only known rating.

        These are additive, unlike `fold_in`, whose trust in a single rating is low.
        """
        parameters, vectors = self._parameters, np.empty_like(self._movies)
        for block in _blocks(len(vectors), _AT_ONCE):
            # No bias and no time: the popularity term already covers effects common to all users.
            encoded = np.pad(self._halves.encoder.history[block], [(0, 0), (0, 1)])
            popular = np.tile([parameters.arrival_popularity, 0], (len(encoded), 1))
            vectors[block] = np.column_stack(
                [encoded / spread(encoded, self._encoder_covariance), popular]
            )
        count = len(vectors)
        alone = Histories(np.arange(count + 1), np.arange(count, dtype=np.int32))
        term = SparseTerm(Rated(alone, np.ones(count, np.float32)), self._halves.neighbours)
        share = (parameters.arrival_neighbour_share / term_spread(term)).astype(np.float32)
        return Embeddings(vectors, self._movies, term._replace(rated=Rated(alone, share)))

    def towers(self) -> Towers:
        """Return the lookups to be saved.

        An unknown user has the vector of an empty history, an unknown movie has zeros.
        """
        from reco_batch.models.training.loop import Tower  # noqa: PLC0415  # loads TensorFlow

        user_ids, movie_ids = self._ids
        none = np.empty(0, np.int32)
        unknown = self.fold_in(Ratings(none, none, None, None), user_count=1).users
        no_movie = np.zeros_like(self._movies[:1])
        return Towers(
            Tower.holding(user_ids, np.vstack([unknown, self._embeddings.users])),
            Tower.holding(movie_ids, np.vstack([no_movie, self._movies])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(self._similar[:1]), self._similar])),
        )


def encoded_users(
    encoder: EncoderWeights, users: Users, parameters: HybridParameters, years: tuple[int, int]
) -> tuple[NDArray[np.float32], sp.csr_matrix]:
    """Return the encoder's vectors of users, [U, D + 1], and their weighted histories, [U, I].

    Args:
        encoder: trained encoder.
        users: U users.
        parameters: hyper-parameters of the hybrid.
        years: first and last knot of the time features.
    """
    weights = _weights(users.rated, parameters)
    matrix = as_matrix(users.rated.history, weights, movie_count=len(encoder.movies))
    times = time_features(users.latest, years=years)
    return encoder.user_vectors(matrix, times, users.own), matrix


def item_term(neighbours: sp.csr_matrix, users: Users, parameters: HybridParameters) -> SparseTerm:
    """Return the item-item scores of users, neither scaled nor weighted by trust."""
    weights = _weights(users.rated, parameters)
    return SparseTerm(Rated(users.rated.history, weights), neighbours)


def _weights(rated: Rated, parameters: HybridParameters) -> NDArray[np.float32]:
    return history_weights(
        rated, recency=parameters.recency, dislike_weight=parameters.dislike_weight
    )


def trust(parameters: HybridParameters, rating_count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the trust in the item-item scores of users with so many ratings, [U], 0 to 1."""
    squares = np.square(rating_count, dtype=np.float64)
    trusted: NDArray[np.float64] = squares / (squares + parameters.half_trust**2)
    return trusted


def popularity_shares(parameters: HybridParameters) -> NDArray[np.float32]:
    """Return the weights of `popularity_columns`, [2]."""
    return np.array([parameters.popularity_share, parameters.recent_share], np.float32)


def popularity_columns(
    ratings: Ratings, *, movie_count: int, recent_days: int
) -> NDArray[np.float32]:
    """Return the standardised log popularity of all time and of the last days, [I, 2].

    Only interactions of target kinds count. The second is zero without timestamps.
    """
    ratings = ratings.targets
    always = np.bincount(ratings.movie_index, minlength=movie_count)
    recent = np.zeros(movie_count, np.int64)
    if ratings.timestamp is not None:
        recent = recent_counts(ratings, movie_count=movie_count, days=recent_days)
    logs = np.log1p(np.column_stack([always, recent]))
    standardised: NDArray[np.float32] = (
        (logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 1e-9)
    ).astype(np.float32)
    return standardised


def term_spread(term: SparseTerm) -> NDArray[np.float64]:
    """Return the standard deviation of each user's item-item scores over the catalogue, [U]."""
    users, (rows, width) = len(term.rated.history.offsets) - 1, term.neighbours.shape
    of_rows = [_row_sums(term.neighbours, power=power) / width for power in (1, 2)]
    variance = np.empty(users)
    for block in _blocks(users, max(1, _SCORES_AT_ONCE // width)):
        history, weights = term.rated.block(block.start, block.stop)
        mean = as_matrix(history, weights, movie_count=rows) @ of_rows[0]
        # One rating, as in the lists `next:`, has the spread of a row of weights.
        of_one = as_matrix(history, weights**2, movie_count=rows) @ of_rows[1] - mean**2
        counts = np.diff(history.offsets)
        variance[block] = np.where(counts > 1, _variance(term, block, mean), of_one)
    return np.sqrt(np.maximum(variance, _NO_VARIANCE))


def _variance(
    term: SparseTerm, block: slice, mean: NDArray[np.float64]
) -> NDArray[np.float64] | float:
    """Return the variance of the scores of some users of known mean; 0 if none has two ratings."""
    if (np.diff(term.rated.history.offsets[block.start : block.stop + 1]) <= 1).all():
        return 0.0
    scores = np.zeros((len(mean), term.neighbours.shape[1]), np.float32)
    term.add_to(scores, first=block.start)
    scores -= mean[:, np.newaxis].astype(np.float32)
    found: NDArray[np.float64] = np.einsum("ui,ui->u", scores, scores) / np.float64(scores.shape[1])
    return found


def _row_sums(matrix: sp.csr_matrix, *, power: int) -> NDArray[np.float64]:
    """Return the sum of the powers of the values in each row."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    powers = matrix.data.astype(np.float64) ** power
    return np.bincount(row, powers, minlength=matrix.shape[0]).astype(np.float64)


def latest_ratings(ratings: Ratings, *, user_count: int) -> NDArray[np.int64]:
    """Return the time of each user's latest rating, [U], in seconds since 1970; 0 for unknown."""
    latest = np.zeros(user_count, np.int64)
    if ratings.timestamp is not None:
        np.maximum.at(latest, ratings.user_index, ratings.timestamp)
    return latest


def covariance(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return [D, D] of [I, D], as `np.cov`; zeros for one row, and a matrix for D = 1 too."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    of_columns: NDArray[np.float64] = centred.T @ centred / max(len(rows) - 1, 1)
    return of_columns


def spread(vectors: NDArray[np.float32], of_movies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of each user's scores over the catalogue, [U, 1].

    Args:
        vectors: [U, D] user vectors.
        of_movies: [D, D] covariance of the movie vectors.
    """
    rows = vectors.astype(np.float64) @ of_movies
    variance = np.einsum("ud,ud->u", rows, vectors)
    deviation: NDArray[np.float64] = np.sqrt(np.maximum(variance, _NO_VARIANCE))[:, np.newaxis]
    return deviation


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))

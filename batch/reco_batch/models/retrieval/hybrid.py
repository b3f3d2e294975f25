"""Default retrieval model: history encoder plus EASE, joined in one dot product.

The two halves find different movies, so their sum finds more than either. A user's vector is the
concatenation of both halves' vectors, each divided by the standard deviation (`spread`) of its
scores over the catalogue, so that the shares mean the same for all users with n ratings:

    score = encoder / spread + share * trust * EASE / spread - discount * popularity
    trust = n / (n + half_trust);  discount = popularity_discount + newcomer_discount * (1 - trust)

Users without ratings have only the popularity_discount.

Shapes: U users, B users of a block, I movies, N ratings, D joined width, T knots of time.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Ratings, histories
from reco_batch.models.retrieval.ease import EaseFactors
from reco_batch.models.retrieval.history_encoder import (
    EncoderWeights,
    time_features,
    unit_weights,
)
from reco_batch.models.retrieval.recency import as_matrix, recency_weights
from reco_batch.models.trainable import Towers
from reco_batch.models.training.loop import Tower
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.explanations import Influence
from reco_batch.scoring.sparse_term import Rated
from reco_batch.settings.hyperparameters import HybridParameters

#: User vectors computed at a time: 10 kB each, and 60 bytes per rating.
_AT_ONCE: Final = 16_384


class HybridRetrieval:
    """Trained model; scores trained users and unseen histories."""

    def __init__(
        self,
        encoder: EncoderWeights,
        ease: EaseFactors,
        parameters: HybridParameters,
        *,
        popularity: NDArray[np.float32],
        similar: NDArray[np.float32],
        rated: Rated,
        latest: NDArray[np.int64],
        recency: float,
        years: tuple[int, int],
        ids: tuple[Sequence[str], Sequence[str]],
    ) -> None:
        """Join the halves.

        Args:
            encoder: trained history encoder.
            ease: EASE, fitted to the same ratings.
            parameters: hyper-parameters of the hybrid.
            popularity: [I] standardised log rating counts.
            similar: [I, S] similarity vectors.
            rated: training histories, with weights that select explanations.
            latest: [U] times of the users' latest ratings, from `latest_ratings`.
            recency: recency exponent.
            years: first and last knot of the time features.
            ids: ids of the users and of the movies.
        """
        self._encoder, self._ease, self._parameters = encoder, ease, parameters
        self._recency, self._years = recency, years
        self._similar, self._rated, self._ids = similar, rated, ids
        self._encoder_covariance = covariance(encoder.movies)
        self._ease_covariance = covariance(ease.out)
        self._movies = np.column_stack([encoder.movies, ease.out, popularity])
        self._users, self._user_shares = self._folded_in(rated.history, latest, known=True)

    def fold_in(self, ratings: Ratings, *, user_count: int) -> NDArray[np.float32]:
        """Return the vectors of new users from their ratings, [user_count, D].

        Args:
            ratings: ratings with a user_index below `user_count`; a user without any gets a vector
                that ranks movies by popularity.
            user_count: number of vectors.
        """
        history = histories(ratings, user_count=user_count)
        latest = latest_ratings(ratings, user_count=user_count)
        return self._folded_in(history, latest, known=False)[0]

    def _folded_in(
        self, history: Histories, latest: NDArray[np.int64], *, known: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the users' vectors, and the effect of a rating of weight 1, [U, 2]."""
        folded = np.empty((len(latest), self._movies.shape[1]), np.float32)
        shares = np.empty((len(latest), 2), np.float32)
        for block in _blocks(len(latest)):
            folded[block], shares[block] = self._folded(
                history.block(block.start, block.stop),
                self._encoder.users[block] if known else None,
                time_features(latest[block], years=self._years),
            )
        return folded, shares

    def _folded(
        self, history: Histories, own: NDArray[np.float32] | None, times: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the same for a block; `own` are trained vectors [B, D], `times` [B, T]."""
        weights = recency_weights(history, exponent=self._recency)
        matrix = as_matrix(history, weights, movie_count=len(self._movies))
        encoded = self._encoder.user_vectors(matrix, times, own)
        near = matrix @ self._ease.into
        share, discount = self._shares(np.diff(history.offsets))
        of_encoder = 1 / spread(encoded, self._encoder_covariance)
        of_ease = share[:, np.newaxis] / spread(near, self._ease_covariance)
        folded = np.column_stack([of_encoder * encoded, of_ease * near, -discount])
        shares = np.hstack([of_encoder * unit_weights(matrix)[:, np.newaxis], of_ease])
        return folded.astype(np.float32), shares.astype(np.float32)

    def _shares(
        self, rating_count: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the share of EASE and the popularity discount of each user, [U] each."""
        parameters = self._parameters
        trust = rating_count / (rating_count + parameters.half_trust)
        # A user without ratings is recommended the most popular movies.
        newcomer = np.where(rating_count > 0, 1 - trust, 0)
        discount = parameters.popularity_discount + parameters.newcomer_discount * newcomer
        return parameters.neighbour_share * trust, discount

    def embeddings(self) -> Embeddings:
        """Return the vectors of trained users and of all movies."""
        return Embeddings(self._users, self._movies)

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return the similarity vectors, [I, S]."""
        return self._similar

    def influence(self) -> Influence:
        """Return the contribution of each rating to the scores of a trained user.

        Own vector, time, bias and discount are left out, since they belong to no rating.
        """
        history, chosen = self._rated
        weights = recency_weights(history, exponent=self._recency) * chosen
        encoded, near = self._encoder.history, self._ease.into
        zeros = np.zeros((len(encoded), 1), np.float32)  # in the columns of bias and popularity
        vectors = np.hstack([encoded, zeros, near, zeros])
        widths = (encoded.shape[1] + 1, near.shape[1] + 1)
        return Influence(vectors, widths, self._user_shares, Rated(history, weights))

    def next_embeddings(self) -> Embeddings:
        """Return the vectors for users with one movie as the only known rating.

        These are additive, unlike `fold_in`, whose trust in a single rating is low.
        """
        parameters, vectors = self._parameters, np.empty_like(self._movies)
        for block in _blocks(len(vectors)):
            # No bias and no time: the popularity term already covers effects common to all users.
            encoded = np.pad(self._encoder.history[block], [(0, 0), (0, 1)])
            near = self._ease.into[block]
            share = parameters.arrival_neighbour_share / spread(near, self._ease_covariance)
            popularity = np.full(len(near), parameters.arrival_popularity)
            vectors[block] = np.column_stack(
                [encoded / spread(encoded, self._encoder_covariance), share * near, popularity]
            )
        return Embeddings(vectors, self._movies)

    def towers(self) -> Towers:
        """Return the lookups to be saved.

        An unknown user has the vector of an empty history, an unknown movie has zeros.
        """
        user_ids, movie_ids = self._ids
        users, movies = self._users, self._movies
        none = np.empty(0, np.int32)
        unknown = self.fold_in(Ratings(none, none, None, None), user_count=1)
        return Towers(
            Tower.holding(user_ids, np.vstack([unknown, users])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(movies[:1]), movies])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(self._similar[:1]), self._similar])),
        )


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
    variance = np.einsum("ud,ud->u", vectors @ of_movies, vectors)
    deviation: NDArray[np.float64] = np.sqrt(np.maximum(variance, 1e-12))[:, np.newaxis]
    return deviation


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE))

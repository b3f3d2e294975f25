"""The default retrieval model: history towers and neighbours, joined in one dot product.

Both halves find other movies, so their sum finds more than either. A user's vector is the two
halves' vectors side by side, each divided by the spread of its scores over the catalogue, so that
the stated shares mean the same for every user of as many ratings, n:

    score = towers / spread + share * trust * neighbours / spread - discount * popularity
    trust = n / (n + half_trust);  discount = popularity_discount + newcomer_discount * (1 - trust)

where somebody without any rating has only the popularity_discount.

Shapes: U users, B of a block, I movies, N ratings, D joined width, T knots of time.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories, Ratings, histories
from reco_batch.models.retrieval.ease import Neighbours
from reco_batch.models.retrieval.recency import as_matrix, recency_weights
from reco_batch.models.retrieval.score_spread import covariance, spread
from reco_batch.models.retrieval.trained_towers import HistoryTowers, time_features, unit_weights
from reco_batch.models.retrieval.two_tower import Embeddings, Towers
from reco_batch.models.training.loop import Tower
from reco_batch.scoring.explanations import Influence, Rated
from reco_batch.settings.hyperparameters import HistoryParameters

#: Vectors that are computed at a time: 10 kB each, and 60 bytes a rating of theirs.
_AT_ONCE: Final = 16_384


class BlendedRetrieval:
    """The trained model; answers for known users and for histories it never saw."""

    def __init__(
        self,
        towers: HistoryTowers,
        neighbours: Neighbours,
        parameters: HistoryParameters,
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
            towers: trained.
            neighbours: fitted to the same ratings.
            parameters: of the joined model.
            popularity: [I] standardised log rating counts.
            similar: [I, S] vectors whose dot products say how alike movies are.
            rated: what the model was trained on, and what of it may be a reason.
            latest: [U] when the trained users rated last, as `latest_ratings` has it.
            recency: exponent, as chosen.
            years: first and last turn of the year that the model knows.
            ids: of the trained users and of the movies.
        """
        self._towers, self._neighbours, self._parameters = towers, neighbours, parameters
        self._recency, self._years = recency, years
        self._similar, self._rated, self._ids = similar, rated, ids
        self._towers_spread = covariance(towers.movies)
        self._neighbours_spread = covariance(neighbours.out)
        self._movies = np.column_stack([towers.movies, neighbours.out, popularity])
        self._users, self._user_shares = self._folded_in(rated.history, latest, known=True)

    def fold_in(
        self, ratings: Ratings, *, user_count: int, known: bool = False
    ) -> NDArray[np.float32]:
        """Return the vectors of users from their ratings alone, [user_count, D].

        Args:
            ratings: whose user_index counts from 0 to `user_count`; users without any get the
                vector of nobody in particular, whose list is the most popular movies.
            user_count: how many vectors.
            known: the users are the trained ones, whose own vectors count.
        """
        history = histories(ratings, user_count=user_count)
        latest = latest_ratings(ratings, user_count=user_count)
        return self._folded_in(history, latest, known=known)[0]

    def _folded_in(
        self, history: Histories, latest: NDArray[np.int64], *, known: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the users' vectors, and what a rating of weight 1 counts in each half, [U, 2]."""
        folded = np.empty((len(latest), self._movies.shape[1]), np.float32)
        shares = np.empty((len(latest), 2), np.float32)
        for block in _blocks(len(latest)):
            folded[block], shares[block] = self._folded(
                history.block(block.start, block.stop),
                self._towers.users[block] if known else None,
                time_features(latest[block], years=self._years),
            )
        return folded, shares

    def _folded(
        self, history: Histories, own: NDArray[np.float32] | None, times: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `_folded_in`, of a block; `own` are their trained vectors, `times` [B, T]."""
        weights = recency_weights(history, exponent=self._recency)
        matrix = as_matrix(history, weights, movie_count=len(self._movies))
        towers = self._towers.user_vectors(matrix, times, own)
        near = matrix @ self._neighbours.into
        share, discount = self._shares(np.diff(history.offsets))
        of_towers = 1 / spread(towers, self._towers_spread)
        of_near = share[:, np.newaxis] / spread(near, self._neighbours_spread)
        folded = np.column_stack([of_towers * towers, of_near * near, -discount])
        shares = np.hstack([of_towers * unit_weights(matrix)[:, np.newaxis], of_near])
        return folded.astype(np.float32), shares.astype(np.float32)

    def _shares(
        self, rating_count: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the neighbours' share and the popularity's discount of each user, [U] each."""
        parameters = self._parameters
        trust = rating_count / (rating_count + parameters.half_trust)
        # Somebody of whom nothing is known is shown the hits.
        newcomer = np.where(rating_count > 0, 1 - trust, 0)
        discount = parameters.popularity_discount + parameters.newcomer_discount * newcomer
        return parameters.neighbour_share * trust, discount

    def embeddings(self) -> Embeddings:
        """Return the vectors of the trained users and of all movies."""
        return Embeddings(self._users, self._movies)

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return [I, S]; the dot product of two rows says how alike the movies are."""
        return self._similar

    def influence(self) -> Influence:
        """Return what each rating adds to the scores of a user who was trained on.

        The scores are sums over the history but for the own vector, the time, the movie's bias and
        the discount, which belong to no rating.
        """
        history, chosen = self._rated
        weights = recency_weights(history, exponent=self._recency) * chosen
        towers, near = self._towers.history, self._neighbours.into
        nothing = np.zeros((len(towers), 1), np.float32)  # where bias and popularity stand
        vectors = np.hstack([towers, nothing, near, nothing])
        widths = (towers.shape[1] + 1, near.shape[1] + 1)
        return Influence(vectors, widths, self._user_shares, Rated(history, weights))

    def next_embeddings(self) -> NDArray[np.float32]:
        """Return [I, D], for each movie the user of whom it is all that is known.

        Not `fold_in` of a single rating, which would hardly trust it: these are added up.
        """
        parameters, vectors = self._parameters, np.empty_like(self._movies)
        for block in _blocks(len(vectors)):
            # No bias and no time: what is the same for all is said once, by the popularity.
            towers = np.pad(self._towers.history[block], [(0, 0), (0, 1)])
            near = self._neighbours.into[block]
            share = parameters.arrival_neighbour_share / spread(near, self._neighbours_spread)
            popularity = np.full(len(near), parameters.arrival_popularity)
            vectors[block] = np.column_stack(
                [towers / spread(towers, self._towers_spread), share * near, popularity]
            )
        return vectors

    def towers(self) -> Towers:
        """Return what is saved.

        An unknown user has the vector of an empty history, an unknown movie zeros.
        """
        user_ids, movie_ids = self._ids
        users, movies = self.embeddings()
        none = np.empty(0, np.int32)
        nobody = self.fold_in(Ratings(none, none, None, None), user_count=1)
        return Towers(
            Tower.holding(user_ids, np.vstack([nobody, users])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(movies[:1]), movies])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(self._similar[:1]), self._similar])),
        )


def latest_ratings(ratings: Ratings, *, user_count: int) -> NDArray[np.int64]:
    """Return when each user rated last, [U], in seconds since 1970; 0 where nobody knows."""
    latest = np.zeros(user_count, np.int64)
    if ratings.timestamp is not None:
        np.maximum.at(latest, ratings.user_index, ratings.timestamp)
    return latest


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE))

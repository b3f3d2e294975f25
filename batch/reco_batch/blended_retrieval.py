"""The default retrieval model: history towers and neighbours, joined in one dot product.

Both halves find other movies, so their sum finds more than either. A user's vector is the two
halves' vectors side by side, each divided by the spread of its scores over the catalogue, so that
the stated shares mean the same for every user of as many ratings, n:

    score = towers / spread + share * trust * neighbours / spread - discount * popularity
    trust = n / (n + half_trust);  discount = popularity_discount + newcomer_discount * (1 - trust)

where somebody without any rating has only the popularity_discount.

Shapes: U users, I movies, D joined width.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch._tensorflow import tf
from reco_batch.checkpoints import Checkpoints
from reco_batch.content import content_features
from reco_batch.dataset import Histories, Movies, Ratings, histories
from reco_batch.history_retrieval import NO_WEIGHT, HistoryModel, time_features, train_towers
from reco_batch.neighbours import Neighbours, fit_neighbours
from reco_batch.presets import HistoryParameters
from reco_batch.progress import Stage
from reco_batch.reasons import Influence, Rated, liked
from reco_batch.recency import as_matrix, recency_weights
from reco_batch.retrieval import Embeddings, Towers
from reco_batch.score_spread import covariance, spread
from reco_batch.sessions import co_rating_factors, co_ratings
from reco_batch.training import Tower

_SIMILAR_FACTORS: Final = 128
#: Users whose vectors are computed at a time: 60 bytes a rating of theirs, and 10 kB each.
_USERS_AT_ONCE: Final = 16_384


class BlendedRetrieval:
    """The trained model; answers for known users and for histories it never saw."""

    def __init__(
        self,
        model: HistoryModel,
        neighbours: Neighbours,
        popularity: NDArray[np.float32],
        similar: NDArray[np.float32],
        parameters: HistoryParameters,
        *,
        recency: float,
        years: tuple[int, int],
        ids: tuple[Sequence[str], Sequence[str]],
    ) -> None:
        """Join the halves.

        Args:
            model: trained.
            neighbours: fitted to the same ratings.
            popularity: [I] standardised log rating counts.
            similar: [I, S] vectors whose dot products say how alike movies are.
            parameters: of the joined model.
            recency: exponent, as chosen.
            years: first and last turn of the year that the model knows.
            ids: of the trained users and of the movies.
        """
        self._model, self._neighbours, self._parameters = model, neighbours, parameters
        self._recency, self._years = recency, years
        self._similar, self._ids = similar, ids
        towers = np.column_stack([model.movie_vectors().numpy(), model.bias.numpy()])
        self._towers_spread = covariance(towers)
        self._neighbours_spread = covariance(neighbours.out)
        self._movies = np.column_stack([towers, neighbours.out, popularity]).astype(np.float32)
        self._users: NDArray[np.float32] | None = None
        self._user_shares: NDArray[np.float32] | None = None

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
        return self._folded_in(ratings, user_count=user_count, known=known)[0]

    def _folded_in(
        self, ratings: Ratings, *, user_count: int, known: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the users' vectors, and what a rating of weight 1 counts in each half, [U, 2]."""
        history = histories(ratings, user_count=user_count)
        times = _times(ratings, user_count, self._years)
        folded = np.empty((user_count, self._movies.shape[1]), np.float32)
        shares = np.empty((user_count, 2), np.float32)
        for start in range(0, user_count, _USERS_AT_ONCE):
            block = slice(start, min(start + _USERS_AT_ONCE, user_count))
            own = self._model.users[block] if known else None
            folded[block], shares[block] = self._folded(
                history.block(block.start, block.stop), own, times[block]
            )
        return folded, shares

    def _folded(
        self, history: Histories, own: tf.Tensor | None, times: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `_folded_in`, of some users; `own` are their trained vectors, [B, tower]."""
        user_count = len(times)
        weights = recency_weights(history, exponent=self._recency)
        matrix = as_matrix(history, weights, movie_count=len(self._movies))
        rows = np.repeat(np.arange(user_count), np.diff(history.offsets))
        width = self._model.users.shape[1]
        towers = self._model.user_vectors(
            tf.constant(rows, tf.int64),
            tf.constant(history.movie_index, tf.int64),
            tf.constant(weights),
            own=tf.zeros([user_count, width]) if own is None else own,
            times=tf.constant(times),
        ).numpy()
        ones = np.ones((user_count, 1), np.float32)
        towers = np.hstack([towers, ones])
        near = matrix @ self._neighbours.into
        spreads = spread(towers, self._towers_spread), spread(near, self._neighbours_spread)
        share, discount = self._shares(np.diff(history.offsets))
        share = share[:, np.newaxis]
        towers, near = (
            (half / deviation).astype(np.float32)
            for half, deviation in zip((towers, near), spreads, strict=True)
        )
        folded = np.column_stack([towers, share * near, -discount])
        shares = np.hstack([_unit_weight(matrix) / spreads[0], share / spreads[1]])
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

    def remember(self, ratings: Ratings, *, user_count: int) -> None:
        """Compute the vectors of the trained users, once."""
        self._users, self._user_shares = self._folded_in(ratings, user_count=user_count, known=True)

    def embeddings(self) -> Embeddings:
        """Return the vectors of the trained users and of all movies."""
        if self._users is None:
            raise ValueError("remember() comes first")
        return Embeddings(self._users, self._movies)

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return [I, S]; the dot product of two rows says how alike the movies are."""
        return self._similar

    def influence(self, ratings: Ratings) -> Influence:
        """Return what each rating adds to the scores of a user who was trained on.

        The scores are sums over the history but for the own vector, the time, the movie's bias and
        the discount, which belong to no rating.
        """
        if self._user_shares is None:
            raise ValueError("remember() comes first")
        history, chosen = liked(ratings, user_count=len(self._user_shares))
        weights = recency_weights(history, exponent=self._recency) * chosen
        towers, near = self._model.history_vectors().numpy(), self._neighbours.into
        nothing = np.zeros((len(towers), 1), np.float32)  # where bias and popularity stand
        vectors = np.hstack([towers, nothing, near, nothing])
        widths = (towers.shape[1] + 1, near.shape[1] + 1)
        return Influence(vectors, widths, self._user_shares, Rated(history, weights))

    def next_embeddings(self) -> NDArray[np.float32]:
        """Return [I, D], for each movie the user of whom it is all that is known.

        Not `fold_in` of a single rating, which would hardly trust it: these are added up.
        """
        movies, width = self._model.history_movies.shape
        rated = tf.range(movies, dtype=tf.int64)
        towers = self._model.user_vectors(
            rated,
            rated,
            tf.ones(movies),
            own=tf.zeros([movies, width]),
            times=tf.constant(_times(_no_ratings(), movies, self._years)),
        ).numpy()
        # No bias and no time: what is the same for everybody is said once, by the popularity.
        bare = np.hstack([towers, np.zeros((movies, 1), np.float32)])
        near = self._neighbours.into / spread(self._neighbours.into, self._neighbours_spread)
        share, popularity = (
            self._parameters.arrival_neighbour_share,
            np.full(movies, self._parameters.arrival_popularity),
        )
        vectors = (bare / spread(bare, self._towers_spread), share * near, popularity)
        return np.column_stack(vectors).astype(np.float32)

    def towers(self) -> Towers:
        """Return what is saved.

        An unknown user has the vector of an empty history, an unknown movie zeros.
        """
        user_ids, movie_ids = self._ids
        users, movies = self.embeddings()
        nobody = self.fold_in(_no_ratings(), user_count=1)
        return Towers(
            Tower.holding(user_ids, np.vstack([nobody, users])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(movies[:1]), movies])),
            Tower.holding(movie_ids, np.vstack([np.zeros_like(self._similar[:1]), self._similar])),
        )


def train_blended(
    ratings: Ratings,
    *,
    movies: Movies,
    user_ids: Sequence[str],
    parameters: HistoryParameters,
    recency: float,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> BlendedRetrieval:
    """Train on every rating as one interaction, whatever its stars.

    Args:
        ratings: the training part, in any order.
        movies: the catalogue.
        user_ids: U ids.
        parameters: of both halves.
        recency: from `recency.choose_recency`.
        seed: of everything random; with the same data and machine it fixes the result.
        stage: told of each epoch.
        checkpoints: of this training, as `fit_shuffled` takes them.

    Returns:
        The trained model.
    """
    user_count = len(user_ids)
    history = histories(ratings, user_count=user_count)
    counts = co_ratings(ratings, movie_count=len(movies), window=parameters.neighbours.window)
    interactions = as_matrix(history, None, movie_count=len(movies))
    neighbours = fit_neighbours(interactions, counts, parameters.neighbours, seed=seed)
    years, content = _years(ratings), content_features(movies)
    model = HistoryModel(
        history,
        recency_weights(history, exponent=recency),
        content,
        _times(ratings, user_count, years),
        parameters.tower,
        seed=seed,
    )
    train_towers(model, user_count, seed=seed, stage=stage, checkpoints=checkpoints)
    blended = BlendedRetrieval(
        model,
        neighbours,
        _standardised_popularity(history, len(movies)),
        _alike(
            co_rating_factors(counts, interactions, dim=_SIMILAR_FACTORS, seed=seed),
            content,
        ),
        parameters,
        recency=recency,
        years=years,
        ids=(user_ids, movies.ids),
    )
    blended.remember(ratings, user_count=user_count)
    return blended


def _unit_weight(history: sp.csr_matrix) -> NDArray[np.float64]:
    """Return what a weight of 1 becomes in a history as the towers see it, [U, 1]."""
    squares = np.asarray(history.power(2).sum(axis=1), np.float64)
    unit: NDArray[np.float64] = 1 / np.sqrt(squares + NO_WEIGHT)
    return unit


def _standardised_popularity(history: Histories, movie_count: int) -> NDArray[np.float32]:
    log = np.log(np.bincount(history.movie_index, minlength=movie_count) + 1.0)
    standardised: NDArray[np.float32] = ((log - log.mean()) / max(log.std(), 1e-9)).astype(
        np.float32
    )
    return standardised


def _alike(factors: NDArray[np.float32], content: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join co-rating factors and a little content, each movie's row to length 1."""
    joined = np.hstack([_unit_rows(factors), 0.3 * _unit_rows(content)])
    return _unit_rows(joined)


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (rows / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


def _years(ratings: Ratings) -> tuple[int, int]:
    if ratings.timestamp is None or not len(ratings):
        return 1970, 1970
    first, last = np.array([ratings.timestamp.min(), ratings.timestamp.max()])
    return int(first.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1970, (
        int(last.astype("datetime64[s]").astype("datetime64[Y]").astype(int)) + 1971
    )


def _times(ratings: Ratings, user_count: int, years: tuple[int, int]) -> NDArray[np.float32]:
    latest = np.zeros(user_count, np.int64)
    if ratings.timestamp is not None:
        np.maximum.at(latest, ratings.user_index, ratings.timestamp)
    return time_features(latest, first_year=years[0], last_year=years[1])


def _no_ratings() -> Ratings:
    none = np.empty(0, np.int32)
    return Ratings(none, none, np.empty(0, np.float32), np.empty(0, np.int64))

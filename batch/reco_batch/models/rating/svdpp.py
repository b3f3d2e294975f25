"""SVD++ with movie features, the trained ensemble member.

    rating = mean + b_u + b_i + features_i . (w + w_u) + p_u . q_i
    p_u = own vector + (sum of deviation_j A_j + sum of Y_j) / sqrt(ratings + 1)
    q_i = own vector + features_i Q

The sums run over the user's history; deviation is the difference of a rating from its biases. In
training a rating is excluded from its own user's sums, so that nothing is predicted from itself.

A training step takes a batch of ratings and sums the complete histories of their users, so its cost
grows with the length of histories (`ensemble` has the budget).

Shapes: N ratings, U users, I movies, F features, D width, B ratings of a step, H ratings of its
users.

Source:
    Sums over history: SVD++, Koren, KDD 2008, doi:10.1145/1401890.1401944.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.loop import fit_shuffled
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.factor_model import LinearRating, fit_biases
from reco_batch.settings.hyperparameters import EnsembleParameters


class SvdppModel(tfrs.Model):
    """Biases, weights of features, history sums, and the ranking task."""

    def __init__(
        self,
        ratings: Ratings,
        features: NDArray[np.float32],
        parameters: EnsembleParameters,
        *,
        user_count: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.MeanSquaredError(reduction=tf.keras.losses.Reduction.SUM)
        )
        self.mean = float(ratings.stars.mean())
        self._rating_total = max(len(ratings), 1)
        self._features = tf.constant(features)
        self._remember_history(ratings, user_count, len(features))
        rng = np.random.default_rng(seed)
        dim, width = parameters.embedding_dim, features.shape[1]

        def normal(rows: int, deviation: float) -> tf.Variable:
            return tf.Variable(rng.normal(0, deviation, (rows, dim)).astype(np.float32))

        def zeros(*shape: int) -> tf.Variable:
            return tf.Variable(np.zeros(shape, np.float32))

        self.user_bias, self.movie_bias = zeros(user_count), zeros(len(features))
        self.shared_taste, self.tastes = zeros(width), zeros(user_count, width)
        self.movies, self.users = normal(len(features), 0.05), normal(user_count, 0.05)
        self.movie_content = normal(width, 0.01)
        self.by_deviation, self.by_presence = (
            normal(len(features), 0.025),
            normal(len(features), 0.025),
        )

    def _remember_history(self, ratings: Ratings, user_count: int, movie_count: int) -> None:
        user, movie = ratings.user_index, ratings.movie_index
        above = ratings.stars - np.float32(self.mean)
        biases = fit_biases(ratings, above, counts=(user_count, movie_count), shrinkage=2)
        self.deviation = above - biases[0][user] - biases[1][movie]  # [N]
        order = np.argsort(user, kind="stable")
        counts = np.bincount(user, minlength=user_count)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        self._rated = tf.RaggedTensor.from_row_splits(movie[order].astype(np.int64), offsets)
        self._deviations = tf.RaggedTensor.from_row_splits(self.deviation[order], offsets)
        self._counts = tf.constant(counts, tf.float32)

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the penalised mean squared error of a step.

        Args:
            inputs: `user`, `movie`, `rating` and `deviation`, [B] each.
            training: unused; every rating is part of its user's history.
        """
        user, movie = inputs["user"], inputs["movie"]
        different, slot = tf.unique(user)
        deviation = inputs["deviation"][:, tf.newaxis]
        itself = deviation * tf.gather(self.by_deviation, movie) + tf.gather(
            self.by_presence, movie
        )
        others = tf.gather(self._history_sums(different), slot) - itself  # [B, D]
        # The scale of ratings + 1 excludes the rating itself too.
        others *= tf.math.rsqrt(tf.maximum(tf.gather(self._counts, user), 1))[:, tf.newaxis]
        own, features = tf.gather(self.users, user), tf.gather(self._features, movie)
        vector = tf.gather(self.movies, movie)
        biases = tf.gather(self.user_bias, user), tf.gather(self.movie_bias, movie)
        stars = (
            self.mean
            + biases[0]
            + biases[1]
            + tf.reduce_sum(features * (self.shared_taste + tf.gather(self.tastes, user)), axis=1)
            + tf.reduce_sum(
                (own + others) * (vector + tf.matmul(features, self.movie_content)), axis=1
            )
        )
        error = self.task(labels=inputs["rating"][:, tf.newaxis], predictions=stars[:, tf.newaxis])
        size = self.parameters
        penalty = size.bias_l2 * tf.add_n([tf.reduce_sum(bias**2) for bias in biases])
        penalty += size.vector_l2 * (tf.reduce_sum(own**2) + tf.reduce_sum(vector**2))
        return (error + penalty) / tf.cast(tf.size(user), tf.float32) + self._table_penalty()

    def _table_penalty(self) -> tf.Tensor:
        """Return the penalty of the tables that ratings share, divided by the number of ratings."""
        history = tf.nn.l2_loss(self.by_deviation) + tf.nn.l2_loss(self.by_presence)
        tastes = (
            tf.nn.l2_loss(self.tastes)
            + tf.nn.l2_loss(self.movie_content)
            + tf.nn.l2_loss(self.shared_taste)
        )
        of = self.parameters
        return 2 * (of.history_l2 * history + of.taste_l2 * tastes) / self._rating_total

    def _history_sums(self, users: tf.Tensor) -> tf.Tensor:
        """Return [users, D] sums over each user's whole history."""
        rated, deviations = tf.gather(self._rated, users), tf.gather(self._deviations, users)
        places = tf.stack([rated.value_rowids(), rated.flat_values], axis=1)  # [H, 2]
        size = [tf.size(users, tf.int64), self._features.shape[0]]

        def summed(weights: tf.Tensor, table: tf.Variable) -> tf.Tensor:
            return tf.sparse.sparse_dense_matmul(tf.SparseTensor(places, weights, size), table)

        return summed(deviations.flat_values, self.by_deviation) + summed(
            tf.ones_like(deviations.flat_values), self.by_presence
        )

    def linear(self, scale: tuple[float, float]) -> LinearRating:
        """Return the trained model as biases and one dot product of width F + D."""
        lengths = tf.sqrt(self._counts + 1)[:, tf.newaxis]
        all_users = tf.range(self.users.shape[0])
        users = self.users + self._history_sums(all_users) / lengths
        movies = self.movies + tf.matmul(self._features, self.movie_content)
        return LinearRating(
            self.mean,
            self.user_bias.numpy(),
            self.movie_bias.numpy(),
            np.hstack([self.tastes.numpy() + self.shared_taste.numpy(), users.numpy()]),
            np.hstack([self._features.numpy(), movies.numpy()]),
            scale,
        )


def train_svdpp(
    ratings: Ratings,
    features: NDArray[np.float32],
    parameters: EnsembleParameters,
    *,
    user_count: int,
    scale: tuple[float, float],
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> LinearRating:
    """Train one member on the value of every rating.

    Args:
        ratings: training ratings.
        features: [I, F].
        parameters: hyper-parameters of the ensemble.
        user_count: U.
        scale: lowest and highest rating.
        seed: random seed of the initial vectors and of the order of ratings.
        stage: reports each epoch.
        checkpoints: checkpoints of this member, for `fit_shuffled`.
    """
    model = SvdppModel(ratings, features, parameters, user_count=user_count, seed=seed)
    columns = {
        "user": ratings.user_index,
        "movie": ratings.movie_index,
        "rating": ratings.stars,
        "deviation": model.deviation,
    }
    fit_shuffled(
        model,
        tf.keras.optimizers.Adam(parameters.learning_rate),
        columns,
        batch_size=parameters.batch_size,
        epochs=parameters.epochs,
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )
    return model.linear(scale)

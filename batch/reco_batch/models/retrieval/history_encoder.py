"""The two-tower retrieval model that knows a user by the user's history.

    user  = sum of the vectors of the rated movies / length + own vector + vector of the time
    movie = own vector + vectors of its genres and year;  score = user . movie + movie's bias

A movie's vector as part of a history is another one than as what is scored. Trained as a denoising
autoencoder: half of a history is hidden, and the rest has to find it among all movies.

Shapes: U users, I movies, D width, F content features, B users of a step, H their ratings,
C movies of the softmax (all of them in a catalogue that is not larger than stated).

Source:
    Multinomial likelihood and dropped inputs: Liang et al., WWW 2018, doi:10.1145/3178876.3186150.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories
from reco_batch.models.retrieval.trained_towers import NO_WEIGHT, HistoryTowers
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.loop import fit_shuffled
from reco_batch.models.training.plans import tower_plan
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.settings.hyperparameters import TowerParameters

_NEVER: Final = np.float32(-1e9)


class CatalogueRetrieval(tfrs.tasks.Retrieval):
    """Softmax over the whole catalogue, with any number of positives a user.

    `tfrs.tasks.Retrieval` has one positive a row, and the movies of the batch as the negatives,
    which are drawn by popularity; the scores then learn everything but popularity.
    """

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        *,
        candidate_bias: tf.Tensor,
        positives: tf.Tensor,
        excluded: tf.Tensor,
        sample_weight: tf.Tensor,
    ) -> tf.Tensor:
        """Return the loss, summed over positives, averaged over users.

        Args:
            query_embeddings: [B, D], one row a user.
            candidate_embeddings: [C, D], one row a movie.
            candidate_bias: [C].
            positives: [P, 2] row and column of each movie to be found.
            excluded: [X, 2] row and column of what the user was known by: no candidate.
            sample_weight: [B].
        """
        logits = tf.matmul(query_embeddings, candidate_embeddings, transpose_b=True)
        logits += candidate_bias  # [B, C]
        never = tf.fill(tf.shape(excluded)[:1], _NEVER)
        masked = tf.tensor_scatter_nd_add(logits, excluded, never)
        normaliser = tf.reduce_logsumexp(masked, axis=1)  # [B]
        row = positives[:, 0]
        losses = tf.gather(normaliser, row) - tf.gather_nd(logits, positives)  # [P]
        summed = tf.reduce_sum(losses * tf.gather(sample_weight, row))
        return summed / tf.cast(tf.shape(query_embeddings)[0], tf.float32)


class HistoryModel(tfrs.Model):
    """Two towers over histories and content, and the retrieval task."""

    def __init__(
        self,
        history: Histories,
        weights: NDArray[np.float32],
        content: NDArray[np.float32],
        times: NDArray[np.float32],
        parameters: TowerParameters,
        *,
        seed: int,
    ) -> None:
        """Prepare to train on the histories.

        Args:
            history: of all users, [U] rows.
            weights: of each rating of it as part of a history.
            content: [I, F].
            times: [U, T], from `time_features`.
            parameters: of the towers.
            seed: of the initial vectors and of what is hidden.
        """
        super().__init__()
        self.parameters = parameters
        self._seed = seed
        self.task = CatalogueRetrieval()
        self._movies = tf.RaggedTensor.from_row_splits(history.movie_index, history.offsets)
        self._weights = tf.RaggedTensor.from_row_splits(weights, history.offsets)
        self._content, self._times = tf.constant(content), tf.constant(times)
        rating_count = np.diff(history.offsets)
        relative = np.maximum(rating_count, 1) / max(rating_count.mean(), 1e-9)
        self._user_weight = tf.constant(relative**-parameters.user_exponent, tf.float32)

        rng = np.random.default_rng(seed)
        users, movies, dim = len(rating_count), len(content), parameters.embedding_dim

        def normal(rows: int, deviation: float) -> tf.Variable:
            return tf.Variable(rng.normal(0, deviation, (rows, dim)).astype(np.float32))

        def zeros(rows: int) -> tf.Variable:
            return tf.Variable(np.zeros((rows, dim), np.float32))

        self.history_movies, self.movies, self.users = (
            normal(movies, 0.05),
            normal(movies, 0.05),
            normal(users, 0.01),
        )
        self.history_content, self.movie_content = zeros(content.shape[1]), zeros(content.shape[1])
        self.user_times = zeros(times.shape[1])
        popularity = np.bincount(history.movie_index, minlength=movies) + 1.0
        self.bias = tf.Variable(np.log(popularity / popularity.sum()).astype(np.float32))

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the loss of a step: half of each history hidden, all of it to be found.

        Args:
            inputs: `user`, [B].
            training: unused; a step without hidden ratings has nothing to find.
        """
        asked = inputs["user"]
        rated, weights = tf.gather(self._movies, asked), tf.gather(self._weights, asked)
        row, movie = rated.value_rowids(), tf.cast(rated.flat_values, tf.int64)  # [H] each
        step = tf.cast(self.optimizer.iterations, tf.int32)
        kept = self.parameters.hidden_share <= tf.random.stateless_uniform(
            tf.shape(movie), seed=tf.stack([self._seed, step])
        )
        hidden = tf.logical_not(kept)
        users = self.user_vectors(
            tf.boolean_mask(row, kept),
            tf.boolean_mask(movie, kept),
            tf.boolean_mask(weights.flat_values, kept),
            own=tf.gather(self.users, asked),
            times=tf.gather(self._times, asked),
        )
        sample = self._sampled_movies()  # [C]
        column = tf.scatter_nd(
            sample[:, tf.newaxis], tf.range(1, tf.size(sample) + 1), [self._content.shape[0]]
        )  # [I] position in the sample from 1; 0 is not in it
        place = tf.stack([tf.cast(row, tf.int32), tf.gather(column, movie) - 1], axis=1)  # [H, 2]
        inside = place[:, 1] >= 0
        return (
            self.task(
                users,
                self._vectors_of(sample),
                candidate_bias=tf.gather(self.bias, sample),
                positives=tf.boolean_mask(place, hidden & inside),
                excluded=tf.boolean_mask(place, kept & inside),
                sample_weight=tf.gather(self._user_weight, asked),
            )
            + self._penalty()
        )

    def user_vectors(
        self,
        row: tf.Tensor,
        movie: tf.Tensor,
        weight: tf.Tensor,
        *,
        own: tf.Tensor,
        times: tf.Tensor,
    ) -> tf.Tensor:
        """Return [B, D] vectors of users whose ratings are given one by one.

        Args:
            row: [H] the user of each rating, ascending.
            movie: [H].
            weight: [H].
            own: [B, D] vectors of the users themselves; zeros for users never trained on.
            times: [B, T].
        """
        count = tf.shape(own, tf.int64)[0]
        squares = tf.math.unsorted_segment_sum(weight**2, row, count)
        weight *= tf.gather(tf.math.rsqrt(squares + NO_WEIGHT), row)
        size = [count, self._content.shape[0]]
        history = tf.SparseTensor(tf.stack([row, movie], axis=1), weight, size)
        summed = tf.sparse.sparse_dense_matmul(history, self.history_vectors())
        return summed + own + tf.matmul(times, self.user_times)

    def history_vectors(self) -> tf.Tensor:
        """Return [I, D], each movie as part of a history."""
        return self.history_movies + tf.matmul(self._content, self.history_content)

    def movie_vectors(self) -> tf.Tensor:
        """Return [I, D], without the biases."""
        return self.movies + tf.matmul(self._content, self.movie_content)

    def trained(self) -> HistoryTowers:
        """Return what answers are computed from, without what only training needs."""
        return HistoryTowers(
            history=self.history_vectors().numpy(),
            movies=np.column_stack([self.movie_vectors().numpy(), self.bias.numpy()]),
            users=self.users.numpy(),
            times=self.user_times.numpy(),
        )

    def _vectors_of(self, sample: tf.Tensor) -> tf.Tensor:
        """Return [C, D], as `movie_vectors`; those outside the sample are not computed."""
        if self._content.shape[0] <= self.parameters.most_candidates:
            return tf.gather(self.movie_vectors(), sample)
        content = tf.matmul(tf.gather(self._content, sample), self.movie_content)
        return tf.gather(self.movies, sample) + content

    def _sampled_movies(self) -> tf.Tensor:
        """Return the step's candidates: all, or as many as stated, each as likely.

        A softmax over a uniform sample has the same maximum as one over everything: McFadden 1978.
        """
        movies = tf.range(self._content.shape[0])
        most = self.parameters.most_candidates
        if self._content.shape[0] <= most:
            return movies
        seed = tf.stack([self._seed + 1, tf.cast(self.optimizer.iterations, tf.int32)])
        return tf.random.experimental.stateless_shuffle(movies, seed)[:most]

    def _penalty(self) -> tf.Tensor:
        tables = (
            self.history_movies,
            self.movies,
            self.users,
            self.history_content,
            self.movie_content,
            self.user_times,
        )
        return self.parameters.l2 * tf.add_n([tf.nn.l2_loss(table) for table in tables])


def train_towers(
    model: HistoryModel,
    user_count: int,
    *,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> HistoryTowers:
    """Train on every user once an epoch, in another order each time, as `tower_plan` has it."""
    parameters = model.parameters
    plan = tower_plan(parameters, user_count=user_count)
    fit_shuffled(
        model,
        tf.keras.optimizers.Adam(parameters.learning_rate),
        {"user": np.arange(user_count, dtype=np.int32)},
        batch_size=plan.batch,
        epochs=plan.epochs,
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )
    return model.trained()

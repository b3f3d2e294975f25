"""History encoder: a two-tower retrieval model that computes a user's vector from the ratings.

    user  = sum of the vectors of the rated movies / length + own vector + vector of the time
    movie = own vector + vectors of its genres and year;  score = user . movie + movie's bias

A movie has one vector as part of a history and another as a candidate. The model is trained as a
denoising autoencoder: part of each history is hidden and predicted from the rest. The vectors start
from a truncated SVD of the ratings, which saves most epochs and makes two runs more alike.

A training step scores all candidates and updates all vectors, so its cost grows with the data.
`encoder_plan` keeps training within two budgets: of scores and of training steps.

Shapes: U users, I movies, D width, F content features, B users of a step or block, H their ratings,
C movies of the softmax (all of a small catalogue), T knots of time.

Source:
    Multinomial likelihood and dropped inputs: Liang et al., WWW 2018, doi:10.1145/3178876.3186150.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from reco_batch.data.dataset import Histories
from reco_batch.models.retrieval.encoder_weights import NO_WEIGHT, EncoderWeights
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.fused_adam import FusedAdam
from reco_batch.models.training.loop import fit_shuffled
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.settings.hyperparameters import TowerParameters

#: Logit of an excluded candidate.
_NEVER: Final = np.float32(-1e9)
#: Ratings added to each movie's in the initial vectors, so that rare movies have short ones.
_SHRINKAGE: Final = 5.0
#: Vectors of users and movies beyond which an update reads and writes more than the caches hold.
_MANY_VECTORS: Final = 100_000
#: Most users per training step: with 20,000 candidates their scores take 160 MB.
_MOST_USERS: Final = 2048


class EncoderPlan(NamedTuple):
    """Length of a training."""

    epochs: int
    batch: int
    """Users per step."""
    steps: int
    """Steps in all epochs."""


def encoder_plan(parameters: TowerParameters, *, user_count: int, movie_count: int) -> EncoderPlan:
    """Return the plan within the budgets: fewer epochs, and larger steps.

    The size of a step depends on the number of users alone, so a choice of the length is made with
    the steps that the model is trained with.

    Args:
        parameters: hyper-parameters with the budgets.
        user_count: U.
        movie_count: I.
    """
    users = max(user_count, 1)
    wanted = max(1, round(parameters.steps / -(-users // parameters.batch_users)))
    scores = users * min(movie_count, parameters.most_candidates)
    epochs = min(wanted, max(1, parameters.most_scores // scores))
    batch = max(parameters.batch_users, min(_MOST_USERS, -(-users // parameters.most_steps)))
    return EncoderPlan(epochs, batch, epochs * -(-users // batch))


def initial_vectors(
    history: Histories,
    *,
    evidence: NDArray[np.float32] | None = None,
    movie_count: int,
    dim: int,
    seed: int,
) -> NDArray[np.float32]:
    """Return the leading directions of the ratings, normalised by user and movie, [I, D].

    A direction is scaled by the square root of its singular value. With fewer than D directions the
    other columns are zero.

    Args:
        history: rating histories.
        evidence: [N] how much each rating counts, at its square root; None: all alike.
        movie_count: I.
        dim: D.
        seed: random seed of the decomposition.

    Source:
        Randomised SVD, Halko et al., SIAM Review 2011, doi:10.1137/090771806.
    """
    users = len(history.offsets) - 1
    vectors = np.zeros((movie_count, dim), np.float32)
    width = min(dim, users, movie_count)
    if not len(history.movie_index):
        return vectors
    counts = np.diff(history.offsets)
    of_movies = np.bincount(history.movie_index, minlength=movie_count)
    scale = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    scale /= np.sqrt(of_movies[history.movie_index] + _SHRINKAGE)
    if evidence is not None:
        scale *= np.sqrt(evidence)
    shape = (users, movie_count)
    ratings = sp.csr_matrix((scale, history.movie_index, history.offsets), shape, np.float32)
    _, values, right = randomized_svd(ratings, width, n_iter=2, random_state=seed)
    vectors[:, :width] = right.T * np.sqrt(values)
    return vectors


class CatalogueSoftmax(tfrs.tasks.Retrieval):
    """Softmax over the whole catalogue, with any number of positives per user.

    `tfrs.tasks.Retrieval` has one positive per row and in-batch negatives, which are sampled by
    popularity, so its scores learn no popularity.
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
        """Return the loss, summed over positives and averaged over users.

        Args:
            query_embeddings: [B, D], one row per user.
            candidate_embeddings: [C, D], one row per movie.
            candidate_bias: [C].
            positives: [P, 2] row and column of each movie to predict.
            excluded: [X, 2] row and column of each movie in the visible part of a history.
            sample_weight: [P].
        """
        logits = tf.matmul(query_embeddings, candidate_embeddings, transpose_b=True)
        logits += candidate_bias  # [B, C]
        never = tf.fill(tf.shape(excluded)[:1], _NEVER)
        masked = tf.tensor_scatter_nd_add(logits, excluded, never)
        normaliser = tf.reduce_logsumexp(masked, axis=1)  # [B]
        row = positives[:, 0]
        losses = tf.gather(normaliser, row) - tf.gather_nd(logits, positives)  # [P]
        summed = tf.reduce_sum(losses * sample_weight)
        return summed / tf.cast(tf.shape(query_embeddings)[0], tf.float32)


class HistoryEncoder(tfrs.Model):
    """Two towers over histories and movie content, and the retrieval task."""

    def __init__(
        self,
        history: Histories,
        weights: NDArray[np.float32],
        content: NDArray[np.float32],
        times: NDArray[np.float32],
        parameters: TowerParameters,
        *,
        evidence: NDArray[np.float32] | None = None,
        seed: int,
    ) -> None:
        """Prepare to train on the histories.

        Args:
            history: rating histories of all users, [U] rows.
            weights: [N] weight of each rating in its history.
            content: [I, F].
            times: [U, T], from `time_features`.
            parameters: hyper-parameters.
            evidence: [N] how much each rating counts in the loss; None: all alike.
            seed: random seed of the initial vectors and of the hidden ratings.
        """
        super().__init__()
        self.parameters = parameters
        self._seed = seed
        self.task = CatalogueSoftmax()
        self._movies = tf.RaggedTensor.from_row_splits(history.movie_index, history.offsets)
        self._weights = tf.RaggedTensor.from_row_splits(weights, history.offsets)
        self._evidence = None
        if evidence is not None:
            self._evidence = tf.RaggedTensor.from_row_splits(evidence, history.offsets)
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

        start = parameters.initial_scale * initial_vectors(
            history, evidence=evidence, movie_count=movies, dim=dim, seed=seed
        )
        self.history_movies, self.movies = tf.Variable(start), tf.Variable(start)
        self.users = normal(users, 0.01)
        self.history_content, self.movie_content = zeros(content.shape[1]), zeros(content.shape[1])
        self.user_times = zeros(times.shape[1])
        popularity = np.bincount(history.movie_index, evidence, minlength=movies) + 1.0
        self.bias = tf.Variable(np.log(popularity / popularity.sum()).astype(np.float32))

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the loss of a step, which hides part of each history and predicts it.

        Args:
            inputs: `user`, [B].
            training: unused; a step without hidden ratings has nothing to predict.
        """
        user = inputs["user"]
        rated, weights = tf.gather(self._movies, user), tf.gather(self._weights, user)
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
            own=tf.gather(self.users, user),
            times=tf.gather(self._times, user),
        )
        sample = self._sampled_movies()  # [C]
        column = tf.scatter_nd(
            sample[:, tf.newaxis], tf.range(1, tf.size(sample) + 1), [self._content.shape[0]]
        )  # [I] position in the sample from 1; 0 for movies outside
        place = tf.stack([tf.cast(row, tf.int32), tf.gather(column, movie) - 1], axis=1)  # [H, 2]
        inside = place[:, 1] >= 0
        wanted = hidden & inside
        sample_weight = tf.gather(tf.gather(self._user_weight, user), tf.boolean_mask(row, wanted))
        if self._evidence is not None:
            own = tf.gather(self._evidence, user).flat_values
            sample_weight *= tf.boolean_mask(own, wanted)
        return (
            self.task(
                users,
                self._vectors_of(sample),
                candidate_bias=tf.gather(self.bias, sample),
                positives=tf.boolean_mask(place, wanted),
                excluded=tf.boolean_mask(place, kept & inside),
                sample_weight=sample_weight,
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
        """Return [B, D] user vectors from flat ratings.

        Args:
            row: [H] row of the user of each rating, ascending.
            movie: [H].
            weight: [H].
            own: [B, D] own vectors of the users; zeros for users who were not trained on.
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
        """Return [I, D] vectors of movies as part of a history."""
        return self.history_movies + tf.matmul(self._content, self.history_content)

    def movie_vectors(self) -> tf.Tensor:
        """Return [I, D] vectors of movies as candidates, without the biases."""
        return self.movies + tf.matmul(self._content, self.movie_content)

    def trained(self) -> EncoderWeights:
        """Return the arrays that scoring needs."""
        return EncoderWeights(
            history=self.history_vectors().numpy(),
            movies=np.column_stack([self.movie_vectors().numpy(), self.bias.numpy()]),
            users=self.users.numpy(),
            times=self.user_times.numpy(),
        )

    def _vectors_of(self, sample: tf.Tensor) -> tf.Tensor:
        """Return [C, D] rows of `movie_vectors`, computing only those of a sample."""
        if self._content.shape[0] <= self.parameters.most_candidates:
            return tf.gather(self.movie_vectors(), sample)
        content = tf.matmul(tf.gather(self._content, sample), self.movie_content)
        return tf.gather(self.movies, sample) + content

    def _sampled_movies(self) -> tf.Tensor:
        """Return the candidates of a step, [C]: all movies, or a uniform sample.

        A softmax over a uniform sample has the same maximum as one over all movies: McFadden 1978.
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
        # The loss is a mean over users, and the penalty is in units of its sum.
        share = self.parameters.l2 / max(self.users.shape[0], 1)
        return share * tf.add_n([tf.nn.l2_loss(table) for table in tables])


def adam(vector_count: int) -> type[tf.keras.optimizers.Adam]:
    """Return the optimizer of so many vectors: Keras's, or for many the one with fused updates."""
    return FusedAdam if vector_count > _MANY_VECTORS else tf.keras.optimizers.Adam


def train_encoder(
    model: HistoryEncoder,
    user_count: int,
    *,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
    is_enough: Callable[[int, Callable[[], EncoderWeights]], bool] | None = None,
) -> EncoderWeights:
    """Train on every user once per epoch, in a new order each time, by `encoder_plan`.

    Args:
        model: encoder with its histories.
        user_count: U.
        seed: random seed of the orders.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_shuffled`.
        is_enough: called after each epoch with its number, from 1, and a function that returns the
            weights; True ends the training.
    """
    parameters = model.parameters
    movie_count = model.movies.shape[0]
    plan = encoder_plan(parameters, user_count=user_count, movie_count=movie_count)
    fit_shuffled(
        model,
        adam(user_count + 2 * movie_count)(parameters.learning_rate),
        {"user": np.arange(user_count, dtype=np.int32)},
        batch_size=plan.batch,
        epochs=plan.epochs,
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
        is_enough=None if is_enough is None else lambda epoch: is_enough(epoch, model.trained),
    )
    return model.trained()

"""Bayesian matrix factorisation with features, the trained member of the ensemble.

    rating = mean + b_u + b_i + p_u . q_i + noise of variance 1 / tau_u

The state of a user is (b_u, p_u), of a movie (b_i, q_i). Each state is normally distributed around
a linear map of its features, and training approximates the posterior by independent normal
distributions of all states: the product of two posterior means is then the posterior mean of the
product, so the model is one dot product. The scale of every penalty is estimated from the data: the
variance of each factor around its features, and the noise of each user's ratings. A user who
rates at random is fitted less closely than one who is consistent.

A training step updates a block of whole users, or of whole movies, in closed form: the optimum
given everything else. So a pass costs O(N K^2), whatever the length of the histories, and a step
has no learning rate.

Shapes: N ratings, U users, I movies, D width, K = D + 1 numbers of a state, P = K (K + 1) / 2
different entries of a symmetric matrix, F features, R rows and B ratings of a step.

Source:
    Variational inference: Lim and Teh, KDD Cup and Workshop 2007. Features as prior means: Simm et
    al., Macau, MLSP 2017, doi:10.1109/MLSP.2017.8168143.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.loop import fit_epochs
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import EnsembleParameters

#: Kinds of a training step.
_USERS, _MOVIES, _PRIORS = 0, 1, 2
#: Most ratings and rows of a step, which bound its memory; a longer history is a step of its own.
_RATINGS_PER_STEP: Final = 1_000_000
_ROWS_PER_STEP: Final = 50_000
#: Ratings whose leave-one-out residuals are computed together.
_RATINGS_AT_ONCE: Final = 100_000
#: Initial variances, relative to that of the ratings: of a bias, and of all factors of a movie.
_BIAS_VARIANCE, _FACTOR_VARIANCE = 0.2, 0.1
#: Smallest variance of a state around its features, relative to that of the ratings.
_LEAST_VARIANCE: Final = 1e-3
#: Smallest share of a residual that a rating's own influence leaves.
_LEAST_LEFT: Final = 0.1


class Features(NamedTuple):
    """Features of users and movies, of about unit variance each."""

    users: NDArray[np.float32]  # [U, F]
    movies: NDArray[np.float32]  # [I, F]
    start: NDArray[np.float32]  # [I, D or fewer]
    """Initial factors of the movies, up to their scale."""


class _Side:
    """Posterior of the states of all users or all movies, their prior, and their ratings."""

    def __init__(
        self,
        rows: NDArray[np.int32],
        others: NDArray[np.int32],
        values: NDArray[np.float32],
        features: NDArray[np.float32],
        *,
        variances: NDArray[np.floating],
    ) -> None:
        """Sort the ratings by row.

        Args:
            rows: [N] user or movie of each rating.
            others: [N] the other one.
            values: [N] standardised ratings.
            features: [rows, F].
            variances: [K] initial variances around the prior mean, which is 0.
        """
        count, width = len(features), len(variances)
        order = np.lexsort((others, rows))
        counts = np.bincount(rows, minlength=count)
        self.offsets = np.concatenate([[0], np.cumsum(counts)])
        self.counts = tf.constant(counts, tf.float32)
        self.starts = tf.constant(self.offsets)
        self.others = tf.constant(others[order].astype(np.int32))
        self.values = tf.constant(values[order])
        rated = counts > 0
        self.rated = tf.constant(rated.astype(np.float32)[:, np.newaxis])
        self.features = tf.constant(features)
        of_rated = features[rated].astype(np.float64)
        self.gram = tf.constant(of_rated.T @ of_rated)
        self.mean = _state(np.zeros((count, width), np.float32))
        self.covariance = _state(np.zeros((count, width, width), np.float32))
        self.prior = _state(np.zeros((count, width), np.float32))
        self.precision = _state(1 / variances)  # [K], the diagonal
        #: Columns that the other side sums up, from `_columns`; [rows, P + K + 1].
        self.columns = _state(np.zeros((count, width * (width + 1) // 2 + width + 1), np.float32))

    def variables(self) -> list[tf.Variable]:
        """Return the variables of the state; `columns` follow from it."""
        return [self.mean, self.covariance, self.prior, self.precision]

    def steps(self) -> NDArray[np.int64]:
        """Return the first row of each step and the end, [steps + 1]."""
        starts = [0]
        while starts[-1] < len(self.offsets) - 1:
            first = starts[-1]
            most = self.offsets[first] + _RATINGS_PER_STEP
            stop = int(np.searchsorted(self.offsets, most, side="right")) - 1
            starts.append(min(max(stop, first + 1), first + _ROWS_PER_STEP))
        return np.asarray(starts)


def _state(values: NDArray[np.floating]) -> tf.Variable:
    return tf.Variable(values.astype(np.float32), trainable=False)  # no gradient changes it


class BayesianFactors(tfrs.Model):
    """Posterior of both sides, updated in closed form, and the ranking task."""

    def __init__(
        self,
        ratings: Ratings,
        features: Features,
        parameters: EnsembleParameters,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.MeanSquaredError(reduction=tf.keras.losses.Reduction.SUM)
        )
        self.mean = float(ratings.stars.mean())
        self.spread = float(ratings.stars.std()) or 1.0
        values = ((ratings.stars - np.float32(self.mean)) / np.float32(self.spread)).astype(
            np.float32
        )
        user, movie, width = ratings.user_index, ratings.movie_index, parameters.embedding_dim
        of_factors = np.full(width, _FACTOR_VARIANCE / width)
        self._sides = (
            _Side(
                user,
                movie,
                values,
                features.users,
                variances=np.append(_BIAS_VARIANCE, np.ones(width)),
            ),
            _Side(
                movie,
                user,
                values,
                features.movies,
                variances=np.append(_BIAS_VARIANCE, of_factors),
            ),
        )
        rated = np.bincount(movie, minlength=len(features.movies))
        self._sides[1].mean.assign(_initial_state(features.start, rated, width=width, seed=seed))
        self.noise = _state(np.ones(len(features.users), np.float32))  # [U], 1 / tau_u
        self.noise_level = _state(np.ones((), np.float32))
        self.squares = _state(np.zeros((), np.float32))
        self.states = [side.variables() for side in self._sides]  # tracked, for checkpoints
        upper = np.triu_indices(width + 1)
        place = np.zeros((width + 1, width + 1), np.int32)
        place[upper] = np.arange(len(upper[0]))
        self._packed = tf.constant(upper[0] * (width + 1) + upper[1], tf.int32)
        self._place = tf.constant(np.maximum(place, place.T).ravel())

    def batches(self) -> Mapping[str, NDArray[np.int64]]:
        """Return the steps of an epoch: all users, all movies, then their priors."""
        rows = [
            (kind, first, stop)
            for kind, side in enumerate(self._sides)
            for first, stop in zip(side.steps()[:-1], side.steps()[1:], strict=True)
        ]
        kind, first, stop = np.array([*rows, (_PRIORS, 0, 0)], np.int64).T
        return {"kind": kind, "first": first, "stop": stop, "weight": np.ones(len(kind))}

    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Update a block of users or movies, or the priors of both sides.

        Args:
            inputs: scalars `kind`, and `first` and `stop`, the rows of the block.

        Returns:
            Mean squared error of the block's ratings before the update, as `loss`.
        """
        first, stop = inputs["first"], inputs["stop"]
        loss = tf.switch_case(
            tf.cast(inputs["kind"], tf.int32),
            [
                lambda: self._update_users(first, stop),
                lambda: self._update_movies(first, stop),
                self._update_priors,
            ],
        )
        return {"loss": loss}

    def _update_users(self, first: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """Update the noise of a block of users, then their states."""
        side, other = self._sides
        self._keep_columns(other, first)
        block = _Block.of(side, first, stop)
        error = self.compute_loss({"user": block.rows, "movie": block.others, "y": block.values})
        gram, right, squares = self._sums(block, other, tf.ones_like(block.values))
        old, spread = side.mean[first:stop], side.covariance[first:stop]
        second = old[:, :, tf.newaxis] * old[:, tf.newaxis, :] + spread
        expected = (
            squares
            - 2 * tf.reduce_sum(old * right, axis=1)
            + tf.reduce_sum(second * gram, axis=[1, 2])
        )  # [R] expected squared errors
        expected = tf.maximum(expected, 0)
        self.squares.assign_add(tf.reduce_sum(expected))
        usual = self.parameters.usual_noise
        counts = side.counts[first:stop]
        noise = (usual * self.noise_level + expected) / (usual + counts)
        rows = tf.range(first, stop)
        self.noise.scatter_update(tf.IndexedSlices(noise, rows))
        tau = 1 / noise[:, tf.newaxis]
        _solve(side, rows, gram * tau[:, :, tf.newaxis], right * tau)
        return error

    def _update_movies(self, first: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """Update the states of a block of movies."""
        other, side = self._sides
        self._keep_columns(other, first)
        block = _Block.of(side, first, stop)
        error = self.compute_loss({"user": block.others, "movie": block.rows, "y": block.values})
        gram, right, _ = self._sums(block, other, 1 / tf.gather(self.noise, block.others))
        _solve(side, tf.range(first, stop), gram, right)
        return error

    def _sums(
        self, block: "_Block", other: _Side, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the weighted sums over the ratings of each row: [R, K, K], [R, K] and [R].

        With x = (1, factors) and b the bias of the other side: expected x x^T, expected (y - b) x,
        and expected (y - b)^2.
        """
        summed, width = block.sums(weights, other.columns), other.mean.shape[1]
        x_and_bias = tf.concat([other.columns[:, :width], other.mean[:, :1]], axis=1)
        by_value = block.sums(weights * block.values, x_and_bias)
        gram = tf.reshape(tf.gather(summed, self._place, axis=1), [-1, width, width])
        right = by_value[:, :-1] - summed[:, -width - 1 : -1]
        of_value = block.sums(weights * block.values**2, tf.ones_like(other.mean[:, :1]))[:, 0]
        return gram, right, of_value - 2 * by_value[:, -1] + summed[:, -1]

    def _keep_columns(self, side: _Side, first: tf.Tensor) -> None:
        """Compute the columns of a side before the first block of the other side.

        They are the same for all blocks of a pass, and larger than a block.
        """
        tf.cond(
            tf.equal(first, 0),
            lambda: side.columns.assign(self._columns(side)),
            side.columns.value,
        )

    def _columns(self, side: _Side) -> tf.Tensor:
        """Return the moments of each row: packed x x^T, whose first row is x, b x and b^2."""
        second = side.mean[:, :, tf.newaxis] * side.mean[:, tf.newaxis, :] + side.covariance
        x = tf.concat([tf.ones_like(side.mean[:, :1]), side.mean[:, 1:]], axis=1)
        of_bias = tf.concat([side.mean[:, :1], second[:, 0, 1:]], axis=1)  # expected b x
        moments = tf.concat([x[:, tf.newaxis, :], second[:, 1:, :]], axis=1)
        moments = tf.concat([x[:, :, tf.newaxis], moments[:, :, 1:]], axis=2)
        packed = tf.gather(tf.reshape(moments, [x.shape[0], -1]), self._packed, axis=1)
        return tf.concat([packed, of_bias, second[:, 0, :1]], axis=1)

    def _update_priors(self) -> tf.Tensor:
        """Fit the prior means to the features, and the variances and the level of the noise."""
        for side in self._sides:
            side.prior.assign(tf.matmul(side.features, self._maps(side)))
            around = (side.mean - side.prior) ** 2 + tf.linalg.diag_part(side.covariance)
            variance = tf.reduce_sum(around * side.rated, axis=0) / tf.reduce_sum(side.rated)
            side.precision.assign(1 / (variance + _LEAST_VARIANCE))
        self.noise_level.assign(
            tf.maximum(self.squares / tf.reduce_sum(self._sides[0].counts), _LEAST_VARIANCE)
        )
        self.squares.assign(0.0)
        return self.noise_level

    def _maps(self, side: _Side) -> tf.Tensor:
        """Return the ridge regression of the states on the features, [F, K].

        In float64, since some features are nearly collinear: the constant and the years are.
        """
        features = tf.cast(side.features, tf.float64)
        states = tf.cast(side.mean * side.rated, tf.float64)
        ridge = self.parameters.feature_l2 * tf.eye(side.gram.shape[0], dtype=tf.float64)
        right = tf.matmul(features, states, transpose_a=True)
        return tf.cast(tf.linalg.solve(side.gram + ridge, right), tf.float32)

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the mean squared error of standardised ratings.

        Args:
            inputs: `user`, `movie` and `y`, [B] each.
            training: unused; the updates need no gradient.
        """
        user = tf.gather(self._sides[0].mean, inputs["user"])
        movie = tf.gather(self._sides[1].mean, inputs["movie"])
        predicted = user[:, 0] + movie[:, 0] + tf.reduce_sum(user[:, 1:] * movie[:, 1:], axis=1)
        summed = self.task(labels=inputs["y"][:, tf.newaxis], predictions=predicted[:, tf.newaxis])
        return summed / tf.maximum(tf.cast(tf.size(predicted), tf.float32), 1)

    def linear(self, scale: tuple[float, float]) -> LinearRating:
        """Return the posterior means as biases and one dot product of width D."""
        user, movie = (side.mean.numpy() for side in self._sides)
        spread = np.float32(self.spread)
        return LinearRating(
            self.mean,
            spread * user[:, 0],
            spread * movie[:, 0],
            spread * user[:, 1:],
            movie[:, 1:],
            scale,
        )

    def ratings(self) -> Ratings:
        """Return the training ratings by user, then by movie, without times."""
        side = self._sides[0]
        users = np.repeat(np.arange(len(side.offsets) - 1, dtype=np.int32), np.diff(side.offsets))
        stars = side.values.numpy() * np.float32(self.spread) + np.float32(self.mean)
        return Ratings(users, side.others.numpy(), stars, None)

    def leave_one_out(self, ratings: Ratings) -> NDArray[np.float32]:
        """Return the residual of each training rating as if it had been left out, in stars, [N].

        A rating pulls its user's and its movie's state towards itself; the residuals are divided by
        what this leaves of them. Residuals of predictions of the training ratings are too small.

        Source:
            Leave-one-out residuals of a linear regression by its hat matrix, here of both sides.
        """
        users, movies = ((side.mean.numpy(), side.covariance.numpy()) for side in self._sides)
        noise = self.noise.numpy()
        left = np.empty(len(ratings), np.float32)
        for start in range(0, len(ratings), _RATINGS_AT_ONCE):
            rows = slice(start, start + _RATINGS_AT_ONCE)
            u, i = ratings.user_index[rows], ratings.movie_index[rows]
            user, movie = users[0][u], movies[0][i]
            y = (ratings.stars[rows] - np.float32(self.mean)) / np.float32(self.spread)
            error = y - user[:, 0] - movie[:, 0] - np.einsum("nd,nd->n", user[:, 1:], movie[:, 1:])
            user[:, 0] = movie[:, 0] = 1
            of_user = np.einsum("nd,nde,ne->n", movie, users[1][u], movie) / noise[u]
            of_movie = np.einsum("nd,nde,ne->n", user, movies[1][i], user) / noise[u]
            left[rows] = error / np.maximum(1 - of_user, _LEAST_LEFT)
            left[rows] /= np.maximum(1 - of_movie, _LEAST_LEFT)
        return left * np.float32(self.spread)


class _Block(NamedTuple):
    """Ratings of consecutive rows of one side."""

    rows: tf.Tensor  # [B]
    others: tf.Tensor  # [B]
    values: tf.Tensor  # [B]
    places: tf.Tensor  # [B, 2] row within the block, and other
    count: tf.Tensor  # R

    @classmethod
    def of(cls, side: _Side, first: tf.Tensor, stop: tf.Tensor) -> "_Block":
        """Return the ratings of the rows from `first` to `stop`."""
        ratings = slice(side.starts[first], side.starts[stop])
        others, values = side.others[ratings], side.values[ratings]
        counts = side.starts[first + 1 : stop + 1] - side.starts[first:stop]
        within = tf.repeat(tf.range(stop - first), counts)
        places = tf.stack([within, tf.cast(others, tf.int64)], axis=1)
        return cls(tf.cast(within + first, tf.int32), others, values, places, stop - first)

    def sums(self, weights: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
        """Return the weighted sum of each row's others, [R, columns], for a table of all others.

        R is at least 1: TensorFlow's product of no rows ends the process.

        By the operations of compressed rows, which take a fifth of the time of
        `tf.sparse.sparse_dense_matmul` and return the same bits.
        """
        rows = tf.raw_ops.SparseTensorToCSRSparseMatrix(
            indices=self.places,
            values=weights,
            dense_shape=tf.stack([self.count, table.shape[0]]),
        )
        return tf.raw_ops.SparseMatrixMatMul(a=rows, b=table)


def _solve(side: _Side, rows: tf.Tensor, gram: tf.Tensor, right: tf.Tensor) -> None:
    """Set the posterior of some rows, given the sums over their ratings."""
    prior = tf.gather(side.prior, rows) * side.precision
    precision = tf.cast(gram + tf.linalg.diag(side.precision), tf.float64)
    covariance = tf.linalg.inv(precision)
    mean = tf.cast(tf.linalg.matvec(covariance, tf.cast(right + prior, tf.float64)), tf.float32)
    covariance = tf.cast(covariance, tf.float32)
    side.covariance.scatter_update(tf.IndexedSlices(covariance, rows))
    side.mean.scatter_update(tf.IndexedSlices(mean, rows))


def _initial_state(
    start: NDArray[np.float32], rated: NDArray[np.int64], *, width: int, seed: int
) -> NDArray[np.float32]:
    """Return initial states of movies, [I, K], of bias 0 and of the usual length per rating.

    Factors from co-occurrence converge in half of the passes that random ones take.
    """
    rng = np.random.default_rng(seed)
    state = rng.normal(0, 0.01 / np.sqrt(width), (len(start), width + 1))
    state[:, 0] = 0
    total = max(rated.sum(), 1)
    centred = start[:, :width] - rated @ start[:, :width] / total
    length = np.sqrt(rated @ np.square(centred).sum(axis=1) / total)
    known = centred.shape[1]
    state[:, 1 : known + 1] += centred * (np.sqrt(_FACTOR_VARIANCE) / max(length, 1e-9))
    return state.astype(np.float32)


def train_factors(
    model: BayesianFactors,
    *,
    epochs: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
    successor: Checkpoints | None = None,
) -> None:
    """Train on the value of every rating.

    Args:
        model: model to train.
        epochs: passes over all ratings.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_epochs`.
        successor: checkpoints of the training that continues this one.
    """
    optimizer = tf.keras.optimizers.SGD()  # without state; the updates need no optimizer
    fit_epochs(
        model,
        optimizer,
        model.batches(),
        epochs=epochs,
        stage=stage,
        checkpoints=checkpoints,
    )
    if successor is not None:
        successor.begin_from(model, optimizer)

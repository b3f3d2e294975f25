"""Rating model over ids, as in the notebook: two embeddings and a multilayer perceptron.

Trained with `tfrs.tasks.Ranking` on the squared error.

Shapes: D embedding width; H, G hidden widths; B, Q, C as in `folded_batches`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reco_batch.data.dataset import Ratings
from reco_batch.models.trainable import DataSize, Rating, TrainableRating, Training
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.folded_batches import Batch, stack_batches
from reco_batch.models.training.loop import Tower, fit_epochs
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.settings.hyperparameters import MlpParameters


class MlpModel(tfrs.Model):
    """Two embeddings, a multilayer perceptron and the ranking task."""

    def __init__(
        self,
        user_ids: Sequence[str],
        movie_ids: Sequence[str],
        parameters: MlpParameters,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        self.user_tower = Tower(user_ids, parameters.embedding_dim, seed=seed)
        self.movie_tower = Tower(movie_ids, parameters.embedding_dim, seed=seed + 1)
        first, second = parameters.hidden_units
        self.first = _dense(first, "relu", 2 * parameters.embedding_dim, seed=seed + 2)
        self.second = _dense(second, "relu", first, seed=seed + 3)
        self.stars = _dense(1, None, second, seed=seed + 4)
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.MeanSquaredError(reduction=tf.keras.losses.Reduction.SUM)
        )

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return [B, 1] predicted ratings.

        Args:
            features: `userId` and `movieId`, [B] strings each.
        """
        joined = tf.concat(
            [self.user_tower(features["userId"]), self.movie_tower(features["movieId"])], axis=1
        )
        return self.stars(self.second(self.first(joined)))

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the mean squared error of a folded batch.

        The first layer is linear before its activation, so the contributions of a user and a movie
        are computed once per id and added once per interaction.
        """
        user_kernel, movie_kernel = tf.split(self.first.kernel, 2)  # [D, H] each
        of_user = tf.matmul(self.user_tower.embedding(inputs["users"]), user_kernel)  # [Q, H]
        of_movie = tf.matmul(self.movie_tower.embedding(inputs["movies"]), movie_kernel)  # [C, H]
        hidden = tf.nn.relu(
            tf.gather(of_user, inputs["user_slot"])
            + tf.gather(of_movie, inputs["movie_slot"])
            + self.first.bias
        )  # [B, H]
        summed = self.task(
            labels=inputs["rating"][:, tf.newaxis],
            predictions=self.stars(self.second(hidden)),
            sample_weight=inputs["weight"],
        )
        return summed / tf.reduce_sum(inputs["weight"])

    def split_weights(self) -> RatingWeights:
        """Return the weights for scoring, without the out-of-vocabulary rows."""
        user_kernel, movie_kernel = np.split(self.first.kernel.numpy(), 2)
        return RatingWeights(
            users=self.user_tower.table()[1:] @ user_kernel,
            movies=self.movie_tower.table()[1:] @ movie_kernel + self.first.bias.numpy(),
            hidden=self.second.kernel.numpy(),
            hidden_bias=self.second.bias.numpy(),
            output=self.stars.kernel.numpy()[:, 0],
            output_bias=self.stars.bias.numpy()[0],
        )


def _dense(units: int, activation: str | None, inputs: int, *, seed: int) -> tf.keras.layers.Dense:
    layer = tf.keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed),  # Keras's default
    )
    layer.build((None, inputs))
    return layer


@dataclass(frozen=True)
class Mlp(TrainableRating):
    """Training of the multilayer perceptron; the size of the data decides nothing about it."""

    parameters: MlpParameters

    def train(self, training: Training) -> Rating:
        """Train on the value of every rating."""
        return train_mlp(
            training.ratings(),
            user_ids=training.dataset.user_ids,
            movie_ids=training.dataset.movies.ids,
            parameters=self.parameters,
            seed=training.seed,
            stage=training.stage,
            checkpoints=training.checkpoints,
        )

    def epochs(self, size: DataSize) -> int:  # noqa: ARG002
        """Return the epochs of the hyper-parameters."""
        return self.parameters.epochs


def train_mlp(
    ratings: Ratings,
    *,
    user_ids: Sequence[str],
    movie_ids: Sequence[str],
    parameters: MlpParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> MlpModel:
    """Train on the value of every rating.

    Args:
        ratings: training ratings, in order.
        user_ids: U ids, for the lookup of the saved model.
        movie_ids: I ids, for the lookup of the saved model.
        parameters: hyper-parameters of the model.
        seed: random seed of the initial weights.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_epochs`.
    """
    model = MlpModel(user_ids, movie_ids, parameters, seed=seed)
    batches = stack_batches(
        ratings.user_index + 1,
        ratings.movie_index + 1,
        ratings.stars,
        batch_size=parameters.batch_size,
    )
    optimizer = tf.keras.optimizers.Adagrad(parameters.learning_rate)
    fit_epochs(
        model,
        optimizer,
        batches,
        epochs=parameters.epochs,
        stage=stage,
        checkpoints=checkpoints,
    )
    return model

"""Two-tower retrieval model over ids, as in the notebook.

Users and movies have embeddings; their dot product is the score. Training uses the in-batch softmax
of `tfrs.tasks.Retrieval`: the movies of a batch are each other's negatives.

Row 0 of each table is StringLookup's out-of-vocabulary row, so index i is in row i + 1.

Shapes: D embedding width; B, Q, C as in `folded_batches`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.trainable import (
    DataSize,
    Retrieval,
    Towers,
    TrainableRetrieval,
    Training,
)
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.folded_batches import Batch, stack_batches
from reco_batch.models.training.loop import Tower, fit_epochs
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.explanations import Influence, liked
from reco_batch.scoring.sparse_term import Rated
from reco_batch.settings.hyperparameters import TwoTowerParameters

#: Length below which a vector counts as zero.
_SHORTEST: Final = np.float32(1e-9)


class FoldedSoftmax(tfrs.tasks.Retrieval):
    """In-batch softmax over folded batches.

    `tfrs.tasks.Retrieval` builds [B, B] logits, most of whose rows and columns repeat. Here the
    logits are [Q, C], and a movie that occurs c times in the batch adds log c to its column of the
    normaliser. The loss, summed over the batch, and its gradients equal the parent's up to
    rounding.
    """

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        *,
        candidate_log_count: tf.Tensor,
        positives: tf.Tensor,
        sample_weight: tf.Tensor,
    ) -> tf.Tensor:
        """Return the summed loss.

        Args:
            query_embeddings: [Q, D], one row per distinct user.
            candidate_embeddings: [C, D], one row per distinct movie.
            candidate_log_count: [C] log of each movie's occurrences in the batch.
            positives: [B, 2] row and column of each interaction.
            sample_weight: [B].
        """
        logits = tf.matmul(query_embeddings, candidate_embeddings, transpose_b=True)  # [Q, C]
        normaliser = tf.reduce_logsumexp(logits + candidate_log_count, axis=1)  # [Q]
        losses = tf.gather(normaliser, positives[:, 0]) - tf.gather_nd(logits, positives)  # [B]
        return tf.reduce_sum(losses * sample_weight)


class TwoTowerModel(tfrs.Model):
    """Two embedding towers and the retrieval task."""

    def __init__(
        self,
        user_ids: Sequence[str],
        movie_ids: Sequence[str],
        parameters: TwoTowerParameters,
        *,
        rated: Callable[[], Rated],
        seed: int,
    ) -> None:
        super().__init__()
        self._rated = rated  # a function, since Keras would wrap the tuple that it returns
        dim = parameters.embedding_dim
        self.user_tower = Tower(user_ids, dim, seed=seed)
        self.movie_tower = Tower(movie_ids, dim, seed=seed + 1)
        self.task = FoldedSoftmax()

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the loss of a batch, for the training step of tfrs.Model."""
        return self.task(
            self.user_tower.embedding(inputs["users"]),
            self.movie_tower.embedding(inputs["movies"]),
            candidate_log_count=inputs["movie_log_count"],
            positives=tf.stack([inputs["user_slot"], inputs["movie_slot"]], axis=1),
            sample_weight=inputs["weight"],
        )

    def embeddings(self) -> Embeddings:
        """Return both tables without their out-of-vocabulary rows."""
        return Embeddings(self.user_tower.table()[1:], self.movie_tower.table()[1:])

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return the movie embeddings, [I, D]."""
        return self.embeddings().movies

    def next_embeddings(self) -> Embeddings:
        """Return the movie embeddings, as queries at length 1; this model has no rating histories.

        Vectors of several movies are added up, and the longest one would dominate.
        """
        movies = self.embeddings().movies
        return Embeddings(unit_rows(movies), movies)

    def towers(self) -> Towers:
        """Return the lookups to be saved."""
        return Towers(self.user_tower, self.movie_tower, self.movie_tower)

    def influence(self) -> Influence:
        """Return the similarity of movies, since no rating is part of a user's embedding.

        The rated movies have length 1, or the longest one would explain every recommendation.
        """
        users, movies, _ = self.embeddings()
        shares = np.ones((len(users), 1), np.float32)
        return Influence(unit_rows(movies), (movies.shape[1],), shares, self._rated())


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = rows / np.maximum(length, _SHORTEST)
    return scaled


@dataclass(frozen=True)
class TwoTower(TrainableRetrieval):
    """Training of the two-tower model; the size of the data decides nothing about it."""

    parameters: TwoTowerParameters

    def train(self, training: Training) -> Retrieval:
        """Train on every rating as one interaction."""
        return train_two_tower(
            training.ratings,
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


def train_two_tower(
    ratings: Callable[[], Ratings],
    *,
    user_ids: Sequence[str],
    movie_ids: Sequence[str],
    parameters: TwoTowerParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> TwoTowerModel:
    """Train on every rating as one interaction, regardless of its value.

    Args:
        ratings: returns the training ratings in order; every epoch has the same batches, as in the
            notebook. Called again when explanations are computed, since the ratings are not kept.
        user_ids: U ids, for the lookup of the saved model.
        movie_ids: I ids, for the lookup of the saved model.
        parameters: hyper-parameters of the model.
        seed: random seed of the initial embeddings; fixes the result for the same data and machine.
        stage: reports each epoch.
        checkpoints: checkpoints of this training, for `fit_epochs`.

    Source:
        Sampled softmax over in-batch negatives, Yi et al., RecSys 2019,
        doi:10.1145/3298689.3346996.
    """
    model = TwoTowerModel(
        user_ids,
        movie_ids,
        parameters,
        rated=lambda: liked(ratings(), user_count=len(user_ids)),
        seed=seed,
    )
    known = ratings()
    batches = stack_batches(
        known.user_index + 1,
        known.movie_index + 1,
        known.rating,
        batch_size=parameters.batch_size,
        weights=None if known.strength is None else np.maximum(known.strength, 0),
    )
    del known
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

"""The two-tower retrieval model: who would watch what.

A user and a movie are each an embedding; their dot product is the score. Trained with the in-batch
softmax of `tfrs.tasks.Retrieval`: the movies of a batch are each other's negatives.

Row 0 of either table belongs to ids that training never saw (StringLookup's out-of-vocabulary
row), so the row of user or movie index i is i + 1.

Shapes: D embedding width; B, Q, C as in `batches`.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Ratings
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.folded_batches import Batch, stack_batches
from reco_batch.models.training.loop import Tower, fit_epochs
from reco_batch.models.training.tensorflow_runtime import tf, tfrs
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.explanations import Influence, Rated, liked
from reco_batch.settings.hyperparameters import RetrievalParameters

#: Of a vector; a shorter one has no direction to speak of.
_SHORTEST: Final = np.float32(1e-9)


class Embeddings(NamedTuple):
    """What scoring needs of the trained model; the row number is the index."""

    users: NDArray[np.float32]  # [U, D]
    movies: NDArray[np.float32]  # [I, D]


class Towers(NamedTuple):
    """What is saved of a retrieval model: each an id -> its vector."""

    user: Tower
    movie: Tower
    similar: Tower
    """Of movies, as the lists of similar movies compare them."""


class Retrieval(Protocol):
    """What scoring and saving need of a trained retrieval model, whichever it is."""

    def embeddings(self) -> Embeddings:
        """Return the vectors of users and movies; their dot product is the score."""
        ...

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return [I, S]; the dot product of two rows says how alike the movies are."""
        ...

    def next_embeddings(self) -> NDArray[np.float32]:
        """Return [I, D], for each movie the user of whom it is all that is known.

        Made to be added up: the sum of several, against `embeddings().movies`, scores for somebody
        who rated all of them.
        """
        ...

    def towers(self) -> Towers:
        """Return what is saved."""
        ...

    def influence(self) -> Influence:
        """Return how much each rated movie speaks for another, of the trained users."""
        ...


class FoldedRetrieval(tfrs.tasks.Retrieval):
    """In-batch softmax over folded batches.

    `tfrs.tasks.Retrieval` builds [B, B] logits, most of whose rows and columns repeat. Here the
    logits are [Q, C], and a movie that stands c times in the batch adds log c to its column of
    the normaliser. The loss, summed over the batch, and its gradients are those of the parent
    up to rounding.
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
            query_embeddings: [Q, D], one row a different user.
            candidate_embeddings: [C, D], one row a different movie.
            candidate_log_count: [C] log of how often each movie stands in the batch.
            positives: [B, 2] row and column of each interaction.
            sample_weight: [B].
        """
        logits = tf.matmul(query_embeddings, candidate_embeddings, transpose_b=True)  # [Q, C]
        normaliser = tf.reduce_logsumexp(logits + candidate_log_count, axis=1)  # [Q]
        losses = tf.gather(normaliser, positives[:, 0]) - tf.gather_nd(logits, positives)  # [B]
        return tf.reduce_sum(losses * sample_weight)


class RetrievalModel(tfrs.Model):
    """Two towers and the retrieval task."""

    def __init__(
        self,
        user_ids: Sequence[str],
        movie_ids: Sequence[str],
        parameters: RetrievalParameters,
        *,
        rated: Callable[[], Rated],
        seed: int,
    ) -> None:
        super().__init__()
        self._rated = rated  # not yet what it gives: Keras would wrap the tuple
        dim = parameters.embedding_dim
        self.user_tower = Tower(user_ids, dim, seed=seed)
        self.movie_tower = Tower(movie_ids, dim, seed=seed + 1)
        self.task = FoldedRetrieval()

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:  # noqa: ARG002, FBT001, FBT002
        """Return the batch's loss, as tfrs.Model's training step asks for it."""
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
        """Return [I, D] whose dot products say how alike movies are: the movies' own."""
        return self.embeddings().movies

    def next_embeddings(self) -> NDArray[np.float32]:
        """Return [I, D]: the movies' directions, as this model knows users by their id only.

        The lists of several movies are added up, and the longest vector would say it all.
        """
        return _directions(self.embeddings().movies)

    def towers(self) -> Towers:
        """Return what is saved."""
        return Towers(self.user_tower, self.movie_tower, self.movie_tower)

    def influence(self) -> Influence:
        """Return how alike movies are: a user is an id here, of which no rating is a part.

        Of the rated movies' vectors only the direction counts, or the longest would be the reason
        of everything.
        """
        users, movies = self.embeddings()
        shares = np.ones((len(users), 1), np.float32)
        return Influence(_directions(movies), (movies.shape[1],), shares, self._rated())


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [N, D] vectors of length 1; one of no length stays as it is."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: NDArray[np.float32] = vectors / np.maximum(length, _SHORTEST)
    return directions


def train_retrieval(
    ratings: Callable[[], Ratings],
    *,
    user_ids: Sequence[str],
    movie_ids: Sequence[str],
    parameters: RetrievalParameters,
    seed: int,
    stage: Stage,
    checkpoints: Checkpoints | None = None,
) -> RetrievalModel:
    """Train on every rating as one interaction, whatever its stars.

    Args:
        ratings: gives the training part, in the order of training; the same batches every epoch,
            as the notebook had them. Asked again when somebody asks for reasons, not kept.
        user_ids: U ids, for the saved model's lookup.
        movie_ids: I ids, likewise.
        parameters: of the model.
        seed: of the initial embeddings; with the same data and machine it fixes the result.
        stage: told of each epoch.
        checkpoints: of this training, as `fit_epochs` takes them.

    Returns:
        The trained model.

    Source:
        Sampled softmax over in-batch negatives, Yi et al., RecSys 2019,
        doi:10.1145/3298689.3346996.
    """
    model = RetrievalModel(
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

"""Protocols of trainable models and of the models that training returns.

A kind of model is one class that implements `TrainableRetrieval` or `TrainableRating` for one class
of hyper-parameters; `registry` maps the one to the other. Needs no TensorFlow.

Shapes: B pairs, U users, I movies, D embedding dimensions, S dimensions of the similarity vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.explanations import Influence
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import RatingNetwork

if TYPE_CHECKING:  # these load TensorFlow
    from reco_batch.models.training.checkpoints import Checkpoints
    from reco_batch.models.training.loop import Tower

Model_co = TypeVar("Model_co", covariant=True)


class Training(NamedTuple):
    """Input of one training."""

    dataset: Dataset
    """Whole input; only its users, movies, rating scale and sizes may be used."""
    ratings: Callable[[], Ratings]
    """Returns the ratings to train on, in order; a training should not keep them."""
    seed: int
    stage: Stage
    checkpoints: "Checkpoints | None" = None
    successor: "Checkpoints | None" = None
    """Checkpoints of the training on all ratings that continues this one; None for none."""


class Choice(NamedTuple):
    """Hyper-parameters that the validation part decided."""

    values: Mapping[str, Any]
    """Chosen values by dotted name, as JSON values."""
    tried: Sequence[Mapping[str, Any]]
    """Everything that was tried, as JSON values: the `name` of the step, the `values` by dotted
    name, and the metrics of the lists on the validation part."""
    notes: Sequence[str] = ()
    """Notes for the operator."""


class DataSize(NamedTuple):
    """Size of the data, which decides about the training budgets."""

    users: int
    movies: int
    ratings: int
    """Ratings of the whole input, the held-out ones included."""

    @classmethod
    def of(cls, dataset: Dataset) -> "DataSize":
        """Return the size of a data set."""
        return cls(len(dataset.user_ids), len(dataset.movies), len(dataset.ratings))


class Trainable(Protocol[Model_co]):
    """Hyper-parameters of one model together with their training."""

    def train(self, training: Training) -> Model_co:
        """Train a model."""
        ...

    def epochs(self, size: DataSize) -> int:
        """Return the number of epochs that the training reports to its stage."""
        ...

    def continued_epochs(self, size: DataSize) -> int:
        """Return the epochs of a training that continues the measured model's."""
        return self.epochs(size)

    def plan(self, ratings: Ratings, size: DataSize) -> Mapping[str, Any]:  # noqa: ARG002
        """Return everything that the size of the data decides about training, as JSON values.

        Args:
            ratings: ratings to train on.
            size: size of the whole data.
        """
        return {}

    def budget_notes(self, plan: Mapping[str, Any], size: DataSize) -> Sequence[str]:  # noqa: ARG002
        """Return a note for each budget by which `plan` differs from the hyper-parameters."""
        return ()


class Towers(NamedTuple):
    """Lookups from id to vector, to be saved."""

    user: "Tower"
    movie: "Tower"
    similar: "Tower"
    """Movie id to its similarity vector."""


class Retrieval(Protocol):
    """Trained retrieval model."""

    def embeddings(self) -> Embeddings:
        """Return the vectors of users and movies, and the sparse term of the scores if any."""
        ...

    def similar_embeddings(self) -> NDArray[np.float32]:
        """Return [I, S] similarity vectors; the dot product of two rows is their similarity."""
        ...

    def next_embeddings(self) -> Embeddings:
        """Return `embeddings` for I users, each with one movie as the only known rating.

        Row m of `users`, [I, D], is the query vector of movie m, and row m of a sparse term is the
        history of m alone. The scores are additive: their sum over some movies is the score of a
        user who rated all of these movies.
        """
        ...

    def towers(self) -> Towers:
        """Return the lookups to be saved."""
        ...

    def influence(self) -> Influence:
        """Return the contribution of each rating to a user's dot products, for explanations.

        What a rating adds to the sparse term is taken from `embeddings`.
        """
        ...


class TrainableRetrieval(Trainable[Retrieval], Protocol):
    """Trainable retrieval model."""

    def choose(
        self,
        dataset: Dataset,  # noqa: ARG002
        train: Ratings,  # noqa: ARG002
        validation: Ratings,  # noqa: ARG002
        *,
        last: Mapping[str, Any],  # noqa: ARG002
        seed: int,  # noqa: ARG002
        stage: Stage,  # noqa: ARG002
    ) -> Choice:
        """Return the hyper-parameters that have the best lists on the validation part.

        Args:
            dataset: whole input; only its users, movies and sizes may be used.
            train: ratings to fit.
            validation: held-out ratings to predict.
            last: values that the last run chose, by dotted name; they are kept unless others are
                better by more than their standard error. Empty for a first run.
            seed: random seed.
            stage: reports the progress.
        """
        return Choice({}, [])


class RatingModel(RatingNetwork, Protocol):
    """Trained rating network."""

    def __call__(self, features: Mapping[str, Any]) -> Any:  # noqa: ANN401  # a tensor
        """Return [B, 1] predicted ratings of [B] ids, `userId` and `movieId`."""
        ...


Rating = RatingModel | LinearRating
"""Trained rating model."""


class TrainableRating(Trainable[Rating], Protocol):
    """Trainable rating model."""

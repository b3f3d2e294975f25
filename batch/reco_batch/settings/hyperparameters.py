"""Hyper-parameters of the models, and the presets that combine them.

`default` is the preset of a run without `--preset`. `notebook` reproduces the notebook that this
job replaced, number by number. Ranges for `batch tune` are part of the fields (`search_space`).
Values that differ between catalogues are chosen by each run on the validation part
(`models.retrieval.choose`); their defaults are the first values of a first run.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from reco_batch.settings.search_space import tuned


class EngineName(StrEnum):
    """Scoring engine of a run."""

    LOCAL = "local"
    """Threads of the run's own process."""
    RAY = "ray"
    """Machines of a Ray cluster."""


class SplitBy(StrEnum):
    """Rule that selects the held-out ratings."""

    RANDOM = "random"
    TIME = "time"
    GLOBAL = "global"


class NeighbourKind(StrEnum):
    """Kind of item-item weights."""

    ORDERED = "ordered"
    """SLIM on co-occurrence in the order of rating; requires timestamps."""
    SLIM = "slim"
    """SLIM on co-rating: non-negative elastic-net regression."""
    WALK = "walk"
    """RP3beta, a random walk from movie to user to movie; for long-tailed catalogues."""


class Choosing(StrEnum):
    """Choice of hyper-parameters on the validation part."""

    ON = "on"
    OFF = "off"
    """Keep the values of the live generation; without one, the defaults."""


class RankBy(StrEnum):
    """Order of the lists by predicted rating."""

    BOUND = "bound"
    """Lower bound of the prediction, which ranks movies with few ratings lower."""
    PREDICTION = "prediction"
    """The prediction itself, as in the notebook; movies with one or two ratings come first."""


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """Hyper-parameters of one model, with the facts needed before TensorFlow is loaded."""

    saved_bytes: ClassVar[int]
    """Bytes of the SavedModels per user or movie; a low estimate."""
    chooses: ClassVar[bool] = False
    """True if the validation part decides some of the hyper-parameters."""
    continues: ClassVar[bool] = False
    """True if the training on all ratings continues the one that was measured."""
    folds_in: ClassVar[bool] = False
    """True if a user's vector follows from the ratings, so that `batch refresh` can compute it."""


@dataclass(frozen=True, slots=True)
class TwoTowerParameters(ModelParameters):
    """Two-tower retrieval model over ids."""

    saved_bytes: ClassVar[int] = 540

    embedding_dim: int = tuned(64, 16, 256, log=True)
    """Width of the user and movie embeddings."""
    learning_rate: float = tuned(0.01, 0.003, 0.3, log=True)
    """Learning rate of Adagrad."""
    epochs: int = tuned(15, 5, 40)
    """Passes over all ratings."""
    batch_size: int = 4096
    """Ratings per training step; the movies of a step are the in-batch negatives."""


@dataclass(frozen=True, slots=True)
class MlpParameters(ModelParameters):
    """Rating model over ids: two embeddings and a multilayer perceptron."""

    saved_bytes: ClassVar[int] = 260

    embedding_dim: int = tuned(64, 16, 128, log=True)
    """Width of the user and movie embeddings."""
    hidden_units: tuple[int, int] = (256, 64)
    """Widths of the two hidden layers."""
    learning_rate: float = tuned(0.05, 0.01, 0.2, log=True)
    """Learning rate of Adagrad."""
    epochs: int = tuned(40, 5, 60)
    """Passes over all ratings."""
    batch_size: int = 4096
    """Ratings per training step."""


@dataclass(frozen=True, slots=True)
class TowerParameters:
    """History encoder: two towers over rating histories and movie features."""

    embedding_dim: int = tuned(128, 32, 256, log=True)
    """Width of the user and movie vectors."""
    learning_rate: float = tuned(0.004, 0.0005, 0.008, log=True)
    """Learning rate of Adam."""
    steps: int = tuned(120, 20, 500, log=True)
    """Training steps, rounded to whole passes over all users; fewer within a budget."""
    batch_users: int = 128
    """Users per training step; more if `most_steps` requires it."""
    most_scores: int = 10_000_000_000
    """Budget of scores, users x candidates x epochs; larger data train for fewer epochs."""
    most_steps: int = 320
    """Budget of training steps in an epoch; more users train in larger steps."""
    initial_scale: float = tuned(6.0, 1.0, 12.0)
    """Scale of the initial vectors, a truncated SVD of the ratings."""
    hidden_share: float = tuned(0.5, 0.2, 0.7, at_least=0.05, at_most=0.95)
    """Share of each history that is hidden in a step and predicted from the rest."""
    user_exponent: float = tuned(0.5, 0.0, 1.0)
    """Weight of long histories: n times the ratings weigh n ** (1 - it); 1 weighs users alike."""
    l2: float = tuned(0.5, 0.05, 20.0, log=True)
    """L2 penalty of every vector, relative to a loss summed over the ratings of a pass."""
    most_candidates: int = 20_000
    """Candidates in the softmax of a step; a uniform sample of a larger catalogue."""


@dataclass(frozen=True, slots=True)
class NeighbourParameters:
    """Item-item half: a sparse matrix of weights over the whole catalogue."""

    kind: NeighbourKind = NeighbourKind.SLIM
    """Kind of weights."""
    most_neighbours: int = 200
    """Most non-zero weights of a candidate."""
    user_exponent: float = tuned(0.5, 0.0, 1.0)
    """Weight of long histories: each of n ratings of a user counts n ** -it."""
    l1: float = tuned(0.5, 0.05, 2.0, log=True)
    """`slim`, `ordered`: L1 penalty of the weights, in common users."""
    l2: float = tuned(20.0, 2.0, 6000.0, log=True, at_least=0.01)
    """`slim`, `ordered`: L2 penalty of the weights, in common users."""
    window: int = tuned(40, 5, 100, log=True)
    """`ordered`: largest distance of a pair, in ratings of one user in order of time."""
    together_weight: float = tuned(0.3, 0.01, 1.0, log=True)
    """`ordered`: weight of plain co-rating, relative to co-occurrence in order."""
    own_weight: float = tuned(2.0, 1.3, 8.0, at_least=1.2)
    """`ordered`: weight of a movie's number of ratings on the diagonal."""
    popularity: float = tuned(0.4, 0.0, 1.0)
    """`walk`: exponent of the penalty on popular candidates."""
    most_movies: int = 12_000
    """Budget of movies with weights to others, the most rated ones; any movie is a candidate."""
    most_products: int = 5_000_000_000
    """Budget of pairs of ratings of one user; longer histories count with their newest ratings."""


@dataclass(frozen=True, slots=True)
class HybridParameters(ModelParameters):
    """Hybrid retrieval model: history encoder, item-item weights and popularity."""

    saved_bytes: ClassVar[int] = 1_000
    folds_in: ClassVar[bool] = True
    chooses: ClassVar[bool] = True

    tower: TowerParameters = TowerParameters()
    """History encoder."""
    neighbours: NeighbourParameters = NeighbourParameters()
    """Item-item weights."""
    recency: float = tuned(0.0, 0.0, 1.0)
    """Recency exponent: the n-th newest rating of a history, from 0, weighs (n/5 + 1) ** -it."""
    dislike_weight: float = tuned(1.0, -1.0, 1.0, at_least=-1.0)
    """Weight of a rating below the user's own mean, relative to others."""
    tower_share: float = 1.0
    """Standard deviation of the encoder's scores over the catalogue; 0 leaves the encoder out."""
    neighbour_share: float = tuned(1.0, 0.1, 4.0, log=True)
    """Standard deviation of the item-item scores over the catalogue, for a long history."""
    half_trust: float = tuned(10.0, 1.0, 60.0, log=True, at_least=0.01)
    """Ratings at which a history gets half of `neighbour_share`; short ones are less reliable."""
    popularity_share: float = tuned(0.0, -0.5, 1.0, at_least=-10.0)
    """Score per standard deviation of log popularity; a negative share raises coverage."""
    recent_share: float = tuned(0.0, 0.0, 3.0)
    """Score per standard deviation of the log popularity of the last `recent_days`."""
    recent_days: int = 30
    """Period of recent popularity, in days before the newest rating."""
    arrival_neighbour_share: float = 0.1
    """`neighbour_share` of the `next` lists, which represent a user with one rating."""
    arrival_popularity: float = 1.5
    """`popularity_share` of the `next` lists."""
    choosing_users: int = 2_000
    """Budget of users whose lists are measured for a choice; fewer with a large catalogue."""
    choosing_ratings: int = 5_000_000
    """Budget of ratings that a choice is made from; of more, those of a random sample of users."""


@dataclass(frozen=True, slots=True)
class EnsembleParameters(ModelParameters):
    """Rating ensemble: Bayesian factors, and a ridge regression of their residuals."""

    saved_bytes: ClassVar[int] = 250
    continues: ClassVar[bool] = True
    folds_in: ClassVar[bool] = True

    factors: int = tuned(32, 8, 64, log=True)
    """Co-occurrence factors per movie, in addition to genres and year."""
    window: int = 40
    """Largest distance of a co-occurring pair, in ratings of one user in order of time."""
    embedding_dim: int = tuned(12, 4, 32, log=True)
    """Width of the Bayesian factors; the cost grows with its square."""
    epochs: int = tuned(40, 10, 80)
    """Passes over all ratings, unless a budget allows fewer."""
    most_visits: int = 400_000_000
    """Budget of rating visits: epochs x ratings. Larger data sets train for fewer epochs."""
    feature_l2: float = tuned(3.0, 0.3, 30.0, log=True, at_least=0.001)
    """L2 penalty of the map from features to prior means, in users or movies."""
    usual_noise: float = tuned(30.0, 3.0, 300.0, log=True, at_least=0.01)
    """Ratings at which a user's noise is half the user's own and half that of all users."""
    ridge_l2: float = tuned(20.0, 5.0, 80.0, log=True, at_least=0.01)
    """Ridge: L2 penalty of a user's deviation from the shared weights, in ratings."""
    ridge_factor_scale: float = tuned(2.0, 0.5, 6.0)
    """Ridge: scale of the co-occurrence factors relative to genres; larger is less penalised."""
    ridge_share: float = tuned(0.5, 0.0, 1.0, at_most=1.0)
    """Share of the ridge regression in the sum, from 0 to 1."""
    bias_shrinkage: float = tuned(20.0, 0.5, 60.0, log=True, at_least=0.01)
    """Ridge: ratings at which the bias of a user's or movie's residuals counts half."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Hyper-parameters of both models and how a run trains, ranks and judges them."""

    retrieval: ModelParameters
    rating: ModelParameters
    refit: bool
    """True if the published models are trained again, on all ratings."""
    fits_validation: bool
    """True if the measured models train on the validation part too, after it was used to choose."""
    rank_by: RankBy
    popularity_ratio: float = 1.0
    """Gate threshold: least quality relative to the popularity baseline; 0 only warns."""

    def to_dict(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON values, for the manifest."""
        return {model: asdict(getattr(self, model)) for model in ("retrieval", "rating")}


PRESETS: Final[Mapping[str, Preset]] = {
    "default": Preset(
        HybridParameters(),
        EnsembleParameters(),
        refit=True,
        fits_validation=True,
        rank_by=RankBy.BOUND,
    ),
    # The notebook published the models that it had measured, and they are often worse than
    # popularity.
    "notebook": Preset(
        TwoTowerParameters(),
        MlpParameters(),
        refit=False,
        fits_validation=False,
        rank_by=RankBy.PREDICTION,
        popularity_ratio=0.0,
    ),
}


def by_preset(describe: Callable[[Preset], str]) -> str:
    """Return a description of every preset, such as "default: yes, notebook: no"."""
    return ", ".join(f"{name}: {describe(preset)}" for name, preset in PRESETS.items())

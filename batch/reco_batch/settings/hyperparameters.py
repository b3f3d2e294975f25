"""Named sets of hyper-parameters.

`notebook` is the notebook that this job grew out of, number by number. `default` is what a night
uses when nothing is said. Beside a default stands what `batch tune` tries instead (`search`). It
does not try the popularity discount: hits score best, and are not what is wanted most.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from reco_batch.settings.search_space import tuned


class EngineName(StrEnum):
    """Who scores the lists of a night."""

    LOCAL = "local"
    """This process."""
    RAY = "ray"
    """The machines of a Ray cluster."""


class SplitBy(StrEnum):
    """How the held-out ratings are chosen."""

    RANDOM = "random"
    TIME = "time"


class RankBy(StrEnum):
    """The order of the lists by predicted stars."""

    BOUND = "bound"
    """Stars less what few ratings leave open; what is shown are the stars."""
    PREDICTION = "prediction"
    """Stars alone, as the notebook had it: movies with one or two ratings stand first."""


@dataclass(frozen=True, slots=True)
class RetrievalParameters:
    """Of the two-tower model."""

    embedding_dim: int = tuned(64, 16, 256, log=True)
    learning_rate: float = tuned(0.01, 0.003, 0.3, log=True)
    """Adagrad's."""
    epochs: int = tuned(15, 5, 40)
    batch_size: int = 4096
    """Interactions a step; the movies of a step are each other's negatives."""


@dataclass(frozen=True, slots=True)
class RatingParameters:
    """Of the model that predicts stars."""

    embedding_dim: int = tuned(64, 16, 128, log=True)
    hidden_units: tuple[int, int] = (256, 64)
    learning_rate: float = tuned(0.05, 0.01, 0.2, log=True)
    """Adagrad's."""
    epochs: int = tuned(40, 5, 60)
    batch_size: int = 4096


@dataclass(frozen=True, slots=True)
class TowerParameters:
    """Of the two towers over histories and content."""

    embedding_dim: int = tuned(128, 32, 256, log=True)
    learning_rate: float = tuned(0.002, 0.0005, 0.008, log=True)
    """Adam's."""
    epochs: int = tuned(40, 15, 80)
    batch_users: int = 128
    """Users a step."""
    most_visits: int = 2_400_000
    """Users looked at in all epochs together; of more than a fortieth as many, epochs are fewer."""
    most_steps: int = 2_400
    """Steps in all epochs together; beyond, a step takes more users."""
    hidden_share: float = tuned(0.5, 0.2, 0.7, at_least=0.05, at_most=0.95)
    """Of each history, what the rest has to find."""
    user_exponent: float = tuned(0.5, 0.0, 1.0)
    """A user with n times the ratings counts n ** (1 - this) as much; 1 makes users equal."""
    l2: float = tuned(0.003, 0.0003, 0.03, log=True)
    """Pull of every vector towards zero."""
    most_candidates: int = 20_000
    """Movies in a step's softmax; of a larger catalogue each step draws as many."""


@dataclass(frozen=True, slots=True)
class NeighbourParameters:
    """Of the weights between movies that are solved for in closed form."""

    factors: int = 256
    """Width to which the weights are cut down."""
    window: int = tuned(40, 5, 100, log=True)
    """How far apart in a user's order two ratings may stand and still count as a pair."""
    who_weight: float = tuned(0.1, 0.01, 1.0, log=True)
    """What having rated both counts, beside having rated both in a sitting."""
    own_weight: float = tuned(2.0, 1.3, 8.0, at_least=1.2)
    """What a movie's rating count adds to its own place in the system; below about 1.2 the system
    may have no solution."""
    l2: float = tuned(20.0, 2.0, 200.0, log=True, at_least=0.01)
    least_ratings: int = 3
    """Movies with fewer take no part; the tower knows them by their content."""
    most_movies: int = 8_000
    """The cost is cubic in this; of a larger catalogue the most rated take part."""


@dataclass(frozen=True, slots=True)
class HistoryParameters:
    """Of the retrieval model that joins towers and neighbours."""

    tower: TowerParameters = TowerParameters()
    neighbours: NeighbourParameters = NeighbourParameters()
    neighbour_share: float = tuned(0.35, 0.05, 1.0)
    """Spread of the neighbours' scores where the towers' is 1, for a long history."""
    half_trust: float = tuned(20.0, 1.0, 60.0, log=True, at_least=0.01)
    """Ratings with which a history has half of that share: a few say little about neighbours."""
    popularity_discount: float = 0.0
    """Taken off for a movie's popularity, in the same unit; more reaches further into the
    catalogue."""
    newcomer_discount: float = 0.25
    """The same, for users in so far as their history is not trusted: without neighbours, the
    towers' scores lean on the hits."""
    arrival_neighbour_share: float = 0.1
    """Spread of the neighbours' scores where the towers' is 1, in the `next` lists, which blend
    into those of somebody who arrived today."""
    arrival_popularity: float = 1.5
    """Added for a movie's popularity there, in the same unit: of a stranger it says a lot."""
    recency_choices: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0)
    """Exponents of which one is chosen on the validation part; the first where there is none."""
    recency_users: int = 20_000
    """Users whose lists choose it; of more, so many are drawn, whose mean ndcg has a standard error
    below 0.002."""


@dataclass(frozen=True, slots=True)
class TasteParameters:
    """Of the rating model over content, neighbours and history."""

    factors: int = tuned(32, 8, 64, log=True)
    """Co-rating factors of each movie, beside its genres and year."""
    window: int = 40
    """As of the retrieval's neighbours."""
    ridge_l2: float = tuned(20.0, 5.0, 80.0, log=True, at_least=0.01)
    """Pull of each user's tastes towards everybody's, of the closed-form member."""
    ridge_factor_scale: float = tuned(3.0, 0.5, 6.0)
    """Size of the factors beside genres of size 1; larger is freer."""
    ridge_share: float = tuned(0.5, 0.0, 1.0, at_most=1.0)
    """Of the closed-form member in the mean of all members."""
    bias_shrinkage: float = tuned(3.0, 0.5, 20.0, log=True, at_least=0.01)
    """Ratings that a user's or movie's bias must outweigh."""
    members: int = 2
    """Trained models, of different seeds, whose mean is the other share."""
    factor_scale: float = tuned(2.0, 0.5, 6.0)
    """As `ridge_factor_scale`, of the trained members."""
    embedding_dim: int = 32
    learning_rate: float = tuned(0.003, 0.0005, 0.01, log=True)
    """Adam's."""
    epochs: int = tuned(6, 3, 15)
    batch_size: int = 2048
    most_steps: int = 30_000
    """Steps in all epochs together; beyond, no member is trained."""
    bias_l2: float = 0.03
    """Pull of the biases towards zero, each time one is used; likewise the next."""
    vector_l2: float = tuned(0.08, 0.01, 0.5, log=True)
    """Of a user's and a movie's own vector."""
    history_l2: float = tuned(30.0, 5.0, 200.0, log=True)
    """Of the vectors that histories are sums of, spread over all ratings; likewise the next."""
    taste_l2: float = tuned(3.0, 0.3, 30.0, log=True)
    """Of the tastes by content."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything about the models that a night can vary."""

    retrieval: RetrievalParameters | HistoryParameters
    rating: RatingParameters | TasteParameters
    refit: bool
    """Whether what is published is trained once more, on all ratings."""
    fits_validation: bool
    """Whether the measured models see the validation part, which has chosen before that."""
    rank_by: RankBy

    def to_dict(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON values, for the manifest."""
        return {"retrieval": asdict(self.retrieval), "rating": asdict(self.rating)}


PRESETS: Final[Mapping[str, Preset]] = {
    "default": Preset(
        HistoryParameters(),
        TasteParameters(),
        refit=True,
        fits_validation=True,
        rank_by=RankBy.BOUND,
    ),
    # The notebook published the models that it had measured.
    "notebook": Preset(
        RetrievalParameters(),
        RatingParameters(),
        refit=False,
        fits_validation=False,
        rank_by=RankBy.PREDICTION,
    ),
}

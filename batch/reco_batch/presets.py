"""Named sets of hyper-parameters.

`notebook` is the notebook that this job grew out of, number by number. `default` is what a night
uses when nothing is said.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class RetrievalParameters:
    """Of the two-tower model."""

    embedding_dim: int = 64
    learning_rate: float = 0.01
    """Adagrad's."""
    epochs: int = 15
    batch_size: int = 4096
    """Interactions a step; the movies of a step are each other's negatives."""


@dataclass(frozen=True, slots=True)
class RatingParameters:
    """Of the model that predicts stars."""

    embedding_dim: int = 64
    hidden_units: tuple[int, int] = (256, 64)
    learning_rate: float = 0.05
    """Adagrad's."""
    epochs: int = 40
    batch_size: int = 4096


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything about the models that a night can vary."""

    retrieval: RetrievalParameters
    rating: RatingParameters
    refit: bool
    """Whether what is published is trained once more, on all ratings."""

    def to_dict(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON values, for the manifest."""
        return {"retrieval": asdict(self.retrieval), "rating": asdict(self.rating)}


PRESETS: Final[Mapping[str, Preset]] = {
    "default": Preset(RetrievalParameters(), RatingParameters(), refit=True),
    # The notebook published the models that it had measured.
    "notebook": Preset(RetrievalParameters(), RatingParameters(), refit=False),
}

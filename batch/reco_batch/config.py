"""Everything that a night, or a tuning, can be told, in one frozen object each.

The command line builds it; nothing below reads flags or the environment.
"""

from math import inf
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from reco_batch.bounds import GateBounds
from reco_batch.presets import PRESETS, Preset, RankBy
from reco_batch.split import SplitBy

#: What a count must be; `description` is what the command says when it refuses a value.
_FROM_ONE = Field(ge=1, description="a whole number from 1")
_LARGEST_SEED = 2**32 - 5  # the libraries take 32 bits, and a night counts a few up from it


class LearningConfig(BaseModel):
    """What to learn from, and how: of every command that trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Annotated[str, Field(min_length=1, description="a folder, or the name of a data set")]
    """A folder, `demo`, or the name of a published MovieLens release."""
    encoding: Annotated[str, Field(description="a name that Python knows, such as latin-1")] = (
        "utf-8"
    )
    """Of the CSV files."""
    rating_scale: Annotated[
        tuple[FiniteFloat, FiniteFloat],
        Field(description="LOW:HIGH, two numbers, the lower first, such as 0.5:5"),
    ] = (0.5, 5.0)
    """Lowest and highest rating that may occur, in stars."""
    preset: Annotated[str, Field(description=" or ".join(PRESETS))] = "default"
    split: Annotated[SplitBy, Field(description=" or ".join(SplitBy))] = SplitBy.RANDOM
    seed: Annotated[
        int,
        Field(ge=0, le=_LARGEST_SEED, description=f"a whole number from 0 to {_LARGEST_SEED}"),
    ] = 42
    """Of the split and of every initial weight."""
    threads: Annotated[int, _FROM_ONE]
    """Of scoring."""
    home: Path
    """Where artifacts, downloads and the embedded store live."""
    tuned: Annotated[Preset | None, Field(exclude=True)] = None
    """The preset with the values of a file; None: as it is."""

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(preset)
        return preset

    @field_validator("encoding")
    @classmethod
    def _of_text(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError as error:  # unknown, or one of bytes, such as base64
            raise ValueError(encoding) from error
        return encoding

    @field_validator("rating_scale")
    @classmethod
    def _ascending(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not scale[0] < scale[1]:
            raise ValueError(scale)
        return scale

    @property
    def parameters(self) -> Preset:
        """The hyper-parameters: as the preset has them, or as a file does."""
        return self.tuned or PRESETS[self.preset]

    @property
    def downloads(self) -> Path:
        """The cache of downloaded data sets."""
        return self.home / "downloads"


class RunConfig(LearningConfig):
    """Of one `batch run`."""

    refit: bool | None = None
    """Train once more on all ratings before scoring; None: as the preset has it."""
    k: Annotated[int, _FROM_ONE] = 100
    """Length of the user and similar lists."""
    ranked_k: Annotated[int | None, Field(ge=1, description="a whole number from 1, or all")] = 1000
    """Length of the ranked lists; None: the whole catalogue."""
    ranked_candidates: Annotated[
        int | None, Field(ge=1, description="a whole number from 1, or all")
    ] = None
    """Movies of a user, retrieval's best, that ranked lists are made of; None: all movies."""
    rank_by: Annotated[RankBy | None, Field(description=" or ".join(RankBy))] = None
    """Order of the ranked lists; None: as the preset has it."""
    popular_n: Annotated[int, _FROM_ONE] = 100
    count_threshold: Annotated[int, Field(ge=0, description="a whole number from 0")] = 50
    """Highest rated: only movies with more ratings than this."""
    rating_threshold: Annotated[FiniteFloat, Field(description="a number of stars")] = 3.5
    """Most rated: only movies whose mean rating is above this."""
    keep: Annotated[int, _FROM_ONE] = 3
    """Generations that stay in Redis, the live one included, and on disk."""
    bounds: GateBounds = GateBounds()
    """Of the gate."""
    force: str | None = None
    """Why the generation shall be served whatever the gate finds; None: it shall not."""
    resume: bool = False
    """Go on with the newest unfinished night, if it is the same night."""
    checkpoint_seconds: Annotated[
        FiniteFloat, Field(ge=0, description="a number of seconds from 0")
    ] = 30
    """Least time between two checkpoints of a training; 0: after every epoch."""
    namespace: str = "reco"

    @property
    def refits(self) -> bool:
        """Whether the published models are trained once more, on all ratings."""
        return self.parameters.refit if self.refit is None else self.refit

    @property
    def orders_by(self) -> RankBy:
        """The order of the ranked lists."""
        return self.parameters.rank_by if self.rank_by is None else self.rank_by

    @property
    def artifacts(self) -> Path:
        """The folder of all artifacts."""
        return self.home / "artifacts"

    @property
    def unfinished(self) -> Path:
        """The folder of what all unfinished nights keep, a folder a namespace."""
        return self.home / "unfinished"


class TuneConfig(LearningConfig):
    """Of one `batch tune`."""

    models: Annotated[
        tuple[Literal["retrieval", "rating"], ...],
        Field(min_length=1, description="retrieval, rating or both"),
    ]
    """Which are tuned."""
    trials: Annotated[int, _FROM_ONE] = 20
    """Of each model, those of earlier runs among them."""
    time_limit: Annotated[float, Field(gt=0, description="a number of seconds above 0")] = inf
    """Seconds, after which no trial begins."""
    out: Path
    """The file of parameters."""

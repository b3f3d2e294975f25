"""Everything that a night, or a tuning, can be told, in one frozen object each.

What the person may set stands in the classes whose names end in `Keys`: each field with its
default, its bounds, and in words what it is for and what is allowed. The command line, reco.toml
and the errors are made of these (`settings`); nothing below reads flags or the environment.
"""

from math import inf
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.hyperparameters import (
    PRESETS,
    EngineName,
    Preset,
    RankBy,
    SplitBy,
    by_preset,
)
from reco_batch.settings.option import Key, Panel
from reco_batch.settings.processors import TRAININGS

#: What a count must be; `description` is what the command says when it refuses a value.
_FROM_ONE = Field(ge=1, description="a whole number from 1")
_FROM_ZERO = Field(ge=0, description="a whole number from 0")
_LARGEST_SEED = 2**32 - 5  # the libraries take 32 bits, and a night counts a few up from it


class LearningKeys(BaseModel):
    """What to learn from, and how: of every command that trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: Annotated[
        str,
        Field(description="a name that Python knows, such as latin-1"),
        Key("Encoding of CSV files.", Panel.DATA, "NAME"),
    ] = "utf-8"
    max_bad_rows: Annotated[
        int,
        _FROM_ZERO,
        Key("Rows that cannot be used and may be left out; more refuse the run.", Panel.DATA, "N"),
    ] = 0
    rating_scale: Annotated[
        tuple[FiniteFloat, FiniteFloat],
        Field(description="LOW:HIGH, two numbers, the lower first, such as 0.5:5"),
        Key("Lowest and highest rating; others are refused.", Panel.DATA, "LOW:HIGH"),
    ] = (0.5, 5.0)
    max_unknown_ratings: Annotated[
        float,
        Field(ge=0, le=1, description="a share from 0 to 1"),
        Key(
            "Share of ratings that may be of movies that movies.csv lacks.",
            Panel.DATA,
            "SHARE",
        ),
    ] = 0.1
    split: Annotated[
        SplitBy,
        Field(description=" or ".join(SplitBy)),
        Key("Held-out ratings: by chance, or each user's latest fifth.", Panel.LEARNING, "KIND"),
    ] = SplitBy.RANDOM
    preset: Annotated[
        str,
        Field(description=" or ".join(PRESETS)),
        Key(
            "Set of hyper-parameters; notebook has the notebook's.",
            Panel.LEARNING,
            "NAME",
            choices=tuple(PRESETS),
        ),
    ] = "default"
    seed: Annotated[
        int,
        Field(ge=0, le=_LARGEST_SEED, description=f"a whole number from 0 to {_LARGEST_SEED}"),
        Key("Of the split, of all initial weights and of trials.", Panel.LEARNING, "N"),
    ] = 42

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

    @field_validator("rating_scale", mode="before")
    @classmethod
    def _in_one_word(cls, scale: object) -> object:
        return scale.split(":") if isinstance(scale, str) else scale

    @field_validator("rating_scale")
    @classmethod
    def _ascending(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not scale[0] < scale[1]:
            raise ValueError(scale)
        return scale


class RunKeys(LearningKeys):
    """What `batch run` may be told beside what it learns from."""

    refit: Annotated[
        bool | None,
        Key(
            "Publish models trained again on all ratings.",
            Panel.LEARNING,
            unset=f"as the preset has it ({by_preset(lambda it: 'yes' if it.refit else 'no')})",
            example=True,
        ),
    ] = None
    k: Annotated[
        int, _FROM_ONE, Key("Length of user, similar and next lists.", Panel.LISTS, "N", short="-k")
    ] = 100
    ranked_k: Annotated[
        int | None,
        Field(ge=1, description="a whole number from 1, or all"),
        Key("Length of the lists by predicted rating.", Panel.LISTS, "N|all"),
    ] = 1000
    ranked_candidates: Annotated[
        int | None,
        Field(ge=1, description="a whole number from 1, or all"),
        Key(
            "Movies of a user that are rated for these lists: retrieval's best.",
            Panel.LISTS,
            "N|all",
            unset="all movies",
            example=1000,
        ),
    ] = None
    rank_by: Annotated[
        RankBy | None,
        Field(description=" or ".join(RankBy)),
        Key(
            "Order of the lists by predicted rating; bound distrusts movies with few ratings.",
            Panel.LISTS,
            "ORDER",
            unset=f"as the preset has it ({by_preset(lambda it: it.rank_by)})",
            example="bound",
        ),
    ] = None
    because: Annotated[
        bool,
        Key(
            "Publish why each movie is in a user's list: the rating that speaks most for it.",
            Panel.LISTS,
        ),
    ] = True
    popular_n: Annotated[
        int, _FROM_ONE, Key("Length of the popularity lists.", Panel.LISTS, "N")
    ] = 100
    count_threshold: Annotated[
        int,
        _FROM_ZERO,
        Key("Highest rated: movies with more ratings than this come first.", Panel.LISTS, "N"),
    ] = 50
    rating_threshold: Annotated[
        FiniteFloat | None,
        Field(description="a number of stars"),
        Key(
            "Most rated: movies whose mean rating is above this, if there are enough.",
            Panel.LISTS,
            "STARS",
            unset="two thirds up the rating scale, or a little below a lower mean rating",
            example=3.5,
        ),
    ] = None
    keep: Annotated[
        int,
        _FROM_ONE,
        Key(
            "Generations to keep in the store and on disk, the live one among them.",
            Panel.NIGHT,
            "N",
        ),
    ] = 3
    resume: Annotated[
        bool,
        Key("Go on with the newest unfinished night, if it is the same.", Panel.NIGHT),
    ] = False
    trainings: Annotated[
        int,
        Field(ge=1, le=TRAININGS, description=f"a whole number from 1 to {TRAININGS}"),
        Key("Trainings at a time; 1 takes longer, and less memory.", Panel.NIGHT, "N"),
    ] = TRAININGS
    checkpoint_seconds: Annotated[
        FiniteFloat,
        Field(ge=0, description="a number of seconds from 0"),
        Key(
            "Least time between checkpoints of a training; 0: every epoch.",
            Panel.NIGHT,
            "SECONDS",
        ),
    ] = 30

    engine: Annotated[
        EngineName,
        Field(description=" or ".join(EngineName)),
        Key("Who scores the lists: this process, or a Ray cluster.", Panel.NIGHT, "NAME"),
    ] = EngineName.LOCAL
    ray_address: Annotated[
        str | None,
        Field(description="HOST:PORT, or auto for the Ray that runs on this machine"),
        Key(
            "The Ray cluster that this machine is part of.",
            Panel.NIGHT,
            "ADDRESS",
            unset="none: with the engine ray, one of the night's own on this machine",
            example="10.0.0.7:6379",
        ),
    ] = None

    @field_validator("ranked_k", "ranked_candidates", mode="before")
    @classmethod
    def _all(cls, movies: object) -> object:
        return None if movies == "all" else movies


class TuneKeys(BaseModel):
    """What `batch tune` may be told beside what it learns from: the table [tune]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[
        Literal["both", "retrieval", "rating"],
        Field(description="retrieval, rating or both"),
        Key("Which models are tuned.", Panel.TUNING, "MODEL"),
    ] = "both"
    trials: Annotated[
        int, _FROM_ONE, Key("Of each model, those of earlier runs among them.", Panel.TUNING, "N")
    ] = 20
    time_limit: Annotated[
        float,
        Field(gt=0, description="a number of seconds above 0"),
        Key(
            "Time after which no trial begins.", Panel.TUNING, "SECONDS", unset="none", example=3600
        ),
    ] = inf
    out: Annotated[
        Path,
        Field(description="a file in a folder that exists"),
        Key("The file to write.", Panel.TUNING, "FILE"),
    ] = Path("tuned.json")


class LearningConfig(LearningKeys):
    """What a command that trains must know."""

    data: Annotated[str, Field(min_length=1)]
    """A folder, `demo`, or the name of a published MovieLens release."""
    threads: Annotated[int, _FROM_ONE]
    """Of scoring."""
    home: Path
    """Where artifacts, downloads and the embedded store live."""
    tuned: Annotated[Preset | None, Field(exclude=True)] = None
    """The preset with the values of a file; None: as it is."""

    @property
    def parameters(self) -> Preset:
        """The hyper-parameters: as the preset has them, or as a file does."""
        return self.tuned or PRESETS[self.preset]

    @property
    def downloads(self) -> Path:
        """The cache of downloaded data sets."""
        return self.home / "downloads"


class RunConfig(RunKeys, LearningConfig):
    """Of one `batch run`."""

    bounds: GateBounds = GateBounds()
    """Of the gate."""
    force: str | None = None
    """Why the generation shall be served whatever the gate finds; None: it shall not."""
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


class TuneConfig(TuneKeys, LearningConfig):
    """Of one `batch tune`."""

    @property
    def models(self) -> tuple[str, ...]:
        """Which are tuned, in this order."""
        return ("rating", "retrieval") if self.model == "both" else (self.model,)

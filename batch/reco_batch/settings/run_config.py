"""Settings of a run and of a tuning, and the configuration that is derived from them.

The fields of a model whose name ends in `Keys` are keys of reco.toml. A `Config` adds the values
that a command derives; the stages of a run read it, and neither options nor the environment.
"""

from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, ValidationInfo

from reco_batch.settings import setting_metadata
from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.hyperparameters import (
    PRESETS,
    Choosing,
    EngineName,
    Preset,
    RankBy,
    SplitBy,
    by_preset,
)
from reco_batch.settings.input_keys import InputKeys
from reco_batch.settings.processors import TRAININGS
from reco_batch.settings.rules import RulesKeys
from reco_batch.settings.setting_metadata import (
    Count,
    CountFromZero,
    CountOrAll,
    Hint,
    Panel,
    checked,
)

_LARGEST_SEED = 2**32 - 5  # the libraries take 32 bits, and a run adds a few to it


def _date_of_global_split(date: datetime | None, others: ValidationInfo) -> datetime | None:
    """Return the moment in UTC; another kind of split has none."""
    if date is None:
        return None
    if others.data.get("split") is not SplitBy.GLOBAL:
        raise ValueError(date)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _trending_if_published(kind: str, others: ValidationInfo) -> str:
    """Refuse trending lists as stand-ins if the run does not publish them."""
    if kind == "trending" and others.data.get("trending_days") is None:
        raise ValueError(kind)
    return kind


#: Days before the newest rating.
Days = Annotated[FiniteFloat, Field(gt=0), Hint("a number of days above 0", "DAYS")]
_NO_LISTS = Hint("a number of days above 0", "DAYS", "no such lists", 30)


class RunKeys(setting_metadata.SettingsModel):
    """Settings that decide the result of a run, or how it is computed."""

    encoding: Annotated[
        str,
        checked(lambda name: isinstance("".encode(name), bytes)),
        Panel.INPUT,
        Hint("a text encoding, such as latin-1", "NAME"),
    ] = "utf-8"
    """Encoding of CSV files."""
    max_bad_rows: Annotated[CountFromZero, Panel.INPUT] = 0
    """Skip up to N unusable rows; refuse the input if there are more."""
    rating_scale: Annotated[
        tuple[FiniteFloat, FiniteFloat],
        BeforeValidator(lambda scale: scale.split(":") if isinstance(scale, str) else scale),
        checked(lambda scale: scale[0] < scale[1]),
        Panel.INPUT,
        Hint("LOW:HIGH, two numbers, the lower first, such as 0.5:5", "LOW:HIGH"),
    ] = (0.5, 5.0)
    """Lowest and highest valid rating."""
    max_unknown_ratings: Annotated[setting_metadata.Share, Panel.INPUT] = 0.1
    """Largest share of ratings whose movie is missing from movies.csv."""

    split: Annotated[SplitBy, Panel.MODEL] = SplitBy.RANDOM
    """Hold out random ratings, each user's latest, or all after a time."""
    split_date: Annotated[
        datetime | None,
        AfterValidator(_date_of_global_split),
        Panel.MODEL,
        Hint(
            "a date, a time or seconds since 1970, in UTC, and --split global",
            "DATE",
            "the 80 % quantile of all times",
            "2018-01-01",
        ),
    ] = None
    """Hold out every rating after this moment; only with --split global."""
    choose: Annotated[Choosing, Panel.MODEL] = Choosing.ON
    """Choose values on the validation part; off: those of the live run."""
    preset: Annotated[
        str, checked(PRESETS.__contains__), Panel.MODEL, Hint(choices=tuple(PRESETS))
    ] = "default"
    """Models and parameters; notebook reproduces the original notebook."""
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED), Panel.MODEL] = 42
    """Random seed for the split, model weights and tuning."""
    refit: Annotated[
        bool | None,
        Panel.MODEL,
        Hint(
            unset=f"from the preset ({by_preset(lambda it: 'yes' if it.refit else 'no')})",
            example=True,
        ),
    ] = None
    """Publish models that are trained again on all ratings."""

    k: Annotated[Count, Panel.OUTPUT, Hint(short="-k")] = 100
    """Length of the user, similar and next lists."""
    ranked_k: Annotated[CountOrAll, Panel.OUTPUT] = 1000
    """Length of the ranked lists, which are by predicted rating."""
    ranked_candidates: Annotated[
        CountOrAll, Panel.OUTPUT, Hint(unset="all movies", example=1000)
    ] = None
    """Candidates per user for the ranked lists."""
    rank_by: Annotated[
        RankBy | None,
        Panel.OUTPUT,
        Hint(unset=f"from the preset ({by_preset(lambda it: it.rank_by)})", example="bound"),
    ] = None
    """Order of the ranked lists; bound ranks movies with few ratings lower."""
    because: Annotated[bool, Panel.OUTPUT] = True
    """Publish an explanation for each movie of a user's list."""
    popular_n: Annotated[Count, Panel.OUTPUT] = 100
    """Length of the popularity lists."""
    count_threshold: Annotated[CountFromZero, Panel.OUTPUT] = 50
    """Highest-rated list: rank movies with more than N ratings first."""
    rating_threshold: Annotated[
        FiniteFloat | None,
        Panel.OUTPUT,
        Hint(
            "a number of stars",
            "STARS",
            "two thirds of the scale, or just below a lower mean",
            3.5,
        ),
    ] = None
    """Minimum mean rating for the most-rated list; lowered if few reach it."""

    trending_days: Annotated[Days | None, Panel.OUTPUT, _NO_LISTS] = None
    """Publish the movies with the most ratings in the last N days."""
    trending_half_life: Annotated[Days, Panel.OUTPUT] = 7
    """Age in days at which a rating counts half, for trending and new lists."""
    new_days: Annotated[Days | None, Panel.OUTPUT, _NO_LISTS] = None
    """Publish the movies whose first rating is at most N days old."""
    stand_in: Annotated[
        Literal["most_rated", "trending"],
        AfterValidator(_trending_if_published),
        Panel.OUTPUT,
        Hint("most_rated, or trending with --trending-days"),
    ] = "most_rated"
    """Popular list that replaces a missing list, or fills a short one."""

    keep: Annotated[Count, Panel.RUN] = 3
    """Generations to keep in the store and on disk, including the live one."""
    replicas: Annotated[CountFromZero, Panel.RUN] = 0
    """Replicas of each server that must confirm every key."""
    resume: Annotated[bool, Panel.RUN] = False
    """Continue the newest unfinished run, if input and settings are equal."""
    trainings: Annotated[int, Field(ge=1, le=TRAININGS), Panel.RUN] = TRAININGS
    """Models to train in parallel; 1 is slower but needs less memory."""
    checkpoint_seconds: Annotated[FiniteFloat, Field(ge=0), Panel.RUN, Hint(metavar="SECONDS")] = 30
    """Shortest time between checkpoints of a training; 0: every epoch."""
    engine: Annotated[EngineName, Panel.RUN] = EngineName.LOCAL
    """Score the lists in this process, or on a Ray cluster."""
    ray_address: Annotated[
        str | None,
        Panel.RUN,
        Hint("HOST:PORT or auto", "ADDRESS", "start a local one", "10.0.0.7:6379"),
    ] = None
    """Ray cluster to join; auto finds one on this machine."""


class TuneKeys(setting_metadata.SettingsModel):
    """Settings of `batch tune`: the table [tune]."""

    model: Annotated[Literal["retrieval", "rating", "both"], Panel.TUNING] = "both"
    """Models to tune."""
    trials: Annotated[Count, Panel.TUNING] = 20
    """Trials per model, including those of earlier commands."""
    time_limit: Annotated[
        float, Field(gt=0), Panel.TUNING, Hint("", "SECONDS", "none", example=3600)
    ] = inf
    """Time after which no trial starts."""
    out: Annotated[Path, Panel.TUNING, Hint("a file in a folder that exists")] = Path("tuned.json")
    """File to write."""


class LearningConfig(RunKeys):
    """Configuration of a command that trains."""

    data: Annotated[str, Field(min_length=1)] | None
    """A folder, `demo`, or the name of a published MovieLens release; None: see `input`."""
    input: InputKeys = InputKeys()
    """Places of the two tables, and the names of their columns."""
    threads: Count
    """Threads for scoring."""
    home: Path
    """Folder of artifacts, downloads and the embedded store."""
    namespace: str = "reco"
    """Prefix of every key."""
    forget: Annotated[tuple[str, ...], Field(exclude=True, repr=False)] = ()
    """Users to leave out of runs; `batch forget` erases users."""
    tuned: Annotated[Preset | None, Field(exclude=True)] = None
    """Preset changed by a file of hyper-parameters; None: unchanged."""

    @property
    def parameters(self) -> Preset:
        """Hyper-parameters in use."""
        return self.tuned or PRESETS[self.preset]

    @property
    def downloads(self) -> Path:
        """Cache of downloaded data sets."""
        return self.home / "downloads"


class RunConfig(LearningConfig):
    """Configuration of one `batch run`."""

    rules: RulesKeys = RulesKeys()
    """Rules for the published lists."""
    bounds: GateBounds = GateBounds()
    """Thresholds of the quality gate."""
    force: str | None = None
    """Reason to publish whatever the gate finds; None: obey the gate."""

    @property
    def refits(self) -> bool:
        """True if the published models are trained again on all ratings."""
        return self.parameters.refit if self.refit is None else self.refit

    @property
    def orders_by(self) -> RankBy:
        """Order of the lists by predicted rating."""
        return self.parameters.rank_by if self.rank_by is None else self.rank_by

    @property
    def artifacts(self) -> Path:
        """Folder of all artifacts."""
        return self.home / "artifacts"

    @property
    def unfinished(self) -> Path:
        """Folder of unfinished runs, with one folder per namespace."""
        return self.home / "unfinished"


class TuneConfig(TuneKeys, LearningConfig):
    """Configuration of one `batch tune`."""

    @property
    def models(self) -> tuple[str, ...]:
        """Models to tune, in this order."""
        return ("rating", "retrieval") if self.model == "both" else (self.model,)

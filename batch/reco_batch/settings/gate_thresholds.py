"""How far a night may be from what is served, and still be served: the bounds of the gate.

One frozen object with a default for everything: the table [gate] of reco.toml. `--gate-bound
NAME=VALUE` changes one.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reco_batch.settings.option import Key, Panel
from reco_store.errors import UsageError

_Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
_NotNegative = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or greater")
]
_Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_OrNone = Field(description="a number, 0 or greater, or none")


def _key(words: str, *, unset: str = "", example: float = 0) -> Key:
    return Key(words, Panel.GATE, unset=unset, example=example)


class GateBounds(BaseModel):
    """Of every check whose bound is a matter of choice; a broken list has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric_drop: Annotated[
        _Share,
        _key(
            "A share or gain such as an accuracy may be this much below the live one, as a part "
            "of it."
        ),
    ] = 0.1
    error_rise: Annotated[
        _NotNegative,
        _key("An error such as the RMSE may be this much above the live one, as a part of it."),
    ] = 0.05
    popularity_ratio: Annotated[
        _Number | None,
        _OrNone,
        _key(
            "How good the models must be, in units of the popularity baseline.",
            unset="1, but for the notebook's, of which less than 1 is a warning",
            example=1,
        ),
    ] = None
    shrink: Annotated[
        _Share,
        _key(
            "Users, movies and ratings may be this much fewer than the live ones, as a part of "
            "them."
        ),
    ] = 0.1
    full_lists: Annotated[
        _Share, _key("Share of lists that must hold k movies, or all that there are to show.")
    ] = 0.99
    flat_lists: Annotated[_Share, _key("Share of lists whose scores may be all the same.")] = 0.5
    distinct_lists: Annotated[
        _Share, _key("Different first tens, as a part of all users' first tens.")
    ] = 0.1
    alike: Annotated[
        _Share, _key("Mean share of a user's first ten that the next user may have too.")
    ] = 0.4
    same_first: Annotated[
        _Share, _key("Share of users who may see one and the same movie first.")
    ] = 0.5
    coverage: Annotated[
        _Share, _key("Movies that must stand in somebody's first ten, as a part of all that could.")
    ] = 0.005
    coverage_drop: Annotated[
        _Share, _key("Coverage may be this much below the live one, as a part of it.")
    ] = 0.5
    churn: Annotated[
        _Share, _key("Share of the first ten that may be new to the users of both nights.")
    ] = 0.8
    ranked_churn: Annotated[_Share, _key("Churn of the lists by predicted stars.")] = 0.9
    similar_churn: Annotated[
        _Share, _key("Churn of the similar lists of the movies of both nights.")
    ] = 0.9
    known_users: Annotated[
        _Share, _key("Share of users that the live night must have had too.")
    ] = 0.5
    known_history: Annotated[
        _Share, _key("Share of last night's history that the same users must still have.")
    ] = 0.9
    known_titles: Annotated[
        _Share, _key("Share of movies of both nights that must still have their title.")
    ] = 0.9
    days_behind: Annotated[
        _NotNegative,
        _key("Days by which the newest rating may be older than the live night's newest."),
    ] = 7.0
    rating_age_days: Annotated[
        _Number | None,
        _OrNone,
        _key(
            "Days by which the newest rating may be older than the night.", unset="any", example=30
        ),
    ] = None

    @field_validator("popularity_ratio", "rating_age_days", mode="before")
    @classmethod
    def _taken_away(cls, bound: object) -> object:
        return None if bound == "none" else bound


def parse_bounds(words: Sequence[str], place: str = "--gate-bound") -> dict[str, str]:
    """Read `NAME=VALUE` words; of two with the same name the last counts.

    Args:
        words: such as `churn=0.9`.
        place: where they were said, for an error.

    Returns:
        The value of each name as it was said; whether it may be, the model tells.

    Raises:
        UsageError: there is no such bound.
    """
    said: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in GateBounds.model_fields:
            raise UsageError(
                f"{place} {word!r}: expected NAME=VALUE, where NAME is one of "
                f"{', '.join(GateBounds.model_fields)}"
            )
        said[name] = value
    return said

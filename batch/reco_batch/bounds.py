"""How far a night may be from what is served, and still be served: the bounds of the gate.

One frozen object with a default for everything; `batch run --gate-bound NAME=VALUE` changes one.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reco_store.errors import UsageError

_Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
_NotNegative = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or greater")
]


class GateBounds(BaseModel):
    """Of every check whose bound is a matter of choice; a broken list has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric_drop: _Share = 0.1
    """A share or gain such as an accuracy may be this much below the live one, as a part of it."""
    error_rise: _NotNegative = 0.05
    """An error such as the RMSE may be this much above the live one, as a part of it."""
    popularity_ratio: (
        Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or greater, or none")
        ]
        | None
    ) = None
    """How good the models must be, in units of the popularity baseline; None: 1, but for the
    notebook's, of which less than 1 is a warning."""
    shrink: _Share = 0.1
    """Users, movies and ratings may be this much fewer than the live ones, as a part of them."""
    full_lists: _Share = 0.99
    """Share of lists that must hold k movies, or all that there are to show."""
    flat_lists: _Share = 0.5
    """Share of lists whose scores may be all the same."""
    distinct_lists: _Share = 0.1
    """Different first tens, as a part of all users' first tens."""
    alike: _Share = 0.4
    """Mean share of a user's first ten that the next user may have too."""
    same_first: _Share = 0.5
    """Share of users who may see one and the same movie first."""
    coverage: _Share = 0.005
    """Movies that must stand in somebody's first ten, as a part of all that could."""
    coverage_drop: _Share = 0.5
    """That coverage may be this much below the live one, as a part of it."""
    churn: _Share = 0.8
    """Share of the first ten that may be new to the users of both nights."""
    ranked_churn: _Share = 0.9
    """The same for the lists by predicted stars."""
    similar_churn: _Share = 0.9
    """The same for the similar lists of the movies of both nights."""
    known_users: _Share = 0.5
    """Share of users that the live night must have had too."""
    known_history: _Share = 0.9
    """Share of last night's history that the same users must still have."""
    known_titles: _Share = 0.9
    """Share of movies of both nights that must still have their title."""
    days_behind: _NotNegative = 7.0
    """Days by which the newest rating may be older than the live night's newest."""
    rating_age_days: (
        Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or greater, or none")
        ]
        | None
    ) = None
    """Days by which the newest rating may be older than the night; None: any."""


def parse_bounds(words: Sequence[str]) -> GateBounds:
    """Read `NAME=VALUE` words; of two with the same name the last counts.

    Raises:
        UsageError: there is no such bound, or it cannot have that value.
    """
    said: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in GateBounds.model_fields:
            raise UsageError(
                f"--gate-bound {word!r}: expected NAME=VALUE, where NAME is one of "
                f"{', '.join(GateBounds.model_fields)}"
            )
        said[name] = value
    try:
        return GateBounds.model_validate({n: None if v == "none" else v for n, v in said.items()})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise UsageError(f"--gate-bound {name}={said[name]}: expected {_expected(name)}") from error


def _expected(name: str) -> str:
    field = GateBounds.model_fields[name]
    return str(field.description or "a number, 0 or greater, or none")

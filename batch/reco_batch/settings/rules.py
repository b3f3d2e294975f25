"""Rules for lists: the table [rules] of reco.toml.

A rule names a column of the movies table. `reco_batch.rules` checks the names against the data.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from reco_batch.settings.setting_metadata import (
    Count,
    CountFromZero,
    Hint,
    Panel,
    SettingsModel,
    Share,
    checked,
)

NEVER: Final = "never"
ALLOWED: Final = "allowed"
_AFTER: Final = re.compile(r"after (\d+(?:\.\d+)?) days?")
#: TOML in an environment variable would need quotes in quotes: there the tables are JSON.
_FROM_TEXT: Final = BeforeValidator(
    lambda value: json.loads(value) if isinstance(value, str) else value
)
_A_CONDITION: Final = "column, and values, at_least or at_most"


def days_after(rule: str) -> float | None:
    """Return the days of a rule of `seen` after which a movie may return; None for never."""
    after = _AFTER.fullmatch(rule)
    return float(after[1]) if after else None if rule == NEVER else 0.0


def _table_from_text(value: object) -> object:
    is_table = isinstance(value, str) and value.startswith("{")
    return json.loads(str(value)) if is_table else value


def _are_times(rules: str | Mapping[str, str]) -> bool:
    own = [rules] if isinstance(rules, str) else rules.values()
    return all(one in (NEVER, ALLOWED) or _AFTER.fullmatch(one) for one in own)


class Condition(SettingsModel):
    """Condition on one column, which a movie without a value never meets."""

    column: Annotated[str, Field(min_length=1)]
    """Name of the column."""
    values: Annotated[tuple[str | FiniteFloat, ...], Field(min_length=1)] | None = None
    """Values of which the movie has one."""
    at_least: FiniteFloat | None = None
    """Lowest number."""
    at_most: FiniteFloat | None = None
    """Highest number."""

    @model_validator(mode="after")
    def _requires_something(self) -> Self:
        if self.values is None and self.at_least is None and self.at_most is None:
            raise ValueError(self.column)
        return self


class Boost(Condition):
    """Change of the scores of the movies that meet a condition."""

    by: FiniteFloat
    """Number of standard deviations of the user's scores that is added; negative to lower them."""


class Cap(SettingsModel):
    """Largest number of movies with the same value of a column in the first places."""

    column: Annotated[str, Field(min_length=1)]
    """Name of the column."""
    at_most: Count
    """Movies with the same value."""
    first: Count = 10
    """Places in which they are counted."""


class Arrivals(SettingsModel):
    """Places for new movies with few ratings."""

    share: Share = 0.2
    """Share of the places, from the first on."""
    days: Annotated[FiniteFloat, Field(gt=0)] = 30
    """Largest age, from `released` to the newest rating."""
    most_ratings: CountFromZero = 20
    """Largest number of ratings."""


class RulesKeys(SettingsModel):
    """Rules for lists: the table [rules]."""

    only: Annotated[
        tuple[Condition, ...], _FROM_TEXT, Panel.RULES, Hint(f"tables with {_A_CONDITION}")
    ] = ()
    """Lists show only movies that meet all of these conditions."""
    never: Annotated[
        tuple[Condition, ...], _FROM_TEXT, Panel.RULES, Hint(f"tables with {_A_CONDITION}")
    ] = ()
    """Lists show no movie that meets any of these conditions."""
    boost: Annotated[
        tuple[Boost, ...], _FROM_TEXT, Panel.RULES, Hint(f"tables with by, {_A_CONDITION}")
    ] = ()
    """User lists rank movies that meet a condition higher, or lower."""
    cap: Annotated[
        tuple[Cap, ...], _FROM_TEXT, Panel.RULES, Hint("tables with column, at_most and first")
    ] = ()
    """User lists have at most so many movies of one value in the first places."""
    new: Annotated[
        Arrivals | None,
        _FROM_TEXT,
        Panel.RULES,
        Hint(
            "a table with share, days and most_ratings",
            unset="none",
            example={"share": 0.2, "days": 30, "most_ratings": 20},
        ),
    ] = None
    """Share of the places of user lists for new movies with few ratings."""
    diversity: Annotated[Share, Panel.RULES] = 0
    """Weight of variety against relevance in the first places of user lists."""
    seen: Annotated[
        str | Mapping[str, str],
        BeforeValidator(_table_from_text),
        checked(_are_times),
        Panel.RULES,
        Hint("never, allowed, or after N days, such as after 30 days; or one for each kind"),
    ] = NEVER
    """Time after which lists may show a rated movie again, or a table of times by kind of event."""

    @property
    def repeat_days(self) -> float | None:
        """Days after the latest rating from which a movie may be shown again; None for never.

        Of several kinds of events, the most days.
        """
        rules = [self.seen] if isinstance(self.seen, str) else self.seen.values()
        return max((days for one in rules if (days := days_after(one)) is not None), default=None)

    @property
    def reorders(self) -> bool:
        """True if scores in user lists may rise, because places do not follow them alone."""
        return bool(self.cap or self.new or self.diversity)

    def to_json(self) -> dict[str, Any]:
        """Return the rules that differ from their defaults, as JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)

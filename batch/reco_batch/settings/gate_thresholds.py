"""Thresholds of the quality gate: the table [gate] of reco.toml."""

from typing import Annotated

from pydantic import BeforeValidator, Field, FiniteFloat

from reco_batch.settings.setting_metadata import Hint, Panel, SettingsModel, Share

_Share = Annotated[Share, Panel.GATE]
_Number = Annotated[FiniteFloat, Field(ge=0), Panel.GATE]
_NumberOrNone = Annotated[
    FiniteFloat | None,
    Field(ge=0),  # before the validator, or it would compare None
    BeforeValidator(lambda value: None if value == "none" else value),
    Hint("a number from 0, or none"),
    Panel.GATE,
]


class GateBounds(SettingsModel):
    """Thresholds of the configurable checks; checks for broken lists have none."""

    metric_drop: _Share = 0.1
    """Largest drop of a quality metric, as a share of its live value."""
    error_rise: _Number = 0.05
    """Largest rise of an error such as RMSE, as a share of its live value."""
    popularity_ratio: Annotated[
        _NumberOrNone,
        Hint(unset="1; with the preset notebook, less than 1 is a warning", example=1),
    ] = None
    """Smallest quality of the models, relative to the popularity baseline."""
    hindsight_ratio: Annotated[
        _NumberOrNone, Hint(unset="none; less than 1 is a warning", example=1)
    ] = None
    """Smallest NDCG@10 of the lists that were served, relative to that of popular movies."""
    shrink: _Share = 0.1
    """Largest drop in users, movies or ratings, as a share of the live ones."""
    full_lists: _Share = 0.99
    """Smallest share of lists with k movies, or with all that can be shown."""
    flat_lists: _Share = 0.5
    """Largest share of lists whose scores are all equal."""
    distinct_lists: _Share = 0.1
    """Smallest number of distinct top-10 lists, as a share of all users."""
    alike: _Share = 0.4
    """Largest mean overlap of a user's top-10 with the next user's."""
    same_first: _Share = 0.5
    """Largest share of users with the same movie in first place."""
    coverage: _Share = 0.005
    """Smallest share of the eligible movies that are in any top-10."""
    coverage_drop: _Share = 0.5
    """Largest drop in coverage, as a share of its live value."""
    churn: _Share = 0.8
    """Largest mean share of users' live top-10 that the new top-10 lacks."""
    ranked_churn: _Share = 0.9
    """Largest churn of the lists by predicted rating."""
    similar_churn: _Share = 0.9
    """Largest churn of the similar lists of movies in both generations."""
    known_users: _Share = 0.5
    """Smallest share of users that the live generation must contain too."""
    known_history: _Share = 0.9
    """Smallest share of users' newest live history that the input still has."""
    known_titles: _Share = 0.9
    """Smallest share of movies in both generations that keep their title."""
    days_behind: _Number = 7.0
    """Days by which the newest rating may be older than the live one."""
    rating_age_days: Annotated[_NumberOrNone, Hint(unset="none", example=30)] = None
    """Largest age of the newest rating when the run starts, in days."""

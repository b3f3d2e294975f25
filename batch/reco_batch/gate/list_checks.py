"""Figures against bounds: what is wrong with a night, and how wrong.

Pure functions of manifests, measured figures and bounds. What has no last night to be compared with
is recorded as "no baseline" and passes; a check whose figure cannot be had at all is "skipped" and
says why. The metrics of the models are judged in `judge_models`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from reco_batch.artifact.checks import (
    AT_LEAST,
    AT_MOST,
    NO_BASELINE,
    NOTED,
    REFUSED,
    SKIPPED,
    WARNING,
    Check,
    at_least,
    at_most,
    exactly,
    short,
)
from reco_batch.artifact.manifests import (
    NO_STARS,
    Nights,
    has_stars,
    number,
    origin_of,
    refused_checks,
    section,
)
from reco_batch.evaluation.list_statistics import ENOUGH_RATINGS, MEASURED, ListFigures, Measured
from reco_batch.evaluation.top10_diversity import CHOICE, HeadFigures
from reco_batch.gate.churn import Comparison
from reco_batch.gate.metric_checks import check_metrics
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store.contract.families import POPULAR, SEEN, family_named
from reco_store.contract.manifest import created_seconds

#: With fewer lists, how many are different or alike says nothing.
_FEWEST_LISTS: Final = 10
#: Upper bound on the overlap of users' top-10 lists, as a share of the overlap of popularity lists.
#: The bound is relative because even good lists overlap a lot when users have short histories.
_OF_HITS_ALIKE: Final = 0.9
#: Beginning of a check's name -> its bound, where a figure beyond it breaks no list.
_SOFT: Final = {
    "similar.flat": "flat_lists",
    "next.flat": "flat_lists",
    "first_ten.coverage": "coverage",
    "popularity.": "popularity_ratio",
}
_SECONDS_A_DAY: Final = 86_400


def check_night(
    nights: Nights, measured: Measured, comparison: Comparison | None, bounds: GateBounds
) -> list[Check]:
    """Judge a night.

    Args:
        nights: the manifests.
        measured: tonight's lists.
        comparison: of them with the live ones; None without any.
        bounds: what is allowed.

    Returns:
        Every check, the refused ones among them.
    """
    is_first = nights.live is None and comparison is None
    checks = [
        *check_input(nights, bounds),
        *check_metrics(nights, bounds),
        *_counts(nights.tonight, measured),
        *_lists(nights.tonight, measured.families, bounds),
        *_heads(nights, measured.heads, bounds),
        *_changes(comparison, bounds),
    ]
    if not is_first:
        return checks
    refused = refused_checks(nights.tonight)
    return [check if check.name in refused else _of_first_run(check, bounds) for check in checks]


def check_input(nights: Nights, bounds: GateBounds) -> list[Check]:
    """Judge the input alone: of tonight's manifest only `created`, `ids` and `data` are read."""
    return [*_input(nights, bounds), *_sizes(nights, bounds)]


def _of_first_run(check: Check, bounds: GateBounds) -> Check:
    """Warn rather than refuse, while nothing is served, where no list is broken.

    A bound that the settings contain is kept. Checks that the gate refused earlier never come here:
    a store that lost its data makes no list better.
    """
    bound = next((b for name, b in _SOFT.items() if check.name.startswith(name)), None)
    if check.verdict != REFUSED or bound is None or bound in bounds.model_fields_set:
        return check
    return check._replace(verdict=WARNING)


def _input(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Is the input newer than last night's?"""
    newest, live_newest = (number(m, "data", "newest_rating") for m in nights)
    if live_newest is not None and nights.live is not None:
        # A date in the future, which an older version believed, must not make all inputs old.
        live_newest = min(live_newest, created_seconds(nights.live))
    behind = None if newest is None or live_newest is None else live_newest - newest
    yield _against(
        nights,
        "input.days_behind",
        None if behind is None else behind / _SECONDS_A_DAY,
        AT_MOST,
        bounds.days_behind,
        lacking="no timestamps to compare",
    )
    created = created_seconds(nights.tonight)
    age = None if newest is None else (created - newest) / _SECONDS_A_DAY
    if bounds.rating_age_days is None:
        yield Check("input.age_days", age, AT_MOST, None, NOTED, "no bound is set")
    else:
        yield at_most("input.age_days", age, bounds.rating_age_days)
    if nights.live is not None and origin_of(nights.tonight) == origin_of(nights.live):
        yield Check("input.identical", 1, "", None, NOTED, "the same files as last night")
    kinds = [m.get("ids") for m in nights if m is not None]
    if len(set(kinds)) > 1:
        note = f"movie ids in values are now of type {kinds[0]}, last night {kinds[1]}"
        yield Check("input.ids", None, "", None, WARNING, note)


def _sizes(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Has the input shrunk?"""
    for name in ("users", "movies", "ratings"):
        now, before = (number(m, "data", name) for m in nights)
        if (
            name == "movies"
            and now is not None
            and not section(nights.live, "data").get("unlisted")
        ):
            # An older version counted the movies that the movies file lacks, too.
            now += number(nights.tonight, "data", "unlisted", "movies") or 0
        least = None if before is None else math.ceil(before * (1 - bounds.shrink))
        yield _against(nights, f"input.{name}", now, AT_LEAST, least, was=before)


def _counts(tonight: Mapping[str, Any], measured: Measured) -> Iterator[Check]:
    """Has everybody, and every movie, a list?"""
    families = measured.families
    users, movies, ratings = (
        number(tonight, "data", name) for name in ("users", "movies", "ratings")
    )
    yield exactly("cards", measured.movies, movies)
    for family in MEASURED:
        if family.per == "genre":
            continue
        name, expected = f"{family.name}.lists", {"user": users, "movie": movies}[family.per]
        if family.name not in families:
            yield Check(name, None, "", None, SKIPPED, "the artifact is an older one")
            continue
        if family.needs_stars and not has_stars(tonight):
            expected = 0
        yield exactly(name, families[family.name].lists, expected)
    unlisted = number(tonight, "data", "unlisted", "ratings") or 0
    shown = None if ratings is None else ratings - unlisted
    yield exactly("seen.ratings", families[SEEN.name].entries, shown)
    yield at_least("popular.lists", families[POPULAR.name].lists, 1)


def _lists(
    tonight: Mapping[str, Any], families: Mapping[str, ListFigures], bounds: GateBounds
) -> Iterator[Check]:
    """Is any list broken?"""
    for name, figures in families.items():
        family = family_named(name)
        if family.needs_stars and not has_stars(tonight):
            yield Check(f"{name}.full", None, "", None, SKIPPED, NO_STARS)
            continue
        broken = {
            "duplicates": figures.duplicates,
            "unknown": figures.unknown,
            "not_finite": figures.not_finite,
            "unordered": figures.unordered,
        }
        if family.excludes:
            broken |= {family.excludes: figures.excluded, "misplaced": figures.misplaced}
            lists = max(1, figures.lists)
            yield at_least(f"{name}.full", figures.full / lists, bounds.full_lists)
            yield at_most(
                f"{name}.flat",
                figures.flat / figures.judged if figures.judged else None,
                bounds.flat_lists,
                lacking=f"no movie has {ENOUGH_RATINGS} ratings",
            )
        for fault, count in broken.items():
            yield at_most(f"{name}.{fault}", count, 0)


def _heads(nights: Nights, heads: HeadFigures, bounds: GateBounds) -> Iterator[Check]:
    """Do users see different movies, and movies different users?"""
    # Among a handful of movies, users see the same ones whatever is recommended.
    few = heads.lists < _FEWEST_LISTS or heads.coverable < CHOICE
    lists = max(1, heads.lists)
    yield _unless(
        few, at_least("first_ten.distinct", heads.distinct / lists, bounds.distinct_lists)
    )
    yield _unless(few, at_most("first_ten.same_first", heads.most_first / lists, bounds.same_first))
    yield _unless(few or heads.pairs < _FEWEST_LISTS, _alike(heads, bounds))
    coverage = heads.covered / max(1, heads.coverable)
    yield _unless(few, at_least("first_ten.coverage", coverage, bounds.coverage))
    before = number(nights.live, "gate", "checks", "first_ten.coverage", "figure")
    least = None if before is None else before * (1 - bounds.coverage_drop)
    against = _against(nights, "first_ten.coverage_drop", coverage, AT_LEAST, least, was=before)
    yield _unless(few, against)


def _alike(heads: HeadFigures, bounds: GateBounds) -> Check:
    """Check the overlap of users' top-10 lists, relative to that of popularity lists."""
    most = bounds.alike
    if "alike" not in bounds.model_fields_set:
        most = max(most, _OF_HITS_ALIKE * heads.hits_alike)
    note = f"of the most rated movies {short(heads.hits_alike)}"
    return at_most("first_ten.alike", heads.alike, most, note=note)


def _changes(comparison: Comparison | None, bounds: GateBounds) -> Iterator[Check]:
    """Does what users see change as it should from night to night?"""
    limits = {
        "user": bounds.churn,
        "ranked": bounds.ranked_churn,
        "similar": bounds.similar_churn,
    }
    kept = {
        "known.users": bounds.known_users,
        "known.history": bounds.known_history,
        "known.titles": bounds.known_titles,
    }
    if comparison is None:
        for name in (*(f"churn.{family}" for family in limits), *kept):
            yield Check(name, None, "", None, NO_BASELINE)
        return
    for family, most in limits.items():
        yield at_most(
            f"churn.{family}", comparison.churn[family], most, lacking="no list of both nights"
        )
    shares = (comparison.known_users, comparison.known_history, comparison.known_titles)
    for (name, least), share in zip(kept.items(), shares, strict=True):
        yield at_least(name, share, least, lacking="nothing of both nights")


def _against(
    nights: Nights,
    name: str,
    figure: float | None,
    relation: str,
    bound: float | None,
    *,
    was: float | None = None,
    lacking: str = "the live manifest does not say",
) -> Check:
    """Compare with last night, where there was one that says how it was."""
    if nights.live is None:
        return Check(name, figure, "", None, NO_BASELINE)
    if figure is None or bound is None:
        return Check(name, figure, "", None, SKIPPED, lacking)
    note = "" if was is None else f"live {short(was)}"
    compare = at_least if relation == AT_LEAST else at_most
    return compare(name, figure, bound, note=note)


def _unless(few: bool, check: Check) -> Check:  # noqa: FBT001  reads as `unless few`
    if not few or check.verdict == NO_BASELINE:
        return check
    return check._replace(verdict=SKIPPED, note="too few lists to tell")

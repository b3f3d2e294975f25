"""Figures against bounds: what is wrong with a night, and how wrong.

Pure functions of manifests, measured figures and bounds. What has no last night to be compared with
is recorded as "no baseline" and passes; a check whose figure cannot be had at all is "skipped" and
says why.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from reco_batch.bounds import GateBounds
from reco_batch.checks import (
    AT_LEAST,
    AT_MOST,
    NO_BASELINE,
    NOTED,
    PASSED,
    REFUSED,
    SKIPPED,
    WARNING,
    Check,
    at_least,
    at_most,
    exactly,
    short,
)
from reco_batch.comparison import Comparison
from reco_batch.heads import HeadFigures
from reco_batch.measure import ListFigures, Measured
from reco_store.manifest import created_seconds

#: With fewer lists, how many are different or alike says nothing.
_FEWEST_LISTS: Final = 10
#: A figure measured on few ratings moves by itself: so many standard errors are no drop.
_STANDARD_ERRORS: Final = 3.0
#: Standard errors from the middle of a 95 % interval to its end.
_DEVIATIONS_OF_95: Final = 1.96
_SECONDS_A_DAY: Final = 86_400
_ERRORS: Final = ("rmse", "mae")
#: What a night is told by beside the popularity baseline, where it has them.
_TOLD_BY: Final = ("ndcg@10", "recall@100")
_NO_STARS: Final = "the input has no ratings, so there are none"


class Nights(NamedTuple):
    """Both manifests; no live one on the first night."""

    tonight: Mapping[str, Any]
    live: Mapping[str, Any] | None


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
    return [
        *_input(nights, bounds),
        *_sizes(nights, bounds),
        *_metrics(nights, bounds),
        *_baseline(nights.tonight, bounds),
        *_counts(nights.tonight, measured),
        *_lists(nights.tonight, measured.families, bounds),
        *_heads(nights, measured.heads, bounds),
        *_changes(comparison, bounds),
    ]


def _input(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Is the input newer than last night's?"""
    newest, live_newest = (_number(m, "data", "newest_rating") for m in nights)
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
    if nights.live is not None and _origin(nights.tonight) == _origin(nights.live):
        yield Check("input.identical", 1, "", None, NOTED, "the same files as last night")
    kinds = [m.get("ids") for m in nights if m is not None]
    if len(set(kinds)) > 1:
        note = f"movie ids in values are now of type {kinds[0]}, last night {kinds[1]}"
        yield Check("input.ids", None, "", None, WARNING, note)


def _sizes(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Has the input shrunk?"""
    for name in ("users", "movies", "ratings"):
        now, before = (_number(m, "data", name) for m in nights)
        least = None if before is None else math.ceil(before * (1 - bounds.shrink))
        yield _against(nights, f"input.{name}", now, AT_LEAST, least, was=before)


def _metrics(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Are the models as good as the live ones, by the same measure?"""
    tonight, live = nights
    for group in ("retrieval", "rating"):
        now, before = (_metrics_of(m, group) for m in nights)
        shared = [name for name in before if name in now]
        for name, value in now.items():
            full = f"{group}.{name}"
            if not math.isfinite(value):
                yield Check(full, value, "", None, REFUSED, "training diverged")
            elif live is None:
                yield Check(full, value, "", None, NO_BASELINE)
            elif name not in shared:
                yield Check(full, value, "", None, SKIPPED, "the live night has none")
            elif _split(tonight) != _split(live):
                note = f"measured on a split by {_split(tonight)}, the live one {_split(live)}"
                yield Check(full, value, "", None, SKIPPED, note)
            else:
                # Of the lists every user has one figure, of the stars every rating.
                measured = "test_users" if "@" in name else "test"
                held_out = [_number(m, "data", measured) for m in nights]
                yield _metric(full, value, before[name], held_out, bounds)
        if group == "rating" and not _has_stars(tonight) and not before:
            yield Check("rating.metrics", None, "", None, SKIPPED, _NO_STARS)
        if before and not shared:
            note = "no metric that the live night has, too"
            yield Check(f"{group}.metrics", len(shared), AT_LEAST, 1, REFUSED, note)


def _metric(
    name: str, value: float, live: float, held_out: list[float | None], bounds: GateBounds
) -> Check:
    """Compare a metric, allowing for what chance does to so few held-out ratings, twice."""
    few = min((n for n in held_out if n), default=math.inf) / 2
    if name.rpartition(".")[2] in _ERRORS:
        rise = max(bounds.error_rise, _STANDARD_ERRORS / math.sqrt(2 * few))
        return at_most(name, value, live * (1 + rise), note=f"live {short(live)}")
    share = min(max(live, 0.0), 1.0)  # a mean of figures from 0 to 1 varies no more than a share
    chance = _STANDARD_ERRORS * math.sqrt(share * (1 - share) / few)
    least = max(0.0, live - max(bounds.metric_drop * abs(live), chance))
    return at_least(name, value, least, note=f"live {short(live)}")


def _baseline(tonight: Mapping[str, Any], bounds: GateBounds) -> Iterator[Check]:
    """Are the models better than popularity, measured on the same ratings?"""
    popularity = _metrics_of(tonight, "popularity")
    for group in ("retrieval", "rating"):
        metrics = _metrics_of(tonight, group)
        shared = [name for name in metrics if popularity.get(name, 0) > 0]
        # Else the longest list: of all shares the one least left to chance.
        for name in _TOLD_BY if _TOLD_BY[0] in shared else shared[-1:]:
            if name not in shared:
                continue
            ours, theirs = metrics[name], popularity[name]
            ratio = theirs / ours if name in _ERRORS and ours > 0 else ours / theirs
            note = f"{short(ours)}, popularity {short(theirs)}"
            least = max(0.0, _least_ratio(tonight, bounds) - _chance(tonight, group, name, theirs))
            check = at_least(f"popularity.{name}", ratio, least, note=note)
            if check.verdict == PASSED and ratio < 1:
                check = check._replace(verdict=WARNING, note=f"worse than popularity: {note}")
            yield check


def _least_ratio(tonight: Mapping[str, Any], bounds: GateBounds) -> float:
    """Return the bound, which of the notebook's models cannot be more than a warning."""
    if bounds.popularity_ratio is not None:
        return bounds.popularity_ratio
    return 0.0 if _section(tonight, "parameters").get("preset") == "notebook" else 1.0


def _chance(tonight: Mapping[str, Any], group: str, name: str, theirs: float) -> float:
    """Return how far below its true value the ratio may lie by chance, if that is known."""
    if name in _ERRORS:
        held_out = _number(tonight, "data", "test")
        return _STANDARD_ERRORS / math.sqrt(2 * held_out) if held_out else 0.0
    interval = _section(_section(_section(tonight, "metrics"), "intervals"), group).get(name)
    if not isinstance(interval, list):
        return 0.0
    low, high = interval
    return float(_STANDARD_ERRORS * (high - low) / (2 * _DEVIATIONS_OF_95) / theirs)


def _counts(tonight: Mapping[str, Any], measured: Measured) -> Iterator[Check]:
    """Has everybody, and every movie, a list?"""
    families = measured.families
    users, movies, ratings = (
        _number(tonight, "data", name) for name in ("users", "movies", "ratings")
    )
    yield exactly("cards", measured.movies, movies)
    for family, expected in (
        ("user", users),
        ("ranked", users if _has_stars(tonight) else 0),
        ("seen", users),
        ("similar", movies),
        ("next", movies),
    ):
        if family not in families:
            yield Check(f"{family}.lists", None, "", None, SKIPPED, "the artifact is an older one")
            continue
        yield exactly(f"{family}.lists", families[family].lists, expected)
    yield exactly("seen.ratings", families["seen"].entries, ratings)
    yield at_least("popular.lists", families["popular"].lists, 1)


def _lists(
    tonight: Mapping[str, Any], families: Mapping[str, ListFigures], bounds: GateBounds
) -> Iterator[Check]:
    """Is any list broken?"""
    for family, figures in families.items():
        if family == "ranked" and not _has_stars(tonight):
            yield Check("ranked.full", None, "", None, SKIPPED, _NO_STARS)
            continue
        broken = {
            "duplicates": figures.duplicates,
            "unknown": figures.unknown,
            "not_finite": figures.not_finite,
            "unordered": figures.unordered,
        }
        if family in ("user", "ranked", "similar", "next"):
            broken |= {
                "itself" if family in ("similar", "next") else "seen": figures.excluded,
                "misplaced": figures.misplaced,
            }
            lists = max(1, figures.lists)
            yield at_least(f"{family}.full", figures.full / lists, bounds.full_lists)
            yield at_most(f"{family}.flat", figures.flat / lists, bounds.flat_lists)
        for name, count in broken.items():
            yield at_most(f"{family}.{name}", count, 0)


def _heads(nights: Nights, heads: HeadFigures, bounds: GateBounds) -> Iterator[Check]:
    """Do users see different movies, and movies different users?"""
    few = heads.lists < _FEWEST_LISTS
    lists = max(1, heads.lists)
    yield _unless(
        few, at_least("first_ten.distinct", heads.distinct / lists, bounds.distinct_lists)
    )
    yield _unless(few, at_most("first_ten.same_first", heads.most_first / lists, bounds.same_first))
    yield _unless(
        few or heads.pairs < _FEWEST_LISTS, at_most("first_ten.alike", heads.alike, bounds.alike)
    )
    coverage = heads.covered / max(1, heads.coverable)
    yield _unless(few, at_least("first_ten.coverage", coverage, bounds.coverage))
    before = _number(nights.live, "gate", "checks", "first_ten.coverage", "figure")
    least = None if before is None else before * (1 - bounds.coverage_drop)
    against = _against(nights, "first_ten.coverage_drop", coverage, AT_LEAST, least, was=before)
    yield _unless(few, against)


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


def _number(manifest: Mapping[str, Any] | None, *path: str) -> float | None:
    """Return a number of a manifest, which another version may have written."""
    value: Any = manifest
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _metrics_of(manifest: Mapping[str, Any] | None, group: str) -> dict[str, float]:
    found = _section(_section(manifest, "metrics"), group)
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float)}


def _has_stars(manifest: Mapping[str, Any]) -> bool:
    """Tell whether people rated; of an older version's manifest that does not say, they did."""
    return manifest.get("rating_scale", ()) is not None


def _split(manifest: Mapping[str, Any]) -> str:
    return str(_section(manifest, "parameters").get("split"))


def _origin(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    data = _section(manifest, "data")
    return tuple(data.get(name) for name in ("name", "from", "sha256", "ratings", "newest_rating"))


def _section(manifest: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """Return a part of a manifest, empty where another version or damage left something else."""
    value = (manifest or {}).get(name)
    return value if isinstance(value, Mapping) else {}

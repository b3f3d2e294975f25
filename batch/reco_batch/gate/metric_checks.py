"""Checks of the models' metrics: against the live generation, and against the baseline.

Pure functions of manifests and thresholds.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import (
    AT_LEAST,
    NO_BASELINE,
    NOTED,
    PASSED,
    REFUSED,
    SKIPPED,
    WARNING,
    Check,
    at_least,
    at_most,
    short,
)
from reco_batch.artifact.manifests import (
    NO_STARS,
    NOT_MEASURED,
    Manifests,
    has_stars,
    metrics_of,
    number,
    section,
    split_of,
)
from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.hyperparameters import PRESETS, SplitBy
from reco_store.contract.metrics import (
    GROUPS,
    Better,
    Use,
    figures,
    is_higher_better,
    metric_of,
)

#: Differences below this many standard errors may be chance.
_STANDARD_ERRORS: Final = 3.0
_POPULARITY: Final = "popularity"
#: Standard errors from the middle of a 95 % interval to its end.
_DEVIATIONS_OF_95: Final = 1.96
#: With fewer test users a metric is not judged.
_FEWEST_USERS: Final = 10
_FEW: Final = f"fewer than {_FEWEST_USERS} test users"
#: Groups whose metrics are compared with those of the live generation.
_GROUPS: Final = ("retrieval", "rating", "ranked")


def check_metrics(manifests: Manifests, bounds: GateBounds) -> Iterator[Check]:
    """Yield the checks of a generation's metrics."""
    yield from _against_live(manifests, bounds)
    yield from _against_popularity(manifests.staged, bounds)
    yield from _in_hindsight(manifests.staged, bounds)


def _against_live(manifests: Manifests, bounds: GateBounds) -> Iterator[Check]:
    """Compare the metrics with those of the live generation, where both were measured alike."""
    staged, live = manifests
    for group in _GROUPS:
        now, before = (metrics_of(m, group) for m in manifests)
        shared = [name for name in before if name in now]
        for name, value in now.items():
            full, metric = f"{group}.{name}", metric_of(name)
            if not math.isfinite(value):
                yield Check(full, value, "", None, REFUSED, "training diverged")
            elif live is None:
                yield Check(full, value, "", None, NO_BASELINE)
            elif why := _why_skipped(staged, live, is_shared=name in shared):
                yield Check(full, value, "", None, SKIPPED, why)
            elif metric.better is Better.NEITHER or not metric.is_gated:
                yield Check(full, value, "", None, NOTED, f"live {short(before[name])}")
            else:
                measured = "test_users" if metric.is_per_user else "test"
                held_out = [number(m, "data", measured) for m in manifests]
                yield _metric(full, value, before[name], held_out, bounds)
        if group == "rating" and not has_stars(staged) and not before:
            yield Check("rating.metrics", None, "", None, SKIPPED, NO_STARS)
        if before and not shared:
            note = "no metric in common with the live generation"
            yield Check(f"{group}.metrics", len(shared), AT_LEAST, 1, REFUSED, note)


def _why_skipped(staged: Mapping[str, Any], live: Mapping[str, Any], *, is_shared: bool) -> str:
    """Return why a metric cannot be compared with the live generation's; empty if it can."""
    if not is_shared:
        return "the live generation has none"
    if split_of(staged) != split_of(live):
        return f"measured on a split by {split_of(staged)}, the live one {split_of(live)}"
    return _FEW if _is_few(staged) or _is_few(live) else ""


def _metric(
    name: str, value: float, live: float, held_out: list[float | None], bounds: GateBounds
) -> Check:
    """Compare a metric, allowing for chance in both measurements on so few held-out ratings."""
    few = min((n for n in held_out if n), default=math.inf) / 2
    if not is_higher_better(name.partition(".")[2]):
        rise = max(bounds.error_rise, _STANDARD_ERRORS / math.sqrt(2 * few))
        return at_most(name, value, live * (1 + rise), note=f"live {short(live)}")
    # A mean of values from 0 to 1 varies no more than a share. All or none of so few users may be
    # chance too.
    share = min(max(live, 1 / few), 1 - 1 / few)
    chance = _STANDARD_ERRORS * math.sqrt(share * (1 - share) / few)
    least = max(0.0, live - max(bounds.metric_drop * abs(live), chance))
    return at_least(name, value, least, note=f"live {short(live)}")


def _against_popularity(staged: Mapping[str, Any], bounds: GateBounds) -> Iterator[Check]:
    """Compare the metrics with the popularity baseline, measured on the same ratings.

    Where the test part is the future, recent popularity is known: the best baseline counts.
    """
    for group in ("retrieval", "rating"):
        metrics = metrics_of(staged, group)
        best = {name: _best_popularity(staged, name) for name in metrics}
        shared = [name for name in metrics if best[name].value > 0]
        checked = [
            figure.name
            for figure in figures(Use.BASELINE_CHECK)
            if figure.group.name == group and figure.name in shared
        ]
        # In the manifest of an older version the longest list varies least by chance.
        for name in checked or shared[-1:]:
            popular, words, theirs = best[name]
            ours = metrics[name]
            is_error = metric_of(name).better is Better.LOWER
            ratio = theirs / ours if is_error and ours > 0 else ours / theirs
            note = f"{short(ours)}, {words} {short(theirs)}"
            chance = max(_chance(staged, one, name, theirs) for one in (group, popular))
            least = max(0.0, _least_ratio(staged, bounds) - chance)
            check = at_least(f"popularity.{name}", ratio, least, note=note)
            if _is_few(staged):
                check = check._replace(verdict=SKIPPED, note=f"{_FEW}: {note}")
            elif check.verdict == PASSED and ratio < 1:
                check = check._replace(verdict=WARNING, note=f"worse than popularity: {note}")
            yield check


class _Baseline(NamedTuple):
    """Popularity baseline of one metric."""

    group: str
    words: str
    value: float
    """0 if it was not measured."""


def _best_popularity(staged: Mapping[str, Any], name: str) -> _Baseline:
    """Return the popularity baseline to compare a metric with."""
    words = {_POPULARITY: _POPULARITY}
    if section(staged, "parameters").get("split") == SplitBy.GLOBAL:
        for group in GROUPS:
            words |= {one: f"{_POPULARITY} {of}" for one, of in group.recent_baselines.items()}
    found = [_Baseline(g, words[g], metrics_of(staged, g).get(name, 0)) for g in words]
    return max(found, key=lambda baseline: baseline.value)


def _is_few(manifest: Mapping[str, Any]) -> bool:
    users = number(manifest, "data", "test_users")
    return users is not None and users < _FEWEST_USERS


def _in_hindsight(staged: Mapping[str, Any], bounds: GateBounds) -> Iterator[Check]:
    """Compare the lists that were served since the last run with the most popular movies.

    They are those of the live generation, which a refusal would keep: without a threshold a lower
    value is a warning.
    """
    past, name = section(staged, "hindsight"), "hindsight.ndcg"
    if not past:
        return
    users = number(past, "users") or 0
    ours, popular = (number(past, group, "ndcg@10") for group in ("served", "popular"))
    chance = number(past, "gain", "ndcg@10", "standard_error")
    if ours is None or popular is None or chance is None or users < _FEWEST_USERS or not popular:
        few = f"fewer than {_FEWEST_USERS} users with new interactions"
        no_hit = f"no hit of {_POPULARITY} to compare with"
        why = past.get(NOT_MEASURED, few if users < _FEWEST_USERS else no_hit)
        yield Check(name, None, AT_LEAST, bounds.hindsight_ratio, SKIPPED, str(why))
        return
    ratio = 1.0 if bounds.hindsight_ratio is None else bounds.hindsight_ratio
    least = max(0.0, ratio - _STANDARD_ERRORS * chance / popular)
    note = f"served {short(ours)}, {_POPULARITY} {short(popular)}"
    check = at_least(name, ours / popular, least, note=note)
    if check.verdict == REFUSED and bounds.hindsight_ratio is None:
        check = check._replace(verdict=WARNING)
    yield check


def _least_ratio(staged: Mapping[str, Any], bounds: GateBounds) -> float:
    """Return the configured threshold, or that of the run's preset."""
    if bounds.popularity_ratio is not None:
        return bounds.popularity_ratio
    preset = PRESETS.get(section(staged, "parameters").get("preset", ""))
    return preset.popularity_ratio if preset else 1.0


def _chance(staged: Mapping[str, Any], group: str, name: str, theirs: float) -> float:
    """Return how far below its true value the ratio may be by chance; 0 if that is not known."""
    if metric_of(name).better is Better.LOWER:
        held_out = number(staged, "data", "test")
        return _STANDARD_ERRORS / math.sqrt(2 * held_out) if held_out else 0.0
    interval = section(section(section(staged, "metrics"), "intervals"), group).get(name)
    if not isinstance(interval, list):
        return 0.0
    low, high = interval
    return float(_STANDARD_ERRORS * (high - low) / (2 * _DEVIATIONS_OF_95) / theirs)

"""Figures against bounds: are the models as good as the live ones, and better than popularity?

Part of `judge`; pure functions of manifests and bounds.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from reco_batch.artifact.checks import (
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
    Nights,
    has_stars,
    metrics_of,
    number,
    section,
    split_of,
)
from reco_batch.metrics.ranking_metrics import direction
from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.hyperparameters import PRESETS

#: A figure measured on few ratings moves by itself: so many standard errors are no drop.
_STANDARD_ERRORS: Final = 3.0
#: Standard errors from the middle of a 95 % interval to its end.
_DEVIATIONS_OF_95: Final = 1.96
#: What a night is told by beside the popularity baseline, where it has them.
_TOLD_BY: Final = ("ndcg@10", "recall@100")


def check_metrics(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Judge the metrics of a night, against the live one's and against the baseline's."""
    yield from _against_live(nights, bounds)
    yield from _against_popularity(nights.tonight, bounds)


def _against_live(nights: Nights, bounds: GateBounds) -> Iterator[Check]:
    """Are the models as good as the live ones, by the same measure?"""
    tonight, live = nights
    for group in ("retrieval", "rating", "ranked"):
        now, before = (metrics_of(m, group) for m in nights)
        shared = [name for name in before if name in now]
        for name, value in now.items():
            full = f"{group}.{name}"
            if not math.isfinite(value):
                yield Check(full, value, "", None, REFUSED, "training diverged")
            elif live is None:
                yield Check(full, value, "", None, NO_BASELINE)
            elif name not in shared:
                yield Check(full, value, "", None, SKIPPED, "the live night has none")
            elif split_of(tonight) != split_of(live):
                note = f"measured on a split by {split_of(tonight)}, the live one {split_of(live)}"
                yield Check(full, value, "", None, SKIPPED, note)
            elif direction(name) == 0:
                yield Check(full, value, "", None, NOTED, f"live {short(before[name])}")
            else:
                # Of the lists every user has one figure, of the stars every rating.
                measured = "test_users" if "@" in name else "test"
                held_out = [number(m, "data", measured) for m in nights]
                yield _metric(full, value, before[name], held_out, bounds)
        if group == "rating" and not has_stars(tonight) and not before:
            yield Check("rating.metrics", None, "", None, SKIPPED, NO_STARS)
        if before and not shared:
            note = "no metric that the live night has, too"
            yield Check(f"{group}.metrics", len(shared), AT_LEAST, 1, REFUSED, note)


def _metric(
    name: str, value: float, live: float, held_out: list[float | None], bounds: GateBounds
) -> Check:
    """Compare a metric, allowing for what chance does to so few held-out ratings, twice."""
    few = min((n for n in held_out if n), default=math.inf) / 2
    if direction(name.partition(".")[2]) < 0:
        rise = max(bounds.error_rise, _STANDARD_ERRORS / math.sqrt(2 * few))
        return at_most(name, value, live * (1 + rise), note=f"live {short(live)}")
    share = min(max(live, 0.0), 1.0)  # a mean of figures from 0 to 1 varies no more than a share
    chance = _STANDARD_ERRORS * math.sqrt(share * (1 - share) / few)
    least = max(0.0, live - max(bounds.metric_drop * abs(live), chance))
    return at_least(name, value, least, note=f"live {short(live)}")


def _against_popularity(tonight: Mapping[str, Any], bounds: GateBounds) -> Iterator[Check]:
    """Are the models better than popularity, measured on the same ratings?"""
    popularity = metrics_of(tonight, "popularity")
    for group in ("retrieval", "rating"):
        metrics = metrics_of(tonight, group)
        shared = [name for name in metrics if popularity.get(name, 0) > 0]
        # Else the longest list: of all shares the one least left to chance.
        for name in _TOLD_BY if _TOLD_BY[0] in shared else shared[-1:]:
            if name not in shared:
                continue
            ours, theirs = metrics[name], popularity[name]
            ratio = theirs / ours if direction(name) < 0 and ours > 0 else ours / theirs
            note = f"{short(ours)}, popularity {short(theirs)}"
            least = max(0.0, _least_ratio(tonight, bounds) - _chance(tonight, group, name, theirs))
            check = at_least(f"popularity.{name}", ratio, least, note=note)
            if check.verdict == PASSED and ratio < 1:
                check = check._replace(verdict=WARNING, note=f"worse than popularity: {note}")
            yield check


def _least_ratio(tonight: Mapping[str, Any], bounds: GateBounds) -> float:
    """Return the configured threshold, or that of the run's preset."""
    if bounds.popularity_ratio is not None:
        return bounds.popularity_ratio
    preset = PRESETS.get(section(tonight, "parameters").get("preset", ""))
    return preset.popularity_ratio if preset else 1.0


def _chance(tonight: Mapping[str, Any], group: str, name: str, theirs: float) -> float:
    """Return how far below its true value the ratio may lie by chance, if that is known."""
    if direction(name) < 0:
        held_out = number(tonight, "data", "test")
        return _STANDARD_ERRORS / math.sqrt(2 * held_out) if held_out else 0.0
    interval = section(section(section(tonight, "metrics"), "intervals"), group).get(name)
    if not isinstance(interval, list):
        return 0.0
    low, high = interval
    return float(_STANDARD_ERRORS * (high - low) / (2 * _DEVIATIONS_OF_95) / theirs)

"""Table of a run's metrics: label, meaning, direction, number format, and where each is used.

Evaluation computes metrics under these names. The quality gate, the report, the Prometheus file,
tuning, `batch run` and `reco status` read everything else about a metric here, so a new metric is
one function that computes it and one record in this table.

A manifest stores a metric under a path such as `retrieval.ndcg@10`: a group, a name, and for
metrics of ranked lists a cutoff.
"""

from __future__ import annotations

import re
from enum import Enum, Flag, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Better(Enum):
    """Direction in which a metric improves."""

    HIGHER = 1
    LOWER = -1
    NEITHER = 0
    """Describes the lists without being good or bad."""


class Use(Flag):
    """Places that a metric is used in."""

    SUMMARY = auto()
    """Summary of `batch run` and `reco status`."""
    DETAILS = auto()
    """`reco status --all`, with its meaning."""
    REPORT = auto()
    """Table of the HTML report."""
    PROMETHEUS = auto()
    """Prometheus file, under this name for every exported group."""
    INTERVAL = auto()
    """Evaluation stores a 95 % bootstrap interval."""
    BASELINE_CHECK = auto()
    """The quality gate requires it to be better than the popularity baseline."""


class Metric(NamedTuple):
    """One metric."""

    name: str
    """Name in the manifest, without the cutoff."""
    label: str
    """Name for people, without the cutoff."""
    better: Better
    meaning: str
    """One sentence without its full stop; `{k}` is the cutoff."""
    uses: Mapping[str, Use] = MappingProxyType({})
    """Path in the manifest -> places that use it."""
    format: str = ".3f"
    """Format specification of its value."""
    is_per_user: bool = True
    """True for a mean over users, False for a mean over ratings."""
    is_gated: bool = True
    """True if the quality gate compares it with the live generation."""


class Group(NamedTuple):
    """Metrics of one model or kind of list, and the baseline that they are compared with."""

    name: str
    words: str
    """Suffix of labels, needed where two groups have the same metric."""
    baseline: str
    """Group of the baseline's metrics."""
    baseline_label: str
    baseline_column: str
    """Short label, for columns."""
    recent_baselines: Mapping[str, str] = MappingProxyType({})
    """Groups of the baseline from recent ratings -> words after its label; only with times."""
    with_rules: str = ""
    """Group of the same metrics for the lists with rules; only in runs with rules for them."""


class Figure(NamedTuple):
    """A metric of one group at one cutoff, such as `retrieval.ndcg@10`."""

    metric: Metric
    group: Group
    name: str
    """Name in the group, with the cutoff."""

    @property
    def path(self) -> str:
        """Path in the manifest's metrics."""
        return f"{self.group.name}.{self.name}"

    @property
    def label(self) -> str:
        """Name for people, such as `NDCG@10`."""
        _, at, cutoff = self.name.partition("@")
        return f"{self.metric.label}{at}{cutoff}{self.group.words}"

    @property
    def meaning(self) -> str:
        """One sentence without its full stop."""
        return self.metric.meaning.format(k=self.name.partition("@")[2])


GROUPS: Final = (
    Group(
        "retrieval",
        "",
        "popularity",
        "most popular",
        "most popular",
        {"popularity_7d": "of the last 7 days", "popularity_30d": "of the last 30 days"},
        with_rules="retrieval_with_rules",
    ),
    Group(
        "lists",
        "",
        "popular_lists",
        "most popular",
        "most popular",
        with_rules="lists_with_rules",
    ),
    Group("rating", "", "means", "user and item means", "means"),
    Group("ranked", ", ranked lists", "ranked_means", "highest mean rating", "highest mean"),
)

#: Label of the values of `Group.with_rules`.
WITH_RULES: Final = "with rules"

_EVERYWHERE: Final = Use.SUMMARY | Use.DETAILS | Use.REPORT | Use.PROMETHEUS

METRICS: Final = (
    Metric(
        "ndcg",
        "NDCG",
        Better.HIGHER,
        "Held-out movies in a user's top-{k}, earlier positions counting more; 1 is the best order",
        {
            "retrieval.ndcg@10": _EVERYWHERE | Use.INTERVAL | Use.BASELINE_CHECK,
            "ranked.ndcg@10": Use.REPORT | Use.INTERVAL,
        },
    ),
    Metric(
        "liked_ndcg",
        "Liked NDCG",
        Better.HIGHER,
        "NDCG@{k} of the held-out movies that the user rated at or above their own mean",
        {"retrieval.liked_ndcg@10": Use.DETAILS | Use.REPORT | Use.INTERVAL},
        # Measured on fewer users than the other metrics, so chance would be underestimated.
        is_gated=False,
    ),
    Metric(
        "recall",
        "Recall",
        Better.HIGHER,
        "Share of a user's held-out movies that are in the top-{k}",
        {
            "retrieval.recall@10": Use.REPORT | Use.INTERVAL,
            "retrieval.recall@100": _EVERYWHERE | Use.INTERVAL | Use.BASELINE_CHECK,
        },
    ),
    Metric(
        "hit",
        "Hit rate",
        Better.HIGHER,
        "Share of users with at least one held-out movie in their top-{k}",
        {"retrieval.hit@10": Use.DETAILS | Use.REPORT | Use.PROMETHEUS | Use.INTERVAL},
    ),
    Metric(
        "map", "MAP", Better.HIGHER, "Mean precision at the positions of held-out movies, top-{k}"
    ),
    Metric(
        "top_k_accuracy",
        "Top-k accuracy",
        Better.HIGHER,
        "Share of held-out ratings whose movie is in the top-k, with no movie excluded",
        is_per_user=False,
    ),
    Metric(
        "coverage",
        "Coverage",
        Better.HIGHER,
        "Share of the catalogue in the top-{k} of at least one user with held-out ratings",
        {"lists.coverage@10": Use.DETAILS | Use.REPORT | Use.PROMETHEUS},
        format=".1%",
    ),
    Metric(
        "gini",
        "Gini index",
        Better.LOWER,
        "How unevenly top-{k} lists use the catalogue: 0 if all movies are in equally many,"
        " 1 if one has all places",
        {"lists.gini@10": Use.DETAILS | Use.REPORT},
    ),
    Metric(
        "diversity",
        "Intra-list diversity",
        Better.NEITHER,
        "Mean of 1 - cosine between the movies of a top-{k}; 0 if all are alike",
        {"lists.diversity@10": Use.DETAILS | Use.REPORT},
    ),
    Metric(
        "miscalibration",
        "Miscalibration",
        Better.LOWER,
        "Divergence of the tags in a user's top-{k} from those in the history; 0 if shares are"
        " equal",
        {"lists.miscalibration@10": Use.DETAILS | Use.REPORT},
    ),
    Metric(
        "distinct_lists",
        "Distinct lists",
        Better.HIGHER,
        "Share of top-{k} lists that differ from all others",
        format=".1%",
    ),
    Metric("novelty", "Novelty", Better.NEITHER, "Rarity of recommended movies, in bits"),
    Metric(
        "popularity",
        "Popularity",
        Better.NEITHER,
        "Mean popularity percentile of the movies in top-{k} lists; 1 is the most rated movie",
        {"lists.popularity@10": Use.REPORT},
    ),
    Metric(
        "rmse",
        "RMSE",
        Better.LOWER,
        "Root mean square error of predicted ratings, in stars",
        {"rating.rmse": _EVERYWHERE | Use.INTERVAL | Use.BASELINE_CHECK},
        is_per_user=False,
    ),
    Metric(
        "mae",
        "MAE",
        Better.LOWER,
        "Mean absolute error of predicted ratings, in stars",
        {"rating.mae": Use.REPORT | Use.INTERVAL},
        is_per_user=False,
    ),
    Metric(
        "little_known",
        "Little-known movies",
        Better.NEITHER,
        "Share of movies in the top-{k} with at most two ratings",
        {"ranked.little_known@10": Use.REPORT},
        format=".1%",
    ),
)

_BY_NAME: Final = {metric.name: metric for metric in METRICS}


def metric_of(name: str) -> Metric:
    """Return the record of a metric; one without direction for a name that is not in the table.

    Args:
        name: as in a manifest, such as `ndcg@10`, `rmse` or `top_10_accuracy`; manifests of other
            versions may contain names that this version does not compute.
    """
    base = re.sub(r"\Atop_\d+_accuracy\Z", "top_k_accuracy", name.partition("@")[0])
    return _BY_NAME.get(base) or Metric(base, base, Better.NEITHER, "", is_per_user="@" in name)


def is_higher_better(name: str) -> bool:
    """Return whether a higher value of a metric is better.

    Args:
        name: of a metric that has a direction.

    Raises:
        ValueError: the metric is neither good nor bad.
    """
    better = metric_of(name).better
    if better is Better.NEITHER:
        raise ValueError(f"{name} has no better direction; expected a metric that has one")
    return better is Better.HIGHER


def figures(use: Use) -> Iterator[Figure]:
    """Yield the metrics that are used in a place, in the order of groups, then of the table."""
    for group in GROUPS:
        for metric in METRICS:
            for path, uses in metric.uses.items():
                name, _, figure = path.partition(".")
                if name == group.name and use in uses:
                    yield Figure(metric, group, figure)

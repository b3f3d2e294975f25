"""Checks of the lists: completeness, broken lists, and the diversity of top-10 lists.

Pure functions of manifests, list statistics and thresholds.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reco_batch.artifact.check import (
    AT_LEAST,
    NO_BASELINE,
    SKIPPED,
    Check,
    at_least,
    at_most,
    exactly,
    short,
)
from reco_batch.artifact.manifests import NO_STARS, Manifests, has_stars, number
from reco_batch.evaluation.list_statistics import (
    ENOUGH_RATINGS,
    MEASURED,
    ListFigures,
    Measured,
    seen_rule,
)
from reco_batch.evaluation.top10_diversity import FEWEST_UNSEEN, Top10Figures
from reco_batch.gate.input_checks import against_live
from reco_batch.rules.repeats import keeps_unseen_out
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store.contract.families import POPULAR, SEEN, USER, family_named
from reco_store.contract.words import words_of

#: Lists, or pairs of lists, that a measure of diversity needs.
_FEWEST_LISTS: Final = 10
#: Upper bound on the overlap of users' top-10 lists, as a share of the overlap of popularity lists.
#: The bound is relative because even good lists overlap a lot when users have short histories.
_OF_POPULAR_ALIKE: Final = 0.9
#: Why lists are not judged by the movies that they could have.
_UNSEEN_OUT: Final = "rules.seen keeps out movies after events that are not in the histories"


def check_lists(manifests: Manifests, measured: Measured, bounds: GateBounds) -> list[Check]:
    """Return the checks of the lists.

    Args:
        manifests: both manifests.
        measured: statistics of the staged lists.
        bounds: thresholds.
    """
    return [
        *_counts(manifests.staged, measured),
        *_broken(manifests.staged, measured.families, bounds),
        *_diversity(manifests, measured.top10, bounds),
    ]


def _counts(staged: Mapping[str, Any], measured: Measured) -> Iterator[Check]:
    """Yield the checks that every user and every movie has its lists."""
    families = measured.families
    users, movies, ratings = (
        number(staged, "data", name) for name in ("users", "movies", "ratings")
    )
    yield exactly("cards", measured.movies, movies)
    for family in MEASURED:
        if family.per == "genre":
            continue
        name, expected = f"{family.name}.lists", {"user": users, "movie": movies}[family.per]
        if family.name not in families:
            yield Check(name, None, "", None, SKIPPED, "the artifact is an older one")
            continue
        if family.needs_stars and not has_stars(staged):
            expected = 0
        yield exactly(name, families[family.name].lists, expected)
    unlisted = number(staged, "data", "unlisted", "ratings") or 0
    shown = None if ratings is None else ratings - unlisted
    of_events = number(staged, "data", "seen")  # not all of their kinds count
    shown = shown if of_events is None else of_events
    yield exactly("seen.ratings", families[SEEN.name].entries, shown)
    yield at_least("popular.lists", families[POPULAR.name].lists, 1)


def _broken(
    staged: Mapping[str, Any], families: Mapping[str, ListFigures], bounds: GateBounds
) -> Iterator[Check]:
    """Yield the checks that no list is broken: duplicates, seen movies, rules, and others."""
    unseen_out = keeps_unseen_out(*seen_rule(staged))
    for name, figures in families.items():
        family = family_named(name)
        if family.needs_stars and not has_stars(staged):
            yield Check(f"{name}.full", None, "", None, SKIPPED, NO_STARS)
            continue
        broken = {
            "duplicates": figures.duplicates,
            "unknown": figures.unknown,
            "not_finite": figures.not_finite,
            "unordered": figures.unordered,
        }
        if family != SEEN:
            broken["ineligible"] = figures.ineligible
        is_unsure = unseen_out and family.excludes == "seen"
        if family == USER and not is_unsure:
            broken["over_cap"] = figures.over_cap
        if family.excludes:
            broken |= {family.excludes: figures.excluded, "misplaced": figures.misplaced}
            lists = max(1, figures.lists)
            if is_unsure:
                of_left = (f"{name}.full", *([f"{name}.over_cap"] if family == USER else []))
                yield from (Check(one, None, "", None, SKIPPED, _UNSEEN_OUT) for one in of_left)
            else:
                yield at_least(f"{name}.full", figures.full / lists, bounds.full_lists)
            yield at_most(
                f"{name}.flat",
                figures.flat / figures.judged if figures.judged else None,
                bounds.flat_lists,
                lacking=words_of(staged).adapt(f"no movie has {ENOUGH_RATINGS} ratings"),
            )
        for fault, count in broken.items():
            yield at_most(f"{name}.{fault}", count, 0)


def _diversity(manifests: Manifests, top10: Top10Figures, bounds: GateBounds) -> Iterator[Check]:
    """Yield the checks that users' top-10 lists differ, and that they cover the catalogue."""
    # In a very small catalogue users see the same movies whatever is recommended.
    few = top10.lists < _FEWEST_LISTS or top10.coverable < FEWEST_UNSEEN
    lists = max(1, top10.lists)
    coverage = top10.covered / max(1, top10.coverable)
    before = number(manifests.live, "gate", "checks", "first_ten.coverage", "figure")
    least = None if before is None else before * (1 - bounds.coverage_drop)
    checks = (
        at_least("first_ten.distinct", top10.distinct / lists, bounds.distinct_lists),
        at_most("first_ten.same_first", top10.most_first / lists, bounds.same_first),
        _alike(top10, bounds),
        at_least("first_ten.coverage", coverage, bounds.coverage),
        against_live(manifests, "first_ten.coverage_drop", coverage, AT_LEAST, least, was=before),
    )
    for check in checks:
        is_pairwise = check.name == "first_ten.alike"
        too_few = few or (is_pairwise and top10.pairs < _FEWEST_LISTS)
        if too_few and check.verdict != NO_BASELINE:
            yield check._replace(verdict=SKIPPED, note="too few lists to compare")
        else:
            yield check


def _alike(top10: Top10Figures, bounds: GateBounds) -> Check:
    """Check the overlap of users' top-10 lists, relative to that of popularity lists."""
    most = bounds.alike
    if "alike" not in bounds.model_fields_set:
        most = max(most, _OF_POPULAR_ALIKE * top10.popular_alike)
    note = f"popularity lists {short(top10.popular_alike)}"
    return at_most("first_ten.alike", top10.alike, most, note=note)

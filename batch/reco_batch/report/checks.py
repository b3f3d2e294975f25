"""The verdict of the gate and its checks, in plain words. Pure functions of a manifest."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from reco_batch.checks import (
    FORCED,
    LIVE_DATA,
    NO_BASELINE,
    NOTED,
    PASSED,
    REFUSED,
    SKIPPED,
    WARNING,
    short,
)
from reco_batch.report.text import figure_of, number, part_of, safe

_FAMILIES: Final = {
    "user": "User lists",
    "because": "Reasons of the user lists",
    "ranked": "Ranked lists",
    "similar": "Similar lists",
    "next": "Lists that go on from one movie",
    "seen": "Histories",
    "popular": "Popular lists",
}
_OF_LISTS: Final = {
    "lists": "how many there are",
    "ratings": "ratings in all of them",
    "full": "share that is as long as it can be",
    "flat": "share with one and the same score throughout",
    "duplicates": "with a movie twice",
    "unknown": "with a movie that has no card",
    "not_finite": "with a score that is no number",
    "unordered": "out of order",
    "seen": "with a movie that the user has rated",
    "itself": "with the movie itself",
    "misplaced": "beside somebody else's history",
    "unpaired": "not one for each movie of the user's list",
    "unrated": "with a movie that the user did not rate",
}
_WORDS: Final = {
    "cards": "Movies with a card",
    "input.users": "Users in the input",
    "input.movies": "Movies in the input",
    "input.ratings": "Ratings in the input",
    "input.days_behind": "Days by which the newest rating is older than the live night's",
    "input.age_days": "Age of the newest rating, in days",
    "input.identical": "The same files as last night",
    "input.ids": "Type of the movie ids",
    "live.data": "Share of the live night's keys that the store lost",
    "live.manifest": "What the live night says of itself",
    "retrieval.metrics": "User lists: figures of both nights",
    "rating.metrics": "Stars: figures of both nights",
    "first_ten.distinct": "Different first tens, as a part of the users",
    "first_ten.same_first": "Share of users who see one and the same movie first",
    "first_ten.alike": "Share of a first ten that the next user has too",
    "first_ten.coverage": "Movies in somebody's first ten, as a part of all that could be",
    "first_ten.coverage_drop": "The same, beside the live night's",
    "churn.user": "Share of users' first ten that is new",
    "churn.ranked": "Share of the first ten by predicted stars that is new",
    "churn.similar": "Share of the first ten similar movies that is new",
    "known.users": "Share of users whom the live night had, too",
    "known.history": "Share of the live night's history that is still there",
    "known.titles": "Share of movies that kept their title",
}
_GROUPS: Final = (
    ("The input", ("input", "known", "live")),
    ("The models", ("retrieval", "rating", "popularity")),
    ("The lists", ("cards", *_FAMILIES)),
    ("The first ten of all users", ("first_ten",)),
    ("Change since the live night", ("churn",)),
)
_ORDER: Final = (REFUSED, WARNING, PASSED, NOTED, SKIPPED, NO_BASELINE)


class CheckRow(NamedTuple):
    """One check as the page shows it."""

    name: str
    words: str
    figure: str
    bound: str
    verdict: str
    kind: str
    """Class: good, warn, bad or none."""
    note: str


class CheckGroup(NamedTuple):
    """Checks of one subject, those that matter most first."""

    title: str
    said: str
    rows: list[CheckRow]


class Verdict(NamedTuple):
    """What the gate decided, and why."""

    kind: str
    title: str
    lead: str
    reasons: list[CheckRow]
    """Refused checks and warnings."""


def verdict_of(manifest: Mapping[str, Any]) -> Verdict:
    """Return the verdict in words."""
    gate = part_of(manifest, "gate")
    rows = list(_rows(part_of(gate, "checks")))
    reasons = sorted(
        (row for row in rows if row.verdict in (REFUSED, WARNING)),
        key=lambda row: _ORDER.index(row.verdict),
    )
    said = gate.get("verdict")
    refused = sum(row.verdict == REFUSED for row in rows)
    baseline = gate.get("baseline")
    beside = (
        _no_baseline(gate)
        if baseline in (None, NO_BASELINE)
        else f"It was compared with {safe(baseline)}, which was served then."
    )
    counted = f"{len(rows)} checks"
    if said == REFUSED:
        lead = (
            f"{refused} of {counted} failed, so this night was not served: readers go on seeing "
            f"what they saw before. {beside}"
        )
        return Verdict("bad", "Refused by the gate", lead, reasons)
    if said == FORCED:
        lead = (
            f"{refused} of {counted} failed, and the gate was overruled: "
            f"“{safe(gate.get('forced'), 300)}”. {beside}"
        )
        return Verdict("warn", "Served by force", lead, reasons)
    if said == PASSED:
        count = Counter(row.verdict for row in rows)[PASSED]
        lead = f"None of {counted} failed; {count} had a bound to keep and kept it. {beside}"
        warned = any(row.verdict == WARNING for row in rows)
        return Verdict("warn" if warned else "good", "Passed the gate", lead, reasons)
    lead = "Publishing has not come as far as the gate, so nothing here was served."
    return Verdict("none", "Not judged yet", lead, reasons)


def _no_baseline(gate: Mapping[str, Any]) -> str:
    if LIVE_DATA in part_of(gate, "checks"):
        return "There was no night to compare it with: the store had lost what was served."
    return "There was no night to compare it with."


def check_groups(manifest: Mapping[str, Any]) -> list[CheckGroup]:
    """Return all checks by subject; those of no known subject come last."""
    rows = list(_rows(part_of(manifest, "gate", "checks")))
    subject = {prefix: title for title, prefixes in _GROUPS for prefix in prefixes}
    titles = [*(title for title, _ in _GROUPS), "Other checks"]
    groups = []
    for title in titles:
        own = [row for row in rows if _subject(row.name, subject) == title]
        own.sort(key=lambda row: _ORDER.index(row.verdict) if row.verdict in _ORDER else 0)
        if own:
            groups.append(CheckGroup(title, _counted(own), own))
    return groups


def check_words(name: str) -> str:
    """Say what a check is about; one that another version made keeps its name."""
    if name in _WORDS:
        return _WORDS[name]
    subject, _, what = name.partition(".")
    if subject in _FAMILIES and what in _OF_LISTS:
        return f"{_FAMILIES[subject]}: {_OF_LISTS[what]}"
    prefix = {
        "retrieval": "User lists",
        "rating": "Stars",
        "popularity": "Models in units of popularity",
    }.get(subject)
    return f"{prefix}: {what}" if prefix and what else safe(name)


def _subject(name: str, subject: Mapping[str, str]) -> str:
    prefix, _, what = name.partition(".")
    if prefix == "popular" and what not in _OF_LISTS:
        return "Other checks"
    return subject.get(prefix, "Other checks")


def _rows(checks: Mapping[str, Any]) -> Iterator[CheckRow]:
    kinds = {PASSED: "good", WARNING: "warn", REFUSED: "bad"}
    for name, check in checks.items():
        if not isinstance(check, Mapping):
            continue
        verdict = str(check.get("verdict"))
        figure = figure_of(check, "figure")
        yield CheckRow(
            safe(name),
            check_words(str(name)),
            short(figure) if figure is not None else safe(check.get("figure", "")),
            _bound(check),
            safe(verdict, 20),
            kinds.get(verdict, "none"),
            safe(check.get("note", ""), 200),
        )


def _bound(check: Mapping[str, Any]) -> str:
    for relation in ("at_least", "at_most", "exactly"):
        if (bound := figure_of(check, relation)) is not None:
            return f"{relation.replace('_', ' ')} {short(bound)}"
    return ""


def _counted(rows: list[CheckRow]) -> str:
    counts = Counter(row.verdict for row in rows)
    return ", ".join(f"{number(counts[v])} {v}" for v in _ORDER if counts[v])

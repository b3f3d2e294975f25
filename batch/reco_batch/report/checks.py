"""The verdict of the gate and its checks, in plain words. Pure functions of a manifest."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from reco_batch.artifact.checks import (
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
from reco_batch.report.text import figure_of, moment, number, part_of, safe
from reco_store.contract.families import LISTS
from reco_store.publishing.outcome import HELD

_FAMILIES: Final = {family.name: family.heading for family in LISTS}
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
    "input.days_behind": "Days by which the newest rating is older than the live run's",
    "input.age_days": "Age of the newest rating, in days",
    "input.identical": "The same files as in the live run",
    "input.ids": "Type of the movie ids",
    "live.data": "Share of the live run's keys that the store lost",
    "live.manifest": "Manifest of the live run",
    "retrieval.metrics": "User lists: metrics of both runs",
    "rating.metrics": "Stars: metrics of both runs",
    "first_ten.distinct": "Different top-10s, as a share of the users",
    "first_ten.same_first": "Share of users who see one and the same movie first",
    "first_ten.alike": "Share of a top-10 that the next user has too",
    "first_ten.coverage": "Coverage of the published lists, of all movies that could be shown",
    "first_ten.coverage_drop": "The same, compared with the live run's",
    "churn.user": "Share of users' top-10 that is new",
    "churn.ranked": "Share of the top-10 by predicted stars that is new",
    "churn.similar": "Share of the ten most similar movies that is new",
    "known.users": "Share of users who are in the live run, too",
    "known.history": "Share of the live run's history that is still there",
    "known.titles": "Share of movies that kept their title",
}
_GROUPS: Final = (
    ("The input", ("input", "known", "live")),
    ("The models", ("retrieval", "rating", "popularity")),
    ("The lists", ("cards", *_FAMILIES)),
    ("The top-10 of all users", ("first_ten",)),
    ("Change since the live run", ("churn",)),
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


class Command(NamedTuple):
    """A command to run next, and its purpose."""

    purpose: str
    line: str


class Verdict(NamedTuple):
    """Outcome of publishing: the gate's decision and its reasons, in words."""

    kind: str
    """Class: good, warn, held, bad or none."""
    stamp: str
    """Outcome of the run, in one or two words."""
    title: str
    lead: str
    reasons: list[CheckRow]
    """Refused checks and warnings."""
    commands: list[Command]


def verdict_of(manifest: Mapping[str, Any]) -> Verdict:
    """Return the verdict in words, with the commands to run next."""
    judged = _judged(manifest)
    published = part_of(manifest, "published")
    if published.get("outcome") != HELD:
        return judged
    until, reason = (safe(published.get(f"held_{n}") or "", 200) for n in ("until", "reason"))
    lead = (
        "Complete in the store, but not served: a rollback holds new generations back"
        f"{f' until {moment(until)}' if until else ''}{f' ({reason})' if reason else ''}. "
        f"{judged.lead}"
    )
    return judged._replace(
        kind="held",
        stamp="Held",
        title="Not served: held after a rollback",
        lead=lead,
        commands=[
            Command("End the hold", _command(manifest, "release")),
            Command("Then serve this run", _command(manifest, "republish", of_this=True)),
        ],
    )


def _command(
    manifest: Mapping[str, Any], name: str, more: str = "", *, of_this: bool = False
) -> str:
    """Return a command line of `batch`, for the run's namespace."""
    words = ["batch", name]
    if of_this:
        words.append(safe(manifest.get("generation", "")))
    namespace = safe(part_of(manifest, "parameters").get("namespace", ""))
    if namespace not in ("", "reco"):
        words += ["--namespace", shlex.quote(namespace)]
    return " ".join([*words, *([more] if more else [])])


def _judged(manifest: Mapping[str, Any]) -> Verdict:
    """Return the decision of the gate."""
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
        else f"It was compared with {safe(baseline)}, which was live then."
    )
    back = [Command("Serve the previous run again", _command(manifest, "rollback"))]
    counted = f"{len(rows)} checks"
    if said == REFUSED:
        lead = (
            f"{refused} of {counted} failed, so this run is not served: readers go on seeing "
            f"what they saw before. {beside}"
        )
        force = _command(manifest, "republish", "--force REASON", of_this=True)
        commands = [
            Command("Compare it with the live run", _command(manifest, "diff", of_this=True)),
            Command("Serve it all the same", force),
        ]
        return Verdict("bad", "Refused", "Not served: refused by the gate", lead, reasons, commands)
    if said == FORCED:
        lead = (
            f"{refused} of {counted} failed, and the gate was overruled: "
            f"“{safe(gate.get('forced'), 300)}”. {beside}"
        )
        return Verdict("warn", "Live by force", "Served by force", lead, reasons, back)
    if said == PASSED:
        count = Counter(row.verdict for row in rows)[PASSED]
        lead = f"None of {counted} failed; {count} had a bound to keep and kept it. {beside}"
        warned = sum(row.verdict == WARNING for row in rows)
        title = "Passed the gate" + (f" with {_plural(warned, 'warning')}" if warned else "")
        return Verdict("warn" if warned else "good", "Live", title, lead, reasons, back)
    lead = "Publishing has not come as far as the gate, so nothing of this run was served."
    again = [Command("Publish it", _command(manifest, "republish", of_this=True))]
    return Verdict("none", "Not published", "Not judged yet", lead, reasons, again)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _no_baseline(gate: Mapping[str, Any]) -> str:
    if LIVE_DATA in part_of(gate, "checks"):
        return "There was no live run to compare it with: the store had lost its keys."
    return "There was no live run to compare it with."


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

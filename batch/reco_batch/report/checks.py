"""Gate verdict and checks as the report shows them. Pure functions of a manifest."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import (
    FORCED,
    NO_BASELINE,
    NOTED,
    PASSED,
    REFUSED,
    SKIPPED,
    WARNING,
    lost_baseline,
    short,
)
from reco_batch.report.text import figure_of, moment, number, part_of, safe
from reco_store.contract.families import LISTS
from reco_store.contract.words import DEFAULT_WORDS, Words, counted, words_of
from reco_store.publishing.outcome import HELD, STAGED

_FAMILIES: Final = {family.name: family.heading for family in LISTS}
_LIST_CHECKS: Final = {
    "lists": "number of lists",
    "ratings": "ratings in all lists",
    "full": "share of lists with full length",
    "flat": "share of lists with a single score",
    "duplicates": "lists with a duplicate movie",
    "unknown": "lists with a movie that has no metadata",
    "not_finite": "lists with a score that is not finite",
    "unordered": "lists out of order",
    "ineligible": "lists with a movie that the rules allow in none",
    "over_cap": "lists that exceed a cap without need",
    "seen": "lists with a movie that the user has rated",
    "itself": "lists with the movie itself",
    "misplaced": "lists in another order than the histories",
    "unpaired": "lists without one explanation for each movie",
    "unrated": "lists with an explanation that the user has not rated",
}
_WORDS: Final = {
    "cards": "Movies with metadata",
    "input.users": "Users in the input",
    "input.movies": "Movies in the input",
    "input.ratings": "Ratings in the input",
    "input.days_behind": "Newest rating: days older than the live run's",
    "input.age_days": "Newest rating: age in days",
    "input.identical": "Input files identical to the live run's",
    "input.ids": "Type of the movie ids",
    "live.data": "Share of the live run's keys missing in the store",
    "live.manifest": "Manifest of the live run",
    "retrieval.metrics": "Retrieval: metrics of both runs",
    "rating.metrics": "Predicted ratings: metrics of both runs",
    "hindsight.ndcg": "NDCG@10 of the served lists, relative to popular movies",
    "first_ten.distinct": "Distinct top-10 lists, as a share of users",
    "first_ten.same_first": "Share of users with the most frequent first movie",
    "first_ten.alike": "Overlap of the top-10 lists of two users",
    "first_ten.coverage": "Coverage of published top-10 lists",
    "first_ten.coverage_drop": "Coverage of published top-10 lists, relative to the live run",
    "churn.user": "Churn of users' top-10 lists",
    "churn.ranked": "Churn of ranked top-10 lists",
    "churn.similar": "Churn of similar top-10 lists",
    "known.users": "Share of users in the live run, too",
    "known.history": "Share of the live run's ratings that are kept",
    "known.titles": "Share of movies with an unchanged title",
}
_GROUPS: Final = (
    ("Input", ("input", "known", "live")),
    ("Models", ("retrieval", "rating", "popularity", "hindsight")),
    ("Lists", ("cards", *_FAMILIES)),
    ("Diversity of top-10 lists", ("first_ten",)),
    ("Churn since the live run", ("churn",)),
)
_ORDER: Final = (REFUSED, WARNING, PASSED, NOTED, SKIPPED, NO_BASELINE)


class CheckRow(NamedTuple):
    """One check: figure, bound and verdict."""

    name: str
    words: str
    figure: str
    bound: str
    verdict: str
    kind: str
    """Class: good, warn, bad or none."""
    note: str


class CheckGroup(NamedTuple):
    """Checks of one subject, refused ones and warnings first."""

    title: str
    counts: str
    """Number of checks by verdict, such as `1 refused, 5 passed`."""
    rows: list[CheckRow]


class Command(NamedTuple):
    """Command to run next, and its purpose."""

    purpose: str
    line: str


class Verdict(NamedTuple):
    """Outcome of a run: live, staged, held or refused, with the gate's reasons."""

    kind: str
    """Class: good, warn, held, bad or none."""
    outcome: str
    """Heading: Live, Staged, Held, Refused or Not published."""
    lead: str
    """Gate's verdict and number of checks."""
    reasons: list[CheckRow]
    """Refused checks and warnings."""
    commands: list[Command]


def verdict_of(manifest: Mapping[str, Any]) -> Verdict:
    """Return the outcome of a run, with the commands to run next."""
    judged = _judged(manifest)
    published = part_of(manifest, "published")
    outcome = published.get("outcome")
    if outcome is None and part_of(manifest, "gate").get("verdict") in (PASSED, FORCED):
        return _cut_short(manifest, judged)
    if outcome == STAGED:
        # A promotion needs a comparison with what is live.
        serve = "republish" if lost_baseline(part_of(manifest, "gate")) else "promote"
        return judged._replace(
            kind="held",
            outcome="Staged",
            lead=f"Complete in the store, and not served until it is promoted. {judged.lead}",
            commands=[Command("Serve this run", _command(manifest, serve, of_this=True))],
        )
    if outcome != HELD:
        return judged
    until, reason = (safe(published.get(f"held_{n}") or "", 200) for n in ("until", "reason"))
    lead = (
        "Complete in the store, but a rollback's hold keeps it from going live"
        f"{f' until {moment(until)}' if until else ''}{f' ({reason})' if reason else ''}. "
        f"{judged.lead}"
    )
    return judged._replace(
        kind="held",
        outcome="Held",
        lead=lead,
        commands=[
            Command("End the hold", _command(manifest, "release")),
            Command("Then serve this run", _command(manifest, "republish", of_this=True)),
        ],
    )


def _cut_short(manifest: Mapping[str, Any], judged: Verdict) -> Verdict:
    """Return the outcome of a run that ended between the gate's verdict and its own record."""
    is_forced = part_of(manifest, "gate").get("verdict") == FORCED
    force = "--force REASON" if is_forced else ""
    return judged._replace(
        kind="none",
        outcome="Not published",
        lead=f"The run did not finish publishing. {judged.lead}",
        commands=[
            Command("Show what is live", _command(manifest, "status", program="reco")),
            Command("Publish it", _command(manifest, "republish", force, of_this=True)),
        ],
    )


def _command(
    manifest: Mapping[str, Any],
    name: str,
    more: str = "",
    *,
    of_this: bool = False,
    program: str = "batch",
) -> str:
    """Return a command line for the run's namespace."""
    words = [program, name]
    if of_this:
        words.append(safe(manifest.get("generation", "")))
    namespace = safe(part_of(manifest, "parameters").get("namespace", ""))
    if namespace not in ("", "reco"):
        words += ["--namespace", shlex.quote(namespace)]
    return " ".join([*words, *([more] if more else [])])


def _judged(manifest: Mapping[str, Any]) -> Verdict:
    """Return the outcome by the gate's verdict alone."""
    gate = part_of(manifest, "gate")
    rows = list(_rows(part_of(gate, "checks"), words_of(manifest)))
    reasons = sorted(
        (row for row in rows if row.verdict in (REFUSED, WARNING)),
        key=lambda row: _ORDER.index(row.verdict),
    )
    verdict = gate.get("verdict")
    counts = Counter(row.verdict for row in rows)
    judged = sum(counts[one] for one in (PASSED, WARNING, REFUSED))
    baseline = gate.get("baseline")
    has_baseline = baseline not in (None, NO_BASELINE)
    compared = f"Compared with {safe(baseline)}." if has_baseline else _no_baseline(gate)
    summary = f"{counted(judged, 'check')}, {counted(counts[WARNING], 'warning')}. {compared}"
    if verdict == REFUSED:
        force = _command(manifest, "republish", "--force REASON", of_this=True)
        commands = [
            Command("Compare it with the live run", _command(manifest, "diff", of_this=True)),
            Command("Serve it anyway", force),
        ]
        lead = (
            f"The gate refused it: {counts[REFUSED]} of {summary} The live generation is unchanged."
        )
        return Verdict("bad", "Refused", lead, reasons, commands)
    if verdict in (PASSED, FORCED):
        if has_baseline:
            then = Command("Roll back", _command(manifest, "rollback"))
        else:
            then = Command("Show what is live", _command(manifest, "status", program="reco"))
        if verdict == FORCED:
            lead = (
                f"The gate refused it and was overruled: {counts[REFUSED]} of {summary} "
                f"Reason: “{safe(gate.get('forced'), 300)}”."
            )
            return Verdict("warn", "Live", lead, reasons, [then])
        kind = "warn" if counts[WARNING] else "good"
        return Verdict(kind, "Live", f"The gate passed it: {summary}", reasons, [then])
    again = [Command("Publish it", _command(manifest, "republish", of_this=True))]
    return Verdict("none", "Not published", "The gate has not judged this run.", reasons, again)


def _no_baseline(gate: Mapping[str, Any]) -> str:
    if lost_baseline(gate):
        return "No baseline: the store had lost the live run."
    return "No baseline: nothing was live before."


def check_groups(manifest: Mapping[str, Any]) -> list[CheckGroup]:
    """Return all checks by subject; unknown subjects come last."""
    rows = list(_rows(part_of(manifest, "gate", "checks"), words_of(manifest)))
    subject = {prefix: title for title, prefixes in _GROUPS for prefix in prefixes}
    titles = [*(title for title, _ in _GROUPS), "Other checks"]
    groups = []
    for title in titles:
        own = [row for row in rows if _subject(row.name, subject) == title]
        own.sort(key=lambda row: _ORDER.index(row.verdict) if row.verdict in _ORDER else 0)
        if own:
            groups.append(CheckGroup(title, _counted(own), own))
    return groups


def check_words(name: str, words: Words = DEFAULT_WORDS) -> str:
    """Return a check's label; a check of another version keeps its name."""
    if name in _WORDS:
        return words.adapt(_WORDS[name])
    subject, _, what = name.partition(".")
    if subject in _FAMILIES and what in _LIST_CHECKS:
        return words.adapt(f"{_FAMILIES[subject]}: {_LIST_CHECKS[what]}")
    prefix = {
        "retrieval": "Retrieval",
        "rating": "Predicted ratings",
        "popularity": "Ratio to the popularity baseline",
    }.get(subject)
    return f"{prefix}: {what}" if prefix and what else safe(name)


def _subject(name: str, subject: Mapping[str, str]) -> str:
    prefix, _, what = name.partition(".")
    if prefix == "popular" and what not in _LIST_CHECKS:
        return "Other checks"
    return subject.get(prefix, "Other checks")


def _rows(checks: Mapping[str, Any], words: Words) -> Iterator[CheckRow]:
    kinds = {PASSED: "good", WARNING: "warn", REFUSED: "bad"}
    for name, check in checks.items():
        if not isinstance(check, Mapping):
            continue
        verdict = str(check.get("verdict"))
        figure = figure_of(check, "figure")
        yield CheckRow(
            safe(name),
            check_words(str(name), words),
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

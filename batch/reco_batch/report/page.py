"""Content of a report, gathered from the folders of the kept runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from reco_batch.artifact.check import NO_BASELINE
from reco_batch.artifact.folder import REPORT, Artifact, artifacts_of
from reco_batch.evaluation.generation_diff import baseline_run, compare_runs, gate_of
from reco_batch.report.checks import CheckGroup, Verdict, check_groups, verdict_of
from reco_batch.report.chosen import ChosenView, chosen_view
from reco_batch.report.coverage import SpreadView, spread_of, spread_view
from reco_batch.report.hindsight import (
    ExperimentView,
    HindsightView,
    experiment_view,
    hindsight_view,
)
from reco_batch.report.movers import ChangesView, changes_view
from reco_batch.report.plots import LinePlot
from reco_batch.report.quality import (
    FigureRow,
    MetricRow,
    NightRow,
    all_figures,
    metric_rows,
    night_rows,
    quality_note,
)
from reco_batch.report.sample_users import Card, SampleUser, cards_of, sample_users
from reco_batch.report.text import day, figure_of, moment, number, part_of, safe, signed
from reco_batch.report.training_curves import Timeline, timeline, training_plots
from reco_store.contract.words import Words, words_of

_ABSENT: Final = "(none)"


class Fact(NamedTuple):
    """Name, value and note."""

    name: str
    value: str
    note: str = ""


class InputChange(NamedTuple):
    """Parameter, version or property of the data that differs from the last run."""

    name: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class Page:
    """Input of the template: texts and geometry only."""

    words: Words
    """Words for movies and ratings in the texts."""
    generation: str
    created: str
    namespace: str
    verdict: Verdict
    tiles: list[Fact]
    quality_note: str
    """Reason for missing metrics; empty if none are missing."""
    test_users: str
    """Number of users with test ratings; empty if it is not known."""
    metrics: list[MetricRow]
    figures: list[FigureRow]
    nights: list[NightRow]
    hindsight: HindsightView | None
    experiment: ExperimentView | None
    checks: list[CheckGroup]
    before: str
    """Generation of the last run; empty if there is none."""
    without: str
    """Reason why there is no last run to compare with; else empty."""
    changes: ChangesView | None
    inputs: list[InputChange]
    """Parameters, versions and data that differ from the last run."""
    titles: Mapping[str, Card]
    """Cards of the movies in `changes`, by id."""
    spread: SpreadView
    chosen: ChosenView | None
    training: list[LinePlot]
    timeline: Timeline | None
    data: list[Fact]
    findings: list[str]
    users: list[SampleUser]
    parameters: list[Fact]
    versions: list[Fact]


def gather(artifact: Artifact) -> Page:
    """Read the content of a run's report.

    Args:
        artifact: artifact of the run; other runs of its namespace are read from the same folder.

    Raises:
        NightFailed: a file of an artifact is damaged or missing.
        OSError: a folder cannot be read.

    Cost:
        Reads the user lists of both runs three times. 200,000 users with lists of 100: 9 s of
        one processor and 280 MB.
    """
    manifest = artifact.manifest
    words = words_of(manifest)
    others = artifacts_of(artifact.folder.parent, artifact.namespace)
    before = baseline_run(artifact, others)
    kept = [one for one in others if one.generation < artifact.generation] + [artifact]
    changes = None if before is None else changes_view(compare_runs(before, artifact), words.adapt)
    moved = [] if changes is None else [*changes.risen, *changes.fallen]
    titles = cards_of(artifact, [move.movie_id for move in moved])
    if before is not None:  # for movies that have left the catalogue
        titles = cards_of(before, {m.movie_id for m in moved} - titles.keys()) | titles
    then = None if before is None else before.manifest
    return Page(
        words=words,
        generation=safe(artifact.generation),
        created=moment(manifest.get("created")),
        namespace=safe(artifact.namespace or ""),
        verdict=verdict_of(manifest),
        tiles=_tiles(manifest),
        quality_note=quality_note(manifest),
        test_users=_test_users(manifest),
        metrics=metric_rows(manifest, then, [one.manifest for one in kept]),
        figures=all_figures(manifest, then),
        nights=night_rows(
            [(one.manifest, (one.folder / REPORT).exists()) for one in kept], artifact.generation
        ),
        hindsight=hindsight_view(manifest, [one.manifest for one in kept]),
        experiment=experiment_view(manifest),
        checks=check_groups(manifest),
        before="" if before is None else safe(before.generation),
        without="" if before is not None else _without(artifact),
        changes=changes,
        inputs=[] if then is None else _input_changes(manifest, then),
        titles=titles,
        spread=spread_view(
            spread_of(artifact), None if before is None else spread_of(before), words.adapt
        ),
        chosen=chosen_view(manifest, then),
        training=training_plots(manifest),
        timeline=timeline(manifest),
        data=_data(manifest, then),
        findings=[safe(text, 300) for text in _texts(part_of(manifest, "data").get("findings"))],
        users=sample_users(artifact, before, seed=_seed(manifest)),
        parameters=_facts(part_of(manifest, "parameters")),
        versions=_facts(part_of(manifest, "versions")),
    )


def _test_users(manifest: Mapping[str, Any]) -> str:
    users = figure_of(manifest, "data", "test_users")
    return "" if users is None else number(users)


def _without(artifact: Artifact) -> str:
    baseline = gate_of(artifact).get("baseline")
    if baseline in (None, NO_BASELINE, artifact.generation):
        return "There is no earlier run to compare with."
    return (
        f"The last run, {safe(baseline)}, is no longer on disk; the checks below contain the "
        "gate's comparison."
    )


def _tiles(manifest: Mapping[str, Any]) -> list[Fact]:
    counts = [
        Fact(words_of(manifest).adapt(name), number(figure_of(manifest, "data", name)))
        for name in ("users", "movies", "ratings")
    ]
    keys, size = figure_of(manifest, "entries"), figure_of(manifest, "bytes")
    course = timeline(manifest)
    return [
        *counts,
        Fact("keys", number(keys), f"{(size or 0) / 1e6:.1f} MB of values"),
        *([Fact("time", course.total)] if course is not None else []),
    ]


def _data(manifest: Mapping[str, Any], then: Mapping[str, Any] | None) -> list[Fact]:
    data, words = part_of(manifest, "data"), words_of(manifest)
    facts = [
        Fact("source", safe(" · ".join(str(data[n]) for n in ("name", "from") if n in data), 200))
    ]
    for name in ("users", "movies", "ratings"):
        value, was = figure_of(data, name), figure_of(then, "data", name)
        note = ""
        if value is not None and was is not None:
            note = "unchanged" if value == was else f"{signed(value - was)} since the last run"
        facts.append(Fact(words.adapt(name), number(value), note))
    if (newest := figure_of(data, "newest_rating")) is not None:
        facts.append(Fact(words.adapt("newest rating"), day(newest)))
    facts += [
        Fact(f"{name} part", number(figure_of(data, name)), words.interactions)
        for name in ("train", "validation", "test")
        if name in data
    ]
    if (moment_of_split := figure_of(data, "held_out_after")) is not None:
        facts.append(Fact("test part after", day(moment_of_split)))
    if cold := figure_of(data, "cold"):
        facts.append(
            Fact("cold", number(cold), words.adapt("later ratings of users without earlier ones"))
        )
    for name, digest in part_of(data, "sha256").items():
        facts.append(Fact(safe(name), safe(digest), "SHA-256"))
    return facts


def _input_changes(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[InputChange]:
    """Return the parameters, versions and properties of the data that differ, by dotted name."""
    before, after = _inputs(then), _inputs(now)
    return [
        InputChange(name, before.get(name, _ABSENT), after.get(name, _ABSENT))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]


def _inputs(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts to compare, by dotted name."""
    data = dict(part_of(manifest, "data"))
    data.pop("findings", None)  # a section of its own
    if (newest := figure_of(data, "newest_rating")) is not None:
        data["newest_rating"] = day(newest)
    facts = [
        *_facts(part_of(manifest, "parameters")),
        *_facts(part_of(manifest, "versions"), "version of "),
        *_facts(data, "data."),
    ]
    return {fact.name: fact.value for fact in facts}


def _facts(part: Mapping[str, Any], before: str = "") -> list[Fact]:
    """Return nested values under dotted names."""
    facts = []
    for name, value in part.items():
        if isinstance(value, Mapping):
            facts += _facts(value, f"{before}{name}.")
        else:
            facts.append(Fact(safe(f"{before}{name}"), safe(value)))
    return facts


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _seed(manifest: Mapping[str, Any]) -> int:
    seed = figure_of(manifest, "parameters", "seed")
    return int(abs(seed)) if seed is not None else 0

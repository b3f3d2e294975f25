"""Hindsight in the report: the lists that were served, by the interactions since, and experiments.

Pure functions of manifests.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from reco_batch.report.plots import Adapt, LinePlot, Series, Words, line_plot
from reco_batch.report.text import day, figure_of, number, part_of, safe
from reco_store.contract.metrics import metric_of
from reco_store.contract.words import words_of
from reco_terminal.wording import lift_words, verdict_words

#: Metrics in the order of the table.
_METRICS: Final = ("ndcg@10", "hit@10", "recall@100")
_PLOTTED: Final = "ndcg@10"
#: Counts of the section -> words about them.
_LEFT_OUT: Final = {
    "before_created": (
        "ratings are from before the measured generation was made; readers still saw the "
        "previous one, which did not include them either"
    ),
    "repeats": "ratings of movies that the user had seen are left out",
    "new_movies": "ratings are of movies that the catalogue lacked then, and count as missed",
}
_KINDS: Final = (("served", "served", "now"), ("popular", "most popular", "other"))


class HindsightRow(NamedTuple):
    """One metric of the lists that were served."""

    label: str
    path: str
    """Path in the manifest, such as `hindsight.served.ndcg@10`."""
    served: str
    popular: str
    gain: str
    """Mean difference with its standard error."""


class AgeRow(NamedTuple):
    """Figures of the lists at one age."""

    age: str
    users: str
    interactions: str
    served: str
    """NDCG@10."""
    popular: str


class HindsightView(NamedTuple):
    """Section of the report."""

    generation: str
    """Generation whose lists were measured."""
    sentences: list[str]
    rows: list[HindsightRow]
    ages: list[AgeRow]
    plot: LinePlot | None
    """NDCG@10 in the kept runs, if at least one of them has it."""


class ArmRow(NamedTuple):
    """One arm."""

    namespace: str
    users: str
    interactions: str
    rate: str
    """Interactions a user and day."""
    lift: str
    """Difference from the first arm, with its interval; empty for the first arm."""
    needed: str
    """Users who would make a difference certain; empty for the first arm."""
    served: str
    """NDCG@10 of the arm's lists in hindsight."""


class ExperimentView(NamedTuple):
    """Part of the report's section on hindsight."""

    name: str
    verdict: str
    rows: list[ArmRow]


def hindsight_view(
    manifest: Mapping[str, Any], nights: Sequence[Mapping[str, Any]]
) -> HindsightView | None:
    """Return the section; None if nothing was live before the run.

    Args:
        manifest: of the run.
        nights: manifests of the kept runs up to this one, oldest first.
    """
    past = part_of(manifest, "hindsight")
    if not past:
        return None
    adapt = words_of(manifest).adapt
    return HindsightView(
        safe(past.get("generation", "")),
        [adapt(text) for text in _sentences(past)],
        [_row(past, name) for name in _METRICS if figure_of(past, "served", name) is not None],
        [_age(band) for band in _objects(past.get("by_age"))],
        _plot(nights, adapt),
    )


def _sentences(past: Mapping[str, Any]) -> Iterator[str]:
    if "not_measured" in past:
        yield f"Not measured: {safe(past['not_measured'], 200)}."
        return
    since, until = figure_of(past, "since"), figure_of(past, "until")
    between = "" if since is None or until is None else f" from {day(since)} to {day(until)}"
    yield (
        f"{number(figure_of(past, 'users'))} users with a list gave "
        f"{number(figure_of(past, 'interactions'))} new ratings{between}."
    )
    if strangers := figure_of(past, "new_users", "users"):
        popular = figure_of(past, "new_users", "popular", "hit@10")
        found = "" if popular is None else f", with a hit rate@10 of {popular:.3f}"
        yield (
            f"{number(strangers)} new users had no list and were served popular movies{found}; "
            "they are not in the table."
        )
    for name, text in _LEFT_OUT.items():
        if count := figure_of(past, name):
            yield f"{number(count)} {text}."


def _row(past: Mapping[str, Any], name: str) -> HindsightRow:
    base, _, cutoff = name.partition("@")
    mean, chance = (figure_of(past, "gain", name, key) for key in ("mean", "standard_error"))
    gain = "" if mean is None or chance is None else f"{mean:+.3f} \N{PLUS-MINUS SIGN} {chance:.3f}"
    return HindsightRow(
        f"{metric_of(base).label}@{cutoff}",
        f"hindsight.served.{name}",
        number(figure_of(past, "served", name)),
        number(figure_of(past, "popular", name)),
        gain.replace("-", "\N{MINUS SIGN}"),
    )


def _age(band: Mapping[str, Any]) -> AgeRow:
    first, end = figure_of(band, "from_day"), figure_of(band, "to_day")
    until = " or more" if end is None else f" to {number(end)}"
    return AgeRow(
        f"{number(first)}{until} days",
        number(figure_of(band, "users")),
        number(figure_of(band, "interactions")),
        number(figure_of(band, "served", _PLOTTED)),
        number(figure_of(band, "popular", _PLOTTED)),
    )


def _plot(nights: Sequence[Mapping[str, Any]], adapt: Adapt) -> LinePlot | None:
    series = [
        Series(
            label,
            colour,
            [
                (float(run), value)
                for run, night in enumerate(nights, start=1)
                if (value := figure_of(night, "hindsight", kind, _PLOTTED)) is not None
            ],
        )
        for kind, label, colour in _KINDS
    ]
    if not series[0].points:
        return None
    last = ", ".join(f"{one.name} {one.points[-1][1]:.3f}" for one in series if one.points)
    words = Words(
        "Served lists and popular movies",
        f"NDCG@10 of the lists that were served before each kept run, in hindsight: last {last}.",
        "kept run, oldest first",
        "NDCG@10",
    )
    return line_plot(series, words.adapted(adapt), y_range=(0.0, None))


def experiment_view(manifest: Mapping[str, Any]) -> ExperimentView | None:
    """Return what people did in each arm; None without an experiment."""
    found = part_of(manifest, "experiment")
    if not found:
        return None
    others = {one.get("namespace"): one for one in _objects(found.get("comparisons"))}
    rows = [_arm(arm, others.get(arm.get("namespace"), {})) for arm in _objects(found.get("arms"))]
    verdict = safe(verdict_words(found, words_of(manifest)), 400)
    return ExperimentView(safe(found.get("name", "")), verdict, rows)


def _arm(arm: Mapping[str, Any], compared: Mapping[str, Any]) -> ArmRow:
    users, effect = (figure_of(compared, "needed", name) for name in ("users", "lift"))
    return ArmRow(
        safe(arm.get("namespace", "")),
        number(figure_of(arm, "users")),
        number(figure_of(arm, "interactions")),
        number(figure_of(arm, "rate")),
        lift_words(compared),
        "" if users is None or effect is None else f"{number(users)} for {effect:.0%}",
        number(figure_of(arm, "hindsight", "served", "ndcg@10")),
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []

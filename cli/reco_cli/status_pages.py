"""Builds the pages of `status`: of one namespace, or of several side by side. Pure functions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reco_cli import document, words
from reco_cli.live import Found, Live
from reco_cli.page import Page
from reco_store import NothingPublished, Status
from reco_terminal.metrics import Use, figures
from reco_terminal.wording import age_words, quality_figures, quality_words

_Facts: TypeAlias = "tuple[tuple[str, ...], ...]"

# What the job says about a night, as far as `reco status` shows it.
_NIGHT: Final = ("rating_scale", "metrics", "parameters", "data", "gate")
# The fields that only a namespace with a live generation has.
_LIVE: Final = (
    "created",
    "entries",
    "size_bytes",
    "counts",
    "held_until",
    "held_reason",
    "hidden",
    "sampled",
    "missing",
    *_NIGHT,
)


_MORE: Final = "`reco status --all` shows every count, metric and setting."


def status_page(found: Found, store: str, *, every: bool) -> Page:
    """Lay out what is live.

    Args:
        found: what the namespaces have answered.
        store: its address without a password.
        every: show a person all of one namespace, not the dozen lines that matter most.
    """
    first, *others = (_object(live, store, found) for live in found.namespaces)
    errors = [error for live in found.namespaces for error in live.errors]
    status = found.namespaces[0].status
    if others or status is None:
        heading, facts = _heading(found), _facts_beside(found)
    else:
        heading = f"Generation {status.generation} is live"
        facts = _all_facts(status, first) if every else _main_facts(status, first)
    return Page(
        heading=heading,
        facts=facts,
        notes=tuple(map(str, errors[1:])),  # the first one ends the command
        footer=_MORE if facts and len(facts[0]) == 2 and not every else "",
        listing=False,
        error=errors[0] if errors else None,
        document={**first, "beside": others},
    )


def _object(live: Live, store: str, found: Found) -> dict[str, Any]:
    """Return a namespace's JSON object; where nothing is live, its fields are null."""
    status, experiment = live.status, found.experiment_of(live)
    generation = None if status is None else status.generation
    age_seconds = None if status is None else status.age_seconds
    return {
        **document.frame("status", live.namespace, generation, age_seconds),
        "store": store,
        **dict.fromkeys(_LIVE),
        **({} if status is None else _said_of(status)),
        "experiment": None if experiment is None else experiment.name,
        "share": found.share_of(live),
        "errors": list(map(str, live.errors)),
    }


def _said_of(status: Status) -> dict[str, Any]:
    return {
        "created": status.created,
        "entries": status.entries,
        "size_bytes": status.size_bytes,
        "counts": dict(status.counts),
        "held_until": status.held_until,
        "held_reason": status.held_reason,
        "hidden": status.hidden,
        "sampled": status.sampled,
        "missing": status.missing,
        **{name: status.manifest.get(name) for name in _NIGHT},
    }


def _main_facts(status: Status, said: Mapping[str, Any]) -> _Facts:
    """Return the most important fields of one namespace, as labels and texts."""
    held, reason = said["held_until"], said["held_reason"]
    facts = {
        **_head(status, said),
        "input": _input_words(said["data"]),
        "gate": _gate_words(status),
        **quality_figures(said["metrics"]),
        "hidden movies": str(status.hidden or ""),
        "held until": f"{held}: {reason}" if held and reason else held,
        "experiment": said["experiment"],
        "share": None if said["share"] is None else _share_words(said["share"]),
    }
    return tuple((name, text) for name, text in facts.items() if text)


def _head(status: Status, said: Mapping[str, Any]) -> dict[str, str]:
    return {
        "store": said["store"],
        "namespace": status.namespace,
        "created": f"{status.created}, {age_words(status.age_seconds)} ago",
        "keys": f"{status.entries:,}, {words.size_words(status.size_bytes)} of values",
    }


def _input_words(data: object) -> str:
    """Return the sizes of the input, as far as the run, of whatever version, has them."""
    sizes = data if isinstance(data, Mapping) else {}
    counts = [(name, sizes.get(name)) for name in ("users", "movies", "ratings")]
    return ", ".join(f"{count:,} {name}" for name, count in counts if isinstance(count, int))


def _all_facts(status: Status, said: Mapping[str, Any]) -> _Facts:
    """Return every readable field of one namespace, as labels and texts."""
    quality = quality_words(said["metrics"])
    # The verdict, and what was asked for, without the dozens of checks and hyper-parameters behind
    # them; and what the metrics mean, rather than dozens of them.
    shown = {
        "held_until": said["held_until"],
        "held_reason": said["held_reason"],
        "hidden": said["hidden"],
        "keys lost": f"{said['missing']} of {said['sampled']} sampled" if said["missing"] else "",
        "rating_scale": said["rating_scale"],
        "metrics": None if quality else said["metrics"],
        "parameters": _without(said["parameters"], "models"),
        "data": said["data"],
        "gate": _without(said["gate"], "checks"),
        "experiment": said["experiment"],
        "share": None if said["share"] is None else _share_words(said["share"]),
    }
    facts = {
        **_head(status, said),
        **{f"keys {family}": f"{count:,}" for family, count in status.counts.items()},
        **quality,
        **{name: text for name, text in document.flattened(shown) if text},
    }
    return tuple(facts.items())


def _without(part: object, name: str) -> object:
    return {k: v for k, v in part.items() if k != name} if isinstance(part, dict) else part


def _share_words(share: float) -> str:
    return f"{share:.1%} of users"


def _heading(found: Found) -> str:
    """Name what is shown; several experiments have a line of their own instead."""
    beside = f"{len(found.namespaces)} namespaces side by side"
    if len(found.experiments) != 1:
        return beside
    return f"Experiment {found.experiments[0].name}: {beside}"


def _facts_beside(found: Found) -> _Facts:
    """Return the lines that one of the namespaces has a text for, with a text for each of them."""
    experiments = [found.experiment_of(live) for live in found.namespaces]
    several = len(found.experiments) > 1
    shares = [found.share_of(live) for live in found.namespaces]
    lines = [
        ("namespace", [live.namespace for live in found.namespaces]),
        # One experiment is in the heading.
        ("experiment", [each.name if each and several else "" for each in experiments]),
        ("share", ["" if share is None else _share_words(share) for share in shares]),
        ("generation", list(map(_generation_words, found.namespaces))),
        *(
            (name, ["" if live.status is None else say(live.status) for live in found.namespaces])
            for name, say in _LINES
        ),
    ]
    return tuple((name, *(text or "-" for text in texts)) for name, texts in lines if any(texts))


def _generation_words(live: Live) -> str:
    if live.status is not None:
        return live.status.generation
    nothing = isinstance(live.errors[0], NothingPublished)
    return "nothing published" if nothing else "cannot be read"


def _count(family: str) -> Callable[[Status], str]:
    """Return what says how many keys of a family there are."""

    def say(status: Status) -> str:
        return f"{status.counts[family]:,}" if family in status.counts else ""

    return say


def _metric(group: str, name: str) -> Callable[[Status], str]:
    """Return what says a metric; empty where the night, of whatever version, has none."""

    def say(status: Status) -> str:
        metrics = status.manifest.get("metrics")
        part = metrics.get(group) if isinstance(metrics, Mapping) else None
        value = part.get(name) if isinstance(part, Mapping) else None
        return f"{value:.4f}" if isinstance(value, int | float) else ""

    return say


def _quality_lines() -> Iterator[tuple[str, Callable[[Status], str]]]:
    """Yield the lines of the metrics, each followed by one of its baseline."""
    for figure in figures(Use.DETAILS):
        yield figure.label, _metric(figure.group.name, figure.name)
        yield f"  {figure.group.baseline_column}", _metric(figure.group.baseline, figure.name)


def _gate_words(status: Status) -> str:
    gate = status.manifest.get("gate")
    if not isinstance(gate, Mapping):
        return ""
    count = len(gate.get("warnings", ()))
    warnings = f", {count} warning{'s' * (count != 1)}" if count else ""
    return f"{gate.get('verdict', '')}{warnings}"


# The lines side by side.
_LINES: Final[tuple[tuple[str, Callable[[Status], str]], ...]] = (
    ("age", lambda status: age_words(status.age_seconds)),
    ("users", _count("user")),
    ("movies", _count("movie")),
    ("gate", _gate_words),
    *_quality_lines(),
    ("values", lambda status: words.size_words(status.size_bytes)),
    ("hidden movies", lambda status: str(status.hidden or "")),
    ("held until", lambda status: status.held_until or ""),
)

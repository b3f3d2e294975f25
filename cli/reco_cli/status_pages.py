"""Pages of `status`: one namespace, or several side by side. Pure functions of live states."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reco_cli import document, page_texts
from reco_cli.live_states import LiveState, LiveStates
from reco_cli.page import Page
from reco_store import NothingPublished, Status
from reco_store.contract.metrics import WITH_RULES, Use, figures
from reco_store.contract.words import Words, counted, words_of
from reco_terminal.ages import age_words
from reco_terminal.wording import (
    chosen_words,
    hindsight_words,
    lift_figures,
    quality_figures,
    quality_words,
    refresh_words,
    verdict_words,
)

_Facts: TypeAlias = "tuple[tuple[str, ...], ...]"

#: Fields of the manifest that `reco status` shows.
_MANIFEST: Final = ("rating_scale", "metrics", "parameters", "data", "gate", "refresh", "hindsight")
#: Fields that only a namespace with a live generation has.
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
    *_MANIFEST,
)
#: Values that a pipe gets without --all, in twelve lines.
_MAIN_VALUES: Final = frozenset(
    {
        "namespace",
        "generation",
        "age_seconds",
        "store",
        "entries",
        "gate.verdict",
        *(f"metrics.{figure.path}" for figure in figures(Use.SUMMARY)),
        "missing",
        "held_until",
        "staged",
        "experiment",
    }
)
_MORE: Final = "`reco status --all` shows every count, metric and setting."


def status_page(found: LiveStates, store: str, *, every: bool) -> Page:
    """Lay out what is live.

    Args:
        found: live states of the namespaces.
        store: the store's address without a password.
        every: show every value instead of the dozen most important ones.
    """
    first, *others = (_object(live, store, found) for live in found.namespaces)
    errors = [error for live in found.namespaces for error in live.errors]
    status = found.namespaces[0].status
    is_single = not others and status is not None
    if is_single and status is not None:
        heading = f"Generation {status.generation} is {'live' if status.is_live else 'not live'}"
        facts = _all_facts(status, first) if every else _main_facts(status, first)
    else:
        heading, facts = _heading(found), _facts_side_by_side(found)
    return Page(
        heading=heading,
        facts=facts,
        value_names=None if every else _MAIN_VALUES,
        notes=tuple(map(str, errors[1:])),  # the first one ends the command
        footer=_MORE if is_single and not every else "",
        listing=False,
        error=errors[0] if errors else None,
        document={**first, "beside": others},
    )


def _object(live: LiveState, store: str, found: LiveStates) -> dict[str, Any]:
    """Return a namespace's JSON object; where nothing is live, its fields are null."""
    status, experiment = live.status, found.experiment_of(live)
    generation = None if status is None else status.generation
    age_seconds = None if status is None else status.age_seconds
    return {
        **document.frame("status", live.namespace, generation, age_seconds),
        "store": store,
        **dict.fromkeys(_LIVE),
        **({} if status is None else _live_fields(status)),
        "staged": live.staged,
        "experiment": None if experiment is None else experiment.name,
        "share": found.share_of(live),
        "verdict": found.verdict_of(live),
        "errors": list(map(str, live.errors)),
    }


def _live_fields(status: Status) -> dict[str, Any]:
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
        **{name: status.manifest.get(name) for name in _MANIFEST},
    }


def _main_facts(status: Status, fields: Mapping[str, Any]) -> _Facts:
    """Return the most important values of one namespace, at most ten, as labels and texts."""
    held, reason = fields["held_until"], fields["held_reason"]
    facts = {
        **_head(status, fields),
        "refresh": _refresh_text(status),
        "input": _input_text(fields["data"], words_of(status.manifest)),
        "gate": _gate_text(status),
        **quality_figures(fields["metrics"], data=fields["data"]),
        "hindsight": hindsight_words(fields["hindsight"], words_of(status.manifest)),
        "held until": f"{held}: {reason}" if held and reason else held,
        "staged": _staged_text(fields),
        "verdict": verdict_words(fields["verdict"], words_of(status.manifest)),
    }
    if fields["share"] is not None:
        facts["namespace"] += f", {_experiment_text(fields)}"
    if status.hidden:
        words = words_of(status.manifest)
        hidden = words.item if status.hidden == 1 else words.items
        facts["keys"] += f", {status.hidden:,} hidden {hidden}"
    return tuple((name, text) for name, text in facts.items() if text)


def _head(status: Status, fields: Mapping[str, Any]) -> dict[str, str]:
    return {
        "store": fields["store"],
        "namespace": status.namespace,
        "created": f"{status.created}, {age_words(status.age_seconds)} ago",
        "keys": f"{status.entries:,}, {page_texts.size_words(status.size_bytes)} of values",
    }


def _refresh_text(status: Status) -> str:
    """Return what a refresh computed, and the run that trained its models; empty for a run."""
    return ", ".join(refresh_words(status.manifest))


def _staged_text(fields: Mapping[str, Any]) -> str:
    """Return the generation that waits to be served, with the command that serves it."""
    return f"{fields['staged']}; `batch promote` serves it" if fields["staged"] else ""


def _experiment_text(fields: Mapping[str, Any]) -> str:
    return f"{_share_text(fields['share'])} in experiment {fields['experiment']}"


def _input_text(data: object, words: Words) -> str:
    """Return the sizes of the input; a size that the manifest lacks is left out."""
    sizes = data if isinstance(data, Mapping) else {}
    counts = [(name, sizes.get(name)) for name in ("users", "movies", "ratings")]
    return ", ".join(
        f"{count:,} {words.adapt(name)}" for name, count in counts if isinstance(count, int)
    )


def _all_facts(status: Status, fields: Mapping[str, Any]) -> _Facts:
    """Return every readable value of one namespace, as labels and texts."""
    quality = quality_words(fields["metrics"], words_of(status.manifest))
    # Without the single checks and the models' hyper-parameters, which are hundreds of lines: the
    # report and the JSON object have them.
    shown = {
        "held_until": fields["held_until"],
        "held_reason": fields["held_reason"],
        "hidden": fields["hidden"],
        "staged": _staged_text(fields),
        "keys lost": f"{fields['missing']} of {fields['sampled']} sampled"
        if fields["missing"]
        else "",
        "rating_scale": fields["rating_scale"],
        "metrics": None if quality else fields["metrics"],
        "parameters": _without(fields["parameters"], "models"),
        "data": fields["data"],
        "gate": _without(fields["gate"], "checks"),
        "hindsight": _without(fields["hindsight"], "by_age"),
        "experiment": fields["experiment"],
        "share": None if fields["share"] is None else _share_text(fields["share"]),
        "verdict": _without(fields["verdict"], "unit"),
    }
    facts = {
        **_head(status, fields),
        "refresh": _refresh_text(status),
        **{f"keys {family}": f"{count:,}" for family, count in status.counts.items()},
        **quality,
        "chosen": chosen_words(fields["metrics"]),
        **{name: text for name, text in document.flattened(shown) if text},
    }
    return tuple((name, text) for name, text in facts.items() if text)


def _without(part: object, name: str) -> object:
    return {k: v for k, v in part.items() if k != name} if isinstance(part, dict) else part


def _share_text(share: float) -> str:
    return f"{share:.1%} of users"


def _heading(found: LiveStates) -> str:
    """Return the heading of several namespaces; several experiments have a row instead."""
    heading = f"{len(found.namespaces)} namespaces side by side"
    if len(found.experiments) != 1:
        return heading
    return f"Experiment {found.experiments[0].name}: {heading}"


def _facts_side_by_side(found: LiveStates) -> _Facts:
    """Return the rows for which any namespace has a text, with a text for each of them."""
    experiments = [found.experiment_of(live) for live in found.namespaces]
    several = len(found.experiments) > 1
    shares = [found.share_of(live) for live in found.namespaces]
    # The first catalogue names the rows; arms of an experiment have the same one.
    words = next(words_of(live.status.manifest) for live in found.namespaces if live.status)

    def rate(live: LiveState) -> str:
        value = _part_of(found.verdict_of(live), "arms", live).get("rate")
        return f"{value:.4f}" if isinstance(value, int | float) else ""

    def compared(live: LiveState) -> Mapping[str, Any]:
        return _part_of(found.verdict_of(live), "comparisons", live)

    def verdict(live: LiveState) -> str:
        return str(compared(live).get("verdict", ""))

    lifts, intervals = zip(
        *(lift_figures(compared(live)) for live in found.namespaces), strict=True
    )

    rows = [
        ("namespace", [live.namespace for live in found.namespaces]),
        # A single experiment is in the heading.
        ("experiment", [each.name if each and several else "" for each in experiments]),
        ("share", ["" if share is None else _share_text(share) for share in shares]),
        ("generation", list(map(_generation_text, found.namespaces))),
        ("staged", [live.staged or "" for live in found.namespaces]),
        (f"daily {words.interactions}", list(map(rate, found.namespaces))),
        ("  difference", lifts),
        ("  95 %", intervals),
        ("verdict", list(map(verdict, found.namespaces))),
        *(
            (
                words.adapt(name),
                ["" if live.status is None else text(live.status) for live in found.namespaces],
            )
            for name, text in _ROWS
        ),
    ]
    return tuple((name, *(text or "-" for text in texts)) for name, texts in rows if any(texts))


def _part_of(verdict: object, name: str, live: LiveState) -> Mapping[str, Any]:
    """Return a namespace's part of the verdict on its experiment; empty without one."""
    parts = verdict.get(name) if isinstance(verdict, Mapping) else None
    known = [one for one in parts if isinstance(one, Mapping)] if isinstance(parts, list) else []
    return next((one for one in known if one.get("namespace") == live.namespace), {})


def _generation_text(live: LiveState) -> str:
    if live.status is not None:
        return live.status.generation
    is_empty = isinstance(live.errors[0], NothingPublished)
    return "nothing published" if is_empty else "cannot be read"


def _count(family: str) -> Callable[[Status], str]:
    """Return a function that formats the number of keys in a family."""

    def text(status: Status) -> str:
        return f"{status.counts[family]:,}" if family in status.counts else ""

    return text


def _metric(group: str, name: str, spec: str) -> Callable[[Status], str]:
    """Return a function that formats a metric; empty if the manifest does not have it."""

    def text(status: Status) -> str:
        metrics = status.manifest.get("metrics")
        part = metrics.get(group) if isinstance(metrics, Mapping) else None
        value = part.get(name) if isinstance(part, Mapping) else None
        return f"{value:{spec}}" if isinstance(value, int | float) else ""

    return text


def _quality_rows() -> Iterator[tuple[str, Callable[[Status], str]]]:
    """Yield the rows of the metrics, each followed by those with rules and of its baseline."""
    for figure in figures(Use.DETAILS):
        group, spec = figure.group, figure.metric.format
        yield figure.label, _metric(group.name, figure.name, spec)
        yield f"  {WITH_RULES}", _metric(group.with_rules, figure.name, spec)
        yield f"  {group.baseline_column}", _metric(group.baseline, figure.name, spec)


def _gate_text(status: Status) -> str:
    gate = status.manifest.get("gate")
    if not isinstance(gate, Mapping):
        return ""
    count = len(gate.get("warnings", ()))
    warnings = f", {counted(count, 'warning')}" if count else ""
    return f"{gate.get('verdict', '')}{warnings}"


#: Rows of several namespaces. Below a metric is its baseline.
_ROWS: Final[tuple[tuple[str, Callable[[Status], str]], ...]] = (
    ("age", lambda status: age_words(status.age_seconds)),
    ("users", _count("user")),
    ("movies", _count("movie")),
    ("gate", _gate_text),
    *_quality_rows(),
    ("values", lambda status: page_texts.size_words(status.size_bytes)),
    ("hidden movies", lambda status: str(status.hidden or "")),
    ("held until", lambda status: status.held_until or ""),
)

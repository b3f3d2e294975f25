"""Prometheus textfile of a run, replaced as a whole after every run, successful or not.

A run that cannot reach the store keeps the values of the file before it for the last success and
the live generation.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from reco_batch.monitoring.live_state import Served
from reco_store.contract.keys import is_generation_id, parse_generation_id
from reco_store.contract.metrics import Use, figures

LAST_SUCCESS: Final = "reco_run_last_success_timestamp_seconds"
#: Name of each metric -> its labels besides `namespace`, and its help text.
METRICS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "reco_run_exit_code": ((), "Exit code of the last run; 0: published."),
    "reco_run_ended_timestamp_seconds": ((), "Time when the last run ended."),
    "reco_run_duration_seconds": ((), "Duration of the last run."),
    LAST_SUCCESS: ((), "Time when a run last ended with exit code 0."),
    "reco_run_stage_duration_seconds": (("stage",), "Duration of each finished stage."),
    "reco_run_users": ((), "Users in the input of the last run, if its artifact is complete."),
    "reco_run_movies": ((), "Movies in the input of the last run."),
    "reco_run_ratings": ((), "Ratings in the input of the last run."),
    "reco_run_quality": (("model", "metric"), "Metrics of the last run on held-out ratings."),
    "reco_run_hindsight": (
        ("list", "metric"),
        "Metrics of the lists served before the last run, and of popular movies in their place.",
    ),
    "reco_run_hindsight_users": ((), "Users with a list and new interactions before the last run."),
    "reco_run_gate_refused": ((), "1 if the quality gate refused the last run, else 0."),
    "reco_run_gate_checks": (("verdict",), "Checks of the quality gate by verdict."),
    "reco_served_created_timestamp_seconds": ((), "Time when the live generation was computed."),
    "reco_served_trained_timestamp_seconds": ((), "Time of the run that trained its models."),
    "reco_served_live_since_timestamp_seconds": ((), "Time when it went live."),
    "reco_served_bytes": ((), "Size of the live generation's values."),
    "reco_served_keys": ((), "Keys of the live generation."),
    "reco_served_users": ((), "Users of the live generation."),
    "reco_served_movies": ((), "Movies of the live generation."),
    "reco_served_quality": (("model", "metric"), "Metrics of the live generation."),
    "reco_memory_forecast_ratio": (
        (),
        "Expected memory while the next generation is staged, as a share of maxmemory.",
    ),
}
#: Prefixes of metrics that are still true after a failed run.
_KEPT: Final = ("reco_served_", "reco_memory_", LAST_SUCCESS)


@dataclass(frozen=True, slots=True)
class Figures:
    """Values of a finished run."""

    namespace: str
    exit_code: int
    ended: float
    """Seconds since 1970."""
    seconds: float
    """Duration of the run."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Stage -> seconds, of each finished stage."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Manifest of the run's generation; empty if the run made none."""
    gate: Mapping[str, Any] = field(default_factory=dict)
    """Report of the quality gate; empty if the run ended before it."""
    served: Served | None = None
    """Live generation; None without one, or if it is not known."""
    is_served_known: bool = False
    """True if the store returned the live generation, or that there is none."""


#: Values of the label `model`: groups of a manifest's metrics.
_MODELS: Final = (
    *("retrieval", "popularity", "popularity_7d", "popularity_30d"),
    *("lists", "ranked", "rating", "means"),
    *("retrieval_with_rules", "lists_with_rules"),
)

_Sample = tuple[str, tuple[str, ...], float]  # name, label values without the namespace, value


def write_metrics(file: Path, figures: Figures) -> None:
    """Replace the file atomically.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(name, words, ("namespace", *labels), registry=registry)
        for name, (labels, words) in METRICS.items()
    }
    samples = {(name, labels): value for name, labels, value in _kept(file, figures)}
    samples |= {(name, labels): value for name, labels, value in _samples(figures)}
    for (name, labels), value in samples.items():
        gauges[name].labels(figures.namespace, *labels).set(value)
    write_to_textfile(str(file), registry)


def _samples(figures: Figures) -> Iterator[_Sample]:
    yield "reco_run_exit_code", (), figures.exit_code
    yield "reco_run_ended_timestamp_seconds", (), figures.ended
    yield "reco_run_duration_seconds", (), figures.seconds
    if figures.exit_code == 0:
        yield LAST_SUCCESS, (), figures.ended
    for stage, seconds in figures.stages.items():
        yield "reco_run_stage_duration_seconds", (stage,), seconds
    data = figures.manifest.get("data", {})
    for name in ("users", "movies", "ratings"):
        if name in data:
            yield f"reco_run_{name}", (), data[name]
    yield from _quality("reco_run_quality", figures.manifest)
    yield from _hindsight(figures.manifest.get("hindsight") or {})
    checks = Counter(check["verdict"] for check in figures.gate.get("checks", {}).values())
    for verdict, count in checks.items():
        yield "reco_run_gate_checks", (verdict,), count
    yield "reco_run_gate_refused", (), float(figures.gate.get("verdict") == "refused")
    if figures.served is not None:
        yield from _served_samples(figures.served)


def _served_samples(served: Served) -> Iterator[_Sample]:
    manifest = served.manifest
    for name, time in (
        ("reco_served_created_timestamp_seconds", manifest.get("created")),
        ("reco_served_trained_timestamp_seconds", _trained(manifest)),
        ("reco_served_live_since_timestamp_seconds", served.live_since),
    ):
        if time:
            yield name, (), datetime.fromisoformat(time).timestamp()
    counts = manifest.get("counts", {})
    for name, number in (
        ("reco_served_bytes", manifest.get("bytes")),
        ("reco_served_keys", manifest.get("entries")),
        ("reco_served_users", counts.get("user")),
        ("reco_served_movies", counts.get("movie")),
        ("reco_memory_forecast_ratio", served.memory_forecast),
    ):
        if number is not None:
            yield name, (), number
    yield from _quality("reco_served_quality", manifest)


def _trained(manifest: Mapping[str, Any]) -> str | None:
    """Return the time of the run that trained the models: of a refresh, an earlier one."""
    refresh = manifest.get("refresh")
    if isinstance(refresh, Mapping) and is_generation_id(name := str(refresh.get("trained_by"))):
        return parse_generation_id(name).isoformat()
    return manifest.get("created")


def _quality(name: str, manifest: Mapping[str, Any]) -> Iterator[_Sample]:
    """Yield the exported metrics that a manifest contains."""
    metrics = manifest.get("metrics") or {}
    exported = [figure.name for figure in figures(Use.PROMETHEUS)]
    for model in _MODELS:
        for metric in exported:
            value = metrics.get(model, {}).get(metric)
            if value is not None:
                yield name, (model, metric), value


def _hindsight(past: Mapping[str, Any]) -> Iterator[_Sample]:
    """Yield the figures of the lists that were served; none where nothing was measured."""
    if "users" in past:
        yield "reco_run_hindsight_users", (), past["users"]
    for kind in ("served", "popular"):
        for metric, value in past.get(kind, {}).items():
            yield "reco_run_hindsight", (kind, metric), value


def _kept(file: Path, figures: Figures) -> Iterator[_Sample]:
    """Yield the values of the previous file that this run cannot replace."""
    try:
        families = list(text_string_to_metric_families(file.read_text("utf-8")))
    except (OSError, ValueError):  # no such file, or not a metrics file
        return
    for family in families:
        kept = LAST_SUCCESS if figures.is_served_known else _KEPT
        if not family.name.startswith(kept) or family.name not in METRICS:
            continue
        for sample in family.samples:
            if sample.labels.get("namespace") == figures.namespace:
                labels = tuple(sample.labels.get(name, "") for name in METRICS[family.name][0])
                yield family.name, labels, sample.value

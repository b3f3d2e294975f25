"""A run's figures as a Prometheus textfile, written whole after every run, good or bad.

What a failed run cannot know, because the store does not answer, is kept from the file before it:
when a run last succeeded, and what is served.
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

LAST_SUCCESS: Final = "reco_run_last_success_timestamp_seconds"
#: Every metric: its labels beside `namespace`, and what it says.
METRICS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "reco_run_exit_code": ((), "Exit code of the last run; 0: published."),
    "reco_run_ended_timestamp_seconds": ((), "When the last run ended."),
    "reco_run_duration_seconds": ((), "How long the last run took."),
    LAST_SUCCESS: ((), "When a run last ended with 0."),
    "reco_run_stage_duration_seconds": (("stage",), "How long each finished stage took."),
    "reco_run_users": ((), "Users in the data of the last run, if its artifact is complete."),
    "reco_run_movies": ((), "Movies in that data."),
    "reco_run_ratings": ((), "Ratings in that data."),
    "reco_run_quality": (("model", "metric"), "Metrics of that artifact on held-out ratings."),
    "reco_run_gate_refused": ((), "1 if the gate refused what the last run staged, else 0."),
    "reco_run_gate_checks": (("verdict",), "Checks of the gate in the last run by verdict."),
    "reco_served_created_timestamp_seconds": ((), "When the live generation was computed."),
    "reco_served_live_since_timestamp_seconds": ((), "When readers were switched to it."),
    "reco_served_bytes": ((), "Sum of the live generation's values."),
    "reco_served_keys": ((), "Keys of the live generation."),
    "reco_served_users": ((), "Users who have a list of their own in it."),
    "reco_served_movies": ((), "Movies in it."),
    "reco_served_quality": (("model", "metric"), "Metrics of the live generation."),
    "reco_memory_forecast_ratio": (
        (),
        "What a server will hold when the next generation is staged, as a share of maxmemory.",
    ),
}
#: What stays true however a run ends.
_KEPT: Final = ("reco_served_", "reco_memory_", LAST_SUCCESS)


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is known of a run when it has ended."""

    namespace: str
    exit_code: int
    ended: float
    """Seconds since 1970."""
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each finished stage."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Of the generation that the run made; empty if it made none."""
    gate: Mapping[str, Any] = field(default_factory=dict)
    """What the gate reports; empty if it never judged."""
    served: Served | None = None
    is_served_known: bool = False
    """Whether the store told what is served, be it nothing."""


#: Of the many metrics of a manifest those that a dashboard shows; each is a series for good.
_MODELS: Final = ("retrieval", "popularity", "lists", "ranked", "rating", "means")
_QUALITY: Final = ("hit@10", "ndcg@10", "recall@100", "coverage@10", "rmse")

_Sample = tuple[str, tuple[str, ...], float]  # name, values of the labels but the namespace, value


def write_metrics(file: Path, figures: Figures) -> None:
    """Write the file, atomically.

    Raises:
        OSError: the folder is not there or cannot be written.
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
    checks = Counter(check["verdict"] for check in figures.gate.get("checks", {}).values())
    for verdict, count in checks.items():
        yield "reco_run_gate_checks", (verdict,), count
    yield "reco_run_gate_refused", (), float(figures.gate.get("verdict") == "refused")
    if figures.served is not None:
        yield from _of_served(figures.served)


def _of_served(served: Served) -> Iterator[_Sample]:
    manifest = served.manifest
    for name, said in (
        ("reco_served_created_timestamp_seconds", manifest.get("created")),
        ("reco_served_live_since_timestamp_seconds", served.live_since),
    ):
        if said:
            yield name, (), datetime.fromisoformat(said).timestamp()
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


def _quality(name: str, manifest: Mapping[str, Any]) -> Iterator[_Sample]:
    """Yield the chosen metrics of a manifest, as far as it has them."""
    metrics = manifest.get("metrics") or {}
    for model in _MODELS:
        for metric in _QUALITY:
            value = metrics.get(model, {}).get(metric)
            if value is not None:
                yield name, (model, metric), value


def _kept(file: Path, figures: Figures) -> Iterator[_Sample]:
    """Yield what the file before says of what this run does not know."""
    try:
        families = list(text_string_to_metric_families(file.read_text("utf-8")))
    except (OSError, ValueError):  # there is none, or it is not ours
        return
    for family in families:
        kept = LAST_SUCCESS if figures.is_served_known else _KEPT
        if not family.name.startswith(kept) or family.name not in METRICS:
            continue
        for sample in family.samples:
            if sample.labels.get("namespace") == figures.namespace:
                labels = tuple(sample.labels.get(name, "") for name in METRICS[family.name][0])
                yield family.name, labels, sample.value

"""Dashboard and alert rules of docs/grafana use only metrics that runs write."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from reco_batch.monitoring.prometheus import METRICS

FOLDER = Path(__file__).parents[2] / "docs" / "grafana"
ALERTS = FOLDER / "alerts.yml"
NAME = re.compile(r"\breco_\w+")
USUAL_LABELS = {"namespace"}


@pytest.fixture(scope="module")
def dashboard():
    """Return the dashboard as Grafana reads it."""
    return json.loads(FOLDER.joinpath("dashboard.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def rules():
    """Return every alert rule by name."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def queries(dashboard):
    """Return every query of the dashboard."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_every_metric_and_no_other(dashboard):
    """The dashboard shows every metric that is written, and no other."""
    assert {name for query in queries(dashboard) for name in NAME.findall(query)} == METRICS.keys()


def test_queries_use_only_labels_that_are_there(dashboard, rules):
    """Selectors and legends use existing labels."""
    for query in [*queries(dashboard), *(rule["expr"] for rule in rules.values())]:
        for name, selector in re.findall(r"(reco_\w+)\{([^}]*)\}", query):
            labels = set(re.findall(r"(\w+)\s*[=!]", selector))
            assert labels <= USUAL_LABELS | set(METRICS[name][0])
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            (name,) = NAME.findall(target["expr"])
            labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert labels <= USUAL_LABELS | set(METRICS[name][0])


def test_panels_do_not_overlap_and_have_what_grafana_needs(dashboard):
    """Panels have an id, a title and a place of their own on a page of 24 columns."""
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {"datasource", "namespace"} == {v["name"] for v in dashboard["templating"]["list"]}


def test_there_are_four_alerts(rules):
    """Alerts: no switch for 26 hours, an exit code, a refusal, memory above 80 %."""
    assert {name: rule["expr"] for name, rule in rules.items()} == {
        "RecoNoFlip": "time() - reco_served_live_since_timestamp_seconds > 26 * 3600",
        "RecoRunFailed": (
            "reco_run_exit_code != 0 unless on (namespace) reco_run_gate_refused == 1"
        ),
        "RecoGateRefused": "reco_run_gate_refused == 1",
        "RecoMemoryForecast": "reco_memory_forecast_ratio > 0.8",
    }
    for rule in rules.values():
        assert set(NAME.findall(rule["expr"])) <= METRICS.keys()
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_prometheus_takes_the_rules():
    """Prometheus's own checker accepts the rules, where Debian's `prometheus` is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; the rules were read as YAML")
    subprocess.run([promtool, "check", "rules", ALERTS], check=True, capture_output=True)


def test_every_metric_is_documented():
    """The operator's table names every metric."""
    page = FOLDER.with_name("operations.md").read_text("utf-8")
    assert {name for name in METRICS if f"`{name}`" not in page} == set()

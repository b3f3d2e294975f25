"""docs/grafana: a dashboard and alert rules that name only metrics that are written."""

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
    """The dashboard as Grafana reads it."""
    return json.loads(FOLDER.joinpath("dashboard.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def rules():
    """Every alert rule by name."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def queries(dashboard):
    """Return every query of the dashboard."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_every_metric_and_no_other(dashboard):
    """What is written is seen; what is asked for exists."""
    assert {name for query in queries(dashboard) for name in NAME.findall(query)} == METRICS.keys()


def test_queries_use_only_labels_that_are_there(dashboard, rules):
    """In selectors and in legends."""
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
    """A different id each, a title, a place of its own on a page of 24 columns."""
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
    """On no flip for 26 hours, on an exit code, on a refusal, on memory above 80 %."""
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
    """By its own checker, where Debian's `prometheus` is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; the rules were read as YAML")
    subprocess.run([promtool, "check", "rules", ALERTS], check=True, capture_output=True)


def test_every_metric_is_documented():
    """By its name, in the operator's table."""
    page = FOLDER.with_name("operations.md").read_text("utf-8")
    assert {name for name in METRICS if f"`{name}`" not in page} == set()

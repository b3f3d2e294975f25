"""The Prometheus textfile: values of a run, and values kept from the file before."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reco_batch.monitoring.live_state import Served
from reco_batch.monitoring.prometheus import METRICS, Figures, write_metrics

NIGHT = {
    "created": "2026-11-24T03:15:02+00:00",
    "bytes": 1_000,
    "entries": 20,
    "counts": {"user": 7, "movie": 5},
    "data": {"users": 8, "movies": 9, "ratings": 99},
    "hindsight": {"users": 5, "served": {"ndcg@10": 0.5}, "popular": {"ndcg@10": 0.125}},
    "metrics": {"retrieval": {"ndcg@10": 0.25, "map@10": 0.1}, "rating": {"rmse": 0.875}},
}
SERVED = Served("20261124T031502Z-7f3a", "2026-11-24T03:20:00+00:00", NIGHT, 0.4)
REFUSED = {
    "verdict": "refused",
    "checks": {"a": {"verdict": "passed"}, "b": {"verdict": "refused"}},
}


@pytest.fixture
def written(tmp_path):
    """Return a function that writes the metrics of runs to one file, and returns its samples."""

    def write(namespace="reco", **figures):
        path = tmp_path / "reco.prom"
        known = {"exit_code": 0, "ended": 1000.0, "seconds": 9.5, **figures}
        write_metrics(path, Figures(namespace, **known))
        return samples(path.read_text("utf-8"), namespace)

    return write


def samples(text, namespace):
    """Return every sample by name and labels; all must be of one namespace."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation == METRICS[family.name][1]
        for sample in family.samples:
            assert sample.labels.pop("namespace") == namespace
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_a_successful_run_writes_every_metric(written):
    """And no other metric."""
    found = written(
        stages={"read": 1.5, 'odd "stage"\\\n': 2.0},
        manifest=NIGHT,
        gate={"verdict": "passed", "checks": {"a": {"verdict": "passed"}}},
        served=SERVED,
        is_served_known=True,
    )

    assert {name for name, *_ in found} == METRICS.keys()
    assert found["reco_run_exit_code",] == 0
    assert found["reco_run_last_success_timestamp_seconds",] == 1000
    assert found["reco_run_stage_duration_seconds", 'odd "stage"\\\n'] == 2
    assert (found["reco_run_users",], found["reco_served_users",]) == (8, 7)
    assert found["reco_run_gate_refused",] == 0
    assert found["reco_served_created_timestamp_seconds",] == 1795490102
    assert found["reco_served_live_since_timestamp_seconds",] == 1795490400
    assert found["reco_memory_forecast_ratio",] == 0.4
    assert found["reco_run_hindsight_users",] == 5
    assert found["reco_run_hindsight", "served", "ndcg@10"] == 0.5
    assert found["reco_run_hindsight", "popular", "ndcg@10"] == 0.125
    quality = {key[1:]: value for key, value in found.items() if key[0] == "reco_served_quality"}
    assert sorted(quality.values()) == [0.25, 0.875]  # map@10 would be one series too many


def test_a_refused_run_keeps_the_live_generation_and_the_last_success(written):
    """The live generation's values come from the store, not from the run."""
    written(served=SERVED, is_served_known=True, manifest=NIGHT)

    found = written(
        exit_code=6, ended=2000.0, gate=REFUSED, manifest=NIGHT, served=SERVED, is_served_known=True
    )

    assert found["reco_run_exit_code",] == 6
    assert found["reco_run_gate_refused",] == 1
    assert found["reco_run_gate_checks", "refused"] == 1
    assert found["reco_run_ended_timestamp_seconds",] == 2000
    assert found["reco_run_last_success_timestamp_seconds",] == 1000
    assert found["reco_served_bytes",] == 1000


def test_a_run_without_a_store_keeps_values_of_the_file_before(written):
    """Except the stages and the verdict of the run before."""
    before = written(
        served=SERVED, is_served_known=True, manifest=NIGHT, stages={"read": 1.0}, gate=REFUSED
    )

    found = written(exit_code=3, ended=2000.0)

    kept = {key: value for key, value in before.items() if key[0].startswith(("reco_served_",))}
    assert kept.items() <= found.items()
    assert found["reco_memory_forecast_ratio",] == 0.4
    assert found["reco_run_last_success_timestamp_seconds",] == 1000
    assert {key[0] for key in found if key[0].startswith("reco_run_")} == {
        "reco_run_exit_code",
        "reco_run_ended_timestamp_seconds",
        "reco_run_duration_seconds",
        "reco_run_last_success_timestamp_seconds",
        "reco_run_gate_refused",
    }


def test_an_empty_store_has_no_live_generation(written):
    """The store answered, so no value of the file before is kept."""
    written(served=SERVED, is_served_known=True)

    found = written(exit_code=4, served=None, is_served_known=True)

    assert not [key for key in found if key[0].startswith(("reco_served_", "reco_memory_"))]


def test_values_of_another_namespace_are_not_kept(written, tmp_path):
    """One file has the values of one namespace."""
    written(namespace="other", served=SERVED, is_served_known=True)

    found = written(namespace="reco", exit_code=3)

    assert ("reco_served_bytes",) not in found
    assert ("reco_run_last_success_timestamp_seconds",) not in found


@pytest.mark.parametrize("left", [b"", b"\xff\xfe", b"reco_served_bytes{", b"<html>"])
def test_a_damaged_file_is_replaced(written, tmp_path, left):
    """So is a file of another program."""
    (tmp_path / "reco.prom").write_bytes(left)

    assert written(exit_code=3)["reco_run_exit_code",] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["reco.prom"]


def test_a_missing_folder_is_an_error(tmp_path):
    """The run reports it, and continues."""
    with pytest.raises(OSError, match=re.escape("No such file")):
        write_metrics(tmp_path / "no" / "reco.prom", Figures("reco", 0, 1.0, 1.0))

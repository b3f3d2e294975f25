"""Generations are ordered as runs are, whatever their clocks showed."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from reco_batch.night.run import name_generation
from reco_batch.progress.reporter import QuietReporter
from reco_store import RunLock
from reco_store.contract.keys import new_generation_id
from reco_store.publishing.publisher import publish

NOW = datetime(2026, 11, 29, 3, 0, 5, 123_456, tzinfo=UTC)


@pytest.fixture
def named(client, keys, tmp_path, capsys):
    """Name a generation; return the name and the warnings."""

    def name(now=NOW):
        config = SimpleNamespace(artifacts=tmp_path, namespace=keys.namespace)
        found = name_generation(config, client, keys, started=now, reporter=QuietReporter())
        return found, capsys.readouterr().err

    return name


def on_disk(folder, generation, namespace):
    """Write an artifact with a name and a namespace only."""
    (folder / generation).mkdir()
    manifest = dict.fromkeys(("created", "ids", "digest"), "x") | {
        "schema": 1,
        "generation": generation,
        "entries": 1,
        "bytes": 1,
        "parameters": {"namespace": namespace},
    }
    (folder / generation / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_the_first_run_is_named_by_its_clock(named):
    """The name is the clock's time, for every later run as well."""
    name, err = named()
    assert name.startswith("20261129T030005Z-")
    assert err == ""


@pytest.mark.parametrize("where", ["store", "disk"])
def test_a_clock_that_was_ahead_does_not_stop_later_runs(
    named, client, keys, make_source, tmp_path, where
):
    """A run after one with a fast clock follows it, with a warning."""
    ahead = new_generation_id(NOW + timedelta(days=900), "7f3a")
    if where == "disk":
        on_disk(tmp_path, ahead, keys.namespace)
    else:
        with RunLock(client, keys, heartbeat=False) as lock:
            publish(client, keys, make_source(generation=ahead), lock=lock)

    name, err = named()

    assert name.startswith("20290517T030006Z-")
    assert name > ahead
    assert err.startswith(f"warning: the clock is behind the previous run ({ahead}), so ")


def test_two_runs_of_one_second_are_in_order(named, keys, tmp_path):
    """Two runs in one second need no warning; names of other namespaces do not matter."""
    on_disk(tmp_path, "20261129T030005Z-ffff", keys.namespace)
    on_disk(tmp_path, "20991129T030005Z-ffff", f"{keys.namespace}-other")

    name, err = named()

    assert name.startswith("20261129T030006Z-")
    assert err == ""

"""Pruning: artifacts that are deleted, and the remains if the run is killed meanwhile."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reco_batch.artifact.folder import complete_generations
from reco_batch.artifact.pruning import prune_artifacts
from reco_batch.artifact.quarantine import quarantine
from reco_store.contract.keys import new_generation_id

NOW = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)


def name(days):
    """Return the name of a generation of so many days ago."""
    return new_generation_id(NOW - timedelta(days=days), "7f3a")


@pytest.fixture
def make(tmp_path):
    """Write a complete artifact, as far as pruning reads it."""

    def write(days, *, verdict="passed", note=None, published=True):
        folder = tmp_path / name(days)
        (folder / "lists").mkdir(parents=True)
        (folder / "lists" / "user.parquet").write_bytes(b"lists")
        manifest = {
            "schema": 1,
            "generation": folder.name,
            "created": NOW.isoformat(),
            "ids": "integer",
            "entries": 1,
            "bytes": 1,
            "digest": "x",
            "parameters": {"namespace": "reco"},
            "gate": {"verdict": verdict},
            **({"published": {"outcome": "live"}} if published else {}),
        }
        (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        if note is not None:
            quarantine(folder, note, namespace="reco")
        return folder.name

    return write


def prune(folder, **more):
    """Prune with two artifacts to keep."""
    options = {"namespace": "reco", "keep": 2, "live": set(), "unfinished": set(), "now": NOW}
    prune_artifacts(folder, **{**options, **more})


def test_quarantined_artifacts_do_not_displace_good_ones(make, tmp_path):
    """The newest good and the newest refused artifacts stay, counted separately."""
    good = [make(9), make(8), make(7)]
    bad = [make(6, note="odd"), make(5, verdict="refused"), make(4, note="odd")]

    prune(tmp_path)

    assert complete_generations(tmp_path) == [*good[1:], *bad[1:]]


def test_artifacts_that_were_never_published_do_not_displace_good_ones(make, tmp_path):
    """Refreshes that fail every hour leave those to which a rollback may return."""
    good = [make(9), make(8)]
    failed = [make(7, published=False), make(6, published=False), make(5, published=False)]

    prune(tmp_path)

    assert complete_generations(tmp_path) == [*good, *failed[1:]]


def test_what_another_namespace_serves_stays(make, tmp_path):
    """After a promotion, it is an artifact of this one; and what trained its models stays."""
    trained, promoted, _, *kept = make(9), make(8), make(7), make(6), make(5)
    manifest = json.loads((tmp_path / promoted / "manifest.json").read_text("utf-8"))
    manifest["refresh"] = {"of": trained, "trained_by": trained}
    (tmp_path / promoted / "manifest.json").write_text(json.dumps(manifest), "utf-8")

    prune(tmp_path, live={promoted, kept[-1]})

    assert complete_generations(tmp_path) == [trained, promoted, *kept]


def test_what_trained_the_models_of_a_kept_refresh_stays(make, tmp_path):
    """A rollback to the last refresh before a run still has its models and metrics on disk."""
    older, trained, refresh, run = make(9), make(8), make(7), make(6)
    manifest = json.loads((tmp_path / refresh / "manifest.json").read_text("utf-8"))
    manifest["refresh"] = {"of": trained, "trained_by": trained}
    (tmp_path / refresh / "manifest.json").write_text(json.dumps(manifest), "utf-8")

    prune(tmp_path, live={run})

    assert complete_generations(tmp_path) == [trained, refresh, run]
    assert older not in complete_generations(tmp_path)


def test_the_complete_artifact_of_an_unfinished_run_stays(make, tmp_path):
    """Its publishing failed; refreshes since then do not end the chance to resume it."""
    unpublished, refreshes = make(9), [make(8), make(7), make(6)]

    prune(tmp_path, unfinished={unpublished})

    assert complete_generations(tmp_path) == [unpublished, *refreshes[1:]]


def test_a_killed_deletion_leaves_no_artifact(make, tmp_path, monkeypatch):
    """The remains do not count as complete, and the next run deletes them."""
    old, *kept = make(9), make(8), make(7)

    def kill(folder):
        (folder / "lists" / "user.parquet").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", kill)
    with pytest.raises(KeyboardInterrupt):
        prune(tmp_path)
    monkeypatch.undo()

    assert complete_generations(tmp_path) == kept
    assert len(list(tmp_path.iterdir())) == 3
    prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert old not in kept


def test_unfinished_artifact_with_a_future_name_is_deleted(tmp_path):
    """An unfinished artifact whose last change is long ago is deleted."""
    left = tmp_path / name(-900)
    left.mkdir()
    prune(tmp_path)
    assert left.exists()

    prune(tmp_path, now=datetime.now(UTC) + timedelta(days=3))

    assert not left.exists()


def test_an_old_artifact_that_is_being_copied_back_stays(tmp_path):
    """An unfinished artifact with an old name that has just changed stays."""
    copied = tmp_path / name(900)
    copied.mkdir()

    prune(tmp_path, now=datetime.now(UTC))
    assert copied.exists()

    os.utime(copied, (0, 0))
    prune(tmp_path, now=datetime.now(UTC))
    assert not copied.exists()


def test_two_namespaces_prune_one_folder(make, tmp_path, monkeypatch):
    """Both runs finish, whatever the other one renames or deletes first."""
    kept = [make(9), make(8), make(7)][1:]
    left = tmp_path / name(900)
    left.mkdir()
    os.utime(left, (0, 0))
    rename, rmtree = Path.rename, shutil.rmtree

    def renamed_by_the_other(folder, target):
        monkeypatch.setattr(Path, "rename", rename)
        prune(tmp_path)
        rename(folder, target)

    def deleted_by_the_other(folder):
        monkeypatch.setattr(shutil, "rmtree", rmtree)
        prune(tmp_path)
        rmtree(folder)

    monkeypatch.setattr(Path, "rename", renamed_by_the_other)
    prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept

    make(9)
    monkeypatch.setattr(shutil, "rmtree", deleted_by_the_other)
    prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept

"""The artifact that `batch republish latest` chooses."""

import json

import pytest

from reco_batch.artifact.quarantine import latest_servable, list_artifacts
from reco_store import UsageError
from reco_store.publishing.generations import GenerationRecord

OLD, NEW = "20261124T030000Z-0001", "20261125T030000Z-0001"


@pytest.fixture
def folder(tmp_path):
    """Write an artifact's manifest; return what is on disk, newest first."""

    def write(generation, **fields):
        manifest = {
            "schema": 1,
            "generation": generation,
            "parameters": {"namespace": "reco"},
            "gate": {"verdict": "passed"},
            "created": "2026-11-24T03:00:00+00:00",
            **dict.fromkeys(("ids", "entries", "bytes", "digest")),
            **fields,
        }
        (tmp_path / generation).mkdir()
        (tmp_path / generation / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        return list_artifacts(tmp_path, "reco")

    return write


def test_latest_is_the_newest(folder):
    """Whatever its outcome was: live, held, or none that is known."""
    folder(OLD, published={"outcome": "live"})
    assert latest_servable(folder(NEW, published={"outcome": "held"}), []) == NEW


def test_latest_is_not_one_that_was_only_staged(folder):
    """An artifact that was served is preferred; without one, the staged artifact is restored."""
    assert latest_servable(folder(NEW, published={"outcome": "staged"}), []) == NEW
    assert latest_servable(folder(OLD, published={"outcome": "live"}), []) == OLD


def test_latest_is_one_that_another_machine_promoted(folder):
    """The folder still says staged, but the store knows that readers saw the generation."""
    folder(OLD, published={"outcome": "live"})
    found = folder(NEW, published={"outcome": "staged"})
    assert latest_servable(found, [record(NEW, live_since="")]) == OLD
    assert latest_servable(found, [record(NEW, live_since="2026-11-25T09:00:00+00:00")]) == NEW


def record(generation, *, live_since):
    """Return a generation of the store, which is not live."""
    return GenerationRecord(
        generation, "ready", "", 1, 1, live=False, stored=True, live_since=live_since, note=""
    )


def test_latest_is_never_a_refused_one(folder):
    """The error counts the artifacts."""
    found = folder(NEW, gate={"verdict": "refused", "refused": ["weak"]})
    with pytest.raises(UsageError, match="none of the 1 complete artifacts"):
        latest_servable(found, [])

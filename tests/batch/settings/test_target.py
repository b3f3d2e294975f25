"""Target of a command, and options with which `reco` reads the same store."""

from pathlib import Path

import pytest

from reco_batch.settings.target import Target
from reco_store import NothingPublished, StoreUnfit
from reco_store.connection.embedded.server import stop_server


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Remove our variables from the environment."""
    for name in ("REDIS_URL", "RECO_NAMESPACE", "RECO_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_need_no_options():
    """`reco` reads the default store, namespace and home without options."""
    assert Target.of(None, "reco", None).reading_options == ""


def test_other_values_need_options():
    """Values other than the defaults become options, quoted for a shell."""
    target = Target.of(None, "mine", Path("/srv/a b"))
    assert target.reading_options == " --namespace mine --home '/srv/a b'"
    assert target.label == "embedded in /srv/a b/store"


def test_variables_need_no_options(monkeypatch):
    """A command in the same shell has the same environment."""
    monkeypatch.setenv("REDIS_URL", "redis://h:1")
    assert Target.of("redis://h:1", "reco", None).reading_options == ""


def test_no_password_is_shown():
    """A suggested command may be logged."""
    target = Target.of("redis://writer:secret@h:1", "reco", None)
    assert "secret" not in target.reading_options + target.label
    assert target.reading_options.startswith(" --redis-url ")


def test_an_empty_address_means_the_embedded_store():
    """A cron line may pass an unset variable."""
    assert Target.of("", "reco", Path("/srv")).label == "embedded in /srv/store"


def test_an_unsaved_change_is_in_effect(short_folder):
    """The error after a rollback or a release does not mention publishing."""
    target = Target.of(None, "reco", short_folder / "unsaved")
    snapshot = target.home / "store" / "store.rdb"
    try:
        with target.connect(start=True) as client:
            client.set("a", 1)
            snapshot.mkdir()
            with pytest.raises(StoreUnfit, match=r"^the change is in effect, but in memory only: "):
                target.make_durable(client)
    finally:
        snapshot.rmdir()
        stop_server(target.home)


def test_only_publishing_starts_an_empty_store(tmp_path):
    """Other commands would find nothing in it, and hide that the address is missing."""
    target = Target.of(None, "reco", tmp_path / "home")
    with pytest.raises(NothingPublished, match=f"{tmp_path}/home/store, .* no server is named"):
        target.connect()
    assert not target.home.exists()
    try:
        with target.connect(start=True) as client:
            client.set("a", 1)
            target.make_durable(client)
        with target.connect() as client:
            assert client.get("a") == b"1"
    finally:
        stop_server(target.home)

"""Where a command publishes to, and how `reco` is told to read there."""

from pathlib import Path

import pytest

from reco_batch.settings.target import Target
from reco_store import NothingPublished, StoreUnfit
from reco_store.connection.embedded.server import stop_server


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Nothing is said by the environment."""
    for name in ("REDIS_URL", "RECO_NAMESPACE", "RECO_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_usual_place_needs_no_options():
    """The default store, namespace and home are what `reco` reads by itself."""
    assert Target.of(None, "reco", None).reading_options == ""


def test_options_that_were_given_are_repeated():
    """What `reco` would not find by itself is said, quoted for a shell."""
    target = Target.of(None, "mine", Path("/srv/a b"))
    assert target.reading_options == " --namespace mine --home '/srv/a b'"
    assert target.label == "embedded in /srv/a b/store"


def test_what_the_environment_says_is_not_repeated(monkeypatch):
    """A command typed in the same shell has the same environment."""
    monkeypatch.setenv("REDIS_URL", "redis://h:1")
    assert Target.of("redis://h:1", "reco", None).reading_options == ""


def test_no_password_is_shown():
    """A suggestion may end in a log."""
    target = Target.of("redis://writer:secret@h:1", "reco", None)
    assert "secret" not in target.reading_options + target.label
    assert target.reading_options.startswith(" --redis-url ")


def test_empty_address_is_no_address():
    """An unset variable in a cron line means the embedded store."""
    assert Target.of("", "reco", Path("/srv")).label == "embedded in /srv/store"


def test_a_change_that_is_not_on_disk_is_in_effect(short_folder):
    """The error of a rollback, a release or a hidden movie does not speak of publishing."""
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


def test_only_what_publishes_starts_an_empty_store(tmp_path):
    """Every other command would find nothing in it, and hide that the address is missing."""
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

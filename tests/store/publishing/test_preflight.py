"""Rights that publishing needs: checked before a run begins, for accounts of any kind."""

from __future__ import annotations

import pytest

from compose_file import ComposeFile
from reco_store.connection.connect import connect
from reco_store.contract.keys import Keys
from reco_store.control.rights import require_rights
from reco_store.errors import StoreUnfit

KEYS = Keys("reco")
NEEDED = ["eval", "get", "mget", "set", "del", "unlink", "pttl", "info"]
PATTERNS = ["~{reco}:*", "~reco:*"]


@pytest.fixture
def look(server, client):
    """Check the rights of an account with the given ACL; it may not run ACL itself."""

    def with_words(*words: str) -> None:
        client.execute_command("ACL", "SETUSER", "looked-at", "reset", "on", ">pw", *words)
        with connect(f"{server.url}?username=looked-at&password=pw") as account:
            require_rights(account, KEYS)

    yield with_words
    client.execute_command("ACL", "DELUSER", "looked-at")


def test_shipped_writer_has_all(look):
    """The account of docker-compose.yml has enough rights."""
    look(*ComposeFile().granted("writer"))


def test_managed_account_has_all(look):
    """All rights except @admin and @dangerous, plus INFO, suffice, as on managed servers."""
    look("+@all", "-@admin", "-@dangerous", "+info", "~*")


@pytest.mark.parametrize("command", NEEDED)
def test_each_missing_command_is_named(look, command):
    """The error names the account, and gives no wrong advice."""
    granted = [f"+{name}" for name in NEEDED if name != command]
    with pytest.raises(StoreUnfit, match=rf"account looked-at .* needs: \+{command}\. Grant"):
        look(*granted, *PATTERNS)


def test_all_missing_commands_are_named_at_once(look):
    """One error names all missing rights."""
    with pytest.raises(StoreUnfit, match=r"\+info \+eval .*\+unlink"):
        look("+get", "+mget", *PATTERNS)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_missing_keys_are_named(look, pattern):
    """A missing key pattern is named."""
    granted = [f"+{name}" for name in NEEDED]
    rest = [other for other in PATTERNS if other != pattern]
    with pytest.raises(StoreUnfit) as refused:
        look(*granted, *rest)
    assert f"needs: {pattern}. " in str(refused.value)


def test_nothing_is_written(client, stored):
    """The check changes no key, with and without a live generation."""
    keys = Keys("preflight")
    require_rights(client, keys)
    assert stored(client, keys) == {}
    client.set(keys.current, "x")
    client.hset(keys.generations, "a", "b")
    require_rights(client, keys)
    client.delete(keys.generations)
    assert stored(client, keys) == {keys.current: b"x"}
    client.delete(keys.current)


def test_cluster(cluster):
    """Keys of every node of a cluster are tried."""
    with connect(cluster.url) as client:
        require_rights(client, KEYS)


def test_full_or_read_only_server_is_left_to_the_run(make_server, binary):
    """A refusal for another reason is not reported as a missing right."""
    server = make_server(binary=binary)
    with connect(server.url) as client:
        client.config_set("maxmemory", 1)
        require_rights(client, KEYS)
        client.config_set("maxmemory", 0)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        require_rights(client, KEYS)

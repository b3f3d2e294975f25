"""A run that fails, at whatever stage, prints one line: what, where, what to do, what is served."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from csv_folders import planted, write_folder
from gated_nights import MOVIES, Nights, good_night
from planted import planted_ratings
from promised_store import KEYS, publish_on
from real_servers import running_server
from reco_batch.commands.run_commands import republish_command
from reco_batch.settings.fields import Settings
from reco_batch.settings.target import Target
from reco_store.connection.connect import connect
from reco_store.control.lock import RunLock
from reco_store.publishing.generations import rollback
from reco_terminal.console import guard
from resumed_nights import KEYS as RESUMED_KEYS
from resumed_nights import ResumedNights
from small_nights import small_night
from wires import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 80  # of a night with small models; it has some more


def the_line(text: str) -> str:
    """Return the only line, which must be an error's, and no traceback."""
    (line,) = text.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def good():
    """A night of two hundred users."""
    return good_night(planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25))


@pytest.fixture
def tonight(make_store, good, tmp_path, capsys):
    """A store that serves a night, the artifact of the next one, and `batch republish` of it."""
    store = make_store()
    nights = Nights(store.server.url, KEYS.namespace, tmp_path / "artifacts", good)
    assert nights.published(nights.night(nights.old)).outcome == "live"
    served, night = nights.served(), nights.night()
    night.write(nights.folder)

    def republish(url: str = "", generation: str = "") -> tuple[int, str]:
        target = Target(url or store.writer_url, KEYS.namespace, tmp_path)
        settings = Settings(quiet=True)
        try:
            with guard():
                republish_command(settings, target, generation or night.generation, force=None)
        except SystemExit as end:
            return int(end.code or 0), the_line(capsys.readouterr().err)
        return 0, ""

    return SimpleNamespace(
        store=store, nights=nights, served=served, night=night, republish=republish
    )


def test_the_store_goes_away_at_any_request(tonight, many, draw):
    """Cut for good at request k: the line names what was served, as far as can be told."""
    path = tonight.store.server.folder / "w"
    known, unknown = (
        f"can be told without the store: {tonight.served}.",
        "the store did not answer.",
    )
    codes, ends = set(), set()
    for moment in [1, *draw().sample(range(2, 16), many(6, 14))]:

        def gone(request: int, data: bytes, moment=moment) -> bytes | None:
            return None if request >= moment else data

        with Wire(tonight.store.server.socket, path, on_request=gone) as wire:
            code, line = tonight.republish(wire.url(tonight.store.writer_url))
        if code == 0:
            assert tonight.nights.served() == tonight.night.generation
            break
        codes.add(code)
        assert line.startswith("error: cannot use the store at unix://")
        assert "Check that the server runs and that the address is right." in line
        ends.add(line.endswith(known))
        assert line.endswith((known, unknown))
        tonight.store.end_lease()
    assert codes == {3}
    assert ends == {True, False}


def evicts(tonight) -> None:
    """Another policy."""
    tonight.store.admin.config_set("maxmemory-policy", "allkeys-lru")


def is_full(tonight) -> None:
    """No room for another generation."""
    used = tonight.store.admin.info("memory")["used_memory"]
    tonight.store.admin.config_set("maxmemory", used + 1000)


def follows(tonight) -> None:
    """The address is that of a replica."""
    tonight.store.admin.replicaof("127.0.0.1", 1)


def is_foreign(tonight) -> None:
    """Something else writes in the namespace."""
    tonight.store.admin.delete(KEYS.generations)
    tonight.store.admin.rpush(KEYS.generations, "x")


def is_locked(tonight) -> None:
    """Another run is at work."""
    client = connect(tonight.store.writer_url)
    RunLock(client, KEYS, heartbeat=False).__enter__()


def was_rolled_back(tonight) -> None:
    """A hold is on."""
    with connect(tonight.store.writer_url) as client:
        publish_on(client, small_night(3000), keep=3)
        rollback(client, KEYS)


def is_worse(tonight) -> None:
    """The gate refuses it."""
    tonight.night.lists["user"].items[9, 1] = tonight.night.lists["user"].items[9, 0]
    write_again(tonight)


def is_damaged(tonight) -> None:
    """A file of the artifact is cut."""
    file = next((tonight.nights.folder / tonight.night.generation).glob("lists/user*"))
    file.write_bytes(file.read_bytes()[:100])


def is_gone(tonight) -> None:
    """There is no such artifact."""
    (tonight.nights.folder / tonight.night.generation / "manifest.json").unlink()


def write_again(tonight) -> None:
    """Write the changed artifact under a later name."""
    tonight.night = tonight.night.again(tonight.night.generation[:-4] + "beef")
    tonight.night.write(tonight.nights.folder)


#: what is wrong -> (exit code, what the line says of it, and of what to do)
FAULTS: dict[Callable, tuple[int, str, str]] = {
    evicts: (3, "evicts keys when it is full", "Set maxmemory-policy noeviction"),
    is_full: (3, "does not fit into the store", "Raise maxmemory by"),
    follows: (3, "is a replica", "Publish to the primary"),
    is_foreign: (5, "a key of another type", "choose another with --namespace"),
    is_locked: (75, "another run holds the lock", "Try again later"),
    was_rolled_back: (6, "was rolled back from", "End the hold with `batch release`"),
    is_worse: (6, "user.duplicates 1 (at most 0)", "--force"),
    is_damaged: (5, "lists/user", "batch run"),
    is_gone: (5, "is not a complete artifact (no manifest.json)", "or run `batch run`"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_has_its_line(tonight, fault):
    """What was found, what to do, and what is served, whatever is at fault."""
    fault(tonight)
    code, found, remedy = FAULTS[fault]

    ended, line = tonight.republish(generation=tonight.night.generation)

    assert (ended, found in line, remedy in line) == (code, True, True), line
    assert line.endswith(f" Still served: {tonight.nights.served()}.")
    assert tonight.nights.served() == tonight.served


def test_a_night_ends_at_any_step(draw, many, tmp_path):
    """Interrupted, or on a full disk: while it reads, trains, scores, writes, publishes, tidies."""
    data = write_folder(tmp_path / "data", *planted())
    ends = []
    with running_server() as url:
        nights = ResumedNights(data, url)
        assert nights.run(tmp_path / "good")[0] == 0
        for of, code in (("SIGINT", 130), ("ENOSPC", 5)):
            for at in draw(of).sample(range(1, STEPS), many(2, STEPS - 1)):
                with connect(url) as client:
                    served = client.get(RESUMED_KEYS.current).decode()
                ended, lines = nights.run(tmp_path / f"{of}{at}", at=at, of=of)
                ends.append(ended)
                if ended == 0:
                    continue  # all that was left was to tidy up
                errors = [line for line in lines if line.startswith("error: ")]
                assert (ended, errors) == (code, lines[-1:]), (at, lines)
                assert errors[0].endswith(f" Still served: {served}."), at
    assert {130, 5} <= set(ends)

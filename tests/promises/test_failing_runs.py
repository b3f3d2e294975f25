"""A run that fails at any stage prints one line: cause, place, next step and live generation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from csv_folders import planted, write_folder
from gated_nights import MOVIES, Nights, good_night
from network_proxy import Wire
from planted_ratings import planted_ratings
from real_servers import running_server
from reco_batch.commands.run_commands import republish_command
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.target import Target
from reco_store.connection.connect import connect
from reco_store.control.lock import RunLock
from reco_store.publishing.generations import rollback
from reco_terminal.console import guard
from resumed_nights import KEYS as RESUMED_KEYS
from resumed_nights import ResumedNights
from small_generations import small_night
from store_under_fault import KEYS, publish_on

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 80  # of a run with small models; it has some more


def the_line(text: str) -> str:
    """Return the only line, which must be an error without a traceback."""
    (line,) = text.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def good():
    """Return a run of two hundred users."""
    return good_night(planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25))


@pytest.fixture
def observed_run(make_store, good, tmp_path, capsys):
    """Yield a store with a live generation, and `batch republish` of the next artifact."""
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


def test_the_store_goes_away_at_any_request(observed_run, many, draw):
    """A connection cut for good at request k gives one line, with the live generation if known."""
    path = observed_run.store.server.folder / "w"
    known, unknown = (
        f"The store did not answer; probably still served: {observed_run.served}.",
        "the store did not answer.",
    )
    codes, ends = set(), set()
    for moment in [1, *draw().sample(range(2, 16), many(6, 14))]:

        def gone(request: int, data: bytes, moment=moment) -> bytes | None:
            return None if request >= moment else data

        with Wire(observed_run.store.server.socket, path, on_request=gone) as wire:
            code, line = observed_run.republish(wire.url(observed_run.store.writer_url))
        if code == 0:
            assert observed_run.nights.served() == observed_run.night.generation
            break
        codes.add(code)
        assert line.startswith("error: cannot use the store at unix://")
        assert "Check that the server runs and that the address is right." in line
        ends.add(line.endswith(known))
        assert line.endswith((known, unknown))
        observed_run.store.end_lease()
    assert codes == {3}
    assert ends == {True, False}


def evicts(observed_run) -> None:
    """Set an evicting policy."""
    observed_run.store.admin.config_set("maxmemory-policy", "allkeys-lru")


def is_full(observed_run) -> None:
    """Leave no memory for another generation."""
    used = observed_run.store.admin.info("memory")["used_memory"]
    observed_run.store.admin.config_set("maxmemory", used + 1000)


def follows(observed_run) -> None:
    """Use the address of a replica."""
    observed_run.store.admin.replicaof("127.0.0.1", 1)


def is_foreign(observed_run) -> None:
    """Let another program write into the namespace."""
    observed_run.store.admin.delete(KEYS.generations)
    observed_run.store.admin.rpush(KEYS.generations, "x")


def is_locked(observed_run) -> None:
    """Let another run hold the lock."""
    client = connect(observed_run.store.writer_url)
    RunLock(client, KEYS, heartbeat=False).__enter__()


def was_rolled_back(observed_run) -> None:
    """Start a hold."""
    with connect(observed_run.store.writer_url) as client:
        publish_on(client, small_night(3000), keep=3)
        rollback(client, KEYS)


def is_worse(observed_run) -> None:
    """Make the gate refuse the generation."""
    observed_run.night.lists["user"].items[9, 1] = observed_run.night.lists["user"].items[9, 0]
    write_again(observed_run)


def is_damaged(observed_run) -> None:
    """Truncate a file of the artifact."""
    file = next((observed_run.nights.folder / observed_run.night.generation).glob("lists/user*"))
    file.write_bytes(file.read_bytes()[:100])


def is_gone(observed_run) -> None:
    """Remove the artifact."""
    (observed_run.nights.folder / observed_run.night.generation / "manifest.json").unlink()


def write_again(observed_run) -> None:
    """Write the changed artifact under a later id."""
    observed_run.night = observed_run.night.again(observed_run.night.generation[:-4] + "beef")
    observed_run.night.write(observed_run.nights.folder)


#: fault -> (exit code, expected cause, expected next step)
FAULTS: dict[Callable, tuple[int, str, str]] = {
    evicts: (3, "evicts keys when it is full", "Set maxmemory-policy noeviction"),
    is_full: (3, "does not fit into the store", "Raise maxmemory by"),
    follows: (3, "is a replica", "Publish to the primary"),
    is_foreign: (5, "a key of another type", "choose another with --namespace"),
    is_locked: (75, "another run holds the lock", "Try again later"),
    was_rolled_back: (6, "was withdrawn by a rollback", "End the hold with `batch release`"),
    is_worse: (6, "user.duplicates 1 (at most 0)", "--force"),
    is_damaged: (5, "lists/user", "batch run"),
    is_gone: (5, "is not a complete artifact (no manifest.json)", "or run `batch run`"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_has_its_line(observed_run, fault):
    """Each fault is reported with its cause, the next step and the live generation."""
    fault(observed_run)
    code, found, remedy = FAULTS[fault]

    ended, line = observed_run.republish(generation=observed_run.night.generation)

    assert (ended, found in line, remedy in line) == (code, True, True), line
    assert line.endswith(f" Still served: {observed_run.nights.served()}.")
    assert observed_run.nights.served() == observed_run.served


def test_a_night_ends_at_any_step(draw, many, tmp_path):
    """Interrupts and full disks at any step end a run with one line."""
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
                    continue  # the run had only to tidy up
                errors = [line for line in lines if line.startswith("error: ")]
                assert (ended, errors) == (code, lines[-1:]), (at, lines)
                assert errors[0].endswith(f" Still served: {served}."), at
    assert {130, 5} <= set(ends)

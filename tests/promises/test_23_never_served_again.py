"""Promise 23: a refused or rolled-back generation is not served again, even on an emptied store.

Only an operator can overrule this, by name and with a reason.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gated_nights import MOVIES, Nights, good_night
from planted_ratings import planted_ratings
from reco_batch.commands.app import app
from reco_batch.commands.messages import STATES
from reco_store.connection.connect import connect
from reco_store.control.generation_registry import MAX_GONE
from reco_store.errors import UnknownGeneration, UsageError
from reco_store.publishing.generations import list_generations, rollback
from store_under_fault import KEYS

NAMESPACE = KEYS.namespace


@pytest.fixture(scope="module")
def good():
    """Return a run of two hundred users."""
    return good_night(planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25))


def worse_stars(night):
    """Increase the rating errors over those of the live generation."""
    night.manifest["metrics"]["rating"]["rmse"] = 1.0


def flat_similar(night):
    """Give all similar lists equal scores."""
    night.lists["similar"].scores[:] = 0.5


def flat_next(night):
    """Give all next lists equal scores."""
    night.lists["next"].scores[:] = 0.5


def below_popularity(night):
    """Set retrieval metrics below popularity, in this generation and in the live one."""
    popularity = night.manifest["metrics"]["popularity"]
    for name in popularity:
        popularity[name] *= 100


@pytest.fixture
def home(make_store, good, tmp_path, monkeypatch):
    """Yield a store and a home with artifacts, and `batch` with both."""
    store = make_store()
    nights = Nights(store.server.url, NAMESPACE, tmp_path / "artifacts", good)
    monkeypatch.setenv("REDIS_URL", store.writer_url)
    monkeypatch.setenv("RECO_HOME", str(tmp_path))

    def batch(*words: object):
        return CliRunner().invoke(app, [str(word) for word in words])

    def published(**changes):
        """Publish a generation of this namespace; return its id."""
        night = nights.night(**changes)
        night.manifest["parameters"]["namespace"] = NAMESPACE
        night.write(nights.folder)
        ended = batch("republish", night.generation, "-q")
        return night.generation, ended

    def spoilt(spoil=worse_stars):
        """Publish a generation that the gate refuses after the live one but would pass alone."""
        night = nights.night()
        night.manifest["parameters"]["namespace"] = NAMESPACE
        spoil(night)
        night.write(nights.folder)
        return night.generation, batch("republish", night.generation, "-q")

    def states():
        lines = batch("generations").stdout.splitlines()
        return {line.split("\t")[0]: line.split("\t")[1] for line in lines}

    return SimpleNamespace(
        store=store,
        nights=nights,
        batch=batch,
        published=published,
        spoilt=spoilt,
        states=states,
        empty=store.admin.flushall,
        served=nights.served,
    )


def test_23_refused_stays_refused_on_an_emptied_store(home):
    """Without a live generation to compare with, an earlier refusal still counts."""
    first, ended = home.published()
    assert ended.exit_code == 0, ended.stderr
    bad, ended = home.spoilt()
    assert ended.exit_code == 6
    assert home.states() == {first: "live", bad: "refused"}
    home.empty()
    assert home.states() == {first: "stored", bad: "refused"}

    ended = home.batch("republish", bad, "-q")

    assert ended.exit_code == 6, ended.stderr
    assert (
        f"rating.rmse (refused in comparison with {first}, 1, and cannot be judged now)"
        in ended.stderr
    )
    assert home.served() == "nothing"
    home.empty()
    assert home.batch("republish", "latest", "-q").exit_code == 0
    assert home.served() == first
    home.empty()
    assert home.batch("republish", bad, "-q", "--force", "it is meant").exit_code == 0
    assert home.served() == bad


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (flat_similar, "similar.flat"),
        (flat_next, "next.flat"),
        (below_popularity, "popularity."),
        (worse_stars, "rating.rmse (refused in comparison with "),
    ],
)
def test_23_refused_stays_refused_however_often_it_is_tried(home, spoil, check):
    """Weak lists pass on a new store, but not after the gate has refused them."""
    first, _ = home.published()
    bad, ended = home.spoilt(spoil)
    assert ended.exit_code == 6
    for _ in range(2):
        home.empty()

        ended = home.batch("republish", bad, "-q")

        assert ended.exit_code == 6, ended.stderr
        assert check in ended.stderr
        assert "refused in comparison with no baseline" not in ended.stderr
        assert home.served() == "nothing"
    assert home.batch("republish", "latest", "-q").exit_code == 0
    assert home.served() == first


def test_23_refused_is_judged_again_where_it_can_be(home):
    """A new threshold leads to a new verdict."""
    home.published()
    bad, ended = home.spoilt()
    assert ended.exit_code == 6

    ended = home.batch("republish", bad, "-q", "--gate-bound", "error_rise=9")

    assert ended.exit_code == 0, ended.stderr
    assert home.served() == bad


def test_23_rolled_back_stays_so_on_an_emptied_store(home):
    """The mark is in the artifact's folder and is copied with it."""
    (first, _), (second, ended) = home.published(), home.published()
    assert ended.exit_code == 0, ended.stderr
    assert home.batch("rollback", "--reason", "odd").exit_code == 0
    home.empty()
    assert home.states() == {second: "quarantined", first: "stored"}

    ended = home.batch("republish", second, "-q")

    assert ended.exit_code == 2, ended.stderr
    assert f"generation {second} was withdrawn by a rollback" in str(ended.exception.__cause__)
    assert home.served() == "nothing"
    assert home.batch("republish", "latest", "-q").exit_code == 0
    assert home.served() == first
    assert home.batch("republish", second, "-q", "--force", "a mistake").exit_code == 0
    assert home.served() == second
    home.empty()
    assert home.batch("republish", "latest", "-q").exit_code == 0
    assert home.served() == second


def test_23_a_rollback_made_elsewhere_is_marked_by_the_next_run(home):
    """The next run marks a rollback made on another machine or by another account."""
    (first, _), (second, _) = home.published(), home.published()
    with connect(home.store.writer_url) as client:
        assert rollback(client, KEYS) == first
    mark = home.nights.folder / second / "quarantine.json"
    assert not mark.exists()

    assert home.batch("republish", first, "-q").exit_code == 0

    assert "rolled back to" in json.loads(mark.read_text("utf-8"))["note"]
    home.empty()
    assert home.batch("republish", second, "-q").exit_code == 2


def test_23_a_store_restored_from_an_older_backup_does_not_forget_a_rollback(home):
    """A mark on disk counts, even if an older backup of the store is restored."""
    (first, _), (bad, _) = home.published(), home.published()
    names = (KEYS.generations, KEYS.current)
    backup = dict(zip(names, home.store.admin.mget(names), strict=True))
    assert home.batch("rollback", "--reason", "odd").exit_code == 0
    mark = home.nights.folder / bad / "quarantine.json"
    home.store.admin.mset(backup)
    home.store.admin.delete(KEYS.hold)
    assert home.states() == {first: "ready", bad: "live"}
    third, ended = home.published()
    assert ended.exit_code == 0, ended.stderr
    assert home.states() == {first: "ready", bad: "quarantined", third: "live"}

    ended = home.batch("rollback", bad)

    assert ended.exit_code == 2
    assert f"`batch rollback {bad} --force REASON`" in str(ended.exception.__cause__)
    assert (home.served(), mark.exists()) == (third, True)
    assert home.batch("rollback").exit_code == 0
    assert (home.served(), mark.exists()) == (first, True)
    assert home.states() == {first: "live", bad: "quarantined", third: "quarantined"}
    assert home.batch("rollback", bad, "--force", "a mistake").exit_code == 0
    assert (home.served(), mark.exists()) == (bad, False)


def test_23_a_rollback_is_overruled_only_by_what_goes_live(home):
    """A generation leaves quarantine only when it goes live, not when held or out of memory."""
    (first, _), (bad, _) = home.published(), home.published()
    assert home.batch("rollback", "--reason", "odd").exit_code == 0
    mark = home.nights.folder / bad / "quarantine.json"

    def forced():
        return home.batch("republish", bad, "-q", "--force", "a mistake")

    ended = forced()
    assert ended.exit_code == 6, ended.stderr
    assert (home.states(), mark.exists()) == ({first: "live", bad: "quarantined"}, True)
    assert home.batch("release").exit_code == 0
    home.store.admin.config_set("maxmemory", 1)
    ended = forced()
    assert ended.exit_code != 0
    assert (home.states(), mark.exists()) == ({first: "live", bad: "quarantined"}, True)
    home.store.admin.config_set("maxmemory", 0)
    assert home.batch("republish", "latest", "-q").exit_code == 0
    assert home.served() == first

    ended = forced()
    assert ended.exit_code == 0, ended.stderr
    assert (home.served(), mark.exists()) == (bad, False)
    assert home.states() == {first: "ready", bad: "live"}


def test_23_a_damaged_mark_is_a_mark(home):
    """A mark counts even if its content is damaged."""
    first, _ = home.published()
    (home.nights.folder / first / "quarantine.json").write_bytes(b"{")
    home.empty()

    assert home.batch("republish", first, "-q").exit_code == 2
    ended = home.batch("republish", "latest", "-q")
    assert ended.exit_code == 2
    assert "none of the 1 complete artifacts may be served" in str(ended.exception.__cause__)


def test_23_the_store_never_forgets_a_rollback(make_store):
    """Any number of later generations leaves the rollback on record."""
    store = make_store()
    for number in range(2):
        store.publish(number, keep=2)
    with connect(store.writer_url) as client:
        rollback(client, KEYS)
        store.admin.delete(KEYS.hold)
        for number in range(2, MAX_GONE + 5):
            store.publish(number)
        with pytest.raises(UsageError, match="rolled back"):
            store.publish(1)
        records = list_generations(client, KEYS)
    assert len(records) <= MAX_GONE + 2
    assert store.live() == MAX_GONE + 4


def test_23_a_mistaken_rollback_is_undone_by_name(make_store):
    """A mistaken rollback is undone by name at once; the other generation stays ready."""
    store = make_store()
    for number in range(2):
        store.publish(number, keep=3)
    good = store.night(1).generation
    with connect(store.writer_url) as client:
        rollback(client, KEYS)
        with pytest.raises(UnknownGeneration, match="quarantined"):
            rollback(client, KEYS, to=good)
        with pytest.raises(UsageError, match="needs the name of the generation"):
            rollback(client, KEYS, force="it was good")
        for other in (store.night(0).generation, store.night(7).generation):
            with pytest.raises(UnknownGeneration, match="no rollback to undo"):
                rollback(client, KEYS, to=other, force="it was good")

        assert rollback(client, KEYS, to=good, force="it was good") == good

        records = {record.id: record for record in list_generations(client, KEYS)}
    assert store.live() == 1
    assert records[good].note.endswith("it was good")
    assert records[store.night(0).generation].state == "ready"
    assert store.publish(2, keep=3).outcome == "live"


def test_23_a_generation_whose_keys_go_is_not_switched_to(make_store, monkeypatch):
    """Switching to a generation while a run collects it gives all of it or an error."""
    store = make_store()
    for number in range(2):
        store.publish(number, keep=3)
    good = store.night(1).generation
    with connect(store.writer_url) as client:
        rollback(client, KEYS)
        store.admin.delete(KEYS.hold)

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("reco_store.control.collector.unlink_paced", stop)
        with pytest.raises(KeyboardInterrupt):
            store.publish(2, keep=3)
        monkeypatch.undo()

        with pytest.raises(UnknownGeneration, match=f"republish {good} --force"):
            rollback(client, KEYS, to=good, force="it was good")
    assert store.live() == 0
    store.end_lease()
    assert store.publish(2, keep=3).outcome == "live"


def test_23_states_are_explained_and_kept_apart(home, monkeypatch):
    """A terminal shows a legend of the occurring states, and ages of the generations."""
    first, _ = home.published()
    bad, _ = home.spoilt()
    second, _ = home.published()
    third, ended = home.published()
    assert ended.exit_code == 0, ended.stderr

    lines = [line.split("\t") for line in home.batch("generations").stdout.splitlines()]

    assert [line[:2] for line in lines] == [
        [third, "live"],
        [second, "ready"],
        [bad, "refused"],  # although the store has deleted it
        [first, "ready"],
    ]
    assert {len(line) for line in lines} == {7}
    assert lines[2][2:4] == ["0", "0.0"]
    assert "rating.rmse 1" in lines[2][6]
    assert all(re.fullmatch(r"\d+ days|in the future", line[4]) for line in lines)
    assert {line[5] for line in lines} == {"yes"}

    from reco_batch.commands import messages  # noqa: PLC0415

    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    with connect(home.store.writer_url) as client:
        page = messages.generation_table(list_generations(client, KEYS), [], now=datetime.now(UTC))
    monkeypatch.undo()
    for state in ("live", "ready", "refused"):
        assert f"{state} {STATES[state]}" in " ".join(page.split())
    assert STATES["quarantined"] not in page


def test_23_the_note_of_a_hold_that_ended_is_gone(home):
    """The note about a hold disappears after its release."""
    home.published()
    home.published()
    assert home.batch("rollback").exit_code == 0
    held, ended = home.published()
    assert ended.exit_code == 6

    def note():
        lines = home.batch("generations").stdout.splitlines()
        return next(line.split("\t")[6] for line in lines if line.startswith(held))

    assert note().startswith("held until ")
    assert home.batch("release").exit_code == 0
    assert note() == ""

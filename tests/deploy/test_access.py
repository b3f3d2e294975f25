"""Options and users of docker-compose.yml on real servers: sufficient rights, and no more.

These tests use no Docker engine. So they do not test that images exist, that containers start, and
who owns their volumes.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from reco_store import (
    AsyncReader,
    Keys,
    LockHeld,
    Reader,
    RunLock,
    StoreUnfit,
    Verdict,
    collect,
    flip,
    hidden,
    hide,
    list_generations,
    publish,
    release,
    rollback,
    unhide,
)
from reco_store.control.rights import require_rights

KEYS = Keys("reco")
#: Other namespaces, and similar names.
FOREIGN = ("reco", "other:1", "{other}:current", "reco2:1", "{reco2}:current", "xreco:1", "{reco}")
#: Control keys for the job only.
JOBS_OWN = (KEYS.lock, KEYS.fence, KEYS.inventory("g", 0))


def gate(given) -> Verdict:
    """Read from the store as the job's gate does."""
    values = [value for _, value in given.read(given.generation, ["user:7", "movie:1"])]
    return Verdict(passed=None not in values)


def publish_one(client, source) -> None:
    """Publish one generation."""
    with RunLock(client, KEYS) as lock:
        assert publish(client, KEYS, source, lock=lock, gate=gate).outcome == "live"


def do_all_that_batch_does(client, make_source) -> None:
    """Publish, lock out a second run, retire, roll back, hold, release, switch."""
    with RunLock(client, KEYS) as lock:
        for night in range(3):
            done = publish(client, KEYS, make_source(night), lock=lock, keep=5, gate=gate)
            assert (done.outcome, done.warning) == ("live", "")
        with pytest.raises(LockHeld), RunLock(client, KEYS):
            pass
        lock.check()
        assert len(collect(lock=lock, keep=2)) == 1
    older = rollback(client, KEYS)
    with RunLock(client, KEYS) as lock:
        assert publish(client, KEYS, make_source(3), lock=lock, gate=gate).outcome == "held"
        newest = list_generations(client, KEYS)[0]
        assert release(client, KEYS)
        flip(newest.id, lock=lock)
        assert collect(lock=lock, keep=1) == (older,)
    rewritten = make_source(4)
    publish_one(client, rewritten)
    publish_one(client, rewritten)  # `batch republish` of the live generation
    assert hide(client, KEYS, ["1", "2"]) == 2
    assert unhide(client, KEYS, ["2"]) == 1
    assert hidden(client, KEYS) == ("1",)
    assert unhide(client, KEYS, ["1"]) == 1


def do_all_that_readers_do(client) -> None:
    """Call every verb of Reader, plain GETs as in other languages, and ping."""
    assert client.ping()
    answer_everything(client)


def answer_everything(client) -> None:
    """Call every verb of Reader, and plain GETs as in other languages."""
    generation = client.get(KEYS.current).decode()
    assert client.get(KEYS.data(generation, "user:7"))
    reader = Reader(client=client)
    (item,) = reader.user("7", n=1).items
    assert (item.movie_id, item.source, item.title) == ("2", "personal", "Heat (1995)")
    assert reader.ranked("7").items
    assert reader.similar("1").items
    assert reader.popular().items
    assert reader.user("unknown").items
    assert reader.movie("1").title == "Toy Story (1995)"
    assert reader.find_title("HEAT")
    assert reader.seen("7") == ("1",)
    assert reader.status().generation == generation
    assert "live" in [one.state for one in reader.generations()]
    assert reader.assign("7") == "reco"
    assert reader.user("7", n=1, genres=["Crime"], available=True).items
    assert reader.user("7", n=1, available="de").items


def do_and_look(client, server, make_source) -> None:
    """Do all the writer's work: the job's, and reading the result with `reco`."""
    do_all_that_batch_does(client, make_source)
    fill_the_sets(server)
    answer_everything(client)


def fill_the_sets(server) -> None:
    """Hide a movie and mark the other as available, as an application with its own rights may."""
    with server.tester() as tester:
        tester.sadd(KEYS.hidden, "1")
        tester.sadd(KEYS.available(), "2")
        tester.sadd(KEYS.available("de"), "2")


def everything(server) -> dict[bytes, bytes]:
    """Return all keys and values."""
    with server.tester() as tester:
        return {key: tester.get(key) for key in tester.scan_iter()}


def test_server_takes_every_option(server, compose) -> None:
    """A real server starts with the file's options, and reports them as its configuration."""
    with server.tester() as tester:
        for option, value in compose.options().items():
            (found,) = tester.config_get(option.removeprefix("--")).values()
            if option == "--maxmemory":
                assert int(found) == int(value.removesuffix("gb")) * 1024**3
            elif option != "--aclfile":
                assert found == value


def test_everything_survives_a_crash(server, make_source) -> None:
    """A killed server restores every key: pointer, registry, hold and data.

    Many releases, among them Redis 7.0, replay transactions with the default user's rights and
    silently drop what these forbid.
    """
    folder = Path(tempfile.mkdtemp(prefix="reco-"))
    own = type(server)(server.binary, folder)
    try:
        own.start()
        with own.writer() as client:
            do_all_that_batch_does(client, make_source)
            rollback(client, KEYS)
        before = everything(own)
        own.kill()
        own.start()
        assert everything(own) == before
        with own.reader() as client:
            do_all_that_readers_do(client)
    finally:
        own.kill()
        shutil.rmtree(folder)


def test_health_check_fails_unless_the_store_serves_readers(fresh, compose, need) -> None:
    """The health check exits with 0 for a store that serves the reader, otherwise with an error.

    redis-cli replaces the image's valkey-cli and takes the same options.
    """
    program = need(Path("/usr/bin/redis-cli"))
    _, name, *words = compose.redis["healthcheck"]["test"]
    assert name == "valkey-cli"
    environment = {name: compose.fill(text) for name, text in compose.redis["environment"].items()}

    def check(socket: Path, **changes: str) -> tuple[int, str]:
        done = subprocess.run(
            [program, "-s", socket, *words],
            env=environment | changes,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    assert check(fresh.socket) == (0, "PONG")
    assert check(fresh.socket, REDISCLI_AUTH="wrong")[0] != 0
    assert check(fresh.folder / "missing")[0] != 0


def test_writer_can_do_all_that_batch_does(fresh, make_source) -> None:
    """The writer can publish, lock, retire, roll back, hold and release."""
    with fresh.writer() as client:
        require_rights(client, KEYS)
        do_all_that_batch_does(client, make_source)


def test_writer_can_run_what_a_run_proposes(fresh, make_source) -> None:
    """The writer can run the `reco` commands that a run suggests at its end."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
        fill_the_sets(fresh)
        answer_everything(client)


def test_writer_needs_each_of_its_rights(fresh, compose, make_source, writer_word) -> None:
    """Each word of the writer's line is needed: without it the job fails."""
    rest = [word for word in compose.users()["writer"] if word != writer_word]
    with fresh.tester() as tester:
        tester.execute_command("ACL SETUSER", "writer", *rest)
    with fresh.writer() as client, pytest.raises(StoreUnfit):
        do_and_look(client, fresh, make_source)


def test_reader_can_do_all_that_readers_do(fresh, make_source) -> None:
    """The reader can call every verb of Reader, plain GETs and ping."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    fill_the_sets(fresh)
    with fresh.reader() as client:
        do_all_that_readers_do(client)


async def test_reader_account_serves_the_async_reader(fresh, make_source) -> None:
    """The asyncio reader works with the reader's rights."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    async with AsyncReader(fresh.url("reader")) as reader:
        assert (await reader.user("7")).items
        assert (await reader.status()).entries == len(make_source(0).pairs)


def test_reader_account_serves_a_plain_client(fresh, make_source) -> None:
    """An application's redis-py connects and reads with its default options."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    with Redis.from_url(fresh.url("reader")) as client:
        generation = client.get(KEYS.current).decode()
        assert all(client.mget(KEYS.manifest(generation), KEYS.data(generation, "user:7")))


def test_reader_needs_each_of_its_rights(fresh, compose, make_source, reader_word) -> None:
    """Each word of the reader's line is needed: without it a reader or the health check fails."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    fill_the_sets(fresh)
    rest = [word for word in compose.users()["reader"] if word != reader_word]
    with fresh.tester() as tester:
        tester.execute_command("ACL SETUSER", "reader", *rest)
    with fresh.reader() as client, pytest.raises((StoreUnfit, NoPermissionError)):
        do_all_that_readers_do(client)


def test_scripts_can_do_no_more_than_their_caller(fresh, compose) -> None:
    """A script may do nothing that its caller may not."""
    script = "return redis.call(unpack(ARGV))"
    with fresh.writer() as client:
        assert client.eval(script, 1, KEYS.current, "SET", KEYS.current, "x")
        for name, words in fresh.commands().items():
            if name not in compose.commands("writer"):
                with pytest.raises(ResponseError):
                    client.eval(script, 1, KEYS.current, *words)
        for key in FOREIGN:
            with pytest.raises(ResponseError):
                client.eval(script, 1, KEYS.current, "GET", key)


def test_reader_sees_no_key_but_those_it_reads(fresh) -> None:
    """The reader can read neither other namespaces nor control keys, alone or in one request."""
    with fresh.reader() as client:
        for key in (*FOREIGN, *JOBS_OWN):
            for words in (("GET", key), ("MGET", key), ("MGET", KEYS.current, key)):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*words)


def test_writer_touches_no_key_outside_its_namespace(fresh) -> None:
    """The writer cannot read, write, delete or inspect keys of other or similar namespaces."""
    with fresh.writer() as client:
        for key in FOREIGN:
            single = [(command, key) for command in ("GET", "MGET", "DEL", "UNLINK", "PTTL")]
            for words in (*single, ("SET", key, "x"), ("EVAL", "return 1", "1", key)):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*words)


@pytest.mark.parametrize("user", ["default", "writer", "reader"])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_nobody_logs_in_with_a_wrong_password(fresh, user, password) -> None:
    """No user has an empty password, and a refused login gives no rights."""
    with fresh.plain(protocol=2) as stranger:
        with pytest.raises(AuthenticationError):
            stranger.execute_command("AUTH", user, password)
        with pytest.raises(AuthenticationError):
            stranger.get(KEYS.current)
    with fresh.tester() as tester:
        assert "nopass" not in tester.acl_getuser(user)["flags"]

"""The options and users of docker-compose.yml on real servers: enough for each, and no more.

No Docker engine is asked. What only one can tell stays untested: that the images exist, that the
containers start, and who owns their volumes.
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
#: Other namespaces, and names that look like ours.
FOREIGN = ("reco", "other:1", "{other}:current", "reco2:1", "{reco2}:current", "xreco:1", "{reco}")
#: Control keys that only the job needs.
JOBS_OWN = (KEYS.lock, KEYS.fence, KEYS.generations, KEYS.inventory("g", 0))


def gate(given) -> Verdict:
    """Read from the store, as the job's own gate does."""
    values = [value for _, value in given.read(given.generation, ["user:7", "movie:1"])]
    return Verdict(passed=None not in values)


def publish_one(client, source) -> None:
    """Publish one generation."""
    with RunLock(client, KEYS) as lock:
        assert publish(client, KEYS, source, lock=lock, gate=gate).outcome == "live"


def do_all_that_batch_does(client, make_source) -> None:
    """Nights, a second run shut out, retirement, rollback, hold, release, flip."""
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
    """Every verb of Reader, the plain GETs of other languages, and ping."""
    assert client.ping()
    answer_everything(client)


def answer_everything(client) -> None:
    """Every verb of Reader, and the plain GETs of other languages."""
    generation = client.get(KEYS.current).decode()
    assert client.get(KEYS.data(generation, "user:7"))
    reader = Reader(client=client)
    (item,) = reader.user("7", n=1).items
    assert (item.movie_id, item.source, item.title) == ("2", "personal", "Heat (1995)")
    assert reader.ranked("7").items
    assert reader.similar("1").items
    assert reader.popular().items
    assert reader.user("nobody").items
    assert reader.movie("1").title == "Toy Story (1995)"
    assert reader.find_title("HEAT")
    assert reader.seen("7") == ("1",)
    assert reader.status().generation == generation
    assert reader.assign("7") == "reco"
    assert reader.user("7", n=1, genres=["Crime"], available=True).items
    assert reader.user("7", n=1, available="de").items


def do_and_look(client, server, make_source) -> None:
    """Everything that the writer is for: the job's work, and a look at it with `reco`."""
    do_all_that_batch_does(client, make_source)
    fill_the_sets(server)
    answer_everything(client)


def fill_the_sets(server) -> None:
    """Hide a movie and make the other one available, as an application with its own rights may."""
    with server.tester() as tester:
        tester.sadd(KEYS.hidden, "1")
        tester.sadd(KEYS.available(), "2")
        tester.sadd(KEYS.available("de"), "2")


def everything(server) -> dict[bytes, bytes]:
    """Return all keys with their values."""
    with server.tester() as tester:
        return {key: tester.get(key) for key in tester.scan_iter()}


def test_server_takes_every_option(server, compose) -> None:
    """A real server starts with the file's options and has them in force."""
    with server.tester() as tester:
        for option, value in compose.options().items():
            (found,) = tester.config_get(option.removeprefix("--")).values()
            if option == "--maxmemory":
                assert int(found) == int(value.removesuffix("gb")) * 1024**3
            elif option != "--aclfile":
                assert found == value


def test_everything_survives_a_crash(server, make_source) -> None:
    """A killed server comes back with every key: pointer, registry and hold as well as data.

    Many releases, Redis 7.0 among them, replay transactions with the default user's rights, and
    drop what it may not do without a word.
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


def test_health_check_tells_health(fresh, compose, need) -> None:
    """The check's own command ends with 0 for a store that serves the reader, else with another.

    redis-cli stands in for valkey-cli, which is in the image and takes the same options.
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
    assert check(fresh.folder / "nobody")[0] != 0


def test_writer_can_do_all_that_batch_does(fresh, make_source) -> None:
    """Nights, a second run shut out, retirement, rollback, hold, release: all with these rights."""
    with fresh.writer() as client:
        require_rights(client, KEYS)
        do_all_that_batch_does(client, make_source)


def test_writer_can_run_what_a_run_proposes(fresh, make_source) -> None:
    """Whoever published can look at it with `reco`, as the run's last lines propose."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
        fill_the_sets(fresh)
        answer_everything(client)


def test_writer_needs_each_of_its_rights(fresh, compose, make_source, writer_word) -> None:
    """Without any one word of the writer's line the job fails."""
    rest = [word for word in compose.users()["writer"] if word != writer_word]
    with fresh.tester() as tester:
        tester.execute_command("ACL SETUSER", "writer", *rest)
    with fresh.writer() as client, pytest.raises(StoreUnfit):
        do_and_look(client, fresh, make_source)


def test_reader_can_do_all_that_readers_do(fresh, make_source) -> None:
    """Every verb of Reader, plain GETs, and ping work with the reader's account."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    fill_the_sets(fresh)
    with fresh.reader() as client:
        do_all_that_readers_do(client)


async def test_reader_account_serves_the_async_reader(fresh, make_source) -> None:
    """The asyncio reader connects and answers with the same rights."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    async with AsyncReader(fresh.url("reader")) as reader:
        assert (await reader.user("7")).items
        assert (await reader.status()).entries == len(make_source(0).pairs)


def test_reader_account_serves_a_plain_client(fresh, make_source) -> None:
    """An application's redis-py with its own defaults gets through its handshake and reads."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    with Redis.from_url(fresh.url("reader")) as client:
        generation = client.get(KEYS.current).decode()
        assert all(client.mget(KEYS.manifest(generation), KEYS.data(generation, "user:7")))


def test_reader_needs_each_of_its_rights(fresh, compose, make_source, reader_word) -> None:
    """Without any one word of the reader's line some reader, or the health check, fails."""
    with fresh.writer() as client:
        publish_one(client, make_source(0))
    fill_the_sets(fresh)
    rest = [word for word in compose.users()["reader"] if word != reader_word]
    with fresh.tester() as tester:
        tester.execute_command("ACL SETUSER", "reader", *rest)
    with fresh.reader() as client, pytest.raises((StoreUnfit, NoPermissionError)):
        do_all_that_readers_do(client)


def test_scripts_can_do_no_more_than_their_caller(fresh, compose) -> None:
    """Whatever the writer may not do by itself, a script that it sends may not do either."""
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
    """Other namespaces and the job's own control keys are closed, alone or among others."""
    with fresh.reader() as client:
        for key in (*FOREIGN, *JOBS_OWN):
            for words in (("GET", key), ("MGET", key), ("MGET", KEYS.current, key)):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*words)


def test_writer_touches_no_key_outside_its_namespace(fresh) -> None:
    """Other namespaces and look-alikes can be neither read, written, deleted nor timed."""
    with fresh.writer() as client:
        for key in FOREIGN:
            single = [(command, key) for command in ("GET", "MGET", "DEL", "UNLINK", "PTTL")]
            for words in (*single, ("SET", key, "x"), ("EVAL", "return 1", "1", key)):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*words)


@pytest.mark.parametrize("user", ["default", "writer", "reader"])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_nobody_logs_in_with_a_wrong_password(fresh, user, password) -> None:
    """No user has an empty password, and a refused login leaves one a stranger."""
    with fresh.plain(protocol=2) as stranger:
        with pytest.raises(AuthenticationError):
            stranger.execute_command("AUTH", user, password)
        with pytest.raises(AuthenticationError):
            stranger.get(KEYS.current)
    with fresh.tester() as tester:
        assert "nopass" not in tester.acl_getuser(user)["flags"]

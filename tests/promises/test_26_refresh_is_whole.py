"""Promise 26: a refresh is all or nothing, and a chain of refreshes computes what one would.

A refresh is killed before each of its steps in turn: files, folders, blocks of lists, keys. Twenty
between two runs keep the promises of runs: 1, 9, 12, 14 and 15.
"""

from __future__ import annotations

import json
import shutil

import pytest

from real_servers import running_server
from reco_batch.artifact.folder import complete_generations, open_artifact
from reco_store.control.inventory import chunks_of
from refreshed import Following, Shop, of_users
from store_under_fault import KEYS, look_alikes

KILLED = -9
FEWEST_STEPS = 30
KEEP = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Home after a run with small models; to be copied."""
    home = tmp_path_factory.mktemp("trained")
    with running_server() as url:
        Shop(home, url).done("run")
    return home


@pytest.fixture
def make_shop(trained, tmp_path):
    """Start a shop with the generation of that run live on a server of its own."""
    servers = []

    def make(name):
        servers.append(running_server())
        shop = Shop(tmp_path / name, servers[-1].__enter__())
        shutil.copytree(trained, shop.home)
        shop.done("republish", "latest")
        return shop

    yield make
    for server in servers:
        server.__exit__(None, None, None)


def test_26_refresh_is_whole(make_shop, many, draw):
    """After each kill one whole generation is live; the next refresh needs no repair."""
    shop = make_shop("killed")
    before = shop.values()
    shop.rate(3, 1)
    killed = step = 0
    first, stride = draw().randint(1, 5), many(6, 1)
    for step in range(first, 1000, stride):
        ended = shop.batch("refresh", at=step)
        shop.end_lease()
        if ended.returncode != KILLED:
            assert ended.returncode == 0, ended.stderr
            break
        killed += 1
        found = shop.values()  # with the digest that was published
        if found != before:
            break
    assert step > FEWEST_STEPS
    assert killed > 0
    if ended.returncode == KILLED:  # after the switch
        assert shop.done("refresh").startswith("unchanged")
    users, earlier = of_users(shop.values()), of_users(before)
    assert {user for user in users if users[user] != earlier[user]} == {"3"}
    for folder in (shop.home / "artifacts").iterdir():  # nothing that a killed one left
        assert (folder / "manifest.json").exists()
    assert not (shop.home / "unfinished" / "reco+refresh").exists()


def test_26_chain_equals_one_refresh(make_shop, many, draw):
    """Refreshes in a row leave unchanged values alone, and end where one refresh ends."""
    chain, alone = make_shop("chain"), make_shop("alone")
    trained, chance, count = chain.live(), draw(), many(3, 20)
    for number in range(count):
        before = of_users(chain.values())
        user = chance.randint(1, 60)
        unrated = {m for m, *_ in chain.movies} - {m for u, m, *_ in chain.ratings if u == user}
        chain.rate(user, chance.choice(sorted(unrated)), chance.choice((1.0, 5.0)))
        assert chain.done("refresh").startswith("live")
        after = of_users(chain.values())
        assert {one for one in after if after[one] != before[one]} == {str(user)}
        refreshed = chain.manifest()["refresh"]
        assert (refreshed["trained_by"], refreshed["users"]) == (trained, 1), number
        assert (chain.home / "artifacts" / trained).exists()
    alone.ratings = chain.ratings
    assert alone.done("refresh").startswith("live")
    require_alike(alone.values(), chain.values())
    assert json.loads(chain.values()["user:1"])["i"]


def require_alike(ours, theirs):
    """Require the same values, in which a score may differ in its last published digit.

    BLAS rounds the scores of one user otherwise than those of many.
    """
    assert ours.keys() == theirs.keys()
    for name in ours:
        one, other = json.loads(ours[name]), json.loads(theirs[name])
        if isinstance(one, dict) and "s" in one:
            assert one.pop("s") == pytest.approx(other.pop("s"), abs=0.0011), name
        assert one == other, name


def computed(shop):
    """Return the values in the artifact of the live generation."""
    artifact = open_artifact(shop.home / "artifacts", shop.live())
    return dict(entry for chunk in artifact.entry_chunks() for entry in chunk)


def names_of(published, *kept):
    """Return the names of all keys of a store with these generations and no active run."""
    names = {KEYS.current, KEYS.generations, KEYS.fence}
    for generation in kept:
        values = published[generation]
        names |= {KEYS.manifest(generation)} | {KEYS.data(generation, name) for name in values}
        names |= {KEYS.inventory(generation, chunk) for chunk in range(chunks_of(len(values)))}
    return names


def memory_of(store, names):
    """Return the memory that keys take on the server, in bytes."""
    with store.admin.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.memory_usage(name, samples=0)
        return sum(pipeline.execute())


def test_26_refreshes_between_two_runs(trained, make_store, tmp_path, many, draw):
    """Readers see whole generations; one refresh is killed; the run that trained stays kept."""
    store, chance, count = make_store(), draw(), many(4, 20)
    shop = Shop(tmp_path / "home", store.writer_url)
    shutil.copytree(trained, shop.home)
    shop.done("republish", "latest")
    first = shop.live()
    published, memory = {first: shop.values()}, []
    foreign = sorted({*look_alikes(first)} - names_of(published, first))
    store.admin.mset({name: f"value of {name}" for name in foreign})
    others = store.digest_of(foreign)

    def require_only(*kept):
        """Require that the store has these generations and the foreign keys, to the byte."""
        names = names_of(published, *kept)
        assert store.names() - set(foreign) == names
        assert store.digest_of(foreign) == others
        return names

    with Following(store.reader_url, ("1", "2", "3"), tuple(published[first])) as readers:
        for number in range(count):
            for user in (1, *chance.sample(range(2, 61), 2)):
                rated = {m for u, m, *_ in shop.ratings if u == user}
                shop.rate(user, chance.choice([m for m, *_ in shop.movies if m not in rated]))
            if number == count // 2:
                before = shop.values()
                assert shop.batch("refresh", at="keys").returncode == KILLED
                assert shop.values() == before
                shop.end_lease()
            assert shop.done("refresh", "--keep", KEEP).startswith("live")
            published[shop.live()] = shop.values()
            assert shop.values() == computed(shop)
            kept = [first, *list(published)[1:][1 - KEEP :]]
            memory.append(memory_of(store, require_only(*kept)))
            artifacts = complete_generations(shop.home / "artifacts")
            expected = [first, *list(published)[1:][-KEEP:]]
            assert [name for name in artifacts if name in published] == expected
            assert len(list((shop.home / "artifacts").iterdir())) <= len(expected) + 1  # the killed
            assert not list(shop.home.glob("unfinished/*"))
        assert memory[-1] < 1.02 * memory[KEEP - 2]

        *_, previous, last = published
        for words, generation in (
            (("--reason", "odd"), previous),
            ((first, "--reason", "odd"), first),
            ((last, "--force", "it was right"), last),
        ):
            shop.done("rollback", *words)
            assert (shop.live(), shop.values()) == (generation, published[generation])

        force = ("--force", "models of sixty users vary by more than the gate allows")
        assert shop.done("run", "--keep", KEEP, *force).startswith("live")
        published[shop.live()] = shop.values()
        assert shop.values() == computed(shop)
        require_only(first, last, shop.live())
        past = shop.manifest()["hindsight"]
        assert (past["generation"], past["interactions"] + past["repeats"]) == (first, 3 * count)
    readers.require_one_generation_each(published)

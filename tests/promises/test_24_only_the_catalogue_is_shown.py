"""Promise 24: items missing from the catalogue train the models but appear in no list.

Each run is a real process on ratings of items that movies.csv no longer has.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from csv_folders import planted, write_folder
from real_servers import running_server
from reco_store import Keys, Reader, connect
from reco_store.contract.codec import decode_ids, decode_list, decode_reasons

BATCH = Path(sys.executable).with_name("batch")
GONE = {"3", "6", "44"}
USERS, MOVIES = 60, 150
KEYS = Keys("shop")


def run(url, home, *words):
    """Run `batch run`."""
    environment = os.environ | {"REDIS_URL": url, "RECO_NAMESPACE": "shop", "RECO_HOME": str(home)}
    return subprocess.run(
        [BATCH, "run", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return ratings of 150 films, three off the catalogue, and one user who rated only those."""
    ratings, movies = planted(USERS, MOVIES)
    # the missing films are the most liked ones
    ratings = [
        (user, movie, 5 if str(movie) in GONE else stars, second)
        for user, movie, stars, second in ratings
    ]
    rated = {(user, str(movie)) for user, movie, *_ in ratings}
    ratings += [
        (user, int(movie), 5, 1_590_000_000)
        for user in range(3, USERS + 1, 3)
        for movie in sorted(GONE)
        if (user, movie) not in rated
    ]
    ratings += [("only-old-things", movie, 5, 1_590_000_000) for movie in sorted(GONE)]
    listed = [row for row in movies if str(row[0]) not in GONE]
    return write_folder(tmp_path_factory.mktemp("data"), ratings, listed)


@pytest.fixture(scope="module", params=["default", "notebook"])
def night(request, folder, tmp_path_factory):
    """Return the output, the manifest and all keys of a live run."""
    words = ("--data", folder, "--preset", request.param, "--ranked-k", "all")
    if request.param == "notebook":
        words += ("--ranked-candidates", 40, "--engine", "local")
    with running_server() as url, connect(url) as client:
        ended = run(url, tmp_path_factory.mktemp("home"), *words)
        assert ended.returncode == 0, ended.stderr
        live = client.get(KEYS.current).decode()
        prefix = KEYS.data_prefix(live)
        names = sorted(client.scan_iter(f"{prefix}*", count=5000))
        values = dict(zip(names, client.mget(names), strict=True))
        content = {name.decode().removeprefix(prefix): v for name, v in values.items()}
        manifest = json.loads(client.get(KEYS.manifest(live)))
        with Reader(url, namespace="shop") as reader:
            stranger = [item.movie_id for item in reader.user("nobody", n=500).items]
        yield ended, manifest, content, stranger


def shown(suffix, value):
    """Return the item ids in a value."""
    family = suffix.partition(":")[0]
    if family in ("user", "ranked", "similar", "next", "popular"):
        return decode_list(value)[0]
    if family == "because":
        return [reason for reason in decode_reasons(value) if reason is not None]
    return decode_ids(value) if family in ("seen", "title", "search") else []


def test_24_no_key_names_an_item_that_the_catalogue_lacks(night):
    """Lists, explanations and key names contain only items of the catalogue."""
    _, _, content, stranger = night

    families = {suffix.partition(":")[0] for suffix in content}
    assert families == {
        *("user", "because", "ranked", "similar", "next", "seen", "popular"),
        *("movie", "title", "search"),
    }
    for suffix, value in content.items():
        assert not GONE & set(shown(suffix, value)), suffix
    for family in ("similar", "next", "movie", "title"):
        assert not [gone for gone in GONE if f"{family}:{gone}" in content]
    assert stranger
    assert not GONE & set(stranger)


def test_24_lists_are_full(night):
    """Lists contain all unseen items of the catalogue, up to their length."""
    _, manifest, content, _ = night

    k, most = manifest["parameters"]["k"], manifest["parameters"]["ranked_candidates"]
    listed = MOVIES - len(GONE)
    for suffix in (s for s in content if s.startswith("user:")):
        user = suffix.partition(":")[2]
        unseen = listed - len(decode_ids(content[f"seen:{user}"]))
        assert len(shown(suffix, content[suffix])) == min(k, unseen)
        assert len(shown("ranked:", content[f"ranked:{user}"])) == min(most or unseen, unseen)
    assert len(shown("similar:", content["similar:1"])) == min(k, listed - 1)
    assert not decode_ids(content["seen:only-old-things"])


def test_24_how_many_there_were_is_said(night):
    """Standard error reports the number of missing items, and the manifest has all counts."""
    ended, manifest, _, _ = night

    count = manifest["data"]["unlisted"]["ratings"]
    assert f"note: {count} ratings of 3 movies that the movies file lacks: " in ended.stderr
    assert manifest["data"]["unlisted"]["movies"] == 3
    assert manifest["data"]["movies"] == manifest["counts"]["movie"] == MOVIES - 3
    assert any("movies file lacks" in finding for finding in manifest["data"]["findings"])
    assert manifest["gate"]["verdict"] == "passed"


def test_24_what_is_gone_teaches_all_the_same(folder, tmp_path):
    """The user who rated only missing items gets lists that suit that taste."""
    with running_server() as url, connect(url) as client:
        assert run(url, tmp_path, "--data", folder, "--no-refit").returncode == 0
        live = client.get(KEYS.current).decode()
        first = decode_list(client.get(KEYS.data(live, "user:only-old-things")))[0][:10]

    liked = [movie for movie in first if int(movie) % 3 == 0]
    assert len(liked) >= 5


def test_24_how_many_may_be_gone_is_a_setting(folder, tmp_path):
    """The error names the setting that allows more missing items."""
    with running_server() as url:
        ended = run(url, tmp_path, "--data", folder, "--max-unknown-ratings", "0.001", "--quiet")

    assert ended.returncode == 4
    assert "is one of 3 that" in ended.stderr
    assert "movies.csv lacks" in ended.stderr
    assert "expected at most 0.1%" in ended.stderr
    assert "raise --max-unknown-ratings" in ended.stderr

"""Notes on answers that are short: a sentence for people, a name in the JSON object."""

import json

import pytest

from reco_store import Keys
from reco_store.contract.codec import encode_ids, encode_list


@pytest.fixture
def published(client, publish):
    """Publish the generation of the tests to a namespace of its own, and delete it afterwards."""
    names: list[str] = []

    def make(namespace: str, **manifest) -> tuple[str, Keys]:
        names.append(namespace)
        return publish(client, namespace, **manifest), Keys(namespace)

    yield make
    for name in names:
        found = [*client.scan_iter(f"{name}:*"), *client.scan_iter(f"{{{name}}}:*")]
        client.delete(*found)


def test_a_user_who_rated_everything(reco, client, published):
    """Rated movies are not recommended again; a note gives the reason."""
    generation, keys = published("seen")
    everything = [key.rpartition(b":")[2].decode() for key in client.scan_iter("seen:*:movie:*")]
    for suffix, value in (
        ("user:1", encode_list([], [], numeric_ids=True)),
        ("seen:1", encode_ids(everything, numeric_ids=True)),
    ):
        client.set(keys.data(generation, suffix), value)
    ended = reco("get-user", "1", "--namespace", "seen")
    assert (ended.code, ended.out) == (0, "")
    assert "note: user 1 has rated every movie that could be shown" in ended.err
    found = json.loads(reco("get-user", "1", "--namespace", "seen", "--json").out)
    assert (found["items"], found["notes"]) == ([], ["used_up", "all_seen"])


def test_a_set_of_available_movies_that_does_not_exist(reco):
    """A missing set filters nothing, with a note; the caller may have it filter everything."""
    ended = reco("get-user", "42", "-n", "2", "--available-in", "de")
    assert [row[1] for row in ended.rows] == ["50", "47"]
    assert "note: the set of available movies 'de' does not exist or is empty" in ended.err
    none = reco("get-user", "42", "--available", "--available-missing", "none")
    assert (none.code, none.out) == (0, "")
    assert "so nothing is shown" in none.err
    assert reco("get-user", "42", "--available-missing", "some").code == 2


def test_lost_data(reco, client, published):
    """Lost lists end the command with 5, and `status` counts the missing keys."""
    generation, keys = published("lost")
    client.delete(*client.scan_iter("lost:*"))
    for words in (("get-user", "42"), ("get-movie", "1"), ("get-popular",), ("search", "heat")):
        ended = reco(*words, "--namespace", "lost")
        assert (ended.code, ended.out) == (5, "")
        assert f"the store lost data of generation {generation}" in ended.err
        assert "`batch republish latest`" in ended.err
    status = reco("status", "--namespace", "lost")
    assert status.code == 5
    assert ["missing", "1"] in status.rows
    assert "1 of 1 sampled keys missing" in status.err
    assert "`batch republish latest`" in status.err
    named = reco("status", "--namespace", "lost", "--generation", generation)
    assert f"`batch republish {generation}`" in named.err
    client.delete(keys.manifest(generation))
    assert reco("get-user", "42", "--namespace", "lost").code == 5


@pytest.mark.parametrize(
    "words",
    [
        ("-n", "9" * 20),
        ("-n", "9" * 5000),
        ("-n", "0"),
        ("--from-year", "9" * 20),
        ("--to-year", "-1"),
    ],
)
def test_numbers_out_of_range(reco, words):
    """A usage error of one line, however long the number."""
    ended = reco("get-user", "42", *words)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err


def test_genres_in_any_spelling(reco, published):
    """Case, spaces and hyphens are ignored; an error lists the known genres."""
    published("genres", genres=["Action", "Drama", "Sci-Fi"])

    def run(*words):
        return reco(*words, "--namespace", "genres")

    drama = run("get-popular", "--genre", "Drama")
    assert drama.rows
    other = run("get-popular", "--genre", "dRAMA")
    assert (other.rows, other.err) == (drama.rows, drama.err)
    assert (
        run("get-user", "42", "--genre", "DRAMA").rows
        == run("get-user", "42", "--genre", "Drama").rows
    )
    assert run("get-user", "42", "--genre", "sci fi").code == 0
    for words in (("get-popular",), ("get-user", "42"), ("for-ratings", "1=4")):
        ended = run(*words, "--genre", "nonsense")
        assert (ended.code, ended.out) == (2, "")
        assert "genre 'nonsense' is unknown; expected one of: Action, Drama, Sci-Fi" in ended.err
    assert "did you mean 'Drama'?" in run("get-user", "42", "--genre", "Dramma").err


def test_an_id_that_is_a_title_too(reco):
    """The id takes precedence, and a note names the movie with that title."""
    ended = reco("get-movie", "300", "-n", "1")
    assert "note: 300 is the id of Quiz Show (1994); 300 (2007) has the id 51662." in ended.err
    ended = reco("for-ratings", "300=5", "1=4", "-n", "1")
    assert ended.code == 0
    assert "note: 300 is the id of Quiz Show (1994)" in ended.err
    assert "is the id of" not in reco("get-movie", "1", "-n", "1").err

"""`batch run --ranked-candidates`: ranked lists contain only candidates of retrieval."""

import json

import pyarrow.parquet as pq
import pytest

from real_servers import running_server
from resumed_nights import KILLED, ResumedNights, answers, artifact, settled, unfinished

pytestmark = pytest.mark.slow  # whole runs

CANDIDATES, LONG = 20, 12
WORDS = ("--ranked-candidates", str(CANDIDATES), "--ranked-k", str(LONG))


@pytest.fixture(scope="module")
def nights(small):
    """Nights for a server of their own."""
    with running_server() as url:
        yield ResumedNights(small, url)


@pytest.fixture(scope="module")
def whole(nights, tmp_path_factory):
    """Home of an uninterrupted run that keeps the choice of the one before it."""

    def run():
        home = tmp_path_factory.mktemp("whole")
        code, messages = nights.run(home, *WORDS)
        assert code == 0, messages
        return home

    return settled(run)


def lists_of(home, family):
    """Return the ids of each list by user."""
    table = pq.read_table(artifact(home) / "lists" / f"{family}.parquet")
    names = [suffix.partition(":")[2] for suffix in table["suffix"].to_pylist()]
    return dict(zip(names, table["movieIds"].to_pylist(), strict=True))


def test_ranked_lists_are_among_the_first_of_the_user_lists(whole):
    """Both lists come from one retrieval model and exclude rated movies."""
    user, ranked = lists_of(whole, "user"), lists_of(whole, "ranked")

    assert ranked.keys() == user.keys()
    for name, movies in ranked.items():
        assert len(movies) == LONG
        assert set(movies) <= set(user[name][:CANDIDATES])
    assert any(movies != user[name][:LONG] for name, movies in ranked.items())


def test_the_manifest_has_the_candidates(whole):
    """The parameters contain it, and the gate expects lists of that length."""
    manifest = json.loads((artifact(whole) / "manifest.json").read_text("utf-8"))

    assert manifest["parameters"]["ranked_candidates"] == CANDIDATES
    assert manifest["gate"]["checks"]["ranked.full"]["figure"] == 1
    assert manifest["metrics"]["ranked"]


def test_a_killed_night_goes_on_to_the_same_bytes(nights, whole, tmp_path):
    """Either job may have trained retrieval; resuming trains it again for the other."""
    code, messages = nights.run(tmp_path, *WORDS, at=75)
    assert code == KILLED, messages
    assert unfinished(tmp_path)

    code, messages = nights.run(tmp_path, *WORDS, "--resume")

    assert code == 0, messages
    assert answers(tmp_path) == answers(whole)

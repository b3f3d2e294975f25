"""Trending and new lists of a run: published on request, and before the most rated movies."""

import pandas as pd
import pytest

from real_servers import running_server
from reco_store import Reader

pytestmark = pytest.mark.slow

STAND_IN = ("--stand-in", "trending")
OPTIONS = ("--no-refit", "--trending-days", 400, "--trending-half-life", 90, "--new-days", 800)


@pytest.fixture(scope="module")
def url(batch, small, tmp_path_factory):
    """Address of a server with the generation of such a run."""
    home = tmp_path_factory.mktemp("recent")
    with running_server() as address:
        words = ("run", "--data", small, *OPTIONS, *STAND_IN)
        ended = batch(*words, REDIS_URL=address, RECO_HOME=str(home))
        assert ended.code == 0, ended.err
        yield address


def test_a_new_user_gets_trending_movies(url, small):
    """By the weights of the input's ratings; with a genre, those of the genre first."""
    ratings = pd.read_csv(small / "ratings.csv")
    age = (ratings.timestamp.max() - ratings.timestamp) / 86_400
    weights = (0.5 ** (age / 90))[age < 400].groupby(ratings.movieId)
    weight = weights.sum()[weights.size() >= 3]
    with Reader(url) as reader:
        assert len(weight) > 20
        answer = reader.user("stranger", n=len(weight))
        scores = {item.movie_id: item.score for item in answer.items}
        assert scores == pytest.approx({str(m): s for m, s in weight.items()}, abs=0.0006)
        assert {item.source for item in answer.items} == {"trending"}
        assert reader.user("stranger", n=3, genres=["war"]).source == "trending_in_genre"
        assert reader.user("1", n=3).source == "personal"
        new = reader.popular("new", n=100).items
        first = (ratings.timestamp.max() - ratings.groupby("movieId").timestamp.min()) / 86_400
        assert {item.movie_id for item in new} == {str(m) for m in first.index[first < 800]}
        assert reader.status().manifest["stand_in"] == "trending"


def test_other_keys_do_not_change(url, batch, small, tmp_path_factory):
    """Without the options there are no such keys, and every other value is the same."""
    home = tmp_path_factory.mktemp("without")
    with running_server() as other:
        words = ("run", "--data", small, "--no-refit")
        assert batch(*words, REDIS_URL=other, RECO_HOME=str(home)).code == 0
        with Reader(url) as reader, Reader(other) as plain:
            counts, fewer = reader.status().counts, plain.status().counts
            assert "stand_in" not in plain.status().manifest
            assert counts["popular"] > fewer["popular"]
            assert {**counts, "popular": 0} == {**fewer, "popular": 0}
            assert plain.popular("trending", n=2).source == "most_rated"
            for user in ("1", "2"):
                assert plain.user(user, n=50).items == reader.user(user, n=50).items


def test_a_quiet_period_has_no_trending_list(batch, small, tmp_path_factory):
    """A run notes that no movie has three users, and readers get the most rated movies."""
    home = tmp_path_factory.mktemp("quiet")
    with running_server() as address:
        words = ("run", "--data", small, *OPTIONS, "--trending-days", 1, *STAND_IN)
        ended = batch(*words, REDIS_URL=address, RECO_HOME=str(home))
        assert ended.code == 0, ended.err
        assert "no movie was rated by 3 users in the last 1 days, so no trending list" in ended.err
        with Reader(address) as reader:
            assert reader.user("stranger", n=3).source == "most_rated"
            assert reader.popular("trending", n=3).source == "most_rated"

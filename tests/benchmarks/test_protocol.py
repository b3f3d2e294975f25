"""Protocol of the quality benchmark: cuts, lists, metrics and intervals."""

import importlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def protocol(monkeypatch):
    """Return the module, which belongs to no package."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("protocol")


@pytest.fixture
def ratings():
    """Return ten ratings of each of twenty users; user u begins at second u."""
    return pd.DataFrame(
        {
            "userId": np.repeat([str(u) for u in range(20)], 10),
            "movieId": [str(m) for m in range(10)] * 20,
            "timestamp": (np.arange(20)[:, None] + 10 * np.arange(10)).ravel(),
        }
    )


def test_time_holds_out_the_latest_of_each_user(protocol, ratings):
    """The time split holds out each user's latest fifth, the random one another draw a seed."""
    held = protocol.held_back(ratings, "time", 0.2, 42)
    drawn = [protocol.held_back(ratings, "random", 0.2, seed) for seed in (42, 43)]

    assert set(ratings["movieId"][held]) == {"8", "9"}
    assert [mask.sum() for mask in (held, *drawn)] == [40, 40, 40]
    assert (drawn[0] != drawn[1]).any()


def test_dates_train_before_and_test_until_the_next(protocol, ratings):
    """Each date's test part follows its training part, ends at the next, and has known users."""
    late = pd.DataFrame({"userId": "late", "movieId": ["1", "2"], "timestamp": [98, 99]})
    ratings = pd.concat([ratings, late], ignore_index=True)

    cases = list(protocol.parts(ratings, "global", seeds=1, dates=3))

    assert len(cases) == 3
    for (_, train, test), (_, later, _) in pairwise(cases):
        assert train["timestamp"].max() < test["timestamp"].min()
        assert test["timestamp"].max() <= later["timestamp"].max()
    for _, train, test in cases:
        assert set(test["userId"]) <= set(train["userId"])


def test_global_without_times_is_refused(protocol, ratings):
    """A split by time names the missing column."""
    with pytest.raises(ValueError, match="timestamp"):
        next(protocol.parts(ratings.drop(columns="timestamp"), "global", seeds=1, dates=1))


def test_other_data_delete_what_was_measured(protocol, ratings, tmp_path):
    """A case keeps what was measured on it, until its data change."""
    movies = pd.DataFrame({"movieId": [str(m) for m in range(10)], "title": "a", "genres": "b"})

    def case(train):
        found = protocol.Case(tmp_path / "case", "random", 42, train, ratings[150:], movies)
        found.write()
        return found

    case(ratings[:150]).keep("EASE", {"tried": 3}, lists=np.zeros((2, 3), np.int32))
    assert case(ratings[:150]).kept("lists")["EASE"][1] == {"tried": 3}
    assert case(ratings[:149]).kept("lists") == {}


def test_lists_leave_out_what_was_seen(protocol):
    """Lists are exact, without seen movies, and end with -1."""
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]], np.float32)
    seen = sp.csr_matrix(np.array([[1, 0, 0], [0, 0, 0]]))

    lists = protocol.top_k(lambda start, stop: scores[start:stop], seen, k=3, block=1)

    assert lists.tolist() == [[1, 2, -1], [2, 1, 0]]


def test_metrics_are_those_of_the_formulas(protocol):
    """Recall counts at most k movies, NDCG discounts by rank; users without any are left out."""
    lists = np.array([[*range(10)], [*range(10)], [*range(10)]], np.int32)
    wanted = np.zeros((3, 20))
    wanted[0, [1, 15]] = 1  # second of ten; the other is missed
    wanted[2, :15] = 1

    found = protocol.metrics_by_user(lists, sp.csr_matrix(wanted))

    assert found["recall@10"].tolist() == [0.5, 1.0]
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg@10"] == pytest.approx([1 / np.log2(3) / ideal, 1.0])
    assert "recall@20" not in found


def test_interval_draws_users_with_all_their_values(protocol):
    """An interval is wider if the values belong to few users."""
    ours = np.random.default_rng(1).normal(1.0, 1.0, 40).repeat(10) ** 2
    theirs, pairs = np.full(400, 0.5), np.arange(400)

    apart = protocol.difference(ours, theirs, pairs)
    together = protocol.difference(ours, theirs, pairs // 10)
    root = protocol.difference(ours, theirs, pairs, of_mean=np.sqrt)

    def width(found):
        return found["interval"][1] - found["interval"][0]

    assert [apart["mean"], together["mean"]] == pytest.approx([ours.mean() - 0.5] * 2)
    assert width(together) > 2 * width(apart)
    assert root["mean"] == pytest.approx(np.sqrt(ours.mean()) - np.sqrt(0.5))
    assert apart["relative"] == pytest.approx(apart["mean"] / 0.5)

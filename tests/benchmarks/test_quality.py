"""The quality benchmark: pooling of cases, differences to the best other, tables."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
USERS, MOVIES = 30, 150


@pytest.fixture
def quality(monkeypatch):
    """Return the benchmark, which belongs to no package."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("quality")


@pytest.fixture
def cases(quality, tmp_path):
    """Return two cases whose users rate one movie more in the test part: the second to last."""
    rng = np.random.default_rng(0)
    movies = pd.DataFrame({"movieId": [str(m) for m in range(MOVIES)], "title": "", "genres": ""})
    found = []
    for seed in (42, 43):
        wanted = [str(m) for m in rng.integers(100, MOVIES, USERS)]
        table = {"userId": [str(u) for u in range(USERS)], "rating": 1.0 + np.arange(USERS) % 5}
        train = pd.DataFrame({**table, "movieId": "0"})
        test = pd.DataFrame({**table, "movieId": wanted})
        case = quality.Case(tmp_path / str(seed), "random", seed, train, test, movies)
        case.write()
        right = case.items.get_indexer(pd.Series(wanted, case.test["userId"])[case.users])
        lists = np.tile(np.arange(1, 101, dtype=np.int32), (USERS, 1))
        cost = {"tried": seed, "fit_seconds": 1.5, "settings": {"l2": seed}}
        lists[:, 4] = right
        case.keep("fifth", cost, lists=lists, stars=case.test["rating"].to_numpy() + 1)
        case.keep("worst", cost, lists=lists[:, ::-1] % 2)
        cost = {"seconds": 60.0, "processor_seconds": 90.0, "peak_bytes": 1e9}
        lists[:, 0], lists[:, 4] = right, 1
        case.keep("preset default", cost, lists=lists, stars=case.test["rating"].to_numpy() + 0.5)
        found.append(case)
    found[0].keep("of one case", {}, lists=lists)
    return found


def test_cases_are_pooled(quality, cases):
    """Metrics are means over all cases, and a recommender without some case is left out."""
    found = quality.compare_lists(cases)

    assert set(found["table"]) == {"fifth", "worst", "preset default"}
    assert found["table"]["preset default"]["ndcg@10"] == 1
    assert found["table"]["fifth"]["tried"] == 42.5
    assert found["table"]["fifth"]["settings"] == [{"l2": 42}, {"l2": 43}]


def test_differences_are_to_the_best_other(quality, cases):
    """A list metric wins above the best other, an error below it."""
    lists = quality.compare_lists(cases)["differences"]["preset default"]
    stars = quality.compare_stars(cases)["differences"]["preset default"]

    assert lists["ndcg@10"]["verdict"] == stars["rmse"]["verdict"] == "win"
    assert stars["rmse"]["best"] == "fifth"
    assert stars["rmse"]["mean"] == pytest.approx(-0.5)
    assert quality.verdict({"interval": [-0.1, 0.1]}) == {"verdict": "tie"}
    assert quality.verdict({"interval": [0.1, 0.2]}, error=True) == {"verdict": "loss"}


def test_tables_have_a_row_for_each_recommender(quality, cases, monkeypatch):
    """The tables of the documentation are written from a result, with and without churn."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    tables = importlib.import_module("comparison_tables")
    found = {
        "users": USERS,
        "movies": MOVIES,
        "ratings": 60,
        "cases": 2,
        "measured_users": 60,
        "lists": quality.compare_lists(cases),
        "stars": quality.compare_stars(cases),
    }
    result = {"data": "shop", "splits": {"random": found, "time": {**found, "churn": {"fifth": 0}}}}

    text = "\n".join([*tables.summary([result]), *tables.quality(result)])

    assert text.count("| **preset default** | 1.0000 |") == 2
    assert text.count("| shop, ") == text.count("| 90 | 1.0 |") == 2
    assert "**win**" in text

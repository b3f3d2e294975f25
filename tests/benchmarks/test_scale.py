"""Benchmark of runs of several sizes: stages, least time, and the tables of the page."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reco_batch.monitoring.prometheus import Figures, write_metrics

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KINDS = ("multiply", "add", "copy", "store", "parse", "insert")
SECOND = (1e9, 1e9, 1e9, 1e9, 1e6, 1e5)


def module(name, monkeypatch):
    """Load a module of the benchmarks, which belongs to no package."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_stages_are_read_from_the_metrics_file(monkeypatch, tmp_path):
    """All stages are read from the metrics file, in order and to the millisecond."""
    seconds = {"train retrieval": 7.512, "report": 0.304, "gate": 1.0}
    write_metrics(
        tmp_path / "reco.prom",
        Figures("reco", exit_code=0, ended=9.0, seconds=8.9, stages=seconds),
    )

    found = module("runs", monkeypatch).stages_of((tmp_path / "reco.prom").read_text())

    assert list(found.items()) == list(seconds.items())


def test_processors_share_sums_and_scoring(monkeypatch):
    """Two processors halve the time of sums and of scoring; gradients and files have one each."""
    scale, work = (module(name, monkeypatch) for name in ("scale", "work"))
    limit = work.Work(*SECOND)
    works = {
        "train retrieval": work.Work(multiply=4e9, add=1e9),
        "score user lists": work.Work(multiply=4e9, store=3e9),
        "publish": work.Work(insert=5e5),
    }

    least = scale.least(works, limit, cores=2)

    assert least == {"train retrieval": 4.5, "score user lists": 5.0, "publish": 5.0}


@pytest.fixture
def artifact(tmp_path):
    """Return the folder of an artifact with four users and two movies, as far as it is read."""
    lists, models = tmp_path / "lists", tmp_path / "models"
    lists.mkdir()
    models.mkdir()
    for name in ("user", "because", "ranked", "similar", "next"):
        (lists / f"{name}.parquet").write_bytes(bytes(1000))
    seen = pa.table({"movieIds": [[1, 2], [1], [2], []]})
    pq.write_table(seen, lists / "seen.parquet")
    pq.write_table(pa.table({"ratingCount": [2, 2]}), tmp_path / "movies.parquet")
    np.savez(
        models / "retrieval.npz",
        movies=np.zeros((2, 6)),
        popularity=np.zeros((2, 2)),
        similar=np.zeros((2, 3)),
        indptr=[0, 5, 6],
    )
    np.savez(models / "rating.npz", movies=np.zeros((2, 7)))
    retrieval = {"batch": 128, "steps": 3, "candidates": 2, "neighbour_history": 1}
    plan = {"retrieval": retrieval, "rating": {"epochs": 40}}
    tower = {"most_scores": 10**9, "most_candidates": 2}
    chosen = {"by_size": {"measured": plan, "published": plan}, "retrieval": {"tower.steps": 2}}
    models = {
        "retrieval": {"choosing_ratings": 1, "tower": tower, "neighbours": {"most_products": 99}},
        "rating": {"embedding_dim": 12},
    }
    manifest = {
        "data": {"users": 4, "movies": 2, "ratings": 4, "train": 2, "test": 1},
        "metrics": {"chosen": chosen},
        "parameters": {"models": models},
        "entries": 70,
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_work_is_computed_from_the_sizes(artifact, monkeypatch):
    """Histories count up to their budget, and a choice has the users that it draws."""
    found = module("work", monkeypatch).works(artifact)

    assert found["read and check the data"].parse == 4
    assert found["refit rating"].multiply == 40 * 2 * 2 * 4 * 12**2
    refit = found["refit retrieval"]
    assert refit.multiply == 3 * 3 * 2 * 128 * 2 * 8 + 2 * 6 * 4 * 8
    assert refit.add == 3  # one rating of each user who has any
    assert refit.copy == 3 * 7 * (4 + 2 * 2) * 8 * 4
    assert found["choose for this catalogue"].multiply == 3 * 2 * 2 * 128 * 2 * 8 + 2 * 6 * 8
    assert found["choose for this catalogue"].add == 2 * 0.5 * (1 + 0.25 + 0.25)
    assert found["score user lists"].add == 2 * 5 + 2 * 1
    assert found["score user lists"].store == 2000
    assert found["score next lists"].multiply == 2 * 2**2 * 8
    assert found["publish"].insert == 70


def test_one_user_in_a_hundred_rates_unrated_movies(monkeypatch, tmp_path):
    """The new ratings are newer than all others, and no pair is rated twice."""
    scale, file = module("scale", monkeypatch), tmp_path / "ratings.csv"
    users = np.repeat(np.arange(300), 20)
    movies = np.tile(np.arange(40), 150)
    before = pd.DataFrame({"userId": users, "movieId": movies, "rating": 3.0, "timestamp": 9})
    before.to_csv(file, index=False)

    scale.add_ratings(file)

    after = pd.read_csv(file)
    new = after[len(before) :]
    assert len(new) == 3 * scale.NEW_RATINGS
    assert new["userId"].nunique() == 3
    assert (new["timestamp"] > 9).all()
    assert not after.duplicated(["userId", "movieId"]).any()


@pytest.fixture
def run():
    """Return the results of a run."""
    figures = {"ndcg@10": 0.25, "rmse": 0.75}
    parts = ("retrieval", "popularity", "rating", "means")
    used = {"seconds": 1_930.0, "processor_seconds": 3_000.0, "peak_bytes": 6.5e9}
    return {
        "ratings": 32_000_000,
        "users": 200_000,
        "movies": 80_000,
        "machine": {"cores": 2, "processor": "one", "memory_gb": 25.2, "load_before": 0.1},
        **used,
        "refresh": {**used, "seconds": 100.0},
        "stages": {"train retrieval": 300.0, "report": 2.0},
        "least": {"train retrieval": 100.0},
        "limits": dict(zip(KINDS, SECOND, strict=True)),
        "artifact_bytes": 1e9,
        "store_bytes": 3e9,
        "metrics": dict.fromkeys(parts, figures),
    }


def test_page_lists_multiples_and_what_exceeds_the_bound(run, monkeypatch):
    """A stage has its seconds and their multiple of the least; the time is over its bound."""
    page = module("large_run_sections", monkeypatch).scale(json.loads(json.dumps({"runs": [run]})))

    assert "| train retrieval | 300.0 (3.0) |" in page
    assert "| report | 2.0 |" in page
    assert "| run: seconds | **1,930, over the bound** |" in page
    assert "| run: peak memory | 6.50 GB |" in page
    assert "| refresh: seconds | 100 |" in page
    assert "| 32,000,000 ratings | .2500 | .2500 | .7500 | .7500 |" in page
    assert "| keys of 1 kB inserted by raw RESP | 0.10 million |" in page

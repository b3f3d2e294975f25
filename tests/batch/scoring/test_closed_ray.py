"""Ray after the end of a run; apart from other tests, since these close the Ray of the process."""

import os

import numpy as np
import pytest

from planted_ratings import as_dataset, planted_movies, planted_ratings
from reco_batch.data.dataset import histories
from reco_batch.errors import NightFailed
from reco_batch.scoring.catalogue import ByProduct, Rows
from reco_batch.scoring.ray_engine import open_ray

USERS, MOVIES, WIDTH = 20, 90, 8

pytestmark = pytest.mark.slow


@pytest.fixture
def scored():
    """Return a function that scores all users with an engine."""
    before = {**os.environ}
    dataset = as_dataset(planted_ratings(users=USERS), planted_movies(movies=MOVIES))
    seen = histories(dataset.ratings, user_count=USERS)
    rows = Rows({"queries": np.ones((USERS, WIDTH), np.float32)}, seen)
    vectors = np.ones((MOVIES, WIDTH), np.float32)
    yield lambda engine: list(engine.score(ByProduct(vectors, 20), rows))
    os.environ.clear()  # in place, since Ray reads the environment of the process
    os.environ.update(before)


def test_after_the_run_no_thread_starts_ray_again(scored):
    """A stage that failed leaves threads behind, which may still ask for lists."""
    with open_ray(None, workers=1, shard_rows=USERS) as engine:
        import ray  # noqa: PLC0415  # not before its settings are made

    with pytest.raises(NightFailed, match="the run has ended"):
        scored(engine)
    with pytest.raises(ray.exceptions.RaySystemError):
        ray.put(1)


def test_a_process_may_open_one_cluster_after_another(scored):
    """Ray reads the secret once in a process, so the second cluster has that of the first."""
    for _ in range(2):
        with open_ray(None, workers=1, shard_rows=USERS) as engine:
            assert scored(engine)

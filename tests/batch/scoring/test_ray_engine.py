"""Ray engine: a real cluster with two workers on the loopback, one of which is killed."""

import os
import socket
import sys
from datetime import UTC, datetime

import numpy as np
import psutil
import pytest

import killing_catalogues
import reco_batch.scoring.engine as engine_module
from killing_catalogues import SHARD, KillingCatalogue
from planted_ratings import as_dataset, planted_movies, planted_ratings
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Histories, histories
from reco_batch.data.fingerprint import program
from reco_batch.errors import NightFailed, NotFinite
from reco_batch.scoring import ray_engine
from reco_batch.scoring.catalogue import ByProduct, Rows, by_product, by_stars, with_reasons
from reco_batch.scoring.engine import LocalEngine, open_engine
from reco_batch.scoring.explanations import Influence
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.popularity import Thresholds, movie_statistics, popular_lists
from reco_batch.scoring.ray_engine import open_ray
from reco_batch.scoring.sparse_term import Rated
from reco_batch.scoring.topk import tile_rows_of
from reco_batch.scoring.uncertainty import Bound, doubt_of
from reco_batch.settings.hyperparameters import EngineName
from reco_store import NotInstalled, UsageError
from reco_store.contract.families import NEXT, RANKED, SIMILAR
from reco_store.contract.keys import new_generation_id
from sparse_terms import drawn_sparse, drawn_vectors

MOVIES, WIDTH = 90, 8
USERS = 9 * SHARD + SHARD // 3


@pytest.fixture(scope="module")
def engine():
    """Open an engine with two workers and shards of one tile; no process is left afterwards."""
    before = {**os.environ}
    others = set(psutil.Process().children(recursive=True))
    with open_ray(None, workers=2, shard_rows=SHARD) as engine:
        import ray  # noqa: PLC0415  # not before its settings are made

        ray.cloudpickle.register_pickle_by_value(killing_catalogues)  # workers cannot import it
        yield engine
        its = set(psutil.Process().children(recursive=True)) - others
    os.environ.clear()
    os.environ.update(before)
    assert its
    _, alive = psutil.wait_procs(its, timeout=30)
    assert not alive


@pytest.fixture(scope="module")
def dataset():
    """Planted ratings of ten shards of users."""
    return as_dataset(planted_ratings(users=USERS), planted_movies(movies=MOVIES))


def normal(*shape, seed):
    """Return random weights."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def users_numbered(width=WIDTH):
    """Return vectors whose first number is the row."""
    vectors = normal(USERS, width, seed=1)
    vectors[:, 0] = np.arange(USERS)
    return vectors


def products():
    """Return a catalogue of random items."""
    return ByProduct(normal(MOVIES, WIDTH, seed=2), 20)


def numbered_rows(dataset):
    """Return the rows of a catalogue ranked by dot product."""
    seen = histories(dataset.ratings, user_count=USERS)
    return Rows({"queries": users_numbered()}, seen)


def artifact_of(engine, dataset, folder, *, watched=lambda catalogue: catalogue):
    """Write all lists of a run with an engine, without training."""
    generation = new_generation_id(datetime(2026, 11, 24, tzinfo=UTC), "7f3a")
    movies, users = dataset.movies, dataset.user_ids
    seen = histories(dataset.ratings, user_count=len(users))
    statistics = movie_statistics(dataset.ratings, movie_count=MOVIES)
    weights = LinearRating(
        3.5,
        normal(USERS, seed=4),
        normal(MOVIES, seed=5),
        normal(USERS, WIDTH, seed=6),
        normal(MOVIES, WIDTH, seed=7),
        (0.5, 5.0),
    )
    bound = Bound(doubt_of(statistics.rating_count), (0.5, 5.0))
    writer = ArtifactWriter(folder / generation, movies)
    rated = Rated(seen, np.ones(len(seen.movie_index), np.float32))
    shares = np.ones((len(users), 1), np.float32)
    influence = Influence(normal(MOVIES, WIDTH, seed=8), (WIDTH,), shares, rated)
    explained, rows = with_reasons(products(), numbered_rows(dataset), influence)
    writer.write_explained(users, engine.score(watched(explained), rows))
    writer.write_top_k(RANKED, users, engine.score(*by_stars(weights, seen, k=30, bound=bound)))
    own = histories(dataset.ratings, user_count=len(users)).block(0, MOVIES)
    alike = Rows({"queries": normal(MOVIES, WIDTH, seed=3)}, own)
    similar = engine.score(ByProduct(normal(MOVIES, WIDTH, seed=3), 20), alike)
    writer.write_top_k(SIMILAR, movies.ids, similar)
    writer.write_top_k(NEXT, (), ())
    writer.write_seen(users, seen)
    writer.write_popular(popular_lists(statistics, movies, thresholds=Thresholds(1, 2), n=9))
    writer.write_movies(movies, statistics)
    created = "2026-11-24T03:15:02+00:00"
    fixed = {"schema": 1, "generation": generation, "created": created, "ids": "integer"}
    facts = {"rating_scale": [0.5, 5.0], "parameters": {"because": True}, "gate": None}
    return writer.finish({**fixed, **facts})


def files_of(artifact):
    """Return the bytes of every list file."""
    return {path.name: path.read_bytes() for path in artifact.folder.glob("lists/*.parquet")}


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(engine, dataset, tmp_path, monkeypatch):
    """A shard whose worker is killed is scored again, and the artifact is the same."""
    assert tile_rows_of(MOVIES) == SHARD
    monkeypatch.setattr(engine_module, "BLOCK_ROWS", SHARD)  # as many in a row group of the file
    monkeypatch.setattr(engine_module, "_LOCAL_BLOCKS", 1)
    begun = tmp_path / "begun"
    begun.mkdir()
    local = artifact_of(LocalEngine(threads=2), dataset, tmp_path / "local")

    spread = artifact_of(
        engine,
        dataset,
        tmp_path / "ray",
        watched=lambda inner: KillingCatalogue(inner, begun, number=4),
    )

    assert spread.manifest["digest"] == local.manifest["digest"]
    assert spread.manifest["counts"] == local.manifest["counts"]
    assert files_of(spread) == files_of(local)
    attempts = [path.name.partition("-") for path in begun.glob("*-*")]
    assert sorted(int(shard) for shard, _, _ in attempts) == sorted([*range(10), 4])
    killed, again = (process for shard, _, process in attempts if shard == "4")
    assert killed != again


def test_sparse_terms_are_scored_by_workers(engine, monkeypatch):
    """Lists with a sparse term, and their explanations, equal those of the local engine."""
    monkeypatch.setattr(engine_module, "BLOCK_ROWS", SHARD)
    monkeypatch.setattr(engine_module, "_LOCAL_BLOCKS", 1)
    rng = np.random.default_rng(9)
    vectors = drawn_vectors(rng, users=USERS, movies=MOVIES, numbers=random_numbers)
    history = vectors.sparse.rated.history
    rated = Rated(history, np.ones(len(history.movie_index), np.float32))
    influence = Influence(vectors.movies, (3,), np.ones((USERS, 1), np.float32), rated)
    task = with_reasons(*by_product(vectors, history, k=20), influence)

    spread = list(engine.score(*task))

    for found, expected in zip(spread, LocalEngine(threads=2).score(*task), strict=True):
        np.testing.assert_array_equal(found.lists.items, expected.lists.items)
        np.testing.assert_array_equal(found.lists.scores, expected.lists.scores)
        np.testing.assert_array_equal(found.reasons, expected.reasons)


def random_numbers(rng, *shape):
    """Draw numbers whose sums are rounded."""
    return rng.normal(size=shape).astype(np.float32)


def test_a_shard_that_always_kills_its_worker_ends_the_night(
    engine, dataset, tmp_path, monkeypatch
):
    """A shard that always kills its worker ends the run after a few tries, with a next step."""
    monkeypatch.setattr(ray_engine, "_RETRIES", 1)
    catalogue = KillingCatalogue(
        ByProduct(normal(MOVIES, WIDTH, seed=2), 5), tmp_path, 0, always=True
    )

    with pytest.raises(NightFailed, match="--resume`, also with --engine local"):
        list(engine.score(catalogue, numbered_rows(dataset)))

    assert len(list(tmp_path.glob("0-*"))) == 2


def test_what_a_task_refuses_is_said_as_it_is(engine, dataset):
    """An error of a task is raised unchanged, not as an error of Ray."""
    catalogue = ByProduct(np.full((MOVIES, WIDTH), np.inf, np.float32), 5)

    with pytest.raises(NotFinite, match="diverged") as raised:
        list(engine.score(catalogue, numbered_rows(dataset)))

    assert type(raised.value) is NotFinite


def test_workers_of_another_version_are_refused(engine, dataset, monkeypatch):
    """Workers with another version are refused, because their lists may differ."""
    other = {**program(), "numpy": "0"}
    monkeypatch.setattr(ray_engine, "program", lambda: other)

    with pytest.raises(NightFailed, match=r"numpy was 0, is \d.*constraints.txt"):
        list(engine.score(products(), numbered_rows(dataset)))


def test_a_task_that_fits_on_no_machine_is_refused(engine, dataset, monkeypatch):
    """A task that fits on no machine is refused; Ray would wait forever."""
    monkeypatch.setattr(ray_engine, "_IDLE_WORKER_BYTES", 10**15)

    with pytest.raises(NightFailed, match=r"needs 1 CPU and 1,000,000,\d+ MB, the largest"):
        list(engine.score(products(), numbered_rows(dataset)))


def test_requested_memory_covers_all_copies(dataset):
    """The requested memory covers all copies of catalogue, shard and lists."""
    rows = Rows({"queries": np.zeros((10_000, 100), np.float32)}, seen_nothing(10_000))
    catalogue = ByProduct(np.zeros((50_000, 100), np.float32), 1000)

    needed = ray_engine._needed_bytes(catalogue, rows, 4096)

    least = 200_000_000 + 3 * (20_000_000 + 4096 * 400 + 4096 * 8000)
    assert least < needed < 1.01 * least
    nothing = Rated(seen_nothing(10_000), np.zeros(0, np.float32))
    rows = Rows(rows.vectors, rows.excluded, nothing)
    with_their_reasons = ray_engine._needed_bytes(catalogue, rows, 4096)
    assert with_their_reasons > needed + 3 * 4096 * 4000
    sparse = drawn_sparse(np.random.default_rng(1), users=10_000, movies=300)
    catalogue = ByProduct(catalogue.items, 1000, sparse.neighbours)
    rows = Rows(rows.vectors, rows.excluded, weighted=sparse.rated)
    more = 8 * sparse.neighbours.nnz + 8 * len(sparse.block(0, 4096).rated.weights)
    assert ray_engine._needed_bytes(catalogue, rows, 4096) > needed + 3 * more


def seen_nothing(users):
    """Return empty histories."""
    return Histories(np.zeros(users + 1, np.int64), np.empty(0, np.int32))


def test_local_ray_cluster_is_unreachable_from_other_machines(engine, dataset):
    """A cluster on this machine cannot be reached from others, since it runs any code."""
    list(engine.score(products(), numbered_rows(dataset)))

    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(
    "address", ["", "head", "ray://head:10001", "head:", ":6379", "head:ray", "head:65536"]
)
def test_what_cannot_be_an_address_is_refused(address):
    """An invalid address, or one of Ray Client, is refused."""
    with pytest.raises(UsageError, match="expected HOST:PORT"), open_ray(address, workers=1):
        pass


def test_a_cluster_that_does_not_answer_is_said_at_once():
    """A cluster that does not answer is reported at once; Ray would try for minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NightFailed, match=f"no Ray answers at {address}"):
            open_ray(address, workers=1).__enter__()


def test_without_the_extra_it_is_named(monkeypatch):
    """A missing extra is reported by name, before anything is read or trained."""
    monkeypatch.setitem(sys.modules, "ray", None)

    with (
        pytest.raises(NotInstalled, match=r"\[ray\]"),
        open_engine(EngineName.RAY, threads=1, ray_address=None),
    ):
        pass

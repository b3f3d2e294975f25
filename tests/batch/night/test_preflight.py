"""Preflight: forecasts compared with the files of a run, and refusals."""

import shutil
from collections import namedtuple
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from gated_nights import good_night
from planted_ratings import planted_ratings
from real_servers import running_server
from reco_batch.artifact.unfinished import RunFolders, open_night
from reco_batch.data.dataset import Movies
from reco_batch.errors import InputRefused, NightFailed
from reco_batch.files import size_of
from reco_batch.night.preflight import disk_bytes, forecast_manifest, preflight
from reco_batch.progress.reporter import QuietReporter
from reco_batch.settings.gate_thresholds import GateBounds
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.settings.run_config import RunConfig
from reco_store import Keys, StoreUnfit, connect
from reco_store.publishing.memory_forecast import TRANSIENT_BYTES, forecast_bytes, sizes_of

K, MOVIES, USERS = 20, 150, 200
DISK = namedtuple("DISK", "total used free")


@pytest.fixture(scope="module")
def night():
    """Computed run that is not yet written."""
    return good_night(planted_ratings(seed=3, users=USERS, movies=MOVIES, at_least=25))


def config_of(tmp_path, **more):
    """Make the configuration of a run."""
    return RunConfig(
        **{"data": "-", "threads": 1, "home": tmp_path, "k": K, "ranked_k": None, **more}
    )


def checked(config, night, url, *, copied_models=None, **data):
    """Run the preflight checks; return the messages."""
    messages = []
    reporter = QuietReporter()
    reporter.warn = reporter.report_finding = messages.append
    manifest = {name: night.manifest[name] for name in ("created", "ids")}
    manifest["data"] = {**night.manifest["data"], **data}
    with connect(url) as client:
        preflight(
            config,
            client,
            night.dataset,
            manifest=manifest,
            reporter=reporter,
            copied_models=copied_models,
        )
    return messages


@pytest.fixture
def url():
    """Server of the test's own."""
    with running_server() as address:
        yield address


def test_the_forecast_is_a_little_below_what_is_written(night, tmp_path):
    """A higher estimate could refuse a run that fits."""
    artifact = night.write(tmp_path)
    config = config_of(tmp_path, because=False)

    def memory(manifest):
        return forecast_bytes(
            sizes_of(manifest), prefix_bytes=27, allocator="jemalloc", keys_before=0
        )

    forecast, true = memory(forecast_manifest(config, night.dataset)), memory(artifact.manifest)
    on_disk = sum(path.stat().st_size for path in (artifact.folder / "lists").iterdir())
    notebook = PRESETS["notebook"]
    saved = notebook.retrieval.saved_bytes + notebook.rating.saved_bytes
    models = saved * (MOVIES + USERS)

    assert 0.6 * true < forecast < true
    assert disk_bytes(config_of(tmp_path, preset="notebook"), night.dataset) - models < on_disk


def test_lists_of_few_eligible_movies_are_forecast_short(night, tmp_path):
    """Otherwise the forecast would exceed what is written, and refuse a run that fits."""
    config = config_of(tmp_path, because=False)
    eligible = len(night.dataset.ratings) // USERS + 5
    needed = []
    with running_server("--maxmemory", "1mb") as url:
        for data in ({}, {"eligible": eligible}):
            with pytest.raises(StoreUnfit) as refused:
                checked(config, night, url, **data)
            needed.append(refused.value.needed_bytes)

    assert needed[1] < 0.9 * needed[0]
    assert disk_bytes(config, night.dataset, eligible=eligible) < disk_bytes(config, night.dataset)


def test_a_generation_that_will_not_fit_is_refused(night, tmp_path):
    """The error contains the needed and the free memory; a reason overrules it."""
    with running_server("--maxmemory", "2mb") as url:
        with pytest.raises(StoreUnfit) as refused:
            checked(config_of(tmp_path), night, url)
        (messages,) = checked(config_of(tmp_path, force="a test"), night, url)

    assert "the new generation will not fit into the store in addition to the live one" in messages
    assert refused.value.needed_bytes > refused.value.free_bytes
    assert "Raise maxmemory by " in str(refused.value)


def test_old_generations_make_room(night, tmp_path, make_source):
    """As in publishing, only the live generation must stay."""
    config = config_of(tmp_path)
    needed = forecast_bytes(
        sizes_of(forecast_manifest(config, night.dataset)),
        prefix_bytes=27,
        allocator="libc",
        keys_before=2000,
    )
    entries = [(f"user:{n}", bytes(1000)) for n in range(1000)]
    with running_server("--maxmemory", "12mb") as url, connect(url) as client:
        for _ in range(2):
            published(client, Keys("reco"), make_source(entries=entries))

        def leave(free):
            """Fill the server with other data; in pieces, as buffers count too."""
            number = 0
            while (info := client.info("memory"))["used_memory"] < info["maxmemory"] - free:
                client.set(f"other:{free}:{number}", bytes(20_000))
                number += 1

        leave(needed + TRANSIENT_BYTES - 500_000)
        assert checked(config, night, url) == []  # the older one will be given up
        leave(needed + TRANSIENT_BYTES - 1_600_000)
        with pytest.raises(StoreUnfit):
            checked(config, night, url)


def published(client, keys, source):
    """Publish a generation."""
    from reco_store import RunLock, publish  # noqa: PLC0415

    with RunLock(client, keys) as lock:
        assert publish(client, keys, source, lock=lock).outcome == "live"


def test_an_artifact_that_will_not_fit_is_refused(night, tmp_path, url, monkeypatch):
    """The space of unfinished runs counts as free, since it is reused or deleted."""
    config = config_of(tmp_path)
    needed = disk_bytes(config, night.dataset)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DISK(10**9, 0, needed - 1_000_000))

    with pytest.raises(NightFailed) as refused:
        checked(config, night, url)

    free, wanted = (needed - 1_000_000) // 10**6, -(-needed // 10**6)
    assert str(refused.value) == (
        f"{tmp_path} has {free} MB free, and this run will write about {wanted} MB there; nothing "
        "was trained. Make room or give another --home, then run again."
    )
    for namespace in ("other", "reco"):
        begun = tmp_path / "unfinished" / namespace / "20261124T031500Z-beef"
        begun.mkdir(parents=True)
        (begun / "checkpoint").write_bytes(bytes(900_000))
    for resume in (False, True):
        with pytest.raises(NightFailed, match=r"MB free \(0 MB of them left by unfinished runs\)"):
            checked(config_of(tmp_path, resume=resume), night, url)
    (begun / "more").write_bytes(bytes(200_000))
    for resume in (False, True):
        assert checked(config_of(tmp_path, resume=resume), night, url) == []


def test_a_refresh_needs_room_for_its_copies_and_frees_none(night, tmp_path, url, monkeypatch):
    """It saves no models, and an unfinished run stays resumable."""
    config, copied = config_of(tmp_path), 1_000
    needed = disk_bytes(config, night.dataset, copied_models=copied)
    assert needed < disk_bytes(config, night.dataset)
    begun = tmp_path / "unfinished" / "reco" / "20261124T031500Z-beef"
    begun.mkdir(parents=True)
    (begun / "checkpoint").write_bytes(bytes(900_000))

    monkeypatch.setattr(shutil, "disk_usage", lambda _: DISK(10**9, 0, needed))
    assert checked(config, night, url, copied_models=copied) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DISK(10**9, 0, needed - 1))
    with pytest.raises(NightFailed, match=r"MB free, and this run"):
        checked(config, night, url, copied_models=copied)


def test_a_disk_full_of_a_killed_run_stops_no_later_one(night, tmp_path, url, monkeypatch):
    """The next plain run deletes the remains before it writes, without manual work."""
    config = config_of(tmp_path)
    capacity = disk_bytes(config, night.dataset) + 1_000

    def usage(_):
        """Measure a disk that has room for one artifact."""
        return DISK(capacity, 0, max(capacity - size_of(tmp_path), 0))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    place = RunFolders(config.artifacts, config.unfinished / config.namespace)

    def begin(name):
        return open_night(place, name, datetime.now(UTC), {}, resume=False, show=print)

    with suppress(KeyboardInterrupt), begin("20261124T031500Z-beef") as killed:
        killed.artifact_folder.mkdir(parents=True)
        (killed.artifact_folder / "lists").write_bytes(bytes(capacity))
        raise KeyboardInterrupt
    assert usage(tmp_path).free == 0

    assert checked(config, night, url) == []
    with begin("20261125T031500Z-beef"):
        assert usage(tmp_path).free > disk_bytes(config, night.dataset)


def test_input_that_the_gate_would_refuse(night, tmp_path, url, make_source):
    """The check and the message are those of the gate."""
    source = make_source()
    source.manifest["data"] = {**night.manifest["data"], "users": 300}
    with connect(url) as client:
        published(client, Keys("reco"), source)

    with pytest.raises(InputRefused) as refused:
        checked(config_of(tmp_path), night, url)

    reason = "input.users 200 (at least 270; live 300)"
    assert refused.value.args[0] == refused.value.reason == reason
    assert str(refused.value).startswith(f"the gate refused the input: {reason}. Nothing was ")
    assert refused.value.exit_code == 6
    assert refused.value.report["baseline"] == source.generation
    assert {"input.users", "input.days_behind"} <= refused.value.report["checks"].keys()
    assert checked(config_of(tmp_path, force="a test"), night, url) == [
        f"forced: a test ({reason})"
    ]
    assert checked(config_of(tmp_path), night, url, users=270) == []


def test_a_live_generation_that_lost_keys_is_no_baseline(night, tmp_path, url, make_source):
    """As for the gate: lost keys do not refuse the run that repairs the store."""
    source = make_source()
    source.manifest["data"] = {**night.manifest["data"], "users": 300}
    keys = Keys("reco")
    with connect(url) as client:
        published(client, keys, source)
        prefix = keys.data_prefix(source.generation)
        client.delete(*(prefix + suffix for suffix, _ in source.pairs[::2]))

    assert checked(config_of(tmp_path), night, url) == []
    with pytest.raises(InputRefused) as refused:
        checked(config_of(tmp_path, bounds=GateBounds(rating_age_days=1)), night, url)
    assert refused.value.report["baseline"] == "no baseline"
    (warning,) = refused.value.report["warnings"]
    assert warning.startswith("live.data 0.")


def test_a_catalogue_of_one_movie_can_be_forecast(tmp_path):
    """No user has a movie left to recommend."""
    movies = Movies(("1",), ("Only",), ((),), (None,))
    ratings = {"ratings": np.zeros(1), "seen_count": 1}
    dataset = SimpleNamespace(movies=movies, user_ids=("1",), has_stars=True, **ratings)

    assert forecast_manifest(config_of(tmp_path), dataset)["entries"] > 0

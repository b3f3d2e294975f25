"""Preflight checks: the input, the store's memory and the disk, before hours of training.

The same is checked again before publishing. Sizes are low estimates here, so that a run that fits
is not refused.

Shapes: U users, I movies, N ratings.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from reco_batch.artifact.check import REFUSED
from reco_batch.artifact.manifests import Manifests
from reco_batch.artifact.unfinished import RunFolders, reusable_bytes
from reco_batch.data.dataset import Dataset
from reco_batch.errors import InputRefused, NightFailed
from reco_batch.gate.input_checks import check_input
from reco_batch.gate.judge import verdict_of, with_baseline
from reco_batch.progress.reporter import Reporter
from reco_batch.settings.run_config import RunConfig
from reco_store import GateInput, Keys, StoreUnfit, store_errors
from reco_store.connection.client import Client
from reco_store.contract.digest import SIZE_BUCKET_BYTES
from reco_store.contract.families import BECAUSE, LISTS, MOVIE, SEEN, TITLE, Family
from reco_store.contract.keys import family_suffix
from reco_store.publishing.capacity import require_room

#: Bytes per score in a list as JSON, with its comma.
_SCORE_BYTES: Final = 6
#: Bytes per movie card, without title and genres.
_CARD_BYTES: Final = 40
#: Bytes per list entry on disk, compressed: id and score.
_PLACE_BYTES_ON_DISK: Final = 3
#: Factor on list sizes: popular movies often have short ids, so lists are smaller than average
#: ids suggest.
_PRUDENCE: Final = 0.9
_MEGABYTE: Final = 1_000_000


def preflight(
    config: RunConfig,
    client: Client,
    dataset: Dataset,
    *,
    manifest: Mapping[str, Any],
    reporter: Reporter,
    copied_models: int | None = None,
) -> None:
    """Refuse, before training, input whose generation could not be published.

    Args:
        config: configuration of the run; with `force`, refusals become warnings.
        client: connection to the store.
        dataset: input.
        manifest: fields of the manifest that depend on the input: `created`, `ids`, `data`.
        reporter: shows warnings.
        copied_models: bytes of the models that a refresh copies; None for a run, which saves new
            ones, and deletes or reuses the files of unfinished runs.

    Raises:
        InputRefused: the gate would refuse the input.
        StoreUnfit: the generation would not fit into the store.
        NightFailed: the artifact would not fit on the disk.
        ContractMismatch, StoreUnreachable: the registry is damaged, or the store is unreachable.
    """
    _judge_input(config, client, manifest, reporter)
    eligible = manifest["data"].get("eligible")
    try:
        with store_errors(client):
            forecast = forecast_manifest(config, dataset, eligible=eligible)
            require_room(client, Keys(config.namespace), forecast)
        _require_disk(config, dataset, eligible=eligible, copied_models=copied_models)
    except (StoreUnfit, NightFailed) as error:
        if config.force is None:
            raise
        reporter.warn(f"forced: {error}")


def _judge_input(
    config: RunConfig, client: Client, manifest: Mapping[str, Any], reporter: Reporter
) -> None:
    # Nothing is staged yet, so the name is empty; only the live generation is read.
    given = GateInput.read_from(client, Keys(config.namespace), "", manifest)
    given, found = with_baseline(given)
    checks = [*found, *check_input(Manifests(manifest, given.live_manifest), config.bounds)]
    verdict = verdict_of(checks, live=given.live, force=config.force)
    if not verdict.passed:
        raise InputRefused(verdict.reason, dict(verdict.report))
    if any(check.verdict == REFUSED for check in checks):
        reporter.report_finding(verdict.reason)


def forecast_manifest(
    config: RunConfig, dataset: Dataset, *, eligible: int | None = None
) -> dict[str, Any]:
    """Return a low estimate of the sizes in the manifest of the generation.

    Keys of the title search are not included: they are a few per cent of the bytes.

    Args:
        config: configuration of the run.
        dataset: input.
        eligible: number of movies that lists may show; None: all.
    """
    movies = dataset.movies.catalogue
    quotes = 0 if movies.numeric_ids else 2
    each = 1 + quotes + float(np.mean([len(i) for i in movies.ids]))  # of an id and its comma
    users, ids = dataset.user_ids, movies.ids
    suffixes: Counter[int] = Counter()
    values: Counter[int] = Counter()

    def add(family: Family, names: tuple[str, ...], size: float) -> None:
        suffixes.update(len(family_suffix(family, name)) for name in names)
        size *= _PRUDENCE
        values[int(size) // SIZE_BUCKET_BYTES * SIZE_BUCKET_BYTES] += len(names)

    for family, subjects, length in _limited(config, dataset, eligible):
        add(family, subjects, round(length) * (each + _SCORE_BYTES))
    if config.because:
        add(BECAUSE, users, round(_lengths(config, dataset, eligible)[0]) * each)
    add(SEEN, users, dataset.seen_count / len(users) * each)
    titles = sum(len(title) for title in movies.titles) / len(ids)
    add(MOVIE, ids, _CARD_BYTES + titles)
    add(TITLE, movies.titles, each)
    size = sum(size * count for size, count in values.items())
    return {
        "generation": "00000000T000000Z-0000",  # as long as any
        "entries": sum(values.values()),
        "bytes": size,
        "suffix_sizes": dict(suffixes),
        "value_sizes": dict(values),
    }


def _limited(
    config: RunConfig, dataset: Dataset, eligible: int | None
) -> Iterator[tuple[Family, tuple[str, ...], float]]:
    """Yield each family whose length is limited, with its subjects and its lists' mean length."""
    k, ranked = _lengths(config, dataset, eligible)
    subjects = {"user": dataset.user_ids, "movie": dataset.movies.catalogue.ids}
    for family in LISTS:
        if family.length and (dataset.has_stars or not family.needs_stars):
            yield family, subjects[family.per], k if family.length == "k" else ranked


def _lengths(config: RunConfig, dataset: Dataset, eligible: int | None) -> tuple[float, float]:
    """Return estimates of the mean lengths of user lists and of ranked lists.

    They are too low where histories contain movies that are not eligible, or that may return.
    """
    movies = dataset.movies.listed if eligible is None else eligible
    left = movies - dataset.seen_count / len(dataset.user_ids)
    longest = min(
        length for length in (config.ranked_k, config.ranked_candidates, movies) if length
    )
    return min(config.k, max(left, 0)), min(longest, max(left, 0))


def disk_bytes(
    config: RunConfig,
    dataset: Dataset,
    *,
    eligible: int | None = None,
    copied_models: int | None = None,
) -> int:
    """Return a low estimate of the bytes that a run writes below its home.

    Args:
        config: configuration of the run.
        dataset: input.
        eligible: number of movies that lists may show; None: all.
        copied_models: bytes of the models that a refresh copies; None if the models are saved.
    """
    users, movies = len(dataset.user_ids), len(dataset.movies)
    places = sum(
        len(subjects) * length for _, subjects, length in _limited(config, dataset, eligible)
    )
    models = config.parameters
    each = models.retrieval.saved_bytes + (models.rating.saved_bytes if dataset.has_stars else 0)
    saved = (users + movies) * each if copied_models is None else copied_models
    return int(places * _PLACE_BYTES_ON_DISK) + saved


def _require_disk(
    config: RunConfig, dataset: Dataset, *, eligible: int | None, copied_models: int | None
) -> None:
    """Check that the artifact fits on the disk, with the space that unfinished runs will free.

    A refresh frees none: it leaves an unfinished run alone.

    Raises:
        NightFailed: there is not enough space.
    """
    needed = disk_bytes(config, dataset, eligible=eligible, copied_models=copied_models)
    place = RunFolders(config.artifacts, config.unfinished / config.namespace)
    reusable = reusable_bytes(place, resume=config.resume) if copied_models is None else 0
    free = shutil.disk_usage(existing(config.artifacts)).free + reusable
    if free < needed:
        counted = f" ({reusable // _MEGABYTE:,} MB of them left by unfinished runs)"
        raise NightFailed(
            f"{config.home} has {free // _MEGABYTE:,} MB free{counted if reusable else ''}, and "
            f"this run will write about {-(-needed // _MEGABYTE):,} MB there; nothing was trained. "
            "Make room or give another --home, then run again."
        )


def existing(path: Path) -> Path:
    """Return the path, or its nearest existing parent folder."""
    return path if path.exists() else existing(path.parent)

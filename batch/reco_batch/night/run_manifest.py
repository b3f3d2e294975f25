"""Manifest of a run: the parameters, the input, the metrics and the course of the run."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.unfinished import UnfinishedNight
from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.data.fingerprint import versions
from reco_batch.data.split import Split
from reco_batch.progress.reporter import Reporter
from reco_batch.rules.compiled import CompiledRules
from reco_batch.scoring.popularity import thresholds_of
from reco_batch.settings.input_keys import Counting
from reco_batch.settings.run_config import RunConfig
from reco_store.contract.keys import BY_MOST_RATED
from reco_store.contract.words import DEFAULT_WORDS, WORDS, Words

SCHEMA_VERSION: Final = 1
#: Options without effect on the published lists; the gate records its own.
_NO_EFFECT: Final = {
    "home",
    "data",
    "input",
    "encoding",
    "max_unknown_ratings",
    "max_bad_rows",
    "threads",
    "trainings",
    "engine",
    "ray_address",
    "replicas",
    "resume",
    "checkpoint_seconds",
    "bounds",
    "force",
    "rules",
}


def manifest_of(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    night: UnfinishedNight,
    reporter: Reporter,
    *,
    rules: CompiledRules,
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest, without the fields that the artifact writer adds."""
    thresholds = thresholds_of(dataset, config.count_threshold, config.rating_threshold)
    return {
        "schema": SCHEMA_VERSION,
        "generation": night.generation,
        "created": iso(night.started),
        "rating_scale": list(config.rating_scale) if dataset.has_stars else None,
        **_stand_in(config, dataset),
        **_words(dataset.words),
        "genres": sorted({name for own in dataset.movies.catalogue.genres for name in own}),
        **input_of(dataset, split, rules.eligible),
        "parameters": parameters_of(config) | {"rating_threshold": thresholds.rating_mean},
        "metrics": metrics,
        "began": dict(reporter.began),
        "seconds": dict(reporter.seconds),
        "losses": {name: _short(kept) for name, kept in reporter.losses.items()},
        "versions": versions(),
        "gate": None,
    }


def _stand_in(config: RunConfig, dataset: Dataset) -> dict[str, str]:
    """Return the kind of popular lists for fallbacks, unless it is the default of the contract."""
    if config.stand_in == BY_MOST_RATED or dataset.ratings.timestamp is None:
        return {}
    return {"stand_in": config.stand_in}


def _words(words: Words) -> dict[str, dict[str, str]]:
    """Return the words of the catalogue, unless they are the default of the contract."""
    return {} if words == DEFAULT_WORDS else {WORDS: words._asdict()}


def parameters_of(config: RunConfig) -> dict[str, Any]:
    """Return the options and hyper-parameters that affect the published lists."""
    options = config.model_dump(mode="json", exclude=_NO_EFFECT)
    return options | {
        "refit": config.refits,
        "rank_by": config.orders_by,
        "models": config.parameters.to_dict(),
        **({"rules": rules} if (rules := config.rules.to_json()) else {}),
        **({} if (counting := config.input.counting) is None else {"events": _events(counting)}),
    }


def _events(counting: Counting) -> dict[str, Any]:
    """Return how events became interactions, as JSON values."""
    most = counting.most if math.isfinite(counting.most) else None
    return {**counting._asdict(), "most": most}


def input_of(
    dataset: Dataset, split: Split, eligible: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Return the fields that depend on the input alone, and on the rules on eligible movies."""
    kind = "integer" if dataset.movies.catalogue.numeric_ids else "string"
    return {"ids": kind, "data": _data(dataset, split, eligible)}


def findings_of(dataset: Dataset, split: Split) -> tuple[str, ...]:
    """Return a sentence for each peculiarity of the input."""
    few, words = split.users_only_in_training, dataset.words
    return (
        *dataset.findings.describe(),
        *([words.adapt(f"{few:,} users have too few ratings to hold any out")] if few else []),
        *([words.adapt(_cold_finding(dataset.ratings, split))] if len(split.cold) else []),
        *([words.adapt(_left_out_finding(split))] if len(split.left_out) else []),
    )


def _cold_finding(ratings: Ratings, split: Split) -> str:
    return (
        f"{len(split.cold):,} of the latest ratings are of {_user_count(ratings, split.cold):,} "
        "users without earlier ones, and are left out of the test part"
    )


def _left_out_finding(split: Split) -> str:
    return (
        f"{len(split.left_out):,} interactions have an event after the test part began, so the "
        "measured models leave them out"
    )


def iso(time: datetime) -> str:
    """Return a time as text, to the second."""
    return time.isoformat(timespec="seconds")


def _data(dataset: Dataset, split: Split, eligible: NDArray[np.bool_] | None) -> dict[str, Any]:
    return {
        **dataset.source,
        "users": len(dataset.user_ids),
        "movies": dataset.movies.listed,
        **({} if eligible is None else {"eligible": int(eligible.sum())}),
        "ratings": len(dataset.ratings),
        **_seen(dataset),
        "unlisted": {
            "movies": dataset.movies.unlisted,
            "ratings": int((dataset.ratings.movie_index >= dataset.movies.listed).sum()),
        },
        "newest_rating": _newest(dataset.ratings),
        **({} if split.moment is None else {"held_out_after": split.moment}),
        "train": len(split.train) + len(split.newcomers),
        "validation": len(split.validation),
        "test": len(split.test),
        "test_users": _user_count(dataset.ratings, split.test),
        "cold": len(split.cold),
        "cold_users": _user_count(dataset.ratings, split.cold),
        "findings": list(findings_of(dataset, split)),
    }


def _seen(dataset: Dataset) -> dict[str, int]:
    """Return the number of interactions in the histories, if it is not that of all."""
    if dataset.events is None or (is_seen := dataset.events.is_seen).all():
        return {}
    is_listed = dataset.ratings.movie_index < dataset.movies.listed
    return {"seen": int((is_seen & is_listed).sum())}


def _user_count(ratings: Ratings, rows: NDArray[np.int64]) -> int:
    return int(np.unique(ratings.user_index[rows]).size)


def _newest(ratings: Ratings) -> int | None:
    """Return the time of the newest rating, in seconds since 1970; None without timestamps."""
    return None if ratings.timestamp is None else int(ratings.timestamp.max())


def _short(losses: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return finite losses with five digits: the manifest is published too."""
    return [(epoch, float(f"{loss:.5g}")) for epoch, loss in losses if math.isfinite(loss)]

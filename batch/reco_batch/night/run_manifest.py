"""Manifest of a run: the parameters, the input, the metrics and the course of the run."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.stored_models import STORED_MODELS
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
from reco_store.contract.words import DEFAULT_WORDS, WORDS, Words, counted

SCHEMA_VERSION: Final = 1
#: Field of the manifest: digest of all that lists depend on besides models and histories.
LISTS_FROM: Final = "lists_from"
#: Parameter: the rating threshold that was given; absent if it followed from the ratings.
GIVEN_THRESHOLD: Final = "given_rating_threshold"
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
    stored_models: Mapping[str, str],
) -> dict[str, Any]:
    """Return the manifest, without the fields that the artifact writer adds."""
    return {
        "schema": SCHEMA_VERSION,
        "generation": night.generation,
        "created": iso(night.started),
        **catalogue_fields(config, dataset),
        **input_of(dataset, split, rules.eligible),
        "parameters": parameters_of(config) | threshold_of(config, dataset),
        "metrics": metrics,
        STORED_MODELS: dict(stored_models),
        LISTS_FROM: lists_fingerprint(config, dataset, rules),
        "began": dict(reporter.began),
        "seconds": dict(reporter.seconds),
        "losses": {name: _short(kept) for name, kept in reporter.losses.items()},
        "versions": versions(),
        "gate": None,
    }


def catalogue_fields(config: RunConfig, dataset: Dataset) -> dict[str, Any]:
    """Return the fields by which readers interpret the values."""
    return {
        "rating_scale": list(config.rating_scale) if dataset.has_stars else None,
        **_stand_in(config, dataset),
        **_words(dataset.words),
        "genres": sorted({name for own in dataset.movies.catalogue.genres for name in own}),
    }


def threshold_of(config: RunConfig, dataset: Dataset) -> dict[str, float]:
    """Return the least mean rating of the most-rated list, as parameters: in effect, and given."""
    given = config.rating_threshold
    thresholds = thresholds_of(dataset, config.count_threshold, given)
    return {
        "rating_threshold": thresholds.rating_mean,
        **({} if given is None else {GIVEN_THRESHOLD: given}),
    }


def lists_fingerprint(config: RunConfig, dataset: Dataset, rules: CompiledRules) -> str:
    """Return a digest of all that lists depend on besides models and histories.

    That is the catalogue, the rules as they apply to it, the lengths and orders of the lists, the
    rating scale, and the kinds of events after which lists leave out a movie.
    """
    digest = hashlib.sha256()
    options: list[Any] = [config.k, config.ranked_k, config.ranked_candidates, config.orders_by]
    options += [config.because, config.rules.seen, config.rating_scale]
    options += [] if dataset.events is None else [dataset.events.seen]
    digest.update(json.dumps(options).encode())
    digest.update(json.dumps(dataset.movies.catalogue.ids).encode())
    own = rules.user
    new = (None, None) if own.new is None else (own.new.movie_index, own.new.share)
    caps = [part for cap in own.caps for part in (cap.values, cap.at_most, cap.first)]
    for part in (own.eligible, own.boost, *new, *caps, own.diversity, own.repeats):
        array = np.asarray(np.nan if part is None else part)
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


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
    """Return a note for each peculiarity of the input."""
    few, words = split.users_only_in_training, dataset.words
    return (
        *dataset.findings.describe(),
        *([_few_finding(few, words)] if few else []),
        *([_cold_finding(dataset, split)] if len(split.cold) else []),
        *([_left_out_finding(split)] if len(split.left_out) else []),
    )


def _few_finding(few: int, words: Words) -> str:
    return f"{counted(few, 'user')} with too few {words.interactions} to hold any out"


def _cold_finding(dataset: Dataset, split: Split) -> str:
    users = counted(_user_count(dataset.ratings, split.cold), "user")
    return (
        f"{dataset.words.count_interactions(len(split.cold))} of {users} without earlier "
        f"{dataset.words.interactions}, left out of the test part"
    )


def _left_out_finding(split: Split) -> str:
    return (
        f"{counted(len(split.left_out), 'interaction')} with an event after the test part began, "
        "left out by the measured models"
    )


def iso(time: datetime) -> str:
    """Return a time as text, to the second."""
    return time.isoformat(timespec="seconds")


def _data(dataset: Dataset, split: Split, eligible: NDArray[np.bool_] | None) -> dict[str, Any]:
    return {
        **sizes_of(dataset, eligible),
        **({} if split.moment is None else {"held_out_after": split.moment}),
        "train": len(split.train) + len(split.newcomers),
        "validation": len(split.validation),
        "test": len(split.test),
        "test_users": _user_count(dataset.ratings, split.test),
        "cold": len(split.cold),
        "cold_users": _user_count(dataset.ratings, split.cold),
        "findings": list(findings_of(dataset, split)),
    }


def sizes_of(dataset: Dataset, eligible: NDArray[np.bool_] | None) -> dict[str, Any]:
    """Return the origin and the sizes of the input, as fields of `data`.

    Args:
        dataset: input.
        eligible: movies that lists may show; None: all.
    """
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

"""Churn and other changes of a staged generation, on a bounded sample of the live one's keys.

Live values are read through the gate's input. A live value that cannot be decoded counts as
missing: a damaged live generation is no reason to refuse its successor.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.check import NO_BASELINE, Check, at_least, at_most
from reco_batch.artifact.folder import Artifact
from reco_batch.evaluation.list_statistics import SAMPLE_LISTS, Measured
from reco_batch.metrics.rank_overlap import TOP, overlap, padded
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import GateInput
from reco_store.contract.codec import decode_head, decode_ids, decode_movie
from reco_store.contract.families import RANKED, SEEN, SIMILAR, USER, Family
from reco_store.contract.keys import family_suffix, movie_suffix
from reco_store.errors import ContractMismatch

#: Bytes read of one family's live values: a list of a whole large catalogue takes a megabyte.
_BYTES_TO_READ: Final = 50_000_000
_BYTES_PER_MOVIE: Final = 13
_FEWEST_LISTS: Final = 50
#: Keys sampled from the whole live generation to estimate the share that the store lost.
_SAMPLE_KEYS: Final = 500
_CHURN_FAMILIES: Final = (USER, RANKED, SIMILAR)


class Comparison(NamedTuple):
    """Means over the sampled keys that both generations have; None without such keys."""

    churn: Mapping[str, float | None]
    """Family -> share of the live top-10 that is not in the staged top-10."""
    known_users: float | None
    """Share of the staged users that the live generation has."""
    known_history: float | None
    """Share of the ten newest movies of a live history that are in the staged history."""
    known_titles: float | None
    """Share of movies whose title has not changed."""


def lost_share(given: GateInput, live: str) -> float:
    """Return the share of a sample of the live generation's keys that the store lost.

    Args:
        given: access to the live values.
        live: the live generation.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    suffixes = given.sample(live, _SAMPLE_KEYS)
    missing = sum(value is None for _, value in given.read(live, suffixes))
    return missing / len(suffixes)


def compare(given: GateInput, live: str, artifact: Artifact, measured: Measured) -> Comparison:
    """Compare a staged generation with the live one.

    Args:
        given: access to the live values.
        live: the live generation.
        artifact: the staged generation.
        measured: its list statistics, with samples of its lists.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    index_of = measured.index_of

    def live_lists(family: Family, decode: Callable[[bytes], Sequence[str]]) -> _Pairs:
        figures = measured.families[family.name]
        size = max(1, figures.entries * _BYTES_PER_MOVIE // max(1, figures.lists))
        wanted = max(_FEWEST_LISTS, _BYTES_TO_READ // size)
        sampled = dict(list(figures.sampled.items())[:: -(-len(figures.sampled) // wanted) or 1])
        values = given.read(live, (family_suffix(family, name) for name in sampled))
        return [
            (None if value is None else _decoded(value, decode), staged)
            for (_, value), staged in zip(values, sampled.values(), strict=True)
        ]

    histories = live_lists(SEEN, lambda value: decode_ids(value)[:TOP])
    return Comparison(
        churn={
            family.name: _churn(live_lists(family, _top), index_of) for family in _CHURN_FAMILIES
        },
        known_users=_mean([float(history is not None) for history, _ in histories]),
        known_history=_mean(list(_kept_histories(histories, index_of))),
        known_titles=_known_titles(given, live, artifact),
    )


def check_churn(comparison: Comparison | None, bounds: GateBounds) -> Iterator[Check]:
    """Yield the checks of the changes against the live generation.

    Args:
        comparison: of both generations; None without a live one.
        bounds: thresholds.
    """
    limits = {
        USER.name: bounds.churn,
        RANKED.name: bounds.ranked_churn,
        SIMILAR.name: bounds.similar_churn,
    }
    kept = {
        "known.users": bounds.known_users,
        "known.history": bounds.known_history,
        "known.titles": bounds.known_titles,
    }
    if comparison is None:
        for name in (*(f"churn.{family}" for family in limits), *kept):
            yield Check(name, None, "", None, NO_BASELINE)
        return
    for family, most in limits.items():
        yield at_most(
            f"churn.{family}", comparison.churn[family], most, lacking="no list in both generations"
        )
    shares = (comparison.known_users, comparison.known_history, comparison.known_titles)
    for (name, least), share in zip(kept.items(), shares, strict=True):
        yield at_least(name, share, least, lacking="nothing in both generations")


_Pairs = list[tuple[Sequence[str] | None, NDArray[np.int32]]]
"""Live and staged list of each sampled key; None if there is no live list."""


def _churn(pairs: _Pairs, index_of: Mapping[str, int]) -> float | None:
    """Return the mean churn of the keys that both generations have."""
    both = [(live, staged) for live, staged in pairs if live is not None]
    if not both:
        return None
    earlier = padded([_indices(live, index_of) for live, _ in both], TOP)
    later = padded([staged for _, staged in both], TOP)
    kept = _mean(overlap(earlier, later).tolist())
    return None if kept is None else 1 - kept


def _indices(movies: Sequence[str], index_of: Mapping[str, int]) -> list[int]:
    """Return the index of each movie; one beyond the catalogue for a movie that has left it."""
    gone = len(index_of)
    return [index_of.get(movie, gone + position) for position, movie in enumerate(movies)]


def _kept_histories(pairs: _Pairs, index_of: Mapping[str, int]) -> Iterator[float]:
    """Yield for each known user the share of the live history that the staged one contains.

    Movies that have left the catalogue are in no history, so they do not count. The staged history
    is not cut: it may have grown by any number of movies.
    """
    for live, staged in pairs:
        known = {index_of[movie] for movie in live or () if movie in index_of}
        if known:
            yield len(known.intersection(staged.tolist())) / len(known)


def _decoded(value: bytes, decode: Callable[[bytes], Sequence[str]]) -> Sequence[str] | None:
    try:
        return decode(value)
    except ContractMismatch:
        return None


def _top(value: bytes) -> Sequence[str]:
    return decode_head(value, TOP)[0]


def _known_titles(given: GateInput, live: str, artifact: Artifact) -> float | None:
    """Return the share of movies of both generations whose title has not changed."""
    catalogue = artifact.titles()
    step = max(1, len(catalogue) // SAMPLE_LISTS)
    sampled = dict(list(catalogue.items())[::step])
    same = []
    values = given.read(live, (movie_suffix(movie_id) for movie_id in sampled))
    for (_, value), title in zip(values, sampled.values(), strict=True):
        titles = None if value is None else _decoded(value, lambda v: (decode_movie(v).title,))
        if titles is not None:
            same.append(float(titles[0] == title))
    return _mean(same)


def _mean(shares: Sequence[float]) -> float | None:
    """Return the mean of the values that are numbers; None without any."""
    present = [share for share in shares if not np.isnan(share)]
    return float(np.mean(present)) if present else None

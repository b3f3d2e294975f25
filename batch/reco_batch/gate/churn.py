"""How much tonight's lists differ from those that are served: a bounded sample of both.

Reads the live generation through the gate's input. A live value that cannot be read counts as
one that is not there: damage in what is served is no reason to keep serving it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact
from reco_batch.evaluation.list_statistics import SAMPLE_LISTS, Measured
from reco_batch.evaluation.top10_diversity import HEAD
from reco_store import GateInput
from reco_store.contract.codec import decode_head, decode_ids, decode_movie
from reco_store.contract.families import RANKED, SEEN, SIMILAR, USER, Family
from reco_store.contract.keys import family_suffix, movie_suffix
from reco_store.errors import ContractMismatch

#: Of one family's live values: a list of a whole large catalogue takes a megabyte.
_BYTES_TO_READ: Final = 50_000_000
_BYTES_A_MOVIE: Final = 13
_FEWEST_LISTS: Final = 50
#: Keys sampled from the whole live generation to estimate the share that the store lost.
_SAMPLE_KEYS: Final = 500


class Comparison(NamedTuple):
    """Means over the sampled keys that both nights have; None where there is none."""

    churn: Mapping[str, float | None]  # family -> share of the first ten that is new
    known_users: float | None  # share of tonight's users whom the live night has
    known_history: float | None  # share of the live night's newest ten that are seen still
    known_titles: float | None


def lost_share(given: GateInput, live: str) -> float:
    """Return the share of a sample of the live generation's keys that the store lost.

    Args:
        given: the way to the live values.
        live: the live generation.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    suffixes = given.sample(live, _SAMPLE_KEYS)
    missing = sum(value is None for _, value in given.read(live, suffixes))
    return missing / len(suffixes)


def compare(given: GateInput, live: str, artifact: Artifact, measured: Measured) -> Comparison:
    """Compare samples with the live generation.

    Args:
        given: the way to the live values.
        live: the live generation.
        artifact: tonight's.
        measured: tonight's figures with their samples.

    Returns:
        What has changed.

    Raises:
        StoreUnreachable: the store does not answer.
    """

    def overlaps(family: Family, decode: Callable[[bytes], Sequence[str]]) -> list[float | None]:
        figures = measured.families[family.name]
        size = max(1, figures.entries * _BYTES_A_MOVIE // max(1, figures.lists))
        wanted = max(_FEWEST_LISTS, _BYTES_TO_READ // size)
        sampled = dict(list(figures.sampled.items())[:: -(-len(figures.sampled) // wanted) or 1])
        return list(
            _overlaps(given, live, family, sampled, decode=decode, index_of=measured.index_of)
        )

    heads = {family.name: overlaps(family, _head) for family in (USER, RANKED, SIMILAR)}
    history = overlaps(SEEN, lambda value: decode_ids(value)[:HEAD])
    found = [share is not None for share in history]
    return Comparison(
        churn={family: _complement(_mean(shares)) for family, shares in heads.items()},
        known_users=float(np.mean(found)) if found else None,
        known_history=_mean(history),
        known_titles=_known_titles(given, live, artifact),
    )


def _overlaps(
    given: GateInput,
    live: str,
    family: Family,
    sampled: Mapping[str, NDArray[np.int32]],
    *,
    decode: Callable[[bytes], Sequence[str]],
    index_of: Mapping[str, int],
) -> Iterator[float | None]:
    """Yield for each sampled key the share that both lists have of the shorter; None: no such key.

    An empty list has nothing to differ in: it yields NaN.
    """
    values = given.read(live, (family_suffix(family, name) for name in sampled))
    for (_, value), mine in zip(values, sampled.values(), strict=True):
        theirs = None if value is None else _decoded(value, decode)
        if theirs is None:
            yield None
            continue
        if family == SEEN:
            # Movies that the catalogue has lost since are in no history, which is as it should be.
            theirs = [i for i in theirs if i in index_of]
        # Of histories only theirs is cut to its head: tonight's may have grown by any number.
        shorter = len(theirs) if family == SEEN else min(len(mine), len(theirs))
        # A movie that the catalogue no longer has is in none of tonight's lists.
        common = set(mine.tolist()).intersection(index_of.get(i, -2) for i in theirs)
        yield len(common) / shorter if shorter else np.nan


def _decoded(value: bytes, decode: Callable[[bytes], Sequence[str]]) -> Sequence[str] | None:
    try:
        return decode(value)
    except ContractMismatch:
        return None


def _head(value: bytes) -> Sequence[str]:
    return decode_head(value, HEAD)[0]


def _known_titles(given: GateInput, live: str, artifact: Artifact) -> float | None:
    """Return the share of movies of both nights whose title has not changed."""
    catalogue = artifact.titles()
    step = max(1, len(catalogue) // SAMPLE_LISTS)
    sampled = dict(list(catalogue.items())[::step])
    same: list[float | None] = []
    values = given.read(live, (movie_suffix(movie_id) for movie_id in sampled))
    for (_, value), title in zip(values, sampled.values(), strict=True):
        theirs = None if value is None else _decoded(value, lambda v: (decode_movie(v).title,))
        same.append(None if theirs is None else float(theirs[0] == title))
    return _mean(same)


def _mean(shares: Sequence[float | None]) -> float | None:
    present = [share for share in shares if share is not None and not np.isnan(share)]
    return float(np.mean(present)) if present else None


def _complement(share: float | None) -> float | None:
    return None if share is None else 1 - share

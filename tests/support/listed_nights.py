"""Runs of a few users whose lists are given movie by movie."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Histories, Movies
from reco_batch.scoring.popularity import MovieStatistics
from reco_batch.scoring.topk import TopK
from reco_store.contract.families import family_named
from reco_store.contract.keys import new_generation_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAMES = [new_generation_id(datetime(2026, 11, day, 3, tzinfo=UTC), "7f3a") for day in (21, 22, 23)]


def write_night(
    folder: Path,
    number: int,
    lists: Mapping[str, Sequence[object]],
    movies: Sequence[object],
    *,
    seen: Mapping[str, Sequence[object]] | None = None,
    counts: Sequence[int] = (),
    **manifest: Any,
) -> Artifact:
    """Write the artifact of a run.

    Args:
        folder: of all artifacts.
        number: index into `NAMES`.
        lists: user -> ids of the list, best first.
        movies: ids of the catalogue; the title of x is "Film x".
        seen: user -> ids of the history, newest first; a user who is missing has none.
        counts: ratings of each movie; none by default.
        manifest: fields to add or replace.
    """
    ids = tuple(map(str, movies))
    titles = tuple(f"Film {movie}" for movie in ids)
    catalogue = Movies(ids, titles, ((),) * len(ids), (None,) * len(ids))
    longest = max(map(len, lists.values()), default=0)
    items = np.full((len(lists), longest), -1, np.int32)
    for row, shown in enumerate(lists.values()):
        items[row, : len(shown)] = [ids.index(str(movie)) for movie in shown]
    scores = np.where(items >= 0, -np.arange(longest, dtype=np.float32), -np.inf)
    writer = ArtifactWriter(folder / NAMES[number], catalogue)
    for family in ("user", "ranked"):
        writer.write_top_k(
            family_named(family), list(lists), [TopK(items, scores)] if lists else []
        )
    for family in ("similar", "next"):
        writer.write_top_k(family_named(family), (), ())
    rows = [[ids.index(str(movie)) for movie in (seen or {}).get(user, ())] for user in lists]
    ends = np.cumsum([0, *map(len, rows)])
    writer.write_seen(list(lists), Histories(ends, np.array([*chain(*rows)], np.int32)))
    writer.write_popular(())
    rated = np.array(counts or np.zeros(len(ids)), np.int64)
    writer.write_movies(catalogue, MovieStatistics(rated, rated * np.nan))
    return writer.finish(
        {
            "schema": 1,
            "generation": NAMES[number],
            "created": "2026-11-21T03:00:00+00:00",
            "ids": "integer" if catalogue.numeric_ids else "string",
            "parameters": {"namespace": "reco"},
            **manifest,
        }
    )

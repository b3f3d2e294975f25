"""Artifact of a run: a folder with everything that the run produced and publishing needs.

    artifacts/<generation>/
        manifest.json            written last: a folder without it is unfinished
        movies.parquet           catalogue with each movie's statistics; with rules also whether
                                 it is eligible, and its values under each cap; after a refresh
                                 also its ratings when the models were trained
        lists/<family>.parquet   lists of each family in `families.LISTS`
        histories.parquet        digest of each user's history, by which a refresh finds changes
        models/<name>/           SavedModels
        models/<name>.npz        models without users, for refreshes (`stored_models`)
        evaluation/              split.parquet: training, validation or test part of each rating;
                                 <group>.parquet: metrics of each user with held-out ratings
        rejected.csv             rejected rows of the input, if any
        report.html              report of the run, written after publishing

Lists are written in blocks (`writer`) and read in batches, so memory does not grow with the number
of users. `Artifact` is a `PayloadSource` for `reco_store.publish`.
"""

import json
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco_batch.artifact.encoding import encode_id_lists, encode_lists, encode_movie, encode_reasons
from reco_batch.artifact.manifests import (
    MANIFEST,
    complete_generations,
    manifests_of,
    namespace_of,
    section,
)
from reco_batch.artifact.title_index import search_lists, title_lists
from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable, write_whole
from reco_batch.rules.list_rules import Cap
from reco_batch.settings.rules import Cap as CapKeys
from reco_store.contract.families import LISTS, MOVIE, SEARCH, Family
from reco_store.contract.keys import movie_suffix
from reco_store.contract.manifest import check_manifest
from reco_store.errors import ContractMismatch
from reco_store.prefetch import prefetch, prefetch_map

REPORT: Final = "report.html"
HISTORIES: Final = "histories.parquet"
#: Names of the SavedModels; their signatures are in `saved_models`.
USER_MODEL: Final = "user_model"
MOVIE_MODEL: Final = "movie_model"
EXPLICIT_MODEL: Final = "explicit_model"
_CARD: Final = (c.TITLE, c.YEAR, c.GENRES, c.RATING_COUNT, c.RATING_MEAN)
_ROWS_PER_BATCH: Final = 4096
#: Rows that are encoded at once: 1 MB of text, which stays in the processor's cache, and which the
#: allocator keeps for the next rows. Four times as many take 10 % longer.
_ROWS_PER_CHUNK: Final = 1024
#: Threads that encode. Encoding takes about twice as long as hashing or sending the same entries.
_ENCODERS: Final = 2

#: Two generations of one process mostly have the same titles, and folding them takes longest.
_title_lists = lru_cache(maxsize=1)(title_lists)


class Artifact:
    """Complete artifact, as the publisher reads it.

    Iterating twice gives the same entries in the same order. The title index is cached, because
    publishing iterates three times.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    def with_manifest(self, manifest: Mapping[str, Any]) -> "Artifact":
        """Return the same folder with another manifest; the title index is not made again."""
        other = copy(self)
        other.manifest = manifest
        return other

    @property
    def generation(self) -> str:
        """The generation's id."""
        return str(self.manifest["generation"])

    @property
    def families(self) -> tuple[Family, ...]:
        """Published families with a file of their own, in the order in which they are published.

        Artifacts of earlier versions may have fewer.
        """
        return tuple(family for family in LISTS if self.publishes(family))

    @property
    def namespace(self) -> str | None:
        """Namespace that the generation is published to; None if the manifest lacks it."""
        return namespace_of(self.manifest)

    def publishes(self, family: Family) -> bool:
        """Return whether the generation has keys of a family."""
        parameters = self.manifest.get("parameters", {})
        if family.explains and not parameters.get(family.name):
            return False  # even if the folder contains the file
        counts = self.manifest.get("counts")
        return self.has_lists(family) if counts is None else family.name in counts

    def has_lists(self, family: Family) -> bool:
        """Return whether a family's Parquet file exists; earlier versions wrote fewer families."""
        return (self.folder / family.file).exists()

    def suffixes(self) -> Iterator[str]:
        """Yield the key suffix of every entry."""
        for family in self.families:
            for batch in self._batches(family.file, [c.SUFFIX]):
                yield from batch.column(c.SUFFIX).to_pylist()
        for batch in self._batches(MOVIE.file, [c.MOVIE_ID]):
            yield from (movie_suffix(i) for i in batch.column(c.MOVIE_ID).to_pylist())
        yield from self._titles
        yield from self._searches

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every key suffix with its value."""
        for chunk in prefetch(self.entry_chunks()):
            yield from chunk

    def entry_chunks(self) -> Iterator[list[tuple[str, bytes]]]:
        """Yield the entries in lists of at most a few thousand."""
        for family in self.families:
            batches = self._batches(family.file, rows=_ROWS_PER_CHUNK)
            yield from prefetch_map(partial(_entries_of, family), batches, threads=_ENCODERS)
        for batch in self._batches(MOVIE.file):
            yield [
                (movie_suffix(m[c.MOVIE_ID]), encode_movie(*(m[name] for name in _CARD)))
                for m in batch.to_pylist()
            ]
        titles = self._titles
        id_type = pa.int64() if self.manifest["ids"] == "integer" else pa.string()
        movies = pa.array(list(titles.values()), pa.list_(id_type))
        yield list(zip(titles, encode_id_lists(movies), strict=True))
        searches = iter(self._searches.items())
        while some := dict(islice(searches, _ROWS_PER_BATCH)):
            found = pa.array(list(some.values()), pa.list_(id_type))
            yield list(zip(some, encode_id_lists(found), strict=True))

    def lists(
        self, family: Family, *, rows: int | None = None, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the lists of a family in batches.

        Args:
            family: family with a file of its own.
            rows: lists per batch at most; None: a few thousand.
            columns: columns to read; None: all.

        Raises:
            NightFailed: the file is damaged or missing.
        """
        yield from self._batches(family.file, columns, rows=rows)

    def history_digests(self) -> dict[str, str]:
        """Return the digest of each user's history, from `data.history_digests`, by user id.

        Raises:
            NightFailed: the file is damaged or missing.
        """
        found: dict[str, str] = {}
        for batch in self._batches(HISTORIES):
            users = batch.column(c.USER_ID).cast(pa.string()).to_pylist()
            found.update(zip(users, batch.column(c.HISTORY).to_pylist(), strict=True))
        return found

    def movies(self) -> Iterator[pa.RecordBatch]:
        """Yield the catalogue in batches of a few thousand movies."""
        yield from self._batches(MOVIE.file)

    def movie_ids(self) -> pa.Array:
        """Return the ids of the catalogue, in the Arrow type that the lists use."""
        ids = pq.read_table(self.folder / MOVIE.file, columns=[c.MOVIE_ID])[c.MOVIE_ID]
        kind = pa.int64() if self.manifest["ids"] == "integer" else pa.string()
        return ids.combine_chunks().cast(kind)

    def rating_counts(self) -> NDArray[np.int64]:
        """Return the number of ratings of each movie, in catalogue order."""
        column = pq.read_table(self.folder / MOVIE.file, columns=[c.RATING_COUNT])[c.RATING_COUNT]
        counts: NDArray[np.int64] = column.to_numpy()
        return counts

    def eligible(self) -> NDArray[np.bool_] | None:
        """Return which movies lists may show, in catalogue order; None: all."""
        if c.ELIGIBLE not in self._catalogue_columns():
            return None
        column = pq.read_table(self.folder / MOVIE.file, columns=[c.ELIGIBLE])[c.ELIGIBLE]
        eligible: NDArray[np.bool_] = column.to_numpy()
        return eligible

    def caps(self) -> tuple[Cap, ...]:
        """Return the caps of the user lists, with the values of each movie."""
        rules = section(section(self.manifest, "parameters"), "rules").get("cap", ())
        keys = [CapKeys.model_validate(rule) for rule in rules]
        names = [c.capped(place) for place in range(len(keys))]
        if not names or not set(names) <= set(self._catalogue_columns()):
            return ()
        table = pq.read_table(self.folder / MOVIE.file, columns=names)
        return tuple(
            Cap(_padded(table[name]), one.at_most, one.first)
            for name, one in zip(names, keys, strict=True)
        )

    def _catalogue_columns(self) -> list[str]:
        names: list[str] = pq.read_schema(self.folder / MOVIE.file).names
        return names

    def titles(self) -> dict[str, str]:
        """Return titles by movie id, in catalogue order."""
        table = pq.read_table(self.folder / MOVIE.file, columns=[c.MOVIE_ID, c.TITLE])
        names, titles = (table[name].to_pylist() for name in (c.MOVIE_ID, c.TITLE))
        return dict(zip(names, titles, strict=True))

    def _batches(
        self, file: str, columns: list[str] | None = None, *, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        try:
            # Pre-buffering would read the whole file, so memory would grow with the users.
            with pq.ParquetFile(self.folder / file, pre_buffer=False) as parquet:
                yield from parquet.iter_batches(rows or _ROWS_PER_BATCH, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise NightFailed(
                f"the artifact's {self.folder / file} is damaged or missing ({error}). Publish "
                "another generation with `batch republish`, or run `batch run`."
            ) from error

    @cached_property
    def _titles(self) -> dict[str, list[Any]]:
        """Movies by suffix of their title, in catalogue order."""
        return self._named(_title_lists(tuple(self.titles().values()), index=self._title_index))

    @cached_property
    def _searches(self) -> dict[str, list[Any]]:
        """Movies by suffix of a beginning of a title word; empty for an earlier version."""
        if SEARCH.name not in self.manifest.get("counts", (SEARCH.name,)):
            return {}
        titles = tuple(self.titles().values())
        return self._named(search_lists(titles, self.rating_counts(), index=self._title_index))

    @property
    def _title_index(self) -> int:
        """Version of the title index that the digest covers; 1 for an earlier version."""
        return int(self.manifest.get("title_index", 1))

    def _named(self, lists: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        """Return lists of movie indices as lists of movie ids."""
        ids = self.movie_ids().to_pylist()
        return {suffix: [ids[movie] for movie in rows] for suffix, rows in lists.items()}


def open_artifact(artifacts: Path, generation: str) -> Artifact:
    """Open the complete artifact of a generation.

    Raises:
        NightFailed: the artifact does not exist, or is unfinished or damaged.
    """
    folder = artifacts / generation
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        check_manifest(manifest, generation)
    except FileNotFoundError as error:
        known = ", ".join(complete_generations(artifacts)) or "none"
        raise NightFailed(
            f"{folder} is not a complete artifact (no {MANIFEST}); complete ones: {known}. "
            "Name one of them, or run `batch run`."
        ) from error
    except OSError as error:
        raise NightFailed(unreadable(error, folder / MANIFEST)) from error
    except (ValueError, AttributeError, ContractMismatch) as error:  # no JSON, no object, ...
        raise NightFailed(f"{folder / MANIFEST} is damaged ({error}). Run `batch run`.") from error
    return Artifact(folder, manifest)


def artifacts_of(artifacts: Path, namespace: str | None) -> list[Artifact]:
    """Return the complete artifacts of a namespace, oldest first.

    Artifacts that are damaged, or of a later version, are left out.

    Raises:
        NightFailed: the folder of all artifacts cannot be read.
    """
    return [Artifact(folder, one) for folder, one in manifests_of(artifacts, namespace)]


def report_or_folder(folder: Path) -> Path:
    """Return the path of an artifact's report, or its folder if there is no report."""
    report = folder / REPORT
    return report if report.is_file() else folder


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest atomically.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    write_whole(folder / MANIFEST, text.encode())


def _padded(lists: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return lists of numbers as rows of one length, filled up with -1."""
    joined = lists.combine_chunks()
    ends = joined.offsets.to_numpy()
    counts = np.diff(ends)
    rows = np.full((len(joined), max(1, counts.max(initial=0))), -1, np.int32)
    rows[np.arange(rows.shape[1]) < counts[:, np.newaxis]] = joined.flatten().to_numpy()
    return rows


def _entries_of(family: Family, batch: pa.RecordBatch) -> list[tuple[str, bytes]]:
    suffixes = batch.column(c.SUFFIX).to_pylist()
    return list(zip(suffixes, _values_of(family, batch), strict=True))


def _values_of(family: Family, batch: pa.RecordBatch) -> list[bytes]:
    ids = batch.column(c.MOVIE_IDS)
    if family.value == "reasons":
        return encode_reasons(ids)
    if family.value == "list":
        return encode_lists(ids, batch.column(c.SCORES))
    return encode_id_lists(ids)

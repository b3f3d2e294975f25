"""A night's folder: everything it produced, and all that publishing reads.

    artifacts/<generation>/
        manifest.json            written last: a folder without it is not complete
        movies.parquet           the catalogue with each movie's statistics
        lists/<family>.parquet   user, because (if wanted), ranked, similar, next, seen, popular
        models/<name>/           SavedModels
        evaluation/              split.parquet: the part of each rating; <group>.parquet: metrics
                                 of each user with held-out ratings
        rejected.csv             rows of the input that were left out, if any
        report.html              for people, written after publishing

Lists are written block by block (`artifact_writer`) and read batch by batch, so memory does not
grow with users. `Artifact` is the `PayloadSource` that `reco_store.publish` takes.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco_batch.artifact.encoding import encode_id_lists, encode_lists, encode_movie, encode_reasons
from reco_batch.artifact.manifests import MANIFEST, complete_generations
from reco_batch.artifact.title_index import search_lists, title_lists
from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable, write_whole
from reco_store.contract.keys import movie_suffix
from reco_store.contract.manifest import check_manifest
from reco_store.errors import ContractMismatch
from reco_store.prefetch import prefetch, prefetch_map

MOVIES: Final = "movies.parquet"
REPORT: Final = "report.html"
BECAUSE: Final = "because"
#: In the order in which they are published.
_LIST_FAMILIES: Final = ("user", BECAUSE, "ranked", "similar", "next", "seen", "popular")
_CARD: Final = (c.TITLE, c.YEAR, c.GENRES, c.RATING_COUNT, c.RATING_MEAN)
_ROWS_PER_BATCH: Final = 4096
#: Encoding takes about twice as long as whoever takes the entries takes to hash or to send them.
_ENCODERS: Final = 2


class Artifact:
    """A complete folder, as the publisher reads it.

    Iterating twice gives the same entries in the same order. What is made of the titles is kept, as
    publishing asks for it three times.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def generation(self) -> str:
        """The generation's id."""
        return str(self.manifest["generation"])

    @property
    def families(self) -> tuple[str, ...]:
        """The families of lists, as they are published; an older artifact may have fewer."""
        counts = self.manifest.get("counts")
        return tuple(
            family
            for family in _LIST_FAMILIES
            if (self.has_lists(family) if counts is None else family in counts)
            and (family != BECAUSE or self.has_reasons)  # whatever lies in the folder
        )

    def has_lists(self, family: str) -> bool:
        """Tell whether a family has a file of lists; in an older artifact it may not."""
        return (self.folder / f"lists/{family}.parquet").exists()

    def suffixes(self) -> Iterator[str]:
        """Yield the key suffix of every entry."""
        for family in self.families:
            for batch in self._batches(f"lists/{family}.parquet", [c.SUFFIX]):
                yield from batch.column(c.SUFFIX).to_pylist()
        for batch in self._batches(MOVIES, [c.MOVIE_ID]):
            yield from (movie_suffix(i) for i in batch.column(c.MOVIE_ID).to_pylist())
        yield from self._titles
        yield from self._searches

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every key suffix with its value."""
        for chunk in prefetch(self.entry_chunks()):
            yield from chunk

    def entry_chunks(self) -> Iterator[list[tuple[str, bytes]]]:
        """Yield the entries in lists of up to a few thousand."""
        for family in self.families:
            batches = self._batches(f"lists/{family}.parquet")
            yield from prefetch_map(partial(_entries_of, family), batches, threads=_ENCODERS)
        for batch in self._batches(MOVIES):
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

    def lists(self, family: str, *, rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the lists of a family as they stand on disk, up to `rows` (or some) at a time."""
        yield from self._batches(f"lists/{family}.parquet", rows=rows)

    def movies(self) -> Iterator[pa.RecordBatch]:
        """Yield the catalogue as it stands on disk, some thousand movies at a time."""
        yield from self._batches(MOVIES)

    def movie_ids(self) -> pa.Array:
        """Return the catalogue's ids, of the type that they have in the lists."""
        ids = pq.read_table(self.folder / MOVIES, columns=[c.MOVIE_ID])[c.MOVIE_ID]
        kind = pa.int64() if self.manifest["ids"] == "integer" else pa.string()
        return ids.combine_chunks().cast(kind)

    def rating_counts(self) -> NDArray[np.int64]:
        """Return how often each movie was rated, in catalogue order."""
        column = pq.read_table(self.folder / MOVIES, columns=[c.RATING_COUNT])[c.RATING_COUNT]
        counts: NDArray[np.int64] = column.to_numpy()
        return counts

    def titles(self) -> dict[str, str]:
        """Return the title of every movie by id, in catalogue order."""
        table = pq.read_table(self.folder / MOVIES, columns=[c.MOVIE_ID, c.TITLE])
        names, titles = (table[name].to_pylist() for name in (c.MOVIE_ID, c.TITLE))
        return dict(zip(names, titles, strict=True))

    def _batches(
        self, file: str, columns: list[str] | None = None, *, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        try:
            # Not buffered ahead: that reads the whole file, and memory would grow with the users.
            with pq.ParquetFile(self.folder / file, pre_buffer=False) as parquet:
                yield from parquet.iter_batches(rows or _ROWS_PER_BATCH, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise NightFailed(
                f"the artifact's {self.folder / file} is damaged or missing ({error}). Publish "
                "another generation with `batch republish`, or run `batch run`."
            ) from error

    @property
    def has_reasons(self) -> bool:
        """Whether the reasons of the user lists stand beside them; never in an older artifact."""
        return bool(self.manifest.get("parameters", {}).get("because"))

    @cached_property
    def _titles(self) -> dict[str, list[Any]]:
        """Return the movies that each title names, titles in catalogue order."""
        return self._named(title_lists(tuple(self.titles().values()), index=self._title_index))

    @cached_property
    def _searches(self) -> dict[str, list[Any]]:
        """Return the movies under each beginning of a title's word; none in an older artifact."""
        if "search" not in self.manifest.get("counts", ("search",)):
            return {}
        titles = tuple(self.titles().values())
        return self._named(search_lists(titles, self.rating_counts(), index=self._title_index))

    @property
    def _title_index(self) -> int:
        """The version of the index of titles that the digest is of; 1 in an older artifact."""
        return int(self.manifest.get("title_index", 1))

    def _named(self, lists: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        """Return lists of movie indices as lists of ids."""
        ids = self.movie_ids().to_pylist()
        return {suffix: [ids[movie] for movie in rows] for suffix, rows in lists.items()}


def open_artifact(artifacts: Path, generation: str) -> Artifact:
    """Open the complete artifact of a generation.

    Raises:
        NightFailed: there is none, or it is not complete.
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


def account_of(folder: Path) -> Path:
    """Return the report in an artifact's folder, or the folder where there is none."""
    report = folder / REPORT
    return report if report.is_file() else folder


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest so that it is either there whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    write_whole(folder / MANIFEST, text.encode())


def _entries_of(family: str, batch: pa.RecordBatch) -> list[tuple[str, bytes]]:
    suffixes = batch.column(c.SUFFIX).to_pylist()
    return list(zip(suffixes, _values_of(family, batch), strict=True))


def _values_of(family: str, batch: pa.RecordBatch) -> list[bytes]:
    ids = batch.column(c.MOVIE_IDS)
    if family == BECAUSE:
        return encode_reasons(ids)
    if c.SCORES in batch.schema.names:
        return encode_lists(ids, batch.column(c.SCORES))
    return encode_id_lists(ids)

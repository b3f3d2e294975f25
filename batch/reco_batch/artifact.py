"""A night's folder: everything it produced, and all that publishing reads.

    artifacts/<generation>/
        manifest.json            written last: a folder without it is not complete
        movies.parquet           the catalogue with each movie's statistics
        lists/<family>.parquet   user, because (if wanted), ranked, similar, next, seen, popular
        models/<name>/           SavedModels

Lists are written block by block and read batch by batch, so memory does not grow with users.
`Artifact` is the `PayloadSource` that `reco_store.publish` takes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco_batch import columns as c
from reco_batch.dataset import Histories, Movies
from reco_batch.encode import encode_id_lists, encode_lists, encode_movie, encode_reasons
from reco_batch.errors import NightFailed
from reco_batch.files import write_whole
from reco_batch.popularity import MovieStatistics, PopularList
from reco_batch.reasons import Explained
from reco_batch.title_search import search_lists
from reco_batch.topk import TopK
from reco_store.ahead import ahead
from reco_store.digest import Summary
from reco_store.errors import ContractMismatch
from reco_store.keys import movie_suffix, popular_suffix, title_suffixes
from reco_store.manifest import check_manifest

MANIFEST: Final = "manifest.json"
MODELS: Final = "models"
BECAUSE: Final = "because"
#: In the order in which they are published.
_LIST_FAMILIES: Final = ("user", BECAUSE, "ranked", "similar", "next", "seen", "popular")
_MOVIES: Final = "movies.parquet"
_CARD: Final = (c.TITLE, c.YEAR, c.GENRES, c.RATING_COUNT, c.RATING_MEAN)
_ROWS_PER_BATCH: Final = 4096


class ArtifactWriter:
    """Fills a folder; the manifest comes last."""

    def __init__(self, folder: Path, movies: Movies, *, resumed: bool = False) -> None:
        """Create the folder.

        Args:
            folder: must not exist yet.
            movies: the catalogue whose indices the lists hold.
            resumed: the folder may exist, since the same night has begun to fill it.

        Raises:
            OSError: the folder exists or cannot be created.
        """
        folder.mkdir(parents=True, exist_ok=resumed)
        (folder / "lists").mkdir(exist_ok=resumed)
        self.folder = folder
        ids: list[Any] = [int(i) for i in movies.ids] if movies.numeric_ids else list(movies.ids)
        self._ids = pa.array(ids, pa.int64() if movies.numeric_ids else pa.string())

    @property
    def models(self) -> Path:
        """Where the SavedModels go."""
        return self.folder / MODELS

    @property
    def catalogue(self) -> Path:
        """What `write_movies` writes."""
        return self.folder / _MOVIES

    def lists(self, family: str) -> Path:
        """Return the file of one family of lists."""
        return self.folder / "lists" / f"{family}.parquet"

    def write_top_k(self, family: str, ids: Sequence[str], blocks: Iterable[TopK]) -> int:
        """Write one family of lists, a row group a block.

        Args:
            family: user, ranked, similar or next.
            ids: key of each list, in the order of the blocks' rows.
            blocks: as the scoring yields them.

        Returns:
            The number of lists.
        """
        row = 0
        with self._writer(family, pa.float32()) as writer:
            for block in blocks:
                keys = [f"{family}:{i}" for i in ids[row : row + len(block.items)]]
                row += len(keys)
                writer.write(self._lists(keys, block))
        return row

    def write_explained(self, ids: Sequence[str], blocks: Iterable[Explained]) -> int:
        """Write the user lists, and the reasons of each list beside it.

        Args:
            ids: of the users, in the order of the blocks' rows.
            blocks: as the scoring yields them.

        Returns:
            The number of lists.
        """
        row = 0
        with self._writer("user", pa.float32()) as users, self._writer(BECAUSE, None) as because:
            for lists, reasons in blocks:
                some = ids[row : row + len(reasons)]
                row += len(some)
                users.write(self._lists([f"user:{i}" for i in some], lists))
                valid = lists.items >= 0
                said = reasons[valid]
                said = pa.array(said, mask=said < 0)  # null: no reason
                keys = [f"{BECAUSE}:{i}" for i in some]
                because.write(self._batch(keys, _offsets(valid.sum(axis=1)), said, None))
        return row

    def write_seen(self, user_ids: Sequence[str], seen: Histories) -> None:
        """Write what each user has rated, newest first."""
        with self._writer("seen", None) as writer:
            for start in range(0, len(user_ids), _ROWS_PER_BATCH):
                stop = min(start + _ROWS_PER_BATCH, len(user_ids))
                block = seen.block(start, stop)
                keys = [f"seen:{i}" for i in user_ids[start:stop]]
                writer.write(
                    self._batch(keys, block.offsets.astype(np.int32), block.movie_index, None)
                )

    def write_popular(self, lists: Iterable[PopularList]) -> None:
        """Write the popularity lists."""
        # In double precision, so that a mean rounds to what the movie's card shows.
        with self._writer("popular", pa.float64()) as writer:
            for popular in lists:
                key = popular_suffix(popular.by, popular.genre)
                offsets = _offsets(np.array([len(popular.movie_index)]))
                writer.write(self._batch([key], offsets, popular.movie_index, popular.score))

    def write_movies(self, movies: Movies, statistics: MovieStatistics) -> None:
        """Write the catalogue."""
        table = pa.table(
            {
                c.MOVIE_ID: pa.array(movies.ids, pa.string()),
                c.TITLE: pa.array(movies.titles, pa.string()),
                c.YEAR: pa.array(movies.years, pa.int32()),
                c.GENRES: pa.array(movies.genres, pa.list_(pa.string())),
                c.RATING_COUNT: pa.array(statistics.rating_count, pa.int64()),
                c.RATING_MEAN: pa.array(statistics.rating_mean, pa.float64(), from_pandas=True),
            }
        )
        pq.write_table(table, self.catalogue, compression="zstd")

    def finish(self, manifest: Mapping[str, Any]) -> "Artifact":
        """Add sizes and digest to the manifest, write it, and return the complete artifact."""
        artifact = Artifact(self.folder, manifest)
        summary = Summary()
        for chunk in ahead(artifact.entry_chunks()):
            summary.update_many(chunk)
        artifact.manifest = {**manifest, **summary.manifest_fields()}
        write_manifest(self.folder, artifact.manifest)
        return artifact

    def _writer(self, family: str, score_type: pa.DataType | None) -> pq.ParquetWriter:
        fields = [pa.field(c.SUFFIX, pa.string()), pa.field(c.MOVIE_IDS, pa.list_(self._ids.type))]
        if score_type is not None:
            fields.append(pa.field(c.SCORES, pa.list_(score_type)))
        # Scores hardly repeat, so a dictionary of them is lost time; their bytes, each with the
        # bytes of its kind, are smaller and quicker both ways.
        return pq.ParquetWriter(
            self.lists(family),
            pa.schema(fields),
            compression="zstd",
            use_dictionary=[f"{c.MOVIE_IDS}.list.element"],
            column_encoding={f"{c.SCORES}.list.element": "BYTE_STREAM_SPLIT"},
        )

    def _lists(self, keys: Sequence[str], block: TopK) -> pa.RecordBatch:
        valid = block.items >= 0
        offsets = _offsets(valid.sum(axis=1))
        return self._batch(keys, offsets, block.items[valid], block.scores[valid])

    def _batch(
        self,
        keys: Sequence[str],
        offsets: NDArray[np.int32],
        movie_index: NDArray[Any] | pa.Array,
        scores: NDArray[Any] | None,
    ) -> pa.RecordBatch:
        ids = pa.ListArray.from_arrays(offsets, self._ids.take(pa.array(movie_index)))
        columns = {c.SUFFIX: pa.array(keys, pa.string()), c.MOVIE_IDS: ids}
        if scores is not None:
            columns[c.SCORES] = pa.ListArray.from_arrays(offsets, pa.array(scores))
        return pa.RecordBatch.from_pydict(columns)


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
        for batch in self._batches(_MOVIES, [c.MOVIE_ID]):
            yield from (movie_suffix(i) for i in batch.column(c.MOVIE_ID).to_pylist())
        yield from self._titles
        yield from self._searches

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield every key suffix with its value."""
        for chunk in ahead(self.entry_chunks()):
            yield from chunk

    def entry_chunks(self) -> Iterator[list[tuple[str, bytes]]]:
        """Yield the entries in lists of up to a few thousand."""
        for family in self.families:
            for batch in ahead(self._batches(f"lists/{family}.parquet")):
                values = _values_of(family, batch)
                yield list(zip(batch.column(c.SUFFIX).to_pylist(), values, strict=True))
        for batch in self._batches(_MOVIES):
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
        yield from self._batches(_MOVIES)

    def movie_ids(self) -> pa.Array:
        """Return the catalogue's ids, of the type that they have in the lists."""
        ids = pq.read_table(self.folder / _MOVIES, columns=[c.MOVIE_ID])[c.MOVIE_ID]
        kind = pa.int64() if self.manifest["ids"] == "integer" else pa.string()
        return ids.combine_chunks().cast(kind)

    def rating_counts(self) -> NDArray[np.int64]:
        """Return how often each movie was rated, in catalogue order."""
        column = pq.read_table(self.folder / _MOVIES, columns=[c.RATING_COUNT])[c.RATING_COUNT]
        counts: NDArray[np.int64] = column.to_numpy()
        return counts

    def titles(self) -> dict[str, str]:
        """Return the title of every movie by id, in catalogue order."""
        table = pq.read_table(self.folder / _MOVIES, columns=[c.MOVIE_ID, c.TITLE])
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
        numeric = self.manifest["ids"] == "integer"
        named: dict[str, list[Any]] = {}
        for batch in self._batches(_MOVIES, [c.MOVIE_ID, c.TITLE]):
            for movie in batch.to_pylist():
                movie_id = int(movie[c.MOVIE_ID]) if numeric else movie[c.MOVIE_ID]
                for suffix in title_suffixes(movie[c.TITLE]):
                    named.setdefault(suffix, []).append(movie_id)
        return named

    @cached_property
    def _searches(self) -> dict[str, list[Any]]:
        """Return the movies under each beginning of a title's word; none in an older artifact."""
        if "search" not in self.manifest.get("counts", ("search",)):
            return {}
        ids = self.movie_ids().to_pylist()
        lists = search_lists(tuple(self.titles().values()), self.rating_counts())
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
    except (ValueError, AttributeError, ContractMismatch) as error:  # no JSON, no object, ...
        raise NightFailed(f"{folder / MANIFEST} is damaged ({error}). Run `batch run`.") from error
    return Artifact(folder, manifest)


def complete_generations(artifacts: Path) -> list[str]:
    """Return the generations whose folder is complete, oldest first."""
    return sorted(path.parent.name for path in artifacts.glob(f"*/{MANIFEST}"))


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest so that it is either there whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    write_whole(folder / MANIFEST, text.encode())


def _values_of(family: str, batch: pa.RecordBatch) -> list[bytes]:
    ids = batch.column(c.MOVIE_IDS)
    if family == BECAUSE:
        return encode_reasons(ids)
    if c.SCORES in batch.schema.names:
        return encode_lists(ids, batch.column(c.SCORES))
    return encode_id_lists(ids)


def _offsets(counts: NDArray[Any]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

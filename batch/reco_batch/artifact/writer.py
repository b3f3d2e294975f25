"""Fills a night's folder, block by block, so that memory does not grow with users."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco_batch.artifact.folder import BECAUSE, MOVIES, Artifact, write_manifest
from reco_batch.artifact.title_index import TITLE_INDEX
from reco_batch.data import columns as c
from reco_batch.data.dataset import Dataset, Histories, Movies
from reco_batch.data.split import Split
from reco_batch.scoring.explanations import Explained
from reco_batch.scoring.popularity import MovieStatistics, PopularList
from reco_batch.scoring.topk import TopK
from reco_store.contract.codec import is_numeric_id
from reco_store.contract.digest import Summary
from reco_store.contract.keys import popular_suffix
from reco_store.prefetch import prefetch

#: Lists of what users have seen in a row group; other lists come in blocks.
_ROWS: Final = 4096
#: Ratings in a row group of the split.
_RATINGS: Final = 1_000_000


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
        return self.folder / "models"

    @property
    def catalogue(self) -> Path:
        """What `write_movies` writes."""
        return self.folder / MOVIES

    def lists(self, family: str) -> Path:
        """Return the file of one family of lists."""
        return self.folder / "lists" / f"{family}.parquet"

    @property
    def split(self) -> Path:
        """The file of `write_split`."""
        return self.metrics("split")

    def metrics(self, group: str) -> Path:
        """Return the file of a group of metrics."""
        return self.folder / "evaluation" / f"{group}.parquet"

    def write_split(self, dataset: Dataset, split: Split) -> None:
        """Write which part each rating is in, in the order of the ratings."""
        self.split.parent.mkdir(exist_ok=True)
        ratings = dataset.ratings
        part = np.zeros(len(ratings), np.int8)
        for number, rows in enumerate((split.train, split.validation, split.test)):
            part[rows] = number
        columns: dict[str, tuple[pa.Array, NDArray[Any]]] = {
            c.USER_ID: (_ids(dataset.user_ids), ratings.user_index),
            c.MOVIE_ID: (_ids(dataset.movies.ids), ratings.movie_index),
            c.PART: (pa.array(["train", "validation", "test"]), part),
        }
        schema = pa.schema([(name, values.type) for name, (values, _) in columns.items()])
        with pq.ParquetWriter(self.split, schema, compression="zstd") as writer:
            for start in range(0, len(ratings), _RATINGS):
                some = slice(start, start + _RATINGS)
                taken = {
                    name: values.take(pa.array(index[some]))
                    for name, (values, index) in columns.items()
                }
                writer.write_table(pa.table(taken, schema))

    def write_metrics(
        self, group: str, user_ids: Sequence[str], columns: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write metrics of users.

        Args:
            group: as in the manifest, such as `retrieval`.
            user_ids: of all users.
            columns: `user_index`, `held_out` (ratings), and one for each metric.
        """
        self.metrics(group).parent.mkdir(exist_ok=True)
        named = {"user_index": c.USER_ID, "held_out": c.HELD_OUT}
        table = {named.get(name, name): pa.array(values) for name, values in columns.items()}
        table[c.USER_ID] = _ids(user_ids).take(table[c.USER_ID])
        pq.write_table(pa.table(table), self.metrics(group), compression="zstd")

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
            for start in range(0, len(user_ids), _ROWS):
                stop = min(start + _ROWS, len(user_ids))
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

    def finish(self, manifest: Mapping[str, Any]) -> Artifact:
        """Add sizes and digest to the manifest, write it, and return the complete artifact."""
        manifest = {"title_index": TITLE_INDEX, **manifest}
        artifact = Artifact(self.folder, manifest)
        summary = Summary()
        for chunk in prefetch(artifact.entry_chunks()):
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


def _ids(ids: Sequence[str]) -> pa.Array:
    """Return ids as numbers if all of them are, as a CSV reader takes them; else as text."""
    return pa.array(list(map(int, ids)) if all(map(is_numeric_id, ids)) else list(ids))


def _offsets(counts: NDArray[Any]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

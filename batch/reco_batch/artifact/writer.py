"""Writer of a run's artifact: Parquet files in blocks, so memory does not grow with users."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco_batch.artifact.folder import HISTORIES, Artifact, write_manifest
from reco_batch.artifact.title_index import TITLE_INDEX
from reco_batch.data import columns as c
from reco_batch.data.dataset import Dataset, Histories, Movies
from reco_batch.data.split import Split
from reco_batch.rules.list_rules import NO_RULES, ListRules
from reco_batch.scoring.explanations import Explained
from reco_batch.scoring.popularity import MovieStatistics, PopularList
from reco_batch.scoring.topk import TopK
from reco_store.contract.codec import is_numeric_id
from reco_store.contract.digest import Summary
from reco_store.contract.families import BECAUSE, MOVIE, POPULAR, SEEN, USER, Family
from reco_store.contract.keys import family_suffix, popular_suffix
from reco_store.prefetch import prefetch

#: Users' histories per row group; the scored lists have one row group per scoring block.
_ROWS: Final = 4096
#: Format of the lists. Scores rarely repeat, so a dictionary would cost time and save nothing;
#: splitting their bytes by significance makes files smaller and both directions faster.
LIST_FORMAT: Final[Mapping[str, Any]] = {
    "compression": "zstd",
    "use_dictionary": [f"{c.MOVIE_IDS}.list.element"],
    "column_encoding": {f"{c.SCORES}.list.element": "BYTE_STREAM_SPLIT"},
}
#: Format of the files in `evaluation/`.
EVALUATION_FORMAT: Final[Mapping[str, Any]] = {"compression": "zstd"}
#: Ratings per row group of the split.
_RATINGS: Final = 1_000_000


class ArtifactWriter:
    """Writer of one artifact; `finish` writes the manifest, which completes it."""

    def __init__(self, folder: Path, movies: Movies, *, resumed: bool = False) -> None:
        """Create the folder.

        Args:
            folder: folder to create.
            movies: catalogue; lists contain indices into it.
            resumed: True if the same run has already begun to fill the folder.

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
        """Folder of the SavedModels."""
        return self.folder / "models"

    @property
    def catalogue(self) -> Path:
        """File that `write_movies` writes."""
        return self.folder / MOVIE.file

    @property
    def histories(self) -> Path:
        """File that `write_histories` writes."""
        return self.folder / HISTORIES

    def lists(self, family: Family) -> Path:
        """Return the path of a family's Parquet file."""
        return self.folder / family.file

    @property
    def split(self) -> Path:
        """File that `write_split` writes."""
        return self.metrics("split")

    def metrics(self, group: str) -> Path:
        """Return the path of a metric group's Parquet file."""
        return self.folder / "evaluation" / f"{group}.parquet"

    def write_split(self, dataset: Dataset, split: Split) -> None:
        """Write the part of each rating, in the ratings' order."""
        self.split.parent.mkdir(exist_ok=True)
        ratings = dataset.ratings
        part = np.zeros(len(ratings), np.int8)
        for number, rows in enumerate(
            (split.train, split.validation, split.test, split.cold, split.left_out)
        ):
            part[rows] = number
        columns: dict[str, tuple[pa.Array, NDArray[Any]]] = {
            c.USER_ID: (_ids(dataset.user_ids), ratings.user_index),
            c.MOVIE_ID: (_ids(dataset.movies.ids), ratings.movie_index),
            c.PART: (pa.array(["train", "validation", "test", "cold", "left out"]), part),
        }
        schema = pa.schema([(name, values.type) for name, (values, _) in columns.items()])
        with pq.ParquetWriter(self.split, schema, **EVALUATION_FORMAT) as writer:
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
        """Write the metrics of each user.

        Args:
            group: metric group of the manifest, such as `retrieval`.
            user_ids: ids of all users.
            columns: `user_index`, `held_out` (number of held-out ratings) and one per metric.
        """
        self.metrics(group).parent.mkdir(exist_ok=True)
        named = {"user_index": c.USER_ID, "held_out": c.HELD_OUT}
        table = {named.get(name, name): pa.array(values) for name, values in columns.items()}
        table[c.USER_ID] = _ids(user_ids).take(table[c.USER_ID])
        pq.write_table(pa.table(table), self.metrics(group), **EVALUATION_FORMAT)

    def write_top_k(self, family: Family, ids: Sequence[str], blocks: Iterable[TopK]) -> int:
        """Write the lists of a family, one row group per block.

        Args:
            family: family whose values are lists with scores.
            ids: user or movie id of each list, in the order of the blocks' rows.
            blocks: blocks that the scoring engine yields.

        Returns:
            The number of lists.
        """
        row = 0
        with self._writer(family, pa.float32()) as writer:
            for block in blocks:
                keys = [family_suffix(family, i) for i in ids[row : row + len(block.items)]]
                row += len(keys)
                writer.write(self._lists(keys, block))
        return row

    def write_explained(self, ids: Sequence[str], blocks: Iterable[Explained]) -> int:
        """Write the user lists and their explanations.

        Args:
            ids: user ids, in the order of the blocks' rows.
            blocks: blocks that the scoring engine yields.

        Returns:
            The number of lists.
        """
        row = 0
        with self._writer(USER, pa.float32()) as users, self._writer(BECAUSE, None) as because:
            for lists, reasons in blocks:
                some = ids[row : row + len(reasons)]
                row += len(some)
                users.write(self._lists([family_suffix(USER, i) for i in some], lists))
                valid = lists.items >= 0
                reason = reasons[valid]
                reason = pa.array(reason, mask=reason < 0)  # null: no explanation
                keys = [family_suffix(BECAUSE, i) for i in some]
                because.write(self._batch(keys, _offsets(valid.sum(axis=1)), reason, None))
        return row

    def write_seen(self, user_ids: Sequence[str], seen: Histories) -> None:
        """Write the movies that each user has rated, newest first."""
        with self._writer(SEEN, None) as writer:
            for start in range(0, len(user_ids), _ROWS):
                stop = min(start + _ROWS, len(user_ids))
                block = seen.block(start, stop)
                keys = [family_suffix(SEEN, i) for i in user_ids[start:stop]]
                writer.write(
                    self._batch(keys, block.offsets.astype(np.int32), block.movie_index, None)
                )

    def write_histories(self, user_ids: Sequence[str], digests: Sequence[str]) -> None:
        """Write the digest of each user's history, from `data.history_digests`."""
        columns = {c.USER_ID: _ids(user_ids), c.HISTORY: pa.array(digests, pa.string())}
        pq.write_table(pa.table(columns), self.histories, **EVALUATION_FORMAT)

    def write_popular(self, lists: Iterable[PopularList]) -> None:
        """Write the popularity lists."""
        # Double precision, so that a mean rounds to the same value as on the movie's card.
        with self._writer(POPULAR, pa.float64()) as writer:
            for popular in lists:
                key = popular_suffix(popular.by, popular.genre)
                offsets = _offsets(np.array([len(popular.movie_index)]))
                writer.write(self._batch([key], offsets, popular.movie_index, popular.score))

    def write_movies(
        self,
        movies: Movies,
        statistics: MovieStatistics,
        rules: ListRules = NO_RULES,
    ) -> None:
        """Write the catalogue.

        Args:
            movies: cards.
            statistics: of the movies' ratings.
            rules: rules for the user lists; the gate reads from the file which movies are
                eligible, and their values under each cap.
        """
        ruled: dict[str, pa.Array] = {}
        if rules.eligible is not None:
            ruled[c.ELIGIBLE] = pa.array(rules.eligible)
        for place, cap in enumerate(rules.caps):
            own = cap.values >= 0
            offsets = _offsets(own.sum(axis=1))
            ruled[c.capped(place)] = pa.ListArray.from_arrays(offsets, pa.array(cap.values[own]))
        table = pa.table(
            {
                c.MOVIE_ID: pa.array(movies.ids, pa.string()),
                c.TITLE: pa.array(movies.titles, pa.string()),
                c.YEAR: pa.array(movies.years, pa.int32()),
                c.GENRES: pa.array(movies.genres, pa.list_(pa.string())),
                c.RATING_COUNT: pa.array(statistics.rating_count, pa.int64()),
                c.RATING_MEAN: pa.array(statistics.rating_mean, pa.float64(), from_pandas=True),
                **ruled,
            }
        )
        pq.write_table(table, self.catalogue, compression="zstd")

    def finish(self, manifest: Mapping[str, Any]) -> Artifact:
        """Write the manifest with sizes and digest, and return the complete artifact."""
        artifact = self.summarized(manifest)
        write_manifest(self.folder, artifact.manifest)
        return artifact

    def summarized(self, manifest: Mapping[str, Any]) -> Artifact:
        """Return the artifact with sizes and digest in its manifest, which is not written."""
        manifest = {"title_index": TITLE_INDEX, **manifest}
        artifact = Artifact(self.folder, manifest)
        summary = Summary()
        for chunk in prefetch(artifact.entry_chunks()):
            summary.update_many(chunk)
        return artifact.with_manifest({**manifest, **summary.manifest_fields()})

    def _writer(self, family: Family, score_type: pa.DataType | None) -> pq.ParquetWriter:
        fields = [pa.field(c.SUFFIX, pa.string()), pa.field(c.MOVIE_IDS, pa.list_(self._ids.type))]
        if score_type is not None:
            fields.append(pa.field(c.SCORES, pa.list_(score_type)))
        return pq.ParquetWriter(self.lists(family), pa.schema(fields), **LIST_FORMAT)

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


class KeepingWriter(ArtifactWriter):
    """Writer whose lists of users begin with those that an earlier artifact has of some users."""

    def __init__(self, folder: Path, movies: Movies, earlier: Artifact) -> None:
        """Create the folder.

        Args:
            folder: folder to create.
            movies: catalogue.
            earlier: artifact of the same catalogue.

        Raises:
            OSError: the folder exists or cannot be created.
        """
        super().__init__(folder, movies)
        self._earlier = earlier
        self._kept: Sequence[str] = ()

    def keep(self, users: Sequence[str]) -> None:
        """Copy the lists of these users into every file of users' lists that is written now."""
        self._kept = users

    def _writer(self, family: Family, score_type: pa.DataType | None) -> pq.ParquetWriter:
        writer = super()._writer(family, score_type)
        if family.per == "user" and self._kept:
            self._copy(family, writer)
        return writer

    def _copy(self, family: Family, writer: pq.ParquetWriter) -> None:
        """Write the lists that the earlier artifact has of the kept users."""
        names = {family_suffix(family, user) for user in self._kept}
        for batch in self._earlier.lists(family):
            kept = [name in names for name in batch.column(c.SUFFIX).to_pylist()]
            if any(kept):
                writer.write(batch.filter(pa.array(kept)).cast(writer.schema))


def _ids(ids: Sequence[str]) -> pa.Array:
    """Return ids as integers if all of them are canonical integers, otherwise as strings."""
    return pa.array(list(map(int, ids)) if all(map(is_numeric_id, ids)) else list(ids))


def _offsets(counts: NDArray[Any]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

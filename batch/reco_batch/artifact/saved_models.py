"""SavedModels of a run: three models that return the same lists and ratings as published.

| model          | signature         | inputs                  | outputs                          |
|----------------|-------------------|-------------------------|----------------------------------|
| user_model     | `serving_default` | user_ids [B]            | movie_ids [B, K], scores [B, K]  |
|                | `excluding`       | user_ids, exclusions [B, E] | movie_ids, scores            |
|                | `unfiltered`      | user_ids [B]            | movie_ids, scores                |
| movie_model    | as of user_model  | movie_ids [B], ...      | movie_ids, scores                |
| explicit_model | `serving_default` | userId [B], movieId [B] | stars [B, 1]                     |

`serving_default` excludes the movies that the user has rated, or the movie itself; `excluding`
excludes further movies too; `unfiltered` excludes nothing, as in the notebook. Results contain only
movies of the catalogue. All ids are text. If fewer than K movies remain, the last ids are empty and
their scores minus infinity. The signatures are also methods of the loaded model.

Shapes: B queries, I movies of the catalogue, D embedding width, E exclusions, K list length.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reco_batch.artifact.folder import EXPLICIT_MODEL, MOVIE_MODEL, USER_MODEL
from reco_batch.data.dataset import Histories
from reco_batch.models.trainable import Rating, Retrieval
from reco_batch.models.training.loop import Tower
from reco_batch.models.training.tensorflow_runtime import as_disk_errors, tf
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.sparse_term import SparseTerm

_IDS: Final = tf.TensorSpec([None], tf.string)
_ROWS_OF_IDS: Final = tf.TensorSpec([None, None], tf.string)

Answer = Mapping[str, tf.Tensor]
"""`movie_ids` and `scores`, [B, K] each, best first."""


class RowsOfMovies(tf.Module):
    """Movies of each query id, with a value for each if there are values."""

    def __init__(
        self, rows: Histories, values: NDArray[np.float32] | None = None, *, count: int
    ) -> None:
        """Prepare to be saved.

        Args:
            rows: movie indices of each row.
            values: value of each movie index.
            count: number of rows; those beyond `rows` are empty.
        """
        super().__init__()
        more = count + 1 - len(rows.offsets)
        self.offsets = tf.Variable(np.pad(rows.offsets, (0, more), "edge"), trainable=False)
        self.movies = tf.Variable(rows.movie_index.astype(np.int32), trainable=False)
        self.values = None if values is None else tf.Variable(values, trainable=False)

    def places(self, rows: tf.Tensor) -> tf.RaggedTensor:
        """Return the positions in `movies` and `values` of some rows, [rows, (entries)]."""
        starts = tf.gather(self.offsets, rows)
        return tf.ragged.range(starts, tf.gather(self.offsets, rows + 1))


class SparseScores(tf.Module):
    """Sparse term of the scores, see `scoring.sparse_term`."""

    def __init__(self, sparse: SparseTerm, *, count: int) -> None:
        """Prepare to be saved.

        Args:
            sparse: sparse term of the users, whose rows are preceded by the unknown user's.
            count: number of rows of users.
        """
        super().__init__()
        (history, weights), stored = sparse
        self.rated = RowsOfMovies(_after_unknown(history), weights, count=count)
        self.neighbours = RowsOfMovies(
            Histories(stored.indptr.astype(np.int64), stored.indices),
            stored.data,
            count=stored.shape[0],
        )
        self.width = stored.shape[1]

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Return [B, I] terms of [B] rows; a user at a time, which bounds the memory."""
        return tf.map_fn(
            self._of_user, rows, fn_output_signature=tf.TensorSpec([self.width], tf.float32)
        )

    def _of_user(self, row: tf.Tensor) -> tf.Tensor:
        own = self.rated.places(row[tf.newaxis]).values
        places = self.neighbours.places(tf.gather(self.rated.movies, own))
        weights = tf.gather(tf.gather(self.rated.values, own), places.value_rowids())
        return tf.math.unsorted_segment_sum(
            weights * tf.gather(self.neighbours.values, places.values),
            tf.gather(self.neighbours.movies, places.values),
            self.width,
        )


class TopMovies(tf.Module):
    """Exact top-k retrieval of movies by score, with exclusions."""

    def __init__(
        self,
        tower: Tower,
        movies: Tower,
        movie_ids: Sequence[str],
        excluded: Histories,
        *,
        k: int,
        sparse: SparseTerm | None = None,
    ) -> None:
        """Prepare to be saved.

        Args:
            tower: query id to vector, with ids in the order of the rows of `excluded`.
            movies: movie id to vector.
            movie_ids: I ids of the catalogue; results contain no other movies.
            excluded: indices into `movie_ids` to exclude, per query.
            k: list length.
            sparse: sparse term of the scores of the tower's ids, with the catalogue as candidates;
                that of an unknown id is zero.
        """
        super().__init__()
        ids = tf.constant(list(movie_ids))
        self.tower = tower
        self.k = min(k, len(movie_ids))
        self.candidates = tf.Variable(movies(ids), trainable=False)
        self.identifiers = tf.Variable(ids, trainable=False)
        self.index = tf.keras.layers.StringLookup(
            vocabulary=tuple(movie_ids), mask_token=None, oov_token="", num_oov_indices=1
        )
        # The tower's ids beyond the rows of `excluded` have no exclusions.
        count = tower.lookup.vocabulary_size()
        self.excluded = RowsOfMovies(_after_unknown(excluded), count=count)
        self.sparse = None if sparse is None else SparseScores(sparse, count=count)

    @tf.function(input_signature=[_IDS])  # type: ignore[untyped-decorator]
    def __call__(self, ids: tf.Tensor) -> Answer:
        """Return the top movies for each id, without its own exclusions."""
        return self._best(self._scores(ids, self._own(ids)))

    @tf.function(input_signature=[_IDS, _ROWS_OF_IDS])  # type: ignore[untyped-decorator]
    def excluding(self, ids: tf.Tensor, exclusions: tf.Tensor) -> Answer:
        """Return the top movies for each id, without its own and further exclusions.

        Args:
            ids: [B].
            exclusions: [B, E] movie ids; empty and unknown ones have no effect.
        """
        given = self.index(exclusions) - 1  # [B, E], -1 for unknown
        places = tf.where(given >= 0)
        chosen = tf.stack([places[:, 0], tf.gather_nd(given, places)], axis=1)
        return self._best(self._scores(ids, tf.concat([self._own(ids), chosen], axis=0)))

    @tf.function(input_signature=[_IDS])  # type: ignore[untyped-decorator]
    def unfiltered(self, ids: tf.Tensor) -> Answer:
        """Return the top movies for each id, without exclusions."""
        return self._best(self._scores(ids, tf.zeros([0, 2], tf.int64)))

    def save(self, folder: Path, name: str) -> None:
        """Write the model; `name` is the name of the queries in its signatures."""

        def answer(function: tf.types.experimental.PolymorphicFunction, *others: str) -> object:
            """Return a new function whose inputs have these names."""
            names = (name, *others)
            specs = zip(names, function.input_signature, strict=True)
            return tf.function(
                lambda *tensors: function(*tensors),  # noqa: PLW0108
                input_signature=[tf.TensorSpec(spec.shape, spec.dtype, n) for n, spec in specs],
            )

        _save(
            self,
            folder,
            {
                "serving_default": answer(self.__call__),
                "excluding": answer(self.excluding, "exclusions"),
                "unfiltered": answer(self.unfiltered),
            },
        )

    def _own(self, ids: tf.Tensor) -> tf.Tensor:
        """Return [X, 2] row and movie of the own exclusions of the ids."""
        wanted = self.excluded.places(self.tower.lookup(ids))
        movies = tf.cast(tf.gather(self.excluded.movies, wanted.values), tf.int64)
        return tf.stack([wanted.value_rowids(), movies], axis=1)

    def _scores(self, ids: tf.Tensor, excluded: tf.Tensor) -> tf.Tensor:
        scores = tf.matmul(self.tower(ids), self.candidates, transpose_b=True)  # [B, I]
        if self.sparse is not None:
            scores += self.sparse(self.tower.lookup(ids))
        nothing = tf.fill([tf.shape(excluded)[0]], np.float32(-np.inf))
        return tf.tensor_scatter_nd_update(scores, excluded, nothing)

    def _best(self, scores: tf.Tensor) -> Answer:
        best, places = tf.math.top_k(scores, self.k)
        ids = tf.where(tf.math.is_inf(best), "", tf.gather(self.identifiers, places))
        return {"movie_ids": ids, "scores": best}


def _after_unknown(rows: Histories) -> Histories:
    """Return the rows after an empty one, row 0, which is for ids that a tower lacks."""
    return Histories(np.concatenate([[0], rows.offsets]), rows.movie_index)


def save_retrieval(
    folder: Path,
    model: Retrieval,
    movie_ids: Sequence[str],
    seen: Histories,
    *,
    k: int,
) -> None:
    """Write `user_model` and `movie_model` below `folder`.

    Args:
        folder: parent folder of the models.
        model: trained model.
        movie_ids: I ids of the catalogue; results contain no other movies.
        seen: [U] movies that each user has rated, as indices into `movie_ids`.
        k: list length.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    towers = model.towers()
    own = Histories(np.arange(len(movie_ids) + 1), np.arange(len(movie_ids), dtype=np.int32))
    sparse = model.embeddings().among(len(movie_ids)).sparse
    users = TopMovies(towers.user, towers.movie, movie_ids, seen, k=k, sparse=sparse)
    similar = TopMovies(towers.similar, towers.similar, movie_ids, own, k=k)
    users.save(folder / USER_MODEL, "user_ids")
    similar.save(folder / MOVIE_MODEL, "movie_ids")


class DotProductStars(tf.keras.Model):
    """Predicted ratings of {userId, movieId} by biases and a dot product, clipped to the scale."""

    def __init__(
        self, model: LinearRating, user_ids: Sequence[str], movie_ids: Sequence[str]
    ) -> None:
        super().__init__()
        users, movies = model.folded()
        # An unknown user or movie has neither a vector nor a bias: only the other's bias remains.
        no_user, no_movie = np.zeros_like(users[:1]), np.zeros_like(movies[:1])
        no_user[0, -2:] = model.mean, 1
        no_movie[0, -2] = 1
        self.user_tower = Tower.holding(user_ids, np.vstack([no_user, users]))
        self.movie_tower = Tower.holding(movie_ids, np.vstack([no_movie, movies]))
        self.scale = model.scale

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return [B, 1] predicted ratings of [B] ids."""
        users, movies = self.user_tower(features["userId"]), self.movie_tower(features["movieId"])
        stars = tf.reduce_sum(users * movies, axis=1, keepdims=True)
        return tf.clip_by_value(stars, *self.scale)


def save_rating(
    folder: Path,
    rating: Rating,
    user_ids: Sequence[str],
    movie_ids: Sequence[str],
) -> None:
    """Write `explicit_model` below `folder`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    model = (
        DotProductStars(rating, user_ids, movie_ids) if isinstance(rating, LinearRating) else rating
    )
    model({"userId": tf.constant([""]), "movieId": tf.constant([""])})  # traces the call

    names = [tf.TensorSpec([None], tf.string, name) for name in ("userId", "movieId")]

    @tf.function(input_signature=names)  # type: ignore[untyped-decorator]
    def stars(user_ids: tf.Tensor, movie_ids: tf.Tensor) -> Answer:
        return {"stars": model({"userId": user_ids, "movieId": movie_ids})}

    _save(model, folder / EXPLICIT_MODEL, {"serving_default": stars})


def _save(model: tf.Module, folder: Path, signatures: Mapping[str, object]) -> None:
    with as_disk_errors():
        tf.saved_model.save(model, str(folder), signatures)

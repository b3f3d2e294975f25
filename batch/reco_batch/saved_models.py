"""The three SavedModels of a night: what the notebook saved, answering as it did.

`user_model`      [B] user ids   -> scores and movie ids of the best k movies, [B, k] each
`movie_model`     [B] movie ids  -> the same, by the product of two movies' embeddings
`explicit_model`  {userId, movieId} -> predicted stars, [B, 1]

The first two are `tfrs.layers.factorized_top_k.BruteForce` layers. They exclude nothing: that is
for the published lists.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from reco_batch._tensorflow import as_disk_errors, tf, tfrs
from reco_batch.linear_rating import LinearRating
from reco_batch.rating import RatingModel
from reco_batch.retrieval import Retrieval
from reco_batch.training import Tower

USER_MODEL = "user_model"
MOVIE_MODEL = "movie_model"
EXPLICIT_MODEL = "explicit_model"


def brute_force(
    model: Retrieval, movie_ids: Sequence[str], *, k: int
) -> tuple[tf.keras.Model, tf.keras.Model]:
    """Return the user's and the movie's BruteForce layer over all movies."""
    identifiers = tf.constant(list(movie_ids))
    towers = model.towers()
    layers = []
    for tower, candidates in (
        (towers.user, towers.movie(identifiers)),
        (towers.similar, towers.similar(identifiers)),
    ):
        layer = tfrs.layers.factorized_top_k.BruteForce(tower, k=min(k, len(movie_ids)))
        layer.index(candidates, identifiers)
        layer(identifiers[:1])  # traces the call, without which it cannot be saved
        layers.append(layer)
    return layers[0], layers[1]


def save_retrieval(folder: Path, model: Retrieval, movie_ids: Sequence[str], *, k: int) -> None:
    """Write `user_model` and `movie_model` below `folder`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    for name, layer in zip(
        (USER_MODEL, MOVIE_MODEL), brute_force(model, movie_ids, k=k), strict=True
    ):
        _save(layer, folder / name)


class DotProductStars(tf.keras.Model):
    """{userId, movieId} -> stars, by biases and a dot product, held to the scale."""

    def __init__(
        self, model: LinearRating, user_ids: Sequence[str], movie_ids: Sequence[str]
    ) -> None:
        super().__init__()
        users, movies = model.folded()
        # An unknown user or movie has no tastes, and no bias: what is left is the other's.
        nobody, nothing = np.zeros_like(users[:1]), np.zeros_like(movies[:1])
        nobody[0, -2:] = model.mean, 1
        nothing[0, -2] = 1
        self.user_tower = Tower.holding(user_ids, np.vstack([nobody, users]))
        self.movie_tower = Tower.holding(movie_ids, np.vstack([nothing, movies]))
        self.scale = model.scale

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return [B, 1] predicted stars of [B] ids."""
        users, movies = self.user_tower(features["userId"]), self.movie_tower(features["movieId"])
        stars = tf.reduce_sum(users * movies, axis=1, keepdims=True)
        return tf.clip_by_value(stars, *self.scale)


def save_rating(
    folder: Path,
    rating: RatingModel | LinearRating,
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
    _save(model, folder / EXPLICIT_MODEL)


def _save(model: tf.keras.Model, folder: Path) -> None:
    with as_disk_errors():
        tf.saved_model.save(model, str(folder))

"""The three SavedModels of a night: what the notebook saved, answering as it did.

`user_model`      [B] user ids   -> scores and movie ids of the best k movies, [B, k] each
`movie_model`     [B] movie ids  -> the same, by the product of two movies' embeddings
`explicit_model`  {userId, movieId} -> predicted stars, [B, 1]

The first two are `tfrs.layers.factorized_top_k.BruteForce` layers. They exclude nothing: that is
for the published lists.
"""

from collections.abc import Sequence
from pathlib import Path

from reco_batch._tensorflow import as_disk_errors, tf, tfrs
from reco_batch.rating import RatingModel
from reco_batch.retrieval import RetrievalModel

USER_MODEL = "user_model"
MOVIE_MODEL = "movie_model"
EXPLICIT_MODEL = "explicit_model"


def brute_force(
    model: RetrievalModel, movie_ids: Sequence[str], *, k: int
) -> tuple[tf.keras.Model, tf.keras.Model]:
    """Return the user's and the movie's BruteForce layer over all movies."""
    identifiers = tf.constant(list(movie_ids))
    candidates = model.movie_tower(identifiers)
    layers = []
    for tower in (model.user_tower, model.movie_tower):
        layer = tfrs.layers.factorized_top_k.BruteForce(tower, k=min(k, len(movie_ids)))
        layer.index(candidates, identifiers)
        layer(identifiers[:1])  # traces the call, without which it cannot be saved
        layers.append(layer)
    return layers[0], layers[1]


def save_retrieval(
    folder: Path, model: RetrievalModel, movie_ids: Sequence[str], *, k: int
) -> None:
    """Write `user_model` and `movie_model` below `folder`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    for name, layer in zip(
        (USER_MODEL, MOVIE_MODEL), brute_force(model, movie_ids, k=k), strict=True
    ):
        _save(layer, folder / name)


def save_rating(folder: Path, model: RatingModel) -> None:
    """Write `explicit_model` below `folder`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    model({"userId": tf.constant([""]), "movieId": tf.constant([""])})  # traces the call
    _save(model, folder / EXPLICIT_MODEL)


def _save(model: tf.keras.Model, folder: Path) -> None:
    with as_disk_errors():
        tf.saved_model.save(model, str(folder))

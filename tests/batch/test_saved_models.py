"""The SavedModels, loaded from disk as an application would, answer what the lists say."""

import numpy as np
import pytest

from reco_batch.ranking import ranked_blocks
from reco_batch.saved_models import (
    EXPLICIT_MODEL,
    MOVIE_MODEL,
    USER_MODEL,
    brute_force,
    save_rating,
    save_retrieval,
)
from reco_batch.topk import top_k_blocks

K = 7
#: Two kernels add float32 products in another order.
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def saved(tmp_path_factory, dataset, retrieval_model, rating_model):
    """The folder with all three models."""
    folder = tmp_path_factory.mktemp("models")
    save_retrieval(folder, retrieval_model, dataset.movies.ids, k=K)
    save_rating(folder, rating_model, (), ())  # it knows its ids
    return folder


def check_same_lists(ours, scores, ids, movies):
    """Compare by scores, and by ids where no near tie may swap two neighbours."""
    np.testing.assert_allclose(ours.scores, scores.numpy(), **ROUNDING)
    our_ids = np.array(movies.ids)[ours.items]
    differ = our_ids != ids.numpy().astype(str)
    gaps = np.abs(np.diff(ours.scores, append=np.inf, prepend=np.inf, axis=1))
    near_tie = np.minimum(gaps[:, :-1], gaps[:, 1:]) < 1e-5
    assert not (differ & ~near_tie).any()
    assert differ.mean() < 0.05


def test_user_model(tf, saved, dataset, retrieval_model):
    """Ids of users in; movie ids and scores of our own lists without exclusions out."""
    users, movies = retrieval_model.embeddings()
    (ours,) = top_k_blocks(users, movies, None, k=K, threads=1)

    scores, ids = tf.saved_model.load(str(saved / USER_MODEL))(tf.constant(dataset.user_ids))

    check_same_lists(ours, scores, ids, dataset.movies)


def test_movie_model(tf, saved, dataset, retrieval_model):
    """Ids of movies in; the similar movies out, the movie itself among them."""
    _, movies = retrieval_model.embeddings()
    (ours,) = top_k_blocks(movies, movies, None, k=K, threads=1)

    scores, ids = tf.saved_model.load(str(saved / MOVIE_MODEL))(tf.constant(dataset.movies.ids))

    check_same_lists(ours, scores, ids, dataset.movies)


def test_explicit_model(tf, saved, dataset, seen, rating_model):
    """The ranked lists are the unseen movies in the order of the saved model's stars."""
    (ours,) = ranked_blocks(rating_model.split_weights(), seen, k=len(dataset.movies), threads=1)
    model = tf.saved_model.load(str(saved / EXPLICIT_MODEL))

    for user, user_id in enumerate(dataset.user_ids):
        stars = model(
            {
                "userId": tf.constant([user_id] * len(dataset.movies)),
                "movieId": tf.constant(dataset.movies.ids),
            }
        ).numpy()[:, 0]
        shown = ours.items[user][ours.items[user] >= 0]
        assert set(shown) | set(seen.of(user)) == set(range(len(dataset.movies)))
        assert not set(shown) & set(seen.of(user))
        np.testing.assert_allclose(ours.scores[user, : len(shown)], stars[shown], **ROUNDING)
        assert (np.diff(stars[shown]) < 1e-5).all()


def test_unknown_ids_have_an_answer(tf, saved):
    """Whoever was not there last night has the list and the stars of an untrained id."""
    scores, ids = tf.saved_model.load(str(saved / USER_MODEL))(tf.constant(["nobody", "no one"]))
    stars = tf.saved_model.load(str(saved / EXPLICIT_MODEL))(
        {"userId": tf.constant(["nobody"]), "movieId": tf.constant(["none"])}
    )

    assert ids.shape == scores.shape == (2, K)
    np.testing.assert_array_equal(ids[0], ids[1])
    assert np.isfinite(stars).all()


def test_exclusions_agree_with_the_brute_force_layer(tf, dataset, seen, retrieval_model):
    """A user's list is what TFRS gives when told to leave out what the user has seen."""
    users, movies = retrieval_model.embeddings()
    (ours,) = top_k_blocks(users, movies, seen, k=K, threads=2)
    user_layer, _ = brute_force(retrieval_model, dataset.movies.ids, k=K)

    longest = int(np.diff(seen.offsets).max())
    exclusions = np.full((len(dataset.user_ids), longest), "", object)
    for user in range(len(dataset.user_ids)):
        rated = seen.of(user)
        exclusions[user, : len(rated)] = np.array(dataset.movies.ids)[rated]
    scores, ids = user_layer.query_with_exclusions(
        tf.constant(dataset.user_ids), tf.constant(exclusions.tolist())
    )

    check_same_lists(ours, scores, ids, dataset.movies)


def test_k_beyond_the_catalogue(dataset, retrieval_model):
    """A catalogue shorter than k is listed whole."""
    user_layer, _ = brute_force(retrieval_model, dataset.movies.ids, k=1000)

    _, ids = user_layer(np.array(dataset.user_ids[:1]))

    assert ids.shape == (1, len(dataset.movies))
    assert set(ids.numpy()[0].astype(str)) == set(dataset.movies.ids)


def test_folder_that_cannot_be_written(tmp_path, rating_model):
    """What TensorFlow says of a full or missing disk is an OSError, as of any other file."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match=r"(?i)not a directory"):
        save_rating(tmp_path / "file", rating_model, (), ())

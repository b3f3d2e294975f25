"""SavedModels, loaded from disk as an application does, return the published lists."""

import numpy as np
import pytest

from reco_batch.artifact.saved_models import (
    EXPLICIT_MODEL,
    MOVIE_MODEL,
    USER_MODEL,
    save_rating,
    save_retrieval,
)
from reco_batch.data.dataset import Histories
from reco_batch.models.trainable import Towers
from reco_batch.models.training.loop import Tower
from reco_batch.scoring.ranked_lists import ranked_blocks
from reco_batch.scoring.topk import top_k_blocks
from sparse_terms import drawn_vectors

K = 7
#: Two kernels add float32 products in another order.
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def saved(tmp_path_factory, dataset, seen, retrieval_model, rating_model):
    """The folder with all three models."""
    folder = tmp_path_factory.mktemp("models")
    save_retrieval(folder, retrieval_model, dataset.movies.ids, seen, k=K)
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


@pytest.fixture(scope="module")
def user_model(tf, saved):
    """The users' model, as an application loads it."""
    return tf.saved_model.load(str(saved / USER_MODEL))


def test_user_model(tf, user_model, dataset, seen, retrieval_model):
    """Ids of users in; the published lists out, which have nothing that a user has rated."""
    users, movies, _ = retrieval_model.embeddings()
    (ours,) = top_k_blocks(users, movies, seen, k=K, threads=1)

    answer = user_model(tf.constant(dataset.user_ids))

    check_same_lists(ours, answer["scores"], answer["movie_ids"], dataset.movies)
    for user, shown in enumerate(answer["movie_ids"].numpy().astype(str)):
        assert not set(shown) & {dataset.movies.ids[movie] for movie in seen.of(user)}


def test_further_exclusions(tf, user_model, dataset):
    """The next best take the places; what is empty, unknown or seen already changes nothing."""
    ids = tf.constant(dataset.user_ids)
    first = user_model(ids)["movie_ids"].numpy()
    left_out = np.column_stack([first[:, :2], np.full(len(first), b""), np.full(len(first), b"?")])

    answer = user_model.excluding(ids, tf.constant(left_out))

    np.testing.assert_array_equal(answer["movie_ids"].numpy()[:, : K - 2], first[:, 2:])
    nothing = user_model.excluding(ids, tf.constant([[""]] * len(first)))
    np.testing.assert_array_equal(nothing["movie_ids"].numpy(), first)


def test_unfiltered(tf, user_model, dataset, retrieval_model):
    """The whole catalogue, as the notebook's model answered."""
    (ours,) = top_k_blocks(*retrieval_model.embeddings()[:2], None, k=K, threads=1)

    answer = user_model.unfiltered(tf.constant(dataset.user_ids))

    check_same_lists(ours, answer["scores"], answer["movie_ids"], dataset.movies)


@pytest.mark.parametrize(("name", "query"), [(USER_MODEL, "user_ids"), (MOVIE_MODEL, "movie_ids")])
def test_inputs_and_outputs_have_names(tf, saved, dataset, name, query):
    """As TensorFlow Serving shows them; each signature answers as the method of its name."""
    model = tf.saved_model.load(str(saved / name))
    ids = tf.constant((dataset.user_ids if name == USER_MODEL else dataset.movies.ids)[:3])
    some = {query: ids, "exclusions": model(ids)["movie_ids"][:, :1]}
    own = {
        "serving_default": model(ids),
        "excluding": model.excluding(ids, some["exclusions"]),
        "unfiltered": model.unfiltered(ids),
    }

    assert model.signatures.keys() == own.keys()
    for signature, function in model.signatures.items():
        _, inputs = function.structured_input_signature
        assert inputs.keys() == {query, *(["exclusions"] if signature == "excluding" else [])}
        answer = function(**{each: some[each] for each in inputs})
        assert answer.keys() == {"movie_ids", "scores"}
        np.testing.assert_array_equal(answer["movie_ids"], own[signature]["movie_ids"])


def test_movie_model(tf, saved, dataset, retrieval_model):
    """Ids of movies in; the similar movies out, without the movie itself."""
    movies = retrieval_model.embeddings().movies
    every = np.arange(len(movies) + 1)
    (ours,) = top_k_blocks(
        movies, movies, Histories(every, every[:-1].astype(np.int32)), k=K, threads=1
    )

    answer = tf.saved_model.load(str(saved / MOVIE_MODEL))(tf.constant(dataset.movies.ids))

    check_same_lists(ours, answer["scores"], answer["movie_ids"], dataset.movies)


def test_only_movies_of_the_catalogue(tf, tmp_path, dataset, retrieval_model):
    """Items outside the catalogue are neither recommended nor listed as similar."""
    listed = dataset.movies.ids[:5]
    nothing = Histories(np.zeros(len(dataset.user_ids) + 1, np.int64), np.zeros(0, np.int32))
    save_retrieval(tmp_path, retrieval_model, listed, nothing, k=K)

    for name, ids in ((USER_MODEL, dataset.user_ids), (MOVIE_MODEL, dataset.movies.ids)):
        answer = tf.saved_model.load(str(tmp_path / name))(tf.constant(ids))
        assert set(answer["movie_ids"].numpy().astype(str).ravel()) == {
            *listed,
            *([""] if name == MOVIE_MODEL else []),
        }


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


def test_the_stars_have_a_name(tf, saved, dataset):
    """The signature returns the same values as the model."""
    model = tf.saved_model.load(str(saved / EXPLICIT_MODEL))
    pair = {"userId": tf.constant(dataset.user_ids[:1]), "movieId": tf.constant(["1"])}

    answer = model.signatures["serving_default"](**pair)

    assert answer.keys() == {"stars"}
    np.testing.assert_array_equal(answer["stars"], model(pair))


def test_unknown_ids_have_an_answer(tf, saved, user_model):
    """Unknown users get the list and the predicted rating of an untrained id."""
    answer = user_model(tf.constant(["unknown", "new"]))
    stars = tf.saved_model.load(str(saved / EXPLICIT_MODEL))(
        {"userId": tf.constant(["unknown"]), "movieId": tf.constant(["none"])}
    )

    assert answer["movie_ids"].shape == answer["scores"].shape == (2, K)
    np.testing.assert_array_equal(answer["movie_ids"][0], answer["movie_ids"][1])
    assert np.isfinite(answer["scores"]).all()
    assert np.isfinite(stars).all()


def test_exclusions_agree_with_the_brute_force_layer(
    tf, tfrs, user_model, dataset, seen, retrieval_model
):
    """The lists equal those of TFRS with the seen movies as exclusions."""
    towers, movie_ids = retrieval_model.towers(), tf.constant(dataset.movies.ids)
    layer = tfrs.layers.factorized_top_k.BruteForce(towers.user, k=K)
    layer.index(towers.movie(movie_ids), movie_ids)
    longest = int(np.diff(seen.offsets).max())
    exclusions = np.full((len(dataset.user_ids), longest), "", object)
    for user in range(len(dataset.user_ids)):
        rated = seen.of(user)
        exclusions[user, : len(rated)] = np.array(dataset.movies.ids)[rated]

    scores, _ = layer.query_with_exclusions(
        tf.constant(dataset.user_ids), tf.constant(exclusions.tolist())
    )

    answer = user_model(tf.constant(dataset.user_ids))
    np.testing.assert_allclose(answer["scores"], scores, **ROUNDING)


def test_a_list_that_is_used_up_ends(tf, tmp_path, dataset, seen, retrieval_model):
    """A catalogue shorter than k is listed completely, without the excluded movies."""
    save_retrieval(tmp_path, retrieval_model, dataset.movies.ids, seen, k=1000)
    model = tf.saved_model.load(str(tmp_path / USER_MODEL))

    answer = model(tf.constant(dataset.user_ids[:1]))

    shown = answer["movie_ids"].numpy()[0].astype(str)
    rated = {dataset.movies.ids[movie] for movie in seen.of(0)}
    assert answer["movie_ids"].shape == (1, len(dataset.movies))
    assert set(shown[: -len(rated)]) == set(dataset.movies.ids) - rated
    assert set(shown[-len(rated) :]) == {""}
    assert np.isneginf(answer["scores"].numpy()[0, -len(rated) :]).all()


def test_folder_that_cannot_be_written(tmp_path, rating_model):
    """TensorFlow's errors about a full or missing disk become OSErrors."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match=r"(?i)not a directory"):
        save_rating(tmp_path / "file", rating_model, (), ())


class Scored:
    """Trained model of given vectors."""

    def __init__(self, vectors, dataset):
        self._vectors, self._dataset = vectors, dataset

    def embeddings(self):
        """Return them."""
        return self._vectors

    def towers(self):
        """Return lookups of the vectors; an unknown user's is ones."""
        users, movies, _ = self._vectors
        user_rows = np.vstack([np.ones_like(users[:1]), users])
        movie_rows = np.vstack([np.zeros_like(movies[:1]), movies])
        of_movies = Tower.holding(self._dataset.movies.ids, movie_rows)
        return Towers(Tower.holding(self._dataset.user_ids, user_rows), of_movies, of_movies)


@pytest.mark.parametrize("unlisted", [0, 4])
def test_user_model_adds_the_sparse_term(tf, tmp_path, dataset, seen, unlisted):
    """All signatures add it; an unknown user's is zero, and so is that of an empty history."""
    users, movies = len(dataset.user_ids), len(dataset.movies)
    listed = movies - unlisted
    rng = np.random.default_rng(13)
    vectors = drawn_vectors(rng, users=users, movies=movies, numbers=normal_numbers)
    own = seen.below(listed)
    save_retrieval(tmp_path, Scored(vectors, dataset), dataset.movies.ids[:listed], own, k=K)
    model = tf.saved_model.load(str(tmp_path / USER_MODEL))
    ids = tf.constant(dataset.user_ids)
    queries, items, sparse = vectors.among(listed)

    for answer, excluded in ((model(ids), own), (model.unfiltered(ids), None)):
        (ours,) = top_k_blocks(queries, items, excluded, k=K, threads=1, sparse=sparse)
        check_same_lists(ours, answer["scores"], answer["movie_ids"], dataset.movies)

    first = model(ids)["movie_ids"]
    after = model.excluding(ids, first[:, :2])["movie_ids"]
    np.testing.assert_array_equal(after[:, : K - 2], first[:, 2:])
    unknown = model.unfiltered(tf.constant(["unknown"]))["scores"]
    product = np.sort(items.sum(axis=1))[::-1][:K]
    np.testing.assert_allclose(unknown[0], product, **ROUNDING)


def normal_numbers(rng, *shape):
    """Draw numbers without ties."""
    return rng.normal(size=shape).astype(np.float32)

"""Default retrieval model: both halves in one dot product, and its SavedModels."""

import copy
import dataclasses
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from handmade_ratings import ODD_DATA, ratings_of
from reco_batch.artifact.saved_models import MOVIE_MODEL, USER_MODEL, save_retrieval
from reco_batch.data.dataset import Ratings, histories
from reco_batch.models.retrieval import hybrid
from reco_batch.models.retrieval.history_encoder import HistoryEncoder, time_features
from reco_batch.models.retrieval.hybrid import latest_ratings
from reco_batch.models.retrieval.hybrid_training import train_hybrid
from reco_batch.models.retrieval.recency import as_matrix, recency_weights
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import (
    EaseParameters,
    HybridParameters,
    TowerParameters,
)
from stopped_training import Stopped, StoppingStage

K = 7
SMALL = HybridParameters(
    tower=TowerParameters(embedding_dim=8, epochs=12, batch_users=10, learning_rate=0.02),
    neighbours=EaseParameters(factors=16),
    neighbour_share=0.4,
    half_trust=8.0,
    popularity_discount=0.2,
    newcomer_discount=0.3,
    arrival_neighbour_share=0.6,
    arrival_popularity=0.7,
)


def train(dataset, stage, *, ratings=None, seed=42, parameters=SMALL, checkpoints=None):
    """Train on a data set's ratings."""
    return train_hybrid(
        lambda: dataset.ratings if ratings is None else ratings,
        movies=dataset.movies,
        user_ids=dataset.user_ids,
        parameters=parameters,
        recency=0.5,
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )


@pytest.fixture(scope="module")
def model(sittings):
    """Model of ratings given in sessions, with seed 42, trained without a stop."""
    return train(sittings, StoppingStage(after=SMALL.tower.epochs))


def arrays_of(model):
    """Return all arrays that scoring needs."""
    users, movies, _ = model.embeddings()
    return users, movies, model.similar_embeddings(), model.next_embeddings().users


def own_and_time(model, ratings):
    """Return the part of the encoder's user vectors that belongs to no rating, [U, D]."""
    users = model._encoder.users
    latest = latest_ratings(ratings, user_count=len(users))
    return users + time_features(latest, years=model._years) @ model._encoder.times


def check_same_bits(one, other):
    """Compare two models to the last bit."""
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_score_is_the_halves_at_equal_spread_less_the_popularity(model, sittings):
    """Each half is divided by the spread of its scores; EASE is weighed by trust."""
    users, movies, _ = model.embeddings()
    encoder, ease = model._encoder, model._ease
    user_count, movie_count = len(users), len(movies)
    history = histories(sittings.ratings, user_count=user_count)
    weights = recency_weights(history, exponent=0.5)
    matrix = as_matrix(history, weights, movie_count=movie_count)
    length = np.sqrt(matrix.power(2).toarray().sum(axis=1, keepdims=True))
    vectors = matrix @ encoder.history / length + own_and_time(model, sittings.ratings)
    of_encoder = vectors @ encoder.movies[:, :-1].T + encoder.movies[:, -1]
    of_ease = matrix @ ease.into @ ease.out.T
    log = np.log(np.bincount(history.movie_index, minlength=movie_count) + 1)
    popularity = (log - log.mean()) / log.std()

    rated = np.diff(history.offsets)[:, np.newaxis]
    trust = rated / (rated + 8)

    expected = (
        of_encoder / of_encoder.std(axis=1, ddof=1, keepdims=True)
        + 0.4 * trust * of_ease / of_ease.std(axis=1, ddof=1, keepdims=True)
        - (0.2 + 0.3 * (1 - trust)) * popularity
    )
    np.testing.assert_allclose(users @ movies.T, expected, rtol=1e-2, atol=1e-2)
    assert users.dtype == movies.dtype == np.float32


def test_a_score_is_what_the_ratings_add_and_what_belongs_to_none(sittings, stage):
    """Own vector, time, bias and popularity are the rest; all else belongs to a rating."""
    ratings = sittings.ratings
    user_index, movie_index, timestamps = ratings.user_index, ratings.movie_index, ratings.timestamp
    unjudged = Ratings(user_index, movie_index, None, timestamps)  # disliked ones add as well
    model = train(sittings, stage, ratings=unjudged)
    users, movies, _ = model.embeddings()

    influence = model.influence()

    history, weights = influence.rated
    matrix = as_matrix(history, weights, movie_count=len(movies))
    columns = np.repeat(influence.shares, influence.widths, axis=1)
    added = matrix @ influence.vectors * columns  # [U, D]
    length = np.sqrt(matrix.power(2).toarray().sum(axis=1, keepdims=True))
    units = influence.shares[:, :1] * length
    own = own_and_time(model, unjudged)
    rest = units * np.column_stack([own, np.ones(len(users))])  # [U, tower and bias]
    rest = np.column_stack([rest, np.zeros((len(users), movies.shape[1] - rest.shape[1]))])
    rest[:, -1] = users[:, -1]
    np.testing.assert_allclose((added + rest) @ movies.T, users @ movies.T, atol=1e-4)
    assert np.abs(added @ movies.T).mean() > 0.1


def test_no_disliked_movie_and_newer_ones_before_older(model, sittings):
    """Ratings below the user's mean have no weight; of the others newer ones weigh more."""
    ratings = sittings.ratings

    history, weights = model.influence().rated

    means = np.bincount(ratings.user_index, ratings.rating) / np.bincount(ratings.user_index)
    stars = dict(
        zip(zip(ratings.user_index, ratings.movie_index, strict=True), ratings.rating, strict=True)
    )
    for user in range(0, len(means), 7):
        own = slice(*history.offsets[user : user + 2])
        for movie, weight in zip(history.movie_index[own], weights[own], strict=True):
            assert (weight > 0) == (stars[user, movie] >= means[user])
        counting = weights[own][weights[own] > 0]
        assert (np.diff(counting) < 0).all()


def test_weight_of_ease_grows_with_the_length_of_the_history(model):
    """EASE weighs by trust, the popularity discount by the rest, but for users without ratings."""
    share, discount = model._shares(np.array([0, 1, 8, 792]))

    np.testing.assert_allclose(share, [0, 0.4 / 9, 0.2, 0.396])
    np.testing.assert_allclose(discount, [0.2, 0.2 + 0.3 * 8 / 9, 0.35, 0.203])


def test_a_single_movie_is_scored_by_both_halves_and_popularity(model):
    """Each half is divided by the spread of its scores, without users, times and biases."""
    encoder, ease = model._encoder, model._ease
    movies = model.embeddings().movies
    of_encoder = encoder.history @ encoder.movies[:, :-1].T
    of_ease = ease.into @ ease.out.T
    spread = of_ease.std(axis=1, ddof=1, keepdims=True)

    known = np.where(spread > 1e-5, spread, np.inf)  # a movie without neighbours has no scores

    expected = (
        of_encoder / of_encoder.std(axis=1, ddof=1, keepdims=True)
        + 0.6 * of_ease / known
        + 0.7 * movies[:, -1]
    )

    found = model.next_embeddings().users @ movies.T
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)


def test_movies_of_one_taste_go_on_to_more_of_it(model, sittings):
    """The sum of three movies' vectors ranks other movies of their genre first."""
    movies = model.embeddings().movies
    for genre in range(3):
        rated = np.arange(genre, len(movies), 3)[:3]
        scores = model.next_embeddings().users[rated].sum(axis=0) @ movies.T
        scores[rated] = -np.inf
        assert (np.argsort(-scores)[:5] % 3 == genre).mean() > 0.7


def test_planted_taste_is_found(model, sittings, seen):
    """Most movies of each list belong to the genre that the user prefers."""
    (block,) = top_k_blocks(*model.embeddings()[:2], seen, k=5, threads=1)

    taste = np.array([(int(user_id) // 7 - 1) % 3 for user_id in sittings.user_ids])
    assert (block.items % 3 == taste[:, np.newaxis]).mean() > 0.7


def test_seed_fixes_the_lists(model, sittings, stage):
    """Equal seeds return equal bits in any order of rows, other seeds others."""
    rows = np.random.default_rng(1).permutation(len(sittings.ratings))

    again = train(sittings, stage, ratings=sittings.ratings.take(rows))
    other = train(sittings, stage, seed=43)

    check_same_bits(again, model)
    assert (other.embeddings().users != model.embeddings().users).any()
    assert stage.steps == 2 * SMALL.tower.epochs


def test_a_resumed_training_ends_with_the_same_bits(model, sittings, stage, tmp_path):
    """EASE is solved again; the encoder resumes from its checkpoint."""
    messages = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=messages.append)

    with pytest.raises(Stopped):
        train(sittings, StoppingStage(after=5), checkpoints=checkpoints())
    resumed = train(sittings, stage, checkpoints=checkpoints())

    assert messages == ["it: resuming after epoch 5"]
    check_same_bits(resumed, model)


def check_same_lists(ours, scores, ids, movies):
    """Compare scores, and ids where no near tie may swap two neighbours."""
    np.testing.assert_allclose(ours.scores, scores.numpy(), rtol=1e-4, atol=1e-4)
    differ = np.array(movies.ids)[ours.items] != ids.numpy().astype(str)
    gaps = np.abs(np.diff(ours.scores, append=np.inf, prepend=np.inf, axis=1))
    assert not (differ & (np.minimum(gaps[:, :-1], gaps[:, 1:]) > 1e-3)).any()
    assert differ.mean() < 0.05


def seen_of(dataset):
    """Return the movies that each user has rated."""
    return histories(dataset.ratings, user_count=len(dataset.user_ids))


def answers(tf, folder, ids):
    """Call a saved model; return scores and ids."""
    answer = tf.saved_model.load(str(folder))(tf.constant(ids))
    return answer["scores"], answer["movie_ids"]


@pytest.fixture(scope="module")
def saved(model, sittings, tmp_path_factory):
    """Folder with both saved models."""
    folder = tmp_path_factory.mktemp("models")
    save_retrieval(folder, model, sittings.movies.ids, seen_of(sittings), k=K)
    return folder


def test_the_saved_user_model_answers_as_the_lists(model, saved, sittings, tf):
    """User ids to movies and scores, without the rated movies."""
    (ours,) = top_k_blocks(*model.embeddings()[:2], seen_of(sittings), k=K, threads=1)

    scores, ids = answers(tf, saved / USER_MODEL, sittings.user_ids)

    check_same_lists(ours, scores, ids, sittings.movies)


def test_the_saved_movie_model_answers_as_the_similar_lists(model, saved, sittings, tf):
    """Movie ids to movies and scores; unfiltered, each movie has similarity 1 with itself."""
    similar = model.similar_embeddings()
    (ours,) = top_k_blocks(similar, similar, None, k=K, threads=1)

    loaded = tf.saved_model.load(str(saved / MOVIE_MODEL))
    answer = loaded.unfiltered(tf.constant(sittings.movies.ids))

    check_same_lists(ours, answer["scores"], answer["movie_ids"], sittings.movies)
    np.testing.assert_allclose(answer["scores"][:, 0], 1, rtol=1e-5)


def test_an_unknown_user_is_shown_what_most_have_seen(model, saved, sittings, tf):
    """A user with an empty history has the same list; an unknown movie has no similar ones."""
    _, ids = answers(tf, saved / USER_MODEL, ["unknown"])
    scores, _ = answers(tf, saved / MOVIE_MODEL, ["unknown"])

    newcomer = model.fold_in(ratings_of([]), user_count=1)
    (ours,) = top_k_blocks(newcomer, model.embeddings().movies, None, k=K, threads=1)
    assert ids.numpy()[0].astype(str).tolist() == list(np.array(sittings.movies.ids)[ours.items[0]])
    rated = np.bincount(sittings.ratings.movie_index, minlength=len(sittings.movies))
    assert rated[ours.items[0]].mean() > np.quantile(rated, 0.9)
    np.testing.assert_array_equal(scores, 0)


def test_a_new_user_is_known_by_the_history(model, sittings):
    """Each vector depends on the own ratings alone, and is close to the trained one."""
    known = model.embeddings().users
    ratings = sittings.ratings

    together = model.fold_in(ratings, user_count=len(known))
    rows = np.flatnonzero(ratings.user_index == 3)
    one = ratings.take(rows)
    alone = model.fold_in(replace(one, user_index=one.user_index * 0), user_count=1)

    np.testing.assert_allclose(together[3], alone[0], rtol=1e-4, atol=1e-5)
    movies = model.embeddings().movies
    alike = [
        np.corrcoef(a @ movies.T, b @ movies.T)[0, 1] for a, b in zip(known, together, strict=True)
    ]
    assert np.median(alike) > 0.9
    assert not np.allclose(known, together, rtol=1e-5, atol=1e-5)  # trained users have own vectors


def test_vectors_do_not_depend_on_the_block_size(model, sittings, stage, monkeypatch):
    """Neither those of trained users, nor of folded-in users, nor of movies."""
    users = len(sittings.user_ids)
    unknown = model.fold_in(sittings.ratings, user_count=users)
    following = model.next_embeddings().users

    monkeypatch.setattr(hybrid, "_AT_ONCE", 7)
    in_blocks = train(sittings, stage)

    for found, expected in (
        (in_blocks.embeddings().users, model.embeddings().users),
        (model.fold_in(sittings.ratings, user_count=users), unknown),
        (model.next_embeddings().users, following),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_nothing_large_is_kept_longer_than_it_is_needed(sittings, monkeypatch):
    """Ratings are released before training, the Keras model and its optimizer after it."""
    kept = []

    def given():
        copied = copy.deepcopy(sittings.ratings)
        columns = (getattr(copied, field.name) for field in dataclasses.fields(Ratings))
        kept.extend(weakref.ref(part) for part in columns if part is not None)
        return copied

    class Looking(StoppingStage):
        def advance(self, steps):
            assert kept
            assert not [ref for ref in kept if ref() is not None]
            super().advance(steps)

    made = HistoryEncoder.__init__

    def making(keras_model, *args, **kwargs):
        made(keras_model, *args, **kwargs)
        models.append(weakref.ref(keras_model))

    models = []
    monkeypatch.setattr(HistoryEncoder, "__init__", making)
    gc.disable()  # what goes away is not there by chance
    try:
        train_hybrid(
            given,
            movies=sittings.movies,
            user_ids=sittings.user_ids,
            parameters=SMALL,
            recency=0.5,
            seed=42,
            stage=Looking(after=SMALL.tower.epochs),
        )
        left = [ref() for ref in models]
    finally:
        gc.enable()
    assert left == [None]


@pytest.mark.parametrize("name", ODD_DATA)
@pytest.mark.slow
def test_odd_data_has_lists(stage, tf, tmp_path, name):
    """Few, equal or missing ratings, text ids, and users and movies without ratings."""
    ratings, movies = ODD_DATA[name]
    user_ids = [f"user:{user}" for user in range(int(ratings.user_index.max()) + 2)]

    model = train_hybrid(
        lambda: ratings,
        movies=movies,
        user_ids=user_ids,
        parameters=replace(SMALL, tower=replace(SMALL.tower, epochs=2)),
        recency=0.5,
        seed=1,
        stage=stage,
    )

    users, vectors, _ = model.embeddings()
    assert users.shape[0] == len(user_ids)
    for array in arrays_of(model):
        assert np.isfinite(array).all()
    seen = histories(ratings, user_count=len(user_ids))
    save_retrieval(tmp_path, model, movies.ids, seen, k=K)
    (ours,) = top_k_blocks(users, vectors, seen, k=min(K, len(movies)), threads=1)
    scores, ids = answers(tf, tmp_path / USER_MODEL, user_ids)
    np.testing.assert_allclose(ours.scores, scores.numpy(), rtol=1e-3, atol=1e-3)
    assert set(ids.numpy().astype(str).ravel()) <= {"", *movies.ids}

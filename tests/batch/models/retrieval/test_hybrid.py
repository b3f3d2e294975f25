"""Default retrieval model: both halves and popularity in one score, and its SavedModels."""

import copy
import dataclasses
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from handmade_ratings import ODD_DATA, START, ratings_of
from reco_batch.artifact.saved_models import MOVIE_MODEL, USER_MODEL, save_retrieval
from reco_batch.data.dataset import Ratings, histories
from reco_batch.models.retrieval import hybrid
from reco_batch.models.retrieval.encoder_weights import time_features
from reco_batch.models.retrieval.history_encoder import HistoryEncoder
from reco_batch.models.retrieval.history_weights import as_matrix, history_weights
from reco_batch.models.retrieval.hybrid import (
    HybridRetrieval,
    Users,
    latest_ratings,
    popularity_columns,
    term_spread,
    trust,
)
from reco_batch.models.retrieval.hybrid_training import train_hybrid
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.scoring.explanations import explained, strengths
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import (
    HybridParameters,
    NeighbourKind,
    NeighbourParameters,
    TowerParameters,
)
from sparse_terms import dense_scores, dense_term, drawn_sparse
from stopped_training import Stopped, StoppingStage

K = 7
EPOCHS = 12  # of one step each
SMALL = HybridParameters(
    tower=TowerParameters(embedding_dim=8, steps=EPOCHS, batch_users=2048, learning_rate=0.02),
    neighbours=NeighbourParameters(kind=NeighbourKind.ORDERED, most_neighbours=30),
    recency=0.5,
    dislike_weight=0.5,
    tower_share=1.2,
    neighbour_share=0.4,
    half_trust=8.0,
    popularity_share=-0.2,
    recent_share=0.25,
    recent_days=7,
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
        seed=seed,
        stage=stage,
        checkpoints=checkpoints,
    )


@pytest.fixture(scope="module")
def model(sittings):
    """Model of ratings given in sessions, with seed 42, trained without a stop."""
    return train(sittings, StoppingStage(after=EPOCHS))


def with_parameters(model, ratings, **changes):
    """Join the same halves by other parameters."""
    halves = model._halves
    users = Users.of(ratings, user_count=len(halves.encoder.users))
    return HybridRetrieval(
        halves,
        users._replace(own=halves.encoder.users),
        replace(SMALL, **changes),
        similar=model._similar,
        ids=model._ids,
    )


def arrays_of(model):
    """Return all arrays that scoring needs."""
    users, movies, term = model.embeddings()
    following = model.next_embeddings()
    return (
        users,
        movies,
        term.rated.weights,
        term.neighbours.data,
        term.neighbours.indices,
        model.similar_embeddings(),
        following.users,
        following.sparse.rated.weights,
    )


def own_and_time(model, ratings):
    """Return the part of the encoder's user vectors that belongs to no rating, [U, D]."""
    users = model._halves.encoder.users
    latest = latest_ratings(ratings, user_count=len(users))
    return users + time_features(latest, years=model._halves.years) @ model._halves.encoder.times


def standardised_log(counts):
    """Return the log counts with mean 0 and deviation 1."""
    log = np.log(counts + 1)
    return (log - log.mean()) / log.std()


def documented_scores(model, ratings, *, own=True):
    """Compute the scores user by user from the formula in the docstring, in float64."""
    halves, of = model._halves, model._parameters
    encoder, weights = halves.encoder, halves.neighbours.toarray().astype(np.float64)
    movies, user_count = len(encoder.movies), len(encoder.users)
    rest = own_and_time(model, ratings)
    if not own:
        rest = rest - encoder.users
    popular = standardised_log(np.bincount(ratings.movie_index, minlength=movies))
    newest = ratings.timestamp.max()
    late = ratings.timestamp > newest - of.recent_days * 86400
    recent = standardised_log(np.bincount(ratings.movie_index[late], minlength=movies))
    scores = np.zeros((user_count, movies))
    for user in range(user_count):
        rows = np.flatnonzero(ratings.user_index == user)
        # Newest first; of one time the last row of the file, as in every history.
        rated = histories(ratings, user_count=user_count).of(user)
        stars = dict(zip(ratings.movie_index[rows], ratings.rating[rows], strict=True))
        mean = np.mean(list(stars.values())) if stars else 0
        factor = np.array([1 if stars[m] >= mean - 1e-6 else of.dislike_weight for m in rated])
        own_weights = (np.arange(len(rated)) / 5 + 1) ** -of.recency * factor
        length = np.sqrt(np.square(own_weights).sum() + 1e-9)
        vector = own_weights @ encoder.history[rated] / length + rest[user]
        of_encoder = encoder.movies[:, :-1] @ vector + encoder.movies[:, -1]
        of_neighbours = own_weights @ weights[rated]
        trusted = len(rated) ** 2 / (len(rated) ** 2 + of.half_trust**2)
        scores[user] = (
            of.tower_share * of_encoder / max(of_encoder.std(ddof=1), 1e-6)
            + of.neighbour_share * trusted * of_neighbours / max(of_neighbours.std(), 1e-6)
            + of.popularity_share * popular
            + of.recent_share * recent
        )
    return scores


def check_same_bits(one, other):
    """Compare two models to the last bit."""
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tower_share": 0.0},
        {"neighbour_share": 0.0},
        {"tower_share": 0.0, "neighbour_share": 0.0, "popularity_share": 1.0},
        {"dislike_weight": -0.5},
        {"dislike_weight": 0.0, "recency": 0.0},
    ],
    ids=lambda changes: ", ".join(f"{name} {value}" for name, value in changes.items()) or "all",
)
def test_score_is_the_documented_formula(model, sittings, changes):
    """Each half is divided by the spread of its scores; the item-item half counts by trust."""
    changed = with_parameters(model, sittings.ratings, **changes)

    found = dense_scores(changed.embeddings())

    expected = documented_scores(changed, sittings.ratings)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    users, movies, _ = changed.embeddings()
    assert users.dtype == movies.dtype == found.dtype == np.float32


def test_each_part_changes_the_scores(model, sittings):
    """The parameters of the formula's test give no part a share of zero."""
    scores = dense_scores(model.embeddings())

    for name in ("tower_share", "neighbour_share", "popularity_share", "recent_share"):
        without = with_parameters(model, sittings.ratings, **{name: 0.0})
        assert np.abs(dense_scores(without.embeddings()) - scores).max() > 0.1


def test_own_history_folded_in_has_the_same_score_without_the_own_vector(model, sittings):
    """Everything but the trained vector of the user is computed from the ratings."""
    folded = model.fold_in(sittings.ratings, user_count=len(sittings.user_ids))

    expected = documented_scores(model, sittings.ratings, own=False)
    np.testing.assert_allclose(dense_scores(folded), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(dense_term(folded.sparse), dense_term(model.embeddings().sparse))


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
    rest = np.column_stack([rest, users[:, -2:]])
    np.testing.assert_allclose((added + rest) @ movies.T, users @ movies.T, atol=1e-3)
    assert np.abs(added @ movies.T).mean() > 0.1


def test_explanation_is_the_rating_without_which_the_score_falls_most(model, sittings):
    """Dot product and sparse term together, computed rating by rating."""
    vectors, influence = model.embeddings(), model.influence()
    seen = seen_of(sittings)

    blocks = top_k_blocks(*vectors[:2], seen, k=3, threads=1, sparse=vectors.sparse)
    (block,) = explained(blocks, vectors.movies, influence, threads=1, sparse=vectors.sparse)

    neighbours = model._halves.neighbours.toarray()
    history, weights = influence.rated
    checked = 0
    for user in range(0, len(vectors.users), 9):
        own = slice(*history.offsets[user : user + 2])
        rated, weight = history.movie_index[own], weights[own]
        sparse = vectors.sparse.rated.weights[own]
        for item, reason in zip(block.lists.items[user], block.reasons[user], strict=True):
            dense = (
                weight * influence.shares[user] * (influence.vectors[rated] @ vectors.movies[item])
            )
            added = np.where(weight > 0, dense + sparse * neighbours[rated, item], -np.inf)
            if added.max() > 0:
                assert added[rated == reason] == pytest.approx(added.max(), abs=1e-5)
                checked += 1
            else:
                assert reason == -1
    assert checked > 10


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


def test_a_negative_weight_of_dislikes_counts_against_similar_movies(model, sittings):
    """The item-item score of a user with one disliked rating is lower where it is similar."""
    ratings = ratings_of([(0, 0), (0, 1), (0, 2)], stars=[5, 5, 1])
    against, alike = (
        with_parameters(model, sittings.ratings, dislike_weight=weight)
        .fold_in(ratings, user_count=1)
        .sparse.rated
        for weight in (-0.5, 1.0)
    )

    disliked = alike.history.movie_index == 2
    assert (against.weights[disliked] < 0).all()
    assert (against.weights[~disliked] > 0).all()
    assert (alike.weights > 0).all()
    expected = history_weights(strengths(ratings, user_count=1), recency=0.5, dislike_weight=-0.5)
    ratio = against.weights / expected
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_trust_grows_with_the_length_of_the_history():
    """From none to almost all of it."""
    counts = np.array([0, 1, 8, 800])

    np.testing.assert_allclose(trust(SMALL, counts), [0, 1 / 65, 0.5, 0.9999])


def test_recent_popularity_counts_the_last_days():
    """Days before the newest rating; without times it is zero."""
    day = 86400
    ratings = ratings_of(
        [(0, 0), (1, 0), (2, 1), (3, 2)],
        timestamps=[START, START, START + 10 * day, START + 12 * day],
    )

    columns = popularity_columns(ratings, movie_count=4, recent_days=7)
    undated = popularity_columns(replace(ratings, timestamp=None), movie_count=4, recent_days=7)

    expected = np.column_stack(
        [standardised_log(np.array([2, 1, 1, 0])), standardised_log(np.array([0, 1, 1, 0]))]
    )
    np.testing.assert_allclose(columns, expected, rtol=1e-5)
    np.testing.assert_allclose(undated[:, 0], expected[:, 0], rtol=1e-5)
    np.testing.assert_array_equal(undated[:, 1], 0)


def test_a_single_movie_is_scored_by_both_halves_and_popularity(model):
    """Each half is divided by the spread of its scores, without users, times and biases."""
    encoder, neighbours = model._halves.encoder, model._halves.neighbours.toarray()
    movies = model.embeddings().movies
    of_encoder = encoder.history @ encoder.movies[:, :-1].T
    spread = neighbours.std(axis=1, keepdims=True)
    known = np.where(spread > 1e-6, spread, np.inf)  # a movie without neighbours has no scores
    expected = (
        of_encoder / of_encoder.std(axis=1, ddof=1, keepdims=True)
        + 0.6 * neighbours / known
        + 0.7 * movies[:, -2]
    )

    found = dense_scores(model.next_embeddings())

    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_scores_of_single_movies_can_be_added(model):
    """Joined histories have the sum of their vectors and weights, and so of their scores."""
    following = model.next_embeddings()
    scores = dense_scores(following)

    term = following.sparse
    np.testing.assert_array_equal(term.rated.history.movie_index, np.arange(len(scores)))
    weights = np.zeros(len(scores), np.float32)
    weights[[1, 4, 7]] = term.rated.weights[[1, 4, 7]]
    joined = following.users[[1, 4, 7]].sum(axis=0) @ following.movies.T
    joined += weights @ term.neighbours
    np.testing.assert_allclose(joined, scores[[1, 4, 7]].sum(axis=0), rtol=1e-3, atol=1e-3)


def test_movies_of_one_taste_go_on_to_more_of_it(model):
    """The sum of three movies' scores ranks other movies of their genre first."""
    of_one = dense_scores(model.next_embeddings())
    for genre in range(3):
        rated = np.arange(genre, len(of_one), 3)[:3]
        scores = of_one[rated].sum(axis=0)
        scores[rated] = -np.inf
        assert (np.argsort(-scores)[:5] % 3 == genre).mean() > 0.7


def test_planted_taste_is_found(model, sittings, seen):
    """Most movies of each list belong to the genre that the user prefers."""
    block = lists_of(model.embeddings(), seen, k=5)

    taste = np.array([(int(user_id) // 7 - 1) % 3 for user_id in sittings.user_ids])
    assert (block.items % 3 == taste[:, np.newaxis]).mean() > 0.7


def test_seed_fixes_the_lists(model, sittings, stage):
    """Equal seeds return equal bits in any order of rows, other seeds others."""
    rows = np.random.default_rng(1).permutation(len(sittings.ratings))

    again = train(sittings, stage, ratings=sittings.ratings.take(rows))
    other = train(sittings, stage, seed=43)

    check_same_bits(again, model)
    assert (other.embeddings().users != model.embeddings().users).any()
    assert stage.steps == 2 * EPOCHS


def test_a_resumed_training_ends_with_the_same_bits(model, sittings, stage, tmp_path):
    """The weights are solved again; the encoder resumes from its checkpoint."""
    messages = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=messages.append)

    with pytest.raises(Stopped):
        train(sittings, StoppingStage(after=5), checkpoints=checkpoints())
    resumed = train(sittings, stage, checkpoints=checkpoints())

    assert messages == ["it: resuming after epoch 5"]
    check_same_bits(resumed, model)


def lists_of(vectors, seen, *, k=K):
    """Return the lists of all users in one block."""
    (block,) = top_k_blocks(*vectors[:2], seen, k=k, threads=1, sparse=vectors.sparse)
    return block


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
    ours = lists_of(model.embeddings(), seen_of(sittings))

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

    ours = lists_of(model.fold_in(ratings_of([]), user_count=1), None)
    assert ids.numpy()[0].astype(str).tolist() == list(np.array(sittings.movies.ids)[ours.items[0]])
    rated = np.bincount(sittings.ratings.movie_index, minlength=len(sittings.movies))
    assert rated[ours.items[0]].mean() > np.quantile(rated, 0.9)
    np.testing.assert_array_equal(scores, 0)


def test_a_new_user_is_known_by_the_history(model, sittings):
    """Scores depend on the own ratings alone, and are close to those of the trained user."""
    known = dense_scores(model.embeddings())
    ratings = sittings.ratings

    together = dense_scores(model.fold_in(ratings, user_count=len(known)))
    one = ratings.take(np.flatnonzero(ratings.user_index == 3))
    alone = model.fold_in(replace(one, user_index=one.user_index * 0), user_count=1)

    np.testing.assert_allclose(together[3], dense_scores(alone)[0], rtol=1e-4, atol=1e-4)
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(known, together, strict=True)]
    assert np.median(alike) > 0.9
    assert not np.allclose(known, together, rtol=1e-4, atol=1e-4)  # trained users have own vectors


def test_a_user_without_ratings_has_finite_scores_without_an_item_item_part(model):
    """Also between users with ratings."""
    folded = model.fold_in(ratings_of([(0, 0), (2, 1)]), user_count=3)

    assert np.isfinite(dense_scores(folded)).all()
    assert np.abs(dense_term(folded.sparse)[[0, 2]]).max(axis=1).all()
    np.testing.assert_array_equal(dense_term(folded.sparse)[1], 0)


def test_vectors_do_not_depend_on_the_block_size(model, sittings, stage, monkeypatch):
    """Neither those of trained users, nor of folded-in users, nor of movies."""
    users = len(sittings.user_ids)
    unknown = dense_scores(model.fold_in(sittings.ratings, user_count=users))
    following = dense_scores(model.next_embeddings())

    monkeypatch.setattr(hybrid, "_AT_ONCE", 7)
    monkeypatch.setattr(hybrid, "_SCORES_AT_ONCE", 5 * len(sittings.movies))
    in_blocks = train(sittings, stage)

    for found, expected in (
        (in_blocks.embeddings(), dense_scores(model.embeddings())),
        (model.fold_in(sittings.ratings, user_count=users), unknown),
        (model.next_embeddings(), following),
    ):
        np.testing.assert_allclose(dense_scores(found), expected, rtol=1e-4, atol=1e-4)


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
            seed=42,
            stage=Looking(after=EPOCHS),
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
        parameters=replace(SMALL, tower=replace(SMALL.tower, steps=2)),
        seed=1,
        stage=stage,
    )

    vectors = model.embeddings()
    assert vectors.users.shape[0] == len(user_ids)
    for array in arrays_of(model):
        assert np.isfinite(array).all()
    seen = histories(ratings, user_count=len(user_ids))
    save_retrieval(tmp_path, model, movies.ids, seen, k=K)
    ours = lists_of(vectors, seen, k=min(K, len(movies)))
    scores, ids = answers(tf, tmp_path / USER_MODEL, user_ids)
    np.testing.assert_allclose(ours.scores, scores.numpy(), rtol=1e-3, atol=1e-3)
    assert set(ids.numpy().astype(str).ravel()) <= {"", *movies.ids}


@pytest.mark.parametrize("share", [0.0, 0.04, 0.3])
def test_spread_is_that_of_the_dense_scores(monkeypatch, share):
    """Users without ratings, with one and with many, in blocks of a few; far from a mean of 0."""
    monkeypatch.setattr(hybrid, "_SCORES_AT_ONCE", 7 * 40)

    def numbers(rng, *shape):
        return rng.normal(5, 1, shape).astype(np.float32)

    term = drawn_sparse(np.random.default_rng(3), users=50, movies=40, numbers=numbers, share=share)
    neighbours = term.neighbours.copy()
    neighbours.data += 100  # large sums of squares, of which little is left
    term = term._replace(neighbours=neighbours)

    expected = dense_term(term).astype(np.float64).std(axis=1)

    np.testing.assert_allclose(term_spread(term), np.maximum(expected, 1e-6), rtol=1e-4)

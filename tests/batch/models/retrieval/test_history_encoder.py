"""History encoder: the loss in plain numpy, the hidden ratings of a step, and the plan."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handmade_ratings import random_ratings, ratings_of
from reco_batch.data.dataset import histories
from reco_batch.models.retrieval.encoder_weights import time_features
from reco_batch.models.retrieval.history_encoder import (
    EncoderPlan,
    HistoryEncoder,
    adam,
    encoder_plan,
    initial_vectors,
    train_encoder,
)
from reco_batch.models.retrieval.history_weights import as_matrix
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.fused_adam import FusedAdam
from reco_batch.settings.hyperparameters import TowerParameters
from stopped_training import Stopped, StoppingStage

USERS, MOVIES, CONTENT, TIMES = 6, 9, 3, 2
SMALL = TowerParameters(embedding_dim=4, steps=10, batch_users=4)


def model_of(seed, *, parameters=SMALL, model_seed=5):
    """Make a model with random variables, as if trained, and random ratings."""
    from reco_batch.models.training.tensorflow_runtime import tf  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    history = histories(random_ratings(rng, users=USERS, movies=MOVIES - 1), user_count=USERS)
    model = HistoryEncoder(
        history,
        rng.uniform(0.2, 1, len(history.movie_index)).astype(np.float32),
        rng.normal(size=(MOVIES, CONTENT)).astype(np.float32),
        rng.random((USERS, TIMES)).astype(np.float32),
        parameters,
        seed=model_seed,
    )
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.7, variable.shape).astype(np.float32))
    model.compile(optimizer=tf.keras.optimizers.Adam())
    model.optimizer.iterations.assign(seed % 7)
    return model, history


def kept_of(tf, model, asked):
    """Draw the visible ratings of a step, by the model's recipe."""
    count = int(np.diff(model._movies.row_splits.numpy())[asked].sum())
    seed = [model._seed, int(model.optimizer.iterations)]
    return tf.random.stateless_uniform([count], seed=seed).numpy() >= model.parameters.hidden_share


def plain_vector(model, movies, weights, own, times):
    """Sum a user's vector in float64."""
    of_movies = model.history_movies.numpy() + model._content.numpy() @ (
        model.history_content.numpy()
    )
    total = weights @ of_movies[movies]
    length = np.sqrt(np.square(weights).sum() + 1e-9)
    return total / length + own + times @ model.user_times.numpy()


def plain_loss(model, history, asked, kept, candidates):
    """Compute the loss of a step user by user; the penalty is that of an epoch, by user."""
    counts = np.maximum(np.diff(history.offsets), 1)
    relative = counts / np.diff(history.offsets).mean()
    movie_vectors = model.movies.numpy() + model._content.numpy() @ model.movie_content.numpy()
    loss, at = 0.0, 0
    for user in asked:
        rated = history.of(user)
        keep, at = kept[at : at + len(rated)], at + len(rated)
        weights = model._weights[user].numpy()[keep].astype(np.float64)
        vector = plain_vector(
            model, rated[keep], weights, model.users.numpy()[user], model._times.numpy()[user]
        )
        logits = movie_vectors @ vector + model.bias.numpy()
        open_to = np.setdiff1d(candidates, rated[keep])
        for movie in np.intersect1d(rated[~keep], candidates):
            weight = relative[user] ** -model.parameters.user_exponent
            loss += weight * (np.log(np.exp(logits[open_to]).sum()) - logits[movie])
    tables = model.history_movies, model.movies, model.users, model.history_content
    tables = (*tables, model.movie_content, model.user_times)
    penalty = sum(np.square(table.numpy()).sum() / 2 for table in tables)
    return loss / len(asked) + model.parameters.l2 / USERS * penalty


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
def test_loss_is_the_formula(tf, seed, exponent):
    """Softmax over all movies but the visible ones, summed over the hidden ones."""
    parameters = replace(SMALL, user_exponent=exponent)
    model, history = model_of(seed, parameters=parameters)
    asked = np.array([4, 0, 3], np.int32)

    loss = model.compute_loss({"user": tf.constant(asked)}, training=True)

    kept = kept_of(tf, model, asked)
    expected = plain_loss(model, history, asked, kept, np.arange(MOVIES))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_loss_over_a_sample_is_the_formula_over_the_sample(tf, seed):
    """A large catalogue is sampled, and other movies are not predicted."""
    model, history = model_of(seed, parameters=replace(SMALL, most_candidates=5))
    asked = np.array([1, 2], np.int32)
    candidates = model._sampled_movies().numpy()

    loss = model.compute_loss({"user": tf.constant(asked)}, training=True)

    expected = plain_loss(model, history, asked, kept_of(tf, model, asked), candidates)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert len(set(candidates)) == 5


@pytest.mark.parametrize("most_candidates", [MOVIES, 5], ids=["hides", "samples"])
def test_each_step_draws_anew(tf, most_candidates):
    """The hidden ratings depend on seed and step alone, so a repeated step is equal."""
    parameters = replace(SMALL, most_candidates=most_candidates)
    model, _ = model_of(1, parameters=parameters)
    again, _ = model_of(1, parameters=parameters)
    other, _ = model_of(1, parameters=parameters, model_seed=6)

    def step(model, number):
        model.optimizer.iterations.assign(number)
        loss = model.compute_loss({"user": tf.range(USERS)})
        return float(loss), tuple(model._sampled_movies().numpy())

    steps = [step(model, number) for number in range(8)]

    assert steps == [step(again, number) for number in range(8)]
    losses, samples = zip(*steps, strict=True)
    assert len(set(losses)) == 8
    assert len(set(samples)) == 1 if most_candidates == MOVIES else len(set(samples)) > 4
    assert step(other, 0) != steps[0]


def test_largest_seed_works(tf):
    """TensorFlow takes 32 bits of it, and sampling uses the next one."""
    model, _ = model_of(1, parameters=replace(SMALL, most_candidates=5), model_seed=2**32 - 5)

    assert np.isfinite(float(model.compute_loss({"user": tf.range(USERS)})))


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_user_vector_is_the_weighed_history_and_itself(tf, seed):
    """User vectors one by one in numpy; without ratings only own vector and time remain."""
    model, history = model_of(seed)
    rows = np.repeat(np.arange(USERS), np.diff(history.offsets))
    weights = model._weights.flat_values

    found = model.user_vectors(
        tf.constant(rows, tf.int64),
        tf.constant(history.movie_index, tf.int64),
        weights,
        own=model.users,
        times=model._times,
    ).numpy()
    once_trained = model.trained().user_vectors(
        as_matrix(history, weights.numpy(), movie_count=MOVIES),
        model._times.numpy(),
        model.users.numpy(),
    )

    for user in range(USERS):
        expected = plain_vector(
            model,
            history.of(user),
            weights.numpy()[rows == user],
            model.users.numpy()[user],
            model._times.numpy()[user],
        )
        np.testing.assert_allclose(found[user], expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(once_trained[user], [*expected, 1], rtol=1e-3, atol=1e-4)


def test_bias_starts_at_how_often_a_movie_is_rated():
    """One is added to each count, so that a movie without ratings has a finite bias."""
    history = histories(ratings_of([(0, 0), (1, 0), (1, 2)]), user_count=2)

    model = HistoryEncoder(
        history,
        np.ones(3, np.float32),
        np.zeros((3, 1), np.float32),
        np.zeros((2, 1), np.float32),
        SMALL,
        seed=1,
    )

    np.testing.assert_allclose(model.bias.numpy(), np.log(np.array([3, 1, 2]) / 6), rtol=1e-5)


def test_times_are_shares_of_two_turns_of_a_year():
    """Times are clipped to the first and the last knot; unknown times have zeros."""
    year = 365.25 * 86400
    latest = np.array([30 * year, 30.25 * year, 99 * year, 3 * year, 0]).astype(np.int64)

    features = time_features(latest, years=(2000, 2002))

    expected = [[1, 0, 0], [0.75, 0.25, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert features.dtype == np.float32


def trained(stage, *, seed=3, checkpoints=None):
    """Train on some ratings, and return the weights."""
    model, _ = model_of(2)
    train_encoder(model, USERS, seed=seed, stage=stage, checkpoints=checkpoints)
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, stage):
    """The hidden ratings depend on the number of steps, which checkpoints contain."""
    messages = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=messages.append)

    expected = trained(stage)
    with pytest.raises(Stopped):
        trained(StoppingStage(after=2), checkpoints=checkpoints())
    found = trained(stage, checkpoints=checkpoints())

    assert messages == ["it: resuming after epoch 2"]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        (one != other).any() for one, other in zip(trained(stage, seed=4), expected, strict=True)
    )


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_initial_vectors_are_the_leading_directions_of_the_ratings(seed, dim):
    """Their products are those of numpy's decomposition of the normalised ratings."""
    rng = np.random.default_rng(seed)
    history = histories(random_ratings(rng, users=USERS, movies=MOVIES - 1), user_count=USERS + 1)

    found = initial_vectors(history, movie_count=MOVIES, dim=dim, seed=1)

    rated = as_matrix(history, None, movie_count=MOVIES).toarray().astype(np.float64)
    rated /= np.sqrt(np.maximum(rated.sum(axis=1, keepdims=True), 1))
    rated /= np.sqrt((rated > 0).sum(axis=0) + 5)
    _, values, right = np.linalg.svd(rated)
    width = min(dim, USERS + 1)
    assert found.shape == (MOVIES, dim)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, width:], 0)
    last, following = values[width - 1], [*values, 0][width]
    if last - following > 1e-3:  # else either direction is right
        expected = (right[:width].T * values[:width]) @ right[:width]
        np.testing.assert_allclose(found @ found.T, expected, atol=1e-3)


def test_training_starts_from_the_initial_vectors():
    """Both vectors of a movie are the same at first, and scaled; the seed fixes them."""
    history = histories(ratings_of([(0, 0), (0, 1), (1, 0), (1, 2)]), user_count=2)
    parameters = replace(SMALL, initial_scale=3.0)

    model = HistoryEncoder(
        history,
        np.ones(4, np.float32),
        np.zeros((3, 1), np.float32),
        np.zeros((2, 1), np.float32),
        parameters,
        seed=1,
    )

    expected = 3 * initial_vectors(history, movie_count=3, dim=4, seed=1)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model.movies.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.history_movies.numpy(), model.movies.numpy())


def test_without_ratings_the_initial_vectors_are_zero():
    """No decomposition is computed."""
    nothing = histories(ratings_of([]), user_count=2)

    np.testing.assert_array_equal(initial_vectors(nothing, movie_count=3, dim=4, seed=1), 0)


@pytest.mark.parametrize("users", [USERS, 2 * USERS])
def test_the_penalty_is_in_ratings(tf, users):
    """Twice the users halve its share of a step, which has a mean over users."""
    history = histories(ratings_of([(0, 0), (0, 1), (1, 2)]), user_count=users)
    model = HistoryEncoder(
        history,
        np.ones(3, np.float32),
        np.zeros((3, 1), np.float32),
        np.zeros((users, 1), np.float32),
        replace(SMALL, l2=3.0),
        seed=1,
    )
    tables = [model.history_movies, model.movies, model.users]
    squares = sum(float(tf.nn.l2_loss(table)) for table in tables)

    assert float(model._penalty()) == pytest.approx(3 / users * squares, rel=1e-5)


PARAMETERS = TowerParameters()


def test_steps_are_whole_epochs():
    """610 users are 5 steps an epoch, so 120 steps are 24 epochs."""
    plan = encoder_plan(PARAMETERS, user_count=610, movie_count=9_724)

    assert plan == EncoderPlan(24, 128, 120)


def test_large_data_are_trained_within_the_budgets():
    """By hand: 2 epochs of 200,948 x 20,000 scores fit, in 320 steps of 628 users each."""
    parameters = TowerParameters(steps=10_000)

    plan = encoder_plan(parameters, user_count=200_948, movie_count=87_585)

    assert plan == EncoderPlan(2, 628, 640)


@pytest.mark.parametrize("steps", [240, 10_000])
def test_a_step_of_up_to_40960_users_has_128_however_long_the_training_is(steps):
    """So a choice that tries many epochs measures the steps that the model is trained with."""
    plans = [
        encoder_plan(replace(PARAMETERS, steps=steps), user_count=users, movie_count=9_724)
        for users in (610, 6_040, 20_095, 40_960, 200_948)
    ]

    assert [plan.batch for plan in plans] == [128, 128, 128, 128, 628]
    assert steps > 240 or [plan.epochs for plan in plans] == [48, 5, 2, 1, 1]


@given(st.integers(0, 10**8), st.integers(1, 10**6))
def test_plans_keep_the_budgets(users, movies):
    """Scores except for the one epoch that is always trained; steps as long as they fit."""
    plan = encoder_plan(PARAMETERS, user_count=users, movie_count=movies)

    scores = users * min(movies, PARAMETERS.most_candidates)
    assert plan.epochs >= 1
    assert plan.epochs == 1 or plan.epochs * scores <= PARAMETERS.most_scores
    per_epoch = -(-max(users, 1) // PARAMETERS.batch_users)
    assert plan.epochs == 1 or plan.epochs <= PARAMETERS.steps / per_epoch + 0.5
    assert PARAMETERS.batch_users <= plan.batch <= 2048
    assert plan.batch == 2048 or plan.steps <= PARAMETERS.most_steps * plan.epochs
    assert plan.steps * plan.batch >= plan.epochs * users


def test_one_user_beyond_the_budget_costs_one_epoch():
    """The plan changes by the least possible amount."""
    parameters = TowerParameters(steps=10_000)
    most = parameters.most_scores // 5 // 10_000

    plans = [encoder_plan(parameters, user_count=most + n, movie_count=10_000) for n in (0, 1)]

    assert [plan.epochs for plan in plans] == [5, 4]


def test_a_smaller_catalogue_is_trained_for_longer():
    """The budget is in scores, not in users."""
    few, many = (
        encoder_plan(TowerParameters(steps=10_000), user_count=200_000, movie_count=count).epochs
        for count in (3_000, 20_000)
    )

    assert few > many


def test_small_data_are_trained_by_the_adam_of_keras(tf):
    """The bits of their models do not depend on what is faster for large tables."""
    assert adam(100_000) is tf.keras.optimizers.Adam
    assert adam(100_001) is FusedAdam

"""Bayesian factors: their updates in plain numpy, leave-one-out residuals, reproducible bits."""

import numpy as np
import pytest

from handmade_ratings import ODD_DATA, random_ratings
from reco_batch.models.rating.bayesian_factors import BayesianFactors, Features, train_factors
from reco_batch.models.training.checkpoints import Checkpoints
from reco_batch.models.training.tensorflow_runtime import tf
from reco_batch.settings.hyperparameters import EnsembleParameters
from stopped_training import Stopped, StoppingStage

SCALE = 0.5, 5.0
USERS, MOVIES = 6, 9
SMALL = EnsembleParameters(embedding_dim=2, epochs=6)


def features_of(rng, *, users=USERS, movies=MOVIES):
    """Return a constant and a random feature of each, and random initial factors."""
    return Features(
        np.column_stack([np.ones(users), rng.normal(size=users)]).astype(np.float32),
        np.column_stack([np.ones(movies), rng.normal(size=movies)]).astype(np.float32),
        rng.normal(size=(movies, 2)).astype(np.float32),
    )


@pytest.fixture
def ratings():
    """Some random ratings."""
    return random_ratings(np.random.default_rng(3), users=USERS, movies=MOVIES)


@pytest.fixture
def model(ratings):
    """Model of these ratings with random states, as if trained."""
    rng = np.random.default_rng(5)
    made = BayesianFactors(ratings, features_of(rng), SMALL, seed=0)
    for side in made._sides:
        count = len(side.features)
        root = rng.normal(0, 0.3, (count, 3, 3)).astype(np.float32)
        side.mean.assign(rng.normal(0, 0.5, (count, 3)).astype(np.float32))
        side.covariance.assign(root @ root.transpose(0, 2, 1))
        side.prior.assign(rng.normal(0, 0.5, (count, 3)).astype(np.float32))
    made.noise.assign(rng.uniform(0.5, 2, USERS).astype(np.float32))
    return made


def values(ratings):
    """Return the standardised ratings."""
    return (ratings.rating - ratings.rating.mean()) / ratings.rating.std()


def sampled(side, rng, count=200_000):
    """Return samples of the states of one side, [count, rows, K]."""
    roots = np.linalg.cholesky(side.covariance.numpy().astype(np.float64) + 1e-9 * np.eye(3))
    normal = rng.normal(size=(count, len(roots), 3))
    return side.mean.numpy() + np.einsum("rij,crj->cri", roots, normal)


def plain_posterior(side, row, designs, targets, taus):
    """Return mean and covariance of one state, from the expectations over the other side."""
    precision = np.diag(side.precision.numpy().astype(np.float64))
    right = precision @ side.prior.numpy()[row]
    for x, target, tau in zip(designs, targets, taus, strict=True):  # [samples, K], [samples]
        precision += tau * x.T @ x / len(x)
        right += tau * (x * target[:, np.newaxis]).mean(axis=0)
    return np.linalg.solve(precision, right), np.linalg.inv(precision)


def designs_of(samples, others, y):
    """Return (1, factors) and value minus bias, for each rating."""
    states = [samples[:, other] for other in others]
    designs = [np.column_stack([np.ones(len(state)), state[:, 1:]]) for state in states]
    return designs, [value - state[:, 0] for value, state in zip(y, states, strict=True)]


def step(model, kind, stop, first=0):
    """Run one training step."""
    rows = {"kind": kind, "first": first, "stop": stop}
    type(model).train_step(model, {name: tf.constant(row, tf.int64) for name, row in rows.items()})


def test_a_movie_is_updated_to_its_posterior(model, ratings):
    """The expectations over the users' states are those of a large sample of them."""
    users, movies = model._sides
    samples, y = sampled(users, np.random.default_rng(0)), values(ratings)
    noise = model.noise.numpy()

    step(model, 1, MOVIES)

    for movie in range(MOVIES):
        rows = np.flatnonzero(ratings.movie_index == movie)
        who = ratings.user_index[rows]
        mean, covariance = plain_posterior(
            movies, movie, *designs_of(samples, who, y[rows]), 1 / noise[who]
        )
        np.testing.assert_allclose(movies.mean.numpy()[movie], mean, atol=0.02)
        np.testing.assert_allclose(movies.covariance.numpy()[movie], covariance, atol=0.02)


def test_a_user_is_updated_to_the_own_noise_and_posterior(model, ratings):
    """The noise is the expected squared error, drawn towards the level of all users."""
    users, movies = model._sides
    rng = np.random.default_rng(0)
    samples, own, y = sampled(movies, rng), sampled(users, rng), values(ratings)

    step(model, 0, USERS)

    for user in range(USERS):
        rows = np.flatnonzero(ratings.user_index == user)
        designs, targets = designs_of(samples, ratings.movie_index[rows], y[rows])
        errors = [
            np.square(target - (x * own[:, user]).sum(axis=1)).mean()
            for x, target in zip(designs, targets, strict=True)
        ]
        noise = (SMALL.usual_noise + sum(errors)) / (SMALL.usual_noise + len(rows))
        assert model.noise.numpy()[user] == pytest.approx(noise, rel=0.02)
        mean, covariance = plain_posterior(users, user, designs, targets, [1 / noise] * len(rows))
        np.testing.assert_allclose(users.mean.numpy()[user], mean, atol=0.02)
        np.testing.assert_allclose(users.covariance.numpy()[user], covariance, atol=0.02)


def test_blocks_of_rows_are_updated_like_all_at_once(model):
    """The size of a step changes nothing but its memory."""
    _, movies = model._sides
    before = movies.mean.numpy()
    step(model, 1, MOVIES)
    whole = movies.mean.numpy()
    movies.mean.assign(before)

    step(model, 1, 4)
    np.testing.assert_array_equal(movies.mean.numpy()[4:], before[4:])
    step(model, 1, MOVIES, first=4)

    np.testing.assert_allclose(movies.mean.numpy(), whole, rtol=1e-5, atol=1e-6)


def test_priors_are_ridge_regressions_on_the_features(model):
    """Rows without ratings do not count; the variances are those around the prior means."""
    for side in model._sides:
        side.rated = np.append(np.ones(len(side.features) - 1), 0)[:, np.newaxis].astype(np.float32)
        rated = side.features.numpy()[:-1].astype(np.float64)
        side.gram = rated.T @ rated

    step(model, 2, 0)

    for side in model._sides:
        rated, states = side.features.numpy()[:-1], side.mean.numpy()[:-1]
        ridge = rated.T @ rated + SMALL.feature_l2 * np.eye(2)
        maps = np.linalg.solve(ridge, rated.T @ states)
        np.testing.assert_allclose(side.prior.numpy(), side.features @ maps, rtol=1e-3, atol=1e-5)
        variance = np.square(states - rated @ maps).mean(axis=0)
        variance += np.diagonal(side.covariance.numpy()[:-1], axis1=1, axis2=2).mean(axis=0)
        np.testing.assert_allclose(side.precision.numpy(), 1 / (variance + 1e-3), rtol=1e-3)


@pytest.fixture(scope="module")
def fit(dataset):
    """Train on the planted ratings."""
    users, movies = len(dataset.user_ids), len(dataset.movies)
    features = features_of(np.random.default_rng(0), users=users, movies=movies)

    def train(*, stage, ratings=dataset.ratings, seed=42, checkpoints=None):
        model = BayesianFactors(ratings, features, SMALL, seed=seed)
        train_factors(model, epochs=SMALL.epochs, stage=stage, checkpoints=checkpoints)
        return model

    return train


@pytest.fixture(scope="module")
def trained(fit):
    """Model of seed 42, trained without a stop, and its stage."""
    stage = StoppingStage(after=SMALL.epochs)
    return fit(stage=stage), stage


def same_bits(one, other):
    """Return True if two models are equal to the last bit."""
    one, other = one.linear(SCALE), other.linear(SCALE)
    return one.mean == other.mean and all(
        np.array_equal(a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )


def test_training_fits_the_stars(trained, dataset):
    """The error is below that of the mean, and each epoch is reported."""
    model, stage = trained

    ratings = dataset.ratings
    predicted = model.linear(SCALE).predict(ratings.user_index, ratings.movie_index)
    error = np.sqrt(np.square(predicted - ratings.rating).mean())
    assert error < 0.97 * ratings.rating.std()
    assert stage.left == 0


def test_a_residual_is_that_of_a_training_without_the_rating(fit, trained, dataset, stage):
    """Compared with trainings that really leave ratings out, and closer than plain residuals."""
    ratings, model = dataset.ratings, trained[0]
    found = model.leave_one_out(ratings)
    plain = ratings.rating - model.linear((-100, 100)).predict(
        ratings.user_index, ratings.movie_index
    )
    chosen = np.arange(0, len(ratings), len(ratings) // 8)[:8]
    expected = []
    for row in chosen:
        rest = ratings.take(np.delete(np.arange(len(ratings)), row))
        linear = fit(stage=stage, ratings=rest).linear((-100, 100))
        alone = ratings.take(np.array([row]))
        expected.append(alone.rating - linear.predict(alone.user_index, alone.movie_index))
    expected = np.concatenate(expected)

    far = np.abs(plain[chosen] - expected).mean()
    assert np.abs(found[chosen] - expected).mean() < far / 5  # about half if only one side counts


def test_the_model_has_its_ratings(trained, dataset):
    """By user, then by movie: the training keeps no other copy."""
    ratings = dataset.ratings
    expected = ratings.take(np.lexsort((ratings.movie_index, ratings.user_index)))

    found = trained[0].ratings()

    np.testing.assert_array_equal(found.user_index, expected.user_index)
    np.testing.assert_array_equal(found.movie_index, expected.movie_index)
    np.testing.assert_allclose(found.rating, expected.rating, rtol=1e-5)


def test_seed_fixes_the_model(fit, trained, stage):
    """Equal seeds return equal models to the last bit, other seeds others."""
    assert same_bits(fit(stage=stage), trained[0])
    assert not same_bits(fit(stage=stage, seed=43), trained[0])


def test_a_resumed_training_ends_with_the_same_bits(fit, trained, tmp_path, stage, dataset):
    """The checkpoint has the posterior of both sides, their priors and the noise."""
    messages = []

    def checkpoints():
        return Checkpoints(tmp_path, training="it", every_seconds=0, show=messages.append)

    with pytest.raises(Stopped):
        fit(stage=StoppingStage(after=2), checkpoints=checkpoints())
    resumed = fit(stage=stage, checkpoints=checkpoints())

    assert messages == ["it: resuming after epoch 2"]
    assert same_bits(resumed, trained[0])
    np.testing.assert_array_equal(
        resumed.leave_one_out(dataset.ratings), trained[0].leave_one_out(dataset.ratings)
    )


def test_a_step_has_whole_histories_within_the_bounds(ratings, monkeypatch):
    """By hand: at most 7 ratings or 4 rows, and a longer history alone."""
    module = "reco_batch.models.rating.bayesian_factors"
    monkeypatch.setattr(f"{module}._RATINGS_PER_STEP", 7)
    monkeypatch.setattr(f"{module}._ROWS_PER_STEP", 4)
    model = BayesianFactors(ratings, features_of(np.random.default_rng(0)), SMALL, seed=0)
    side = model._sides[0]
    side.offsets = np.array([0, 3, 7, 16, 16, 16, 16, 16, 17])

    assert side.steps().tolist() == [0, 2, 3, 7, 8]


@pytest.mark.parametrize("name", ODD_DATA)
@pytest.mark.slow
def test_odd_data_has_finite_stars(stage, name):
    """Users and movies without ratings have finite predictions."""
    ratings, movies = ODD_DATA[name]
    users = int(ratings.user_index.max()) + 2
    features = features_of(np.random.default_rng(0), users=users, movies=len(movies))

    model = BayesianFactors(ratings, features, SMALL, seed=1)
    train_factors(model, epochs=3, stage=stage)

    pairs = np.indices((users, len(movies))).reshape(2, -1).astype(np.int32)
    stars = model.linear(SCALE).predict(*pairs)
    assert ((stars >= 0.5) & (stars <= 5)).all()
    assert np.isfinite(model.leave_one_out(ratings)).all()

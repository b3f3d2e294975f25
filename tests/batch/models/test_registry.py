"""Registry: trainings, plans and budget notes by the class of hyper-parameters."""

from dataclasses import replace

import numpy as np
import pytest

from handmade_ratings import random_ratings
from reco_batch.data.dataset import Ratings
from reco_batch.models.rating.mlp import MlpModel
from reco_batch.models.registry import (
    Training,
    budget_notes,
    plans,
    rating_of,
    retrieval_of,
    train_rating_of,
    train_retrieval_of,
)
from reco_batch.models.retrieval.hybrid import HybridRetrieval
from reco_batch.models.retrieval.two_tower import TwoTowerModel
from reco_batch.models.trainable import DataSize
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import (
    PRESETS,
    EnsembleParameters,
    HybridParameters,
    MlpParameters,
    TowerParameters,
    TwoTowerParameters,
)
from reco_batch.settings.search_space import specs_of, with_values

RETRIEVALS = {
    "two-tower": (TwoTowerParameters(embedding_dim=4, epochs=2), TwoTowerModel),
    "hybrid": (
        HybridParameters(tower=TowerParameters(embedding_dim=4, steps=2, batch_users=2048)),
        HybridRetrieval,
    ),
}
RATINGS = {
    "mlp": (MlpParameters(embedding_dim=4, hidden_units=(4, 2), epochs=2), MlpModel),
    "ensemble": (
        EnsembleParameters(factors=3, embedding_dim=4, epochs=2),
        LinearRating,
    ),
}


@pytest.fixture
def training(sittings, stage):
    """Half of the ratings as training input."""
    half = sittings.ratings.take(np.arange(len(sittings.ratings) // 2))
    return Training(sittings, lambda: half, 1, stage)


@pytest.mark.parametrize(("parameters", "kind"), RETRIEVALS.values(), ids=RETRIEVALS)
def test_a_retrieval_model_can_be_trained_scored_and_saved(
    training, sittings, tf, parameters, kind
):
    """The model has vectors of all users and movies and reports the planned epochs."""
    model = train_retrieval_of(parameters, training)

    assert isinstance(model, kind)
    users, movies, _ = model.embeddings()
    assert len(users) == len(sittings.user_ids)
    assert len(movies) == len(model.similar_embeddings()) == len(sittings.movies)
    assert model.next_embeddings().users.shape == movies.shape
    epochs = retrieval_of(parameters).epochs(DataSize.of(sittings))
    assert training.stage.steps == epochs == 2
    towers = model.towers()
    for tower, ids, rows in (
        (towers.user, sittings.user_ids, users),
        (towers.movie, sittings.movies.ids, movies),
        (towers.similar, sittings.movies.ids, model.similar_embeddings()),
    ):
        np.testing.assert_array_equal(tower(tf.constant(ids)), rows)


@pytest.mark.parametrize(("parameters", "kind"), RATINGS.values(), ids=RATINGS)
def test_a_rating_model_reports_its_epochs(training, sittings, parameters, kind):
    """The plan of epochs is what the stage receives."""
    model = train_rating_of(parameters, training)

    assert isinstance(model, kind)
    epochs = rating_of(parameters).epochs(DataSize.of(sittings))
    assert training.stage.steps == epochs == 2


def test_only_the_hybrid_chooses(sittings, stage):
    """The other model has nothing that the validation part decides."""
    ratings = sittings.ratings
    parts = ratings.take(np.arange(400)), ratings.take(np.arange(400, len(ratings)))

    for parameters, _ in RETRIEVALS.values():
        model = retrieval_of(parameters)
        choice = model.choose(sittings, *parts, last={}, seed=1, stage=stage)

        assert bool(choice.values) == bool(choice.tried) == parameters.chooses
        assert choice.values.keys() <= specs_of(parameters).keys()


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_can_be_trained(training, preset):
    """Reduced to one epoch, each preset returns both models."""
    retrieval, rating = (
        with_values(
            model,
            {n: 1 for n in specs_of(model) if n.rpartition(".")[2] in ("epochs", "steps")},
        )
        for model in (preset.retrieval, preset.rating)
    )

    assert np.isfinite(train_retrieval_of(retrieval, training).embeddings().users).all()
    assert train_rating_of(rating, training) is not None
    assert training.stage.steps == 2


DEFAULT = PRESETS["default"]
USERS, MOVIES = 5, 9


def ratings_like(count):
    """Return a number of ratings of some movies, of which the last has one."""
    movie = np.minimum(np.arange(count) % MOVIES, MOVIES - 2).astype(np.int32)
    movie[-1] = MOVIES - 1
    zeros = np.zeros(count, np.int32)
    return Ratings(zeros, movie, np.ones(count, np.float32), zeros.astype(np.int64))


def test_no_budget_changes_the_training_of_small_data():
    """Few users are trained for many epochs, and there are no notes."""
    size = DataSize(USERS, MOVIES, 900)

    planned = plans(DEFAULT, ratings_like(900), size)

    assert planned == {
        "retrieval": {
            "epochs": 120,
            "batch": 128,
            "steps": 120,
            "candidates": MOVIES,
            "window": 40,
            "neighbour_movies": MOVIES,
            "neighbour_history": 900,
            "shortened_histories": 0,
        },
        "rating": {"epochs": 40, "window": 40},
    }
    assert budget_notes(DEFAULT, planned, size) == []


def test_every_exceeded_budget_has_a_note():
    """Each note contains the hyper-parameter and the planned value."""
    few = replace(DEFAULT.retrieval.neighbours, most_movies=4)
    small = replace(DEFAULT.retrieval.tower, steps=15_700, most_candidates=6, most_scores=6_000_000)
    parameters = replace(DEFAULT, retrieval=replace(DEFAULT.retrieval, neighbours=few, tower=small))
    size = DataSize(200_948, MOVIES, 12_000_000)

    planned = plans(parameters, ratings_like(size.ratings), size)

    assert budget_notes(parameters, planned, size) == [
        "epochs reduced from 10 to 4 to stay within 6,000,000 scores (200,948 users)",
        (
            "users per training step raised from 128 to 628 for at most 320 steps an epoch, "
            "or as few as memory allows"
        ),
        "each training step samples 6 of 9 movies",
        "only the 4 most rated movies have weights to others",
        "the item-item half counts only the newest 70,710 ratings of a user (users with more: 1)",
        "the item-item half counts co-occurrence up to 20 ratings apart, not 40",
        (
            "epochs of the rating model reduced from 40 to 33 to stay within 400,000,000 rating "
            "visits, or as few as it needs (12,000,000 ratings)"
        ),
        "the ensemble counts co-occurrence up to 20 ratings apart, not 40",
    ]


def test_ratings_without_times_have_no_window():
    """There is no note about a window either."""
    ratings = random_ratings(np.random.default_rng(0), users=USERS, movies=MOVIES)
    size = DataSize(USERS, MOVIES, len(ratings))

    planned = plans(DEFAULT, replace(ratings, timestamp=None), size)

    assert planned["retrieval"]["window"] is planned["rating"]["window"] is None
    assert budget_notes(DEFAULT, planned, size) == []


def test_without_rating_values_only_retrieval_is_planned():
    """No rating model is trained on implicit feedback."""
    ratings = replace(ratings_like(900), rating=None)

    assert plans(DEFAULT, ratings, DataSize(USERS, MOVIES, 900)).keys() == {"retrieval"}


@pytest.mark.parametrize("count", [10, 10_000_000])
def test_the_notebook_has_no_budgets(count):
    """Its training depends on the hyper-parameters alone."""
    notebook, size = PRESETS["notebook"], DataSize(USERS, MOVIES, count)

    planned = plans(notebook, ratings_like(count), size)

    assert planned == {}
    assert budget_notes(notebook, planned, size) == []

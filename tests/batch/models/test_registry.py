"""Each kind of parameters has its training, and all results are used alike."""

from dataclasses import replace

import numpy as np
import pytest

from reco_batch.models.rating.mlp import RatingModel
from reco_batch.models.registry import (
    Training,
    rating_epochs,
    retrieval_epochs,
    train_rating_of,
    train_retrieval_of,
)
from reco_batch.models.retrieval.hybrid import BlendedRetrieval
from reco_batch.models.retrieval.two_tower import RetrievalModel
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import (
    PRESETS,
    HistoryParameters,
    RatingParameters,
    RetrievalParameters,
    TasteParameters,
    TowerParameters,
)

RETRIEVALS = {
    "towers of ids": (RetrievalParameters(embedding_dim=4, epochs=2), RetrievalModel),
    "histories": (
        HistoryParameters(tower=TowerParameters(embedding_dim=4, epochs=2)),
        BlendedRetrieval,
    ),
}
RATINGS = {
    "network": (RatingParameters(embedding_dim=4, hidden_units=(4, 2), epochs=2), RatingModel),
    "tastes": (TasteParameters(factors=3, embedding_dim=4, epochs=1, members=2), LinearRating),
}


@pytest.fixture
def training(sittings, stage):
    """Half of the ratings, to be trained on."""
    half = sittings.ratings.take(np.arange(len(sittings.ratings) // 2))
    return Training(sittings, lambda: half, 1, 0.25, stage)


@pytest.mark.parametrize(("parameters", "kind"), RETRIEVALS.values(), ids=RETRIEVALS)
def test_retrieval_is_of_the_kind_of_its_parameters(training, sittings, tf, parameters, kind):
    """It knows all users and movies, reports its epochs, and has what scoring and saving need."""
    model = train_retrieval_of(parameters, training)

    assert isinstance(model, kind)
    users, movies = model.embeddings()
    assert len(users) == len(sittings.user_ids)
    assert len(movies) == len(model.similar_embeddings()) == len(sittings.movies)
    assert model.next_embeddings().shape == movies.shape
    count = len(sittings.user_ids)
    assert training.stage.steps == retrieval_epochs(parameters, user_count=count) == 2
    towers = model.towers()
    for tower, ids, rows in (
        (towers.user, sittings.user_ids, users),
        (towers.movie, sittings.movies.ids, movies),
        (towers.similar, sittings.movies.ids, model.similar_embeddings()),
    ):
        np.testing.assert_array_equal(tower(tf.constant(ids)), rows)


@pytest.mark.parametrize(("parameters", "kind"), RATINGS.values(), ids=RATINGS)
def test_rating_is_of_the_kind_of_its_parameters(training, parameters, kind):
    """And reports the epochs of all its members."""
    model = train_rating_of(parameters, training)

    assert isinstance(model, kind)
    assert training.stage.steps == rating_epochs(parameters, rating_count=1) == 2


def test_recency_reaches_the_model_it_is_for(training):
    """As chosen on the validation part."""
    parameters, _ = RETRIEVALS["histories"]

    found = [
        train_retrieval_of(parameters, training._replace(recency=recency)).embeddings().users
        for recency in (0.25, 0.75, 0.75)
    ]

    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], found[2])


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_are_of_kinds_that_can_be_trained(training, preset):
    """Cut to an epoch, each gives both models."""
    if isinstance(preset.retrieval, HistoryParameters):
        tower = replace(preset.retrieval.tower, epochs=1)
        retrieval = replace(preset.retrieval, tower=tower)
        rating = replace(preset.rating, epochs=1, members=1)
    else:
        retrieval, rating = replace(preset.retrieval, epochs=1), replace(preset.rating, epochs=1)

    assert np.isfinite(train_retrieval_of(retrieval, training).embeddings().users).all()
    assert train_rating_of(rating, training) is not None
    assert training.stage.steps == 2

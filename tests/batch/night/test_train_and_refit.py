"""Ratings that reach the models: the strengths of events are of mean 1 in each training."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from reco_batch.data.split import split_ratings
from reco_batch.models.trainable import Choice
from reco_batch.night import train_and_refit
from reco_batch.night.train_and_refit import REFIT, TRAIN, Trainings
from reco_batch.progress.reporter import QuietReporter
from reco_batch.rules.compiled import compiled
from reco_batch.settings.hyperparameters import SplitBy
from reco_batch.settings.rules import RulesKeys
from reco_batch.settings.run_config import RunConfig


class Recording:
    """Retrieval model that keeps the ratings it is given."""

    def __init__(self):
        self.given = {}
        self.successors = []

    def choose(self, _, train, *__, **___):
        """Keep the ratings to fit, and choose nothing."""
        self.given["choose"] = train
        return Choice({}, [])

    def train(self, training):
        """Keep the ratings to train on."""
        self.given[len(self.given)] = training.ratings()
        self.successors.append(training.successor)

    def plan(self, *_):
        """Return the epochs, as the rating model does."""
        return {"epochs": 40}

    def budget_notes(self, *_):
        """Note nothing."""
        return []


def trainings_of(dataset, split, config):
    """Return the trainings of a run without rules, with checkpoints in its home."""
    return Trainings(
        dataset,
        split,
        config,
        rules=compiled(RulesKeys(), dataset),
        writer=None,
        night=SimpleNamespace(checkpoints=lambda name: config.home / name),
        last={},
        reporter=QuietReporter(),
    )


def test_each_training_has_strengths_of_mean_1(sittings, monkeypatch, tmp_path):
    """With a half-life, the parts before a moment have a small share of the strength."""
    times = sittings.ratings.timestamp
    strength = np.exp2((times - times.max()) / np.ptp(times) * 10).astype(np.float32)
    strength[::7] *= -1
    events = replace(sittings.ratings, rating=None, strength=strength)
    dataset = replace(sittings, ratings=events)
    split = split_ratings(events, by=SplitBy.GLOBAL, seed=1)
    model = Recording()
    monkeypatch.setattr(train_and_refit, "retrieval_of", lambda _: model)
    trainings = trainings_of(dataset, split, RunConfig(data="planted", home=tmp_path, threads=1))

    trainings.choose(None)
    trainings.training(f"{TRAIN} retrieval")(None)
    trainings.training(f"{REFIT} retrieval")(None)

    assert strength[split.train][strength[split.train] > 0].mean() < 0.5
    assert [len(part) for part in model.given.values()][::2] == [len(split.train), len(events)]
    for part in model.given.values():
        assert part.strength[part.strength > 0].mean() == pytest.approx(1)


@pytest.mark.parametrize("candidates", [None, 10])
def test_the_measured_rating_model_leaves_its_state_to_the_published_one(
    sittings, monkeypatch, tmp_path, candidates
):
    """Not with candidates; the manifest contains the epochs of each."""
    model = Recording()
    monkeypatch.setattr(train_and_refit, "rating_of", lambda _: model)
    monkeypatch.setattr(model, "continued_epochs", lambda _: 8, raising=False)
    monkeypatch.setattr(model, "epochs", lambda _: 40, raising=False)
    config = RunConfig(data="planted", home=tmp_path, threads=1, ranked_candidates=candidates)
    split = split_ratings(sittings.ratings, by=SplitBy.RANDOM, seed=1)
    trainings = trainings_of(sittings, split, config)
    continues = candidates is None
    start = tmp_path / "refit rating"

    trainings.training(f"{TRAIN} rating")(None)
    assert [successor and successor.folder for successor in model.successors] == [
        start if continues else None
    ]
    # The recording model has left no state, as if it had been damaged: it is trained again.
    model.successors.clear()
    trainings.training(f"{REFIT} rating")(None)
    folders = [successor and successor.folder for successor in model.successors]
    assert folders == ([start, None] if continues else [None])
    assert trainings.epochs(f"{REFIT} rating") == (8 if continues else 40)
    by_size = trainings._by_size(config.parameters, sittings.ratings)["by_size"]
    assert by_size["measured"]["rating"]["epochs"] == 40
    assert by_size["published"]["rating"]["epochs"] == (8 if continues else 40)

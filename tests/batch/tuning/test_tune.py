"""Tuning chooses by the validation part, and continues after an interruption."""

import json
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from filelock import FileLock

import reco_batch.tuning.tune as tuning
from reco_batch.commands import run_commands as commands
from reco_batch.data.dataset import Ratings
from reco_batch.data.split import SplitBy, split_ratings
from reco_batch.errors import AtWork, DataRefused, NightFailed, NotFinite
from reco_batch.progress.reporter import QuietReporter
from reco_batch.settings.hyperparameters import PRESETS, MlpParameters, TwoTowerParameters
from reco_batch.settings.precedence import read_settings
from reco_batch.settings.processors import THREADS
from reco_batch.settings.run_config import TuneConfig
from reco_batch.settings.search_space import values_of
from reco_batch.settings.target import Target
from reco_store import UsageError

SMALL = replace(
    PRESETS["notebook"],
    retrieval=TwoTowerParameters(embedding_dim=16, learning_rate=0.1, epochs=5, batch_size=200),
    rating=MlpParameters(embedding_dim=16, hidden_units=(8, 4), epochs=5, batch_size=100),
)


def config(home, *, trials=3, model="both", **options):
    """Return settings of a search with trials of a second each."""
    return TuneConfig(
        **{
            "data": "planted",
            "preset": "notebook",
            "tuned": SMALL,
            "threads": 1,
            "home": home,
            "out": home / "tuned.json",
            "trials": trials,
            "model": model,
            **options,
        }
    )


@pytest.fixture(scope="module")
def visible(dataset):
    """Return the visible part of the planted ratings."""
    return tuning.without_test(dataset, split_ratings(dataset.ratings, by=SplitBy.RANDOM, seed=42))


def run(resolved, visible, **options):
    """Tune, and return the trials of each model."""
    searches = tuning.tune(resolved, visible, QuietReporter(), **options)
    return {search.model: search.trials for search in searches}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, visible):
    """Three trials of each model, one after another."""
    return run(config(tmp_path_factory.mktemp("home")), visible)


def test_the_first_trial_is_the_preset(undisturbed):
    """So the best trial is never worse on the validation part."""
    first = undisturbed["rating"][0].values
    assert first == {"embedding_dim": 16, "learning_rate": 0.05, "epochs": 5}
    assert undisturbed["retrieval"][0].values["learning_rate"] == 0.1
    assert all(len(trials) == 3 for trials in undisturbed.values())
    assert undisturbed["rating"][1].values != first


def test_the_test_part_does_not_affect_the_choice(dataset, undisturbed, visible, tmp_path):
    """Other ratings and other movies in it lead to the same trials."""
    split = split_ratings(dataset.ratings, by=SplitBy.RANDOM, seed=42)
    stars, movies = dataset.ratings.rating.copy(), dataset.ratings.movie_index.copy()
    stars[split.test] = 5.5 - stars[split.test]
    movies[split.test] = movies[split.test][::-1]
    other = Ratings(dataset.ratings.user_index, movies, stars, dataset.ratings.timestamp)
    assert not np.array_equal(other.rating, dataset.ratings.rating)

    seen = tuning.without_test(
        replace(dataset, ratings=other), split_ratings(other, by=SplitBy.RANDOM, seed=42)
    )

    for column in fields(Ratings):
        before, now = (getattr(of.dataset.ratings, column.name) for of in (visible, seen))
        np.testing.assert_array_equal(before, now)
    assert run(config(tmp_path), seen) == undisturbed


def test_the_strengths_of_the_training_part_have_a_mean_of_1(dataset):
    """As in a run, whatever share of all strength the part has."""
    strength = np.linspace(0.1, 1.9, len(dataset.ratings), dtype=np.float32)
    weighed = replace(dataset, ratings=replace(dataset.ratings, rating=None, strength=strength))
    split = split_ratings(weighed.ratings, by=SplitBy.RANDOM, seed=42)
    split = split._replace(train=np.sort(split.train)[:100])

    visible = tuning.without_test(weighed, split)

    assert visible.train.strength.mean() == pytest.approx(1)


def test_the_validation_part_determines_the_scores(dataset, undisturbed, visible, tmp_path):
    """Other ratings in it lead to other scores."""
    turned = replace(visible.validation, rating=5.5 - visible.validation.stars)

    found = run(config(tmp_path, model="rating"), visible._replace(validation=turned))

    assert found["rating"][0].score != undisturbed["rating"][0].score


def test_an_interrupted_search_continues(undisturbed, visible, tmp_path):
    """It ends with the same trials, even if the interruption truncated a line."""
    run(config(tmp_path, trials=1), visible)
    for record in (tmp_path / "tuning").glob("*.jsonl"):
        record.write_text(record.read_text() + '{"values": {"epo')

    assert run(config(tmp_path), visible) == undisturbed
    assert run(config(tmp_path), visible) == undisturbed  # what is kept can be read again


def test_finished_trials_are_not_repeated(undisturbed, visible, tmp_path, monkeypatch):
    """Running the same command again trains nothing."""
    resolved = config(tmp_path, trials=1)
    first = run(resolved, visible)
    monkeypatch.setattr(tuning, "train_rating_of", None)
    monkeypatch.setattr(tuning, "train_retrieval_of", None)

    assert run(resolved, visible) == first


def test_the_time_limit_ends_a_search(visible, tmp_path):
    """Each model gets its first trial; a later one starts only if it would end in time."""
    ticks = iter(range(0, 10_000, 10))

    found = run(config(tmp_path, trials=50, time_limit=65), visible, clock=lambda: next(ticks))

    counts = sorted(len(trials) for trials in found.values())
    assert 1 <= counts[0] <= counts[1] < 4
    again = run(config(tmp_path, trials=50, time_limit=1), visible, clock=lambda: 0.0 + next(ticks))
    assert again == found


def test_a_diverging_trial_is_recorded_without_a_score(visible, tmp_path, monkeypatch):
    """The next trial has other values."""
    train, calls = tuning.train_rating_of, []

    def diverging(parameters, training):
        calls.append(parameters)
        if len(calls) == 2:
            raise NotFinite("training diverged")
        return train(parameters, training)

    monkeypatch.setattr(tuning, "train_rating_of", diverging)

    trials = run(config(tmp_path, model="rating"), visible)["rating"]

    assert [trial.score is None for trial in trials] == [False, True, False]
    assert trials[1].values != trials[2].values


def test_a_diverging_preset_is_an_error(visible, tmp_path, monkeypatch):
    """The search has no start."""

    def diverging(parameters, training):
        raise NotFinite("training diverged")

    monkeypatch.setattr(tuning, "train_rating_of", diverging)

    for _ in range(2):  # the second finds the first one's record, and does not train again
        with pytest.raises(NightFailed, match="with the preset 'notebook'"):
            run(config(tmp_path, model="rating", trials=1), visible)


def test_a_second_search_at_once_is_refused(visible, tmp_path):
    """Both would write the same trials."""
    run(config(tmp_path, trials=1), visible)
    (lock,) = (tmp_path / "tuning").glob("*.lock")

    with FileLock(lock), pytest.raises(AtWork, match="running in another process"):
        run(config(tmp_path, trials=1), visible)


def test_ratings_without_a_validation_part_are_refused(dataset, make_ratings, make_dataset):
    """Users with few ratings have no validation part."""
    ratings = make_ratings(at_least=5)
    few = make_dataset(ratings.groupby("userId").head(4))

    with pytest.raises(DataRefused, match="hold any out"):
        tuning.without_test(few, split_ratings(few.ratings, by=SplitBy.RANDOM, seed=42))


def test_unlisted_movies_do_not_count_as_movies_of_a_list(visible, tmp_path):
    """Nine listed movies cannot fill a top-10, however many others have ratings."""
    movies = visible.dataset.movies
    few = replace(visible.dataset, movies=replace(movies, unlisted=len(movies) - 9))

    with pytest.raises(DataRefused, match="the movies file has 9 movies"):
        run(config(tmp_path, trials=1), visible._replace(dataset=few))


def options(folder, **changes):
    """Return the settings of `batch tune` with some options."""
    return {
        "data": str(folder),
        "preset": "notebook",
        "split": "random",
        "seed": 42,
        "model": "rating",
        "trials": 2,
        "time_limit": 1e9,
        "out": folder.parent / "tuned.json",
        "parameters": None,
        "rating_scale": "0.5:5",
        "encoding": "utf-8",
        "threads": 1,
        "quiet": True,
        **changes,
    }


def test_the_command_writes_a_file_that_a_run_reads(data_folder, tmp_path):
    """The file names the preset and the search; a run with it has the best values."""
    begin = tmp_path / "begin.json"
    rating, retrieval = {"epochs": 5, "batch_size": 100}, {"epochs": 7}
    begin.write_text(json.dumps({"preset": "notebook", "rating": rating, "retrieval": retrieval}))
    target = Target.of(None, "reco", tmp_path / "home")
    resolved = read_settings(options(data_folder, parameters=begin))

    (search,) = commands.tune_command(resolved.settings, target)

    written = json.loads((tmp_path / "tuned.json").read_text())
    assert written["preset"] == "notebook"
    own = values_of(PRESETS["notebook"].rating)
    expected = {"epochs": 5, "batch_size": 100, **search.best.values}
    assert written["rating"] == {n: value for n, value in expected.items() if value != own[n]}
    assert written["retrieval"] == {"epochs": 7}  # from another search: it is kept
    assert written["tuned"]["rating"] == {
        "figure": "rmse on the validation part",
        "preset": search.trials[0].score,
        "best": search.best.score,
        "trials": 2,
    }
    found = commands.read_parameters(tmp_path / "tuned.json", preset="notebook")
    assert found.rating.epochs == search.best.values["epochs"]
    assert found.rating.batch_size == 100
    assert found.retrieval.epochs == 7


def test_a_trial_uses_all_processors(data_folder, tmp_path, monkeypatch):
    """Trials run one at a time, whatever the environment contains."""
    threads_of_tensorflow = set()
    tune_module = ModuleType(
        "reco_batch.tuning.tune"
    )  # which starts TensorFlow, and that only once

    def found_in_module(_name):
        threads_of_tensorflow.add(os.environ[THREADS])
        return lambda *_: []

    tune_module.__getattr__ = found_in_module
    monkeypatch.setitem(sys.modules, "reco_batch.tuning.tune", tune_module)
    monkeypatch.setenv(THREADS, "99")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    resolved = read_settings(options(data_folder))

    commands.tune_command(resolved.settings, Target.of(None, "reco", tmp_path / "home"))

    assert threads_of_tensorflow == {"6"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials 0: expected a whole number from 1"),
        ({"time_limit": 0.0}, "--time-limit 0.0: expected a number of seconds above 0"),
        ({"model": "stars"}, "--model 'stars': expected retrieval, rating or both"),
        ({"out": Path("no/where.json")}, "--out 'no/where.json': expected a file in a folder"),
        ({"preset": "none"}, "--preset 'none': expected default or notebook"),
    ],
)
def test_impossible_options_are_refused(data_folder, tmp_path, changes, message):
    """Before any data is read."""

    def run():
        resolved = read_settings(options(data_folder, **changes))
        commands.tune_command(resolved.settings, Target.of(None, "reco", tmp_path))

    with pytest.raises(UsageError, match=message):
        run()

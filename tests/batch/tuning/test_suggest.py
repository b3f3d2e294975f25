"""Suggested trials depend on the finished trials and the seed, and improve."""

import sys

import pytest

from reco_batch.settings.search_space import Range
from reco_batch.tuning.suggest import Trial, best_of, suggest
from reco_store import NotInstalled

RANGES = {"x": Range(-10.0, 10.0, log=False), "n": Range(1, 64, log=True)}


def score(values):
    """Be best, 0, at x = 3 and n = 8."""
    return (values["x"] - 3) ** 2 + (values["n"] - 8) ** 2 / 16


def search(count, *, seed=1, maximise=False):
    """Try so many."""
    trials = []
    for _ in range(count):
        values = suggest(trials, RANGES, maximise=maximise, seed=seed)
        trials.append(Trial(values, -score(values) if maximise else score(values)))
    return trials


def test_the_same_is_suggested_after_the_same_trials():
    """Another seed suggests other values."""
    trials = search(14)

    assert search(14) == trials
    assert suggest(trials[:12], RANGES, maximise=False, seed=1) == trials[12].values
    assert suggest(trials[:12], RANGES, maximise=False, seed=2) != trials[12].values


@pytest.mark.parametrize("maximise", [False, True])
def test_the_best_is_found(maximise):
    """Later trials are better than random ones, in either direction."""
    trials = search(50, maximise=maximise)
    best = best_of(trials, maximise=maximise)

    assert abs(best.score) < 0.5
    mean = [sum(abs(trial.score) for trial in part) for part in (trials[:10], trials[-10:])]
    assert mean[1] < mean[0] / 3
    assert all(-10 <= trial.values["x"] <= 10 for trial in trials)
    assert all(trial.values["n"] in range(1, 65) for trial in trials)


def test_a_diverged_trial_is_not_repeated():
    """It has no score, but it counts as a trial."""
    trials = search(11)
    diverged = Trial(suggest(trials, RANGES, maximise=False, seed=1), None)

    assert suggest([*trials, diverged], RANGES, maximise=False, seed=1) != diverged.values
    assert best_of([*trials, diverged], maximise=False) == best_of(trials, maximise=False)


def test_a_trial_outside_the_ranges_counts_at_their_end():
    """Values of a preset or a parameter file may be outside the ranges."""
    outside = Trial({"x": 99.0, "n": 900}, 1.0)

    assert suggest([outside], RANGES, maximise=False, seed=1).keys() == RANGES.keys()


def test_without_optuna_the_error_names_the_extra(monkeypatch):
    """One line, no traceback."""
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(NotInstalled, match=r"batch tune .* pip install '.\[tune\]'"):
        suggest([], RANGES, maximise=False, seed=1)

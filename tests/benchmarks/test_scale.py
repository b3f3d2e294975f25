"""Extrapolation of large runs: stages of a run, lines through samples, equal training plans."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from reco_batch.models.rating.ensemble import planned_epochs
from reco_batch.models.retrieval.history_encoder import encoder_plan
from reco_batch.monitoring.prometheus import Figures, write_metrics
from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.simulate.simulation import SHAPES
from reco_batch.tuning.parameter_file import read_parameters

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(name, monkeypatch):
    """Load a module of the benchmarks, which belongs to no package."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def scale(monkeypatch):
    """Return the benchmark."""
    return module("scale", monkeypatch)


@pytest.fixture
def runs(monkeypatch):
    """Return the module that runs the job."""
    return module("runs", monkeypatch)


@pytest.fixture
def extrapolation(monkeypatch):
    """Return the extrapolation."""
    return module("extrapolation", monkeypatch)


def night(scale, seconds, **stages):
    """Return a run's results at a scale."""
    names = ("peak_bytes", "ratings_bytes", "artifact_bytes", "store_bytes")
    return {"scale": scale, "seconds": seconds, "stages": stages} | dict.fromkeys(names, 1e9)


def test_stages_are_read_from_the_metrics_file(runs, tmp_path):
    """All stages are read from the metrics file, in order and to the millisecond."""
    seconds = {"train retrieval": 7.512, "report": 0.304, "gate": 1.0}
    write_metrics(
        tmp_path / "reco.prom",
        Figures("reco", exit_code=0, ended=9.0, seconds=8.9, stages=seconds),
    )

    found = runs.stages_of((tmp_path / "reco.prom").read_text())

    assert list(found.items()) == list(seconds.items())


def test_fixed_and_per_user_costs_are_extrapolated(extrapolation):
    """A fixed cost and a cost per user are extrapolated; errors are shares of the measurement."""
    nights = [night(0.05, 20, train=7.0), night(0.1, 30, train=7.0), night(1, 231, train=7.0)]

    found = extrapolation.extrapolate(nights, target=1)

    assert found["seconds"]["expected"] == pytest.approx(210)
    assert found["seconds"]["deviation"] == pytest.approx(0.1)
    assert found["train"]["expected"] == pytest.approx(7)
    assert found["train"]["deviation"] == pytest.approx(0, abs=1e-9)


def test_chance_makes_no_stage_shorter_for_more_users(extrapolation):
    """No stage is extrapolated to less time for more users, nor to less than zero."""
    parts = [night(0.05, 20, load=7.0, read=1.0), night(0.1, 30, load=6.0, read=3.0)]

    found = extrapolation.extrapolate(parts, target=1)

    assert found["load"] == {"expected": pytest.approx(6.5)}
    share = (0.05 * 1 + 0.1 * 3) / (0.05**2 + 0.1**2)  # least squares
    assert found["read"] == {"expected": pytest.approx(share)}


def test_a_catalogue_stage_takes_the_mean_time_of_the_samples(extrapolation):
    """A stage over the catalogue takes the samples' mean time at any number of users."""
    stages = ({"load TensorFlow": seconds} for seconds in (5.0, 6.0))
    parts = [night(at, 20, **stage) for at, stage in zip((0.05, 0.1), stages, strict=True)]

    found = extrapolation.extrapolate(parts, target=1)

    assert found["load TensorFlow"]["expected"] == pytest.approx(5.5)


def test_runs_of_one_scale_are_averaged(extrapolation):
    """Runs of one scale are averaged; a stage that one of them lacks is left out."""
    nights = [night(0.1, seconds, train=seconds) for seconds in (9.0, 31.0, 30.0)]
    nights.append(night(0.1, 30.5))

    found = extrapolation.by_scale(nights)

    assert list(found) == [0.1]
    assert found[0.1]["seconds"] == pytest.approx(25.125)
    assert "train" not in found[0.1]


def test_uncertainty_is_the_spread_of_runs_of_one_sample(extrapolation):
    """The uncertainty is the spread between runs of one sample; a single run gives none."""
    nights = [night(0.05, 20, load=7.0), *(night(0.1, s, load=7.0) for s in (28, 30, 30, 30, 32))]

    found = extrapolation.extrapolate(nights, target=1)

    low, high = found["seconds"]["between"]
    assert 20 + 19 * 8 <= low < found["seconds"]["expected"] < high <= 20 + 19 * 12
    assert found["load"]["between"] == pytest.approx((7, 7))
    assert "between" not in extrapolation.extrapolate(nights[:2], target=1)["seconds"]


def test_nights_of_a_round_are_drawn_together(extrapolation):
    """Runs of one round shared the machine's pace, so rounds are extrapolated one by one."""
    pace = (10, 20, 30)
    nights = [night(0.1, 10 + each) for each in pace] + [night(0.2, 15 + each) for each in pace]

    low, high = extrapolation.extrapolate(nights, target=1)["seconds"]["between"]

    assert 10 + 45 + 10 <= low < high <= 10 + 45 + 30


@pytest.mark.parametrize("part", [0.05, 0.1, 0.5, 1])
def test_parts_are_trained_as_the_whole_is(scale, tmp_path, part):
    """Samples are trained in as many epochs and, but for the last step, steps as the whole.

    Users per step are whole numbers, so few of them are rounded by more.
    """
    whole = SHAPES["ml-32m"]
    small = whole.scaled(part)
    path = tmp_path / "parameters.json"
    path.write_text(json.dumps(scale.parameters_of(whole, part)))
    like = read_parameters(path, preset="default")
    usual = PRESETS["default"]

    movies = whole.movies
    towers = encoder_plan(like.retrieval.tower, user_count=small.users, movie_count=movies)
    of_whole = encoder_plan(usual.retrieval.tower, user_count=whole.users, movie_count=movies)
    assert towers.epochs == of_whole.epochs
    assert towers.steps == pytest.approx(of_whole.steps, rel=0.02 + 0.5 / towers.batch)
    epochs = planned_epochs(like.rating, rating_count=small.ratings)
    assert epochs == planned_epochs(usual.rating, rating_count=whole.ratings)


def test_a_stage_at_a_time_the_whole_has_the_steps_of_its_parts(scale, tmp_path):
    """Stage by stage, the whole takes one epoch, in steps as large as in its usual run."""
    whole = SHAPES["ml-32m"]
    usual = encoder_plan(
        PRESETS["default"].retrieval.tower, user_count=whole.users, movie_count=whole.movies
    )
    path = tmp_path / "parameters.json"
    for part in (0.1, 1):
        path.write_text(json.dumps(scale.parameters_of(whole, part, epochs=1)))
        like = read_parameters(path, preset="default")
        users = whole.scaled(part).users
        plan = encoder_plan(like.retrieval.tower, user_count=users, movie_count=whole.movies)

        assert plan.epochs == 1
        assert plan.steps == pytest.approx(usual.steps / usual.epochs, rel=0.02)


@pytest.fixture
def result_of(scale):
    """Make the results of runs at a scale, each with its total and one stage in seconds."""
    figures = {"ndcg@10": 0.25, "rmse": 0.75}

    def left(at, seconds, train):
        stages = {"train retrieval": train, "gate": 7.0}
        return night(at, seconds, **stages) | {
            "log": ["the log"],
            "metrics": dict.fromkeys(scale.METRICS, figures),
            "machine": {"cores": 2, "processor": "one", "memory_gb": 25.2, "load_before": 0.1},
        }

    def make(*nights):
        return scale.result_of("scale", "ml-32m", [left(*each) for each in nights], target=1.0)

    return make


def test_report_lists_what_exceeds_the_bound(result_of, monkeypatch):
    """The report lists what exceeds the bound, and the error of the run and its longest stages."""
    result = result_of((0.05, 20, 10.0), (0.1, 30, 20.0), (1, 12_000, 190.0))

    page = module("large_run_sections", monkeypatch).scale(result)

    assert "| train retrieval | 10.0 | 20.0 | 200.0 | 190.0 | -5% |" in page
    bold = "**12,000.0, over the bound**"
    assert f"| seconds | 20.0 | 30.0 | 210.0 | {bold} | +5614% |" in page
    assert "| 1 | .2500 | .2500 | .7500 | .7500 |" in page
    assert page[-3:] == ["```", "the log", "```"]


def test_report_gives_the_error_of_each_stage(result_of, monkeypatch):
    """The report gives each stage's error, the number of runs and, for several, their spread."""
    parts = ((0.05, 20, 10.0), (0.1, 30, 20.0), (0.1, 30, 20.0))
    result = result_of(*parts, (1, 200, 150.0), (1, 200, 170.0))

    page = module("large_run_sections", monkeypatch).stages(result)

    assert "| gate | 7.0 | 7.0 | 7.0 (7.0 to 7.0) | 7.0 (7.0 to 7.0) | +0% |" in page
    train = "| train retrieval | 10.0 | 20.0 | 200.0 (200.0 to 200.0)"
    assert f"{train} | 160.0 (150.0 to 170.0) | -20% |" in page
    text = " ".join(page)
    assert "1 of scale 0.05, 2 of scale 0.1, 2 of scale 1" in text
    near = "1 of 2 stages, with 4% of the total time, are within 15% of the expected duration"
    assert f"{near}; 0 of 2 took longer than expected." in text
    assert "bootstrapped extrapolation; the smallest and the largest measurement." in text
    assert "One more second for the larger part means 19 more seconds for the whole" in text
    once = " ".join(module("large_run_sections", monkeypatch).stages(result_of(*parts[:2])))
    assert "In parentheses" not in once
    assert "within" not in once
    one_part = result_of((0.05, 20, 10.0), (1, 200, 190.0))
    assert module("large_run_sections", monkeypatch).stages(one_part) == []

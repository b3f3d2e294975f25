"""What a large night is told from: the stages of a log, lines through parts, plans alike."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from reco_batch.parameter_file import read_parameters
from reco_batch.plans import tower_plan, trained_members
from reco_batch.presets import PRESETS
from reco_batch.progress import PlainReporter
from reco_batch.simulation import SHAPES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(name, monkeypatch):
    """Load a module of the benchmarks, which is no part of a package."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def scale(monkeypatch):
    """The benchmark."""
    return module("scale", monkeypatch)


def night(scale, seconds, **stages):
    """What a night at a scale left."""
    names = ("peak_bytes", "ratings_bytes", "artifact_bytes", "store_bytes")
    return {"scale": scale, "seconds": seconds, "stages": stages} | dict.fromkeys(names, 1e9)


def test_stages_are_read_as_the_job_prints_them(scale, capsys):
    """With a note and without; what is no stage is none."""
    reporter = PlainReporter()
    with reporter.stage("train retrieval", total=1) as stage:
        stage.note("epoch 1, loss 7.5 s")
    with reporter.stage("a stage whose name is longer than the column"):
        pass
    reporter.say("note: 20 users have 3.5 s")

    found = scale.stages_of(capsys.readouterr().err.splitlines())

    assert found == {name: round(seconds, 1) for name, seconds in reporter.seconds.items()}
    assert len(found) == 2


def test_two_parts_tell_the_whole(scale):
    """A constant and a share of the users; how far a night is from it is a share of it."""
    parts = [night(0.05, 20, train=7.0), night(0.1, 30, train=7.0)]

    found = scale.extrapolated(scale.lines_of(parts), night(1, 231, train=7.0), scale=1)

    assert found["seconds"]["expected"] == pytest.approx(210)
    assert found["seconds"]["deviation"] == pytest.approx(0.1)
    assert found["train"]["expected"] == pytest.approx(7)
    assert found["train"]["deviation"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("part", [0.05, 0.1, 0.5, 1])
def test_parts_are_trained_as_the_whole_is(scale, tmp_path, part):
    """In as many epochs and, but for each epoch's last, steps; the file is one that can be read."""
    whole = SHAPES["ml-32m"]
    small = whole.scaled(part)
    path = tmp_path / "parameters.json"
    path.write_text(json.dumps(scale.parameters_of(whole, part)))
    like = read_parameters(path, preset="default")
    usual = PRESETS["default"]

    towers = tower_plan(like.retrieval.tower, user_count=small.users)
    of_whole = tower_plan(usual.retrieval.tower, user_count=whole.users)
    assert towers.epochs == of_whole.epochs
    assert towers.steps == pytest.approx(of_whole.steps, rel=0.02)
    members = trained_members(like.rating, rating_count=small.ratings)
    assert members == trained_members(usual.rating, rating_count=whole.ratings)


def test_the_report_says_what_is_over_the_bound(scale, monkeypatch):
    """And how far each stage is from its line."""
    parts = [night(0.05, 20, train=7.0), night(0.1, 30, train=7.0)]
    whole = night(1, 12_000, train=7.0)
    figures = {"ndcg@10": 0.25, "rmse": 0.75}
    for each in (*parts, whole):
        each |= {"log": ["the log"], "metrics": dict.fromkeys(scale.METRICS, figures)}
        each["machine"] = {"cores": 2, "processor": "one", "memory_gb": 25.2, "load_before": 0.1}
    result = scale.told("ml-32m", 1.0, [*parts, whole])

    page = module("report", monkeypatch).scale(result)

    assert "| train | 7.0 | 7.0 | 7.0 | 7.0 | +0% |" in page
    bold = "**12,000.0, over the bound**"
    assert f"| seconds | 20.0 | 30.0 | 210.0 | {bold} | +5614% |" in page
    assert "| 1 | .2500 | .2500 | .7500 | .7500 |" in page
    assert page[-3:] == ["```", "the log", "```"]

"""Hindsight of a run: which lists it measures, and where the figures are shown."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from csv_folders import planted, write_folder
from listed_nights import NAMES, write_night
from planted_ratings import as_dataset, planted_movies, planted_ratings
from reco_batch.evaluation.hindsight import hindsight
from reco_batch.night import look_back as module
from reco_batch.night.look_back import look_back
from reco_batch.progress.reporter import PlainReporter
from reco_store import Keys, connect
from reco_store.contract.experiment import Experiment
from reco_store.control.experiments import begin_experiment

DAY = 86_400
PROGRAM = Path(__file__).parents[2] / "support" / "killed_batch.py"
SMALL = {"DIE_AT": "0", "DIE_OF": "SIGKILL", "MODELS": "small"}


@pytest.fixture
def data():
    """Return planted data, and the time at which four fifths of it were known."""
    ratings = planted_ratings()
    end = int(ratings.timestamp.quantile(0.8))
    return as_dataset(ratings, planted_movies()), end


@pytest.fixture
def place(running, tmp_path):
    """Return where to look: a store of its own, and the folder of artifacts."""
    with running() as url, connect(url) as client:
        more = {"artifacts": tmp_path, "reporter": PlainReporter()}
        yield {"client": client, "keys": Keys("reco"), **more}


@pytest.fixture
def measured(data, place):
    """Return a function that looks back at a generation, and returns its hindsight."""
    dataset, end = data
    live = {"generation": NAMES[0], "data": {"newest_rating": end}}
    return lambda: look_back(live, dataset, **place)["hindsight"]


@pytest.fixture
def taken(data):
    """Return a list for each user: the movies that they took later."""
    dataset, end = data
    later = dataset.ratings.take(np.flatnonzero(dataset.ratings.timestamp > end))
    lists = {user: [] for user in dataset.user_ids}
    for user, movie in zip(later.user_index, later.movie_index, strict=True):
        lists[dataset.user_ids[user]].append(dataset.movies.ids[movie])
    return lists


def test_a_list_of_what_people_took_is_a_hit(data, taken, measured, tmp_path, capsys):
    """The stage's line has the main figures."""
    dataset, end = data
    write_night(tmp_path, 0, taken, dataset.movies.ids, data={"newest_rating": end})

    found = measured()

    count = sum(map(len, taken.values()))
    assert (found["generation"], found["interactions"]) == (NAMES[0], count)
    assert found["served"]["hit@10"] == 1
    assert found["popular"]["hit@10"] < 1
    assert "hindsight" in (line := capsys.readouterr().err)
    assert "NDCG@10 1.000 (most popular 0." in line
    assert f"{count:,} ratings since 20" in line


def test_after_refreshes_the_lists_of_the_run_are_measured(data, taken, place, tmp_path):
    """Since the data of that run, and not since that of the last refresh."""
    dataset, end = data
    ends = (end, int(dataset.ratings.timestamp.max()))
    refresh = {"of": NAMES[0], "trained_by": NAMES[0]}
    for number, more in enumerate(({}, {"refresh": refresh})):
        fields = {"data": {"newest_rating": ends[number]}, **more}
        write_night(tmp_path, number, taken, dataset.movies.ids, **fields)
    live = json.loads((tmp_path / NAMES[1] / "manifest.json").read_text("utf-8"))

    found = look_back(live, dataset, **place)["hindsight"]

    assert (found["generation"], found["since"]) == (NAMES[0], end)
    assert found["interactions"] == sum(map(len, taken.values()))


def test_nothing_live_has_no_section(data, place, capsys):
    """The first run of a namespace has no such stage."""
    found = look_back({}, data[0], **place)

    assert (found, capsys.readouterr().err) == ({}, "")


def test_a_missing_artifact_is_one_line(measured, capsys):
    """The run continues with the reason."""
    why = "its artifact is not on this machine"

    assert measured() == {"generation": NAMES[0], "not_measured": why}
    assert len(lines := capsys.readouterr().err.splitlines()) == 1
    assert lines[0].endswith(f"not measured: {why}")


def test_a_damaged_artifact_is_one_line(data, measured, tmp_path, capsys):
    """The run continues with the reason."""
    artifact = write_night(tmp_path, 0, {"1": [10]}, [10], data={"newest_rating": data[1]})
    (artifact.folder / "lists" / "user.parquet").unlink()

    assert measured()["not_measured"] == "its artifact is damaged or cannot be read"
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.fixture
def arms(data, taken, place, tmp_path):
    """Return a function that looks back in an experiment of three arms.

    One lists what its users do not take, one what they take, and a third has nothing published.
    """
    dataset, end = data
    shares = (("reco", 1.0), ("reco-b", 1.0), ("reco-c", 1.0))
    experiment = Experiment("stars", shares, end + 1)
    ends = (end, end + 5 * DAY)
    begin_experiment(place["client"], place["keys"], experiment)
    for number, lists in enumerate(({user: ["10"] for user in taken}, taken)):
        data_end = {"newest_rating": ends[number]}
        write_night(tmp_path, number, lists, dataset.movies.ids, data=data_end)
        place["client"].set(Keys(shares[number][0]).current, NAMES[number])

    def look(**more):
        live = {"generation": NAMES[0], "data": {"newest_rating": end}, **more}
        return look_back(live, dataset, **place)

    look.experiment, look.ends = experiment, ends
    return look


def test_arms_are_measured_by_their_own_lists_and_users(data, taken, arms, capsys):
    """All over the same time, since the newest data of any; the verdict is since the start."""
    dataset, end = data

    found = arms(experiment={"name": "stars", "began": end + 1, "unit": 12.5})

    one, other, third = found["experiment"]["arms"]
    late = dataset.ratings.take(np.flatnonzero(dataset.ratings.timestamp > arms.ends[1]))
    users = Counter(
        arms.experiment.assign(dataset.user_ids[user]) for user in set(late.user_index.tolist())
    )
    assert one["hindsight"]["since"] == other["hindsight"]["since"] == arms.ends[1]
    assert one["hindsight"]["users"] == users["reco"]
    assert other["hindsight"]["users"] == users["reco-b"]
    assert one["hindsight"]["served"]["hit@10"] < other["hindsight"]["served"]["hit@10"] == 1
    assert third["hindsight"] == {"not_measured": "its live generation is not known"}
    own = Counter(map(arms.experiment.assign, (user for user, movies in taken.items() if movies)))
    assert (found["hindsight"]["since"], found["hindsight"]["users"]) == (end, own["reco"])
    assert found["experiment"]["unit"] == 12.5
    assert sum(arm["interactions"] for arm in (one, other, third)) == sum(map(len, taken.values()))
    assert "note: experiment stars: " in capsys.readouterr().err


@pytest.mark.parametrize("error", [pa.ArrowInvalid("cut"), OSError("gone"), KeyError("a bug")])
def test_a_failed_hindsight_loses_no_verdict(arms, monkeypatch, error, capsys):
    """The three results are independent."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(module, "hindsight", fail)
    found = arms()

    assert found["experiment"]["comparisons"]
    if isinstance(error, KeyError):
        assert "hindsight" not in found
        assert "warning: no hindsight: " in capsys.readouterr().err
    else:
        assert found["hindsight"]["not_measured"] == "its artifact is damaged or cannot be read"


def test_a_failed_verdict_loses_no_hindsight(arms, monkeypatch, capsys):
    """The run warns, and continues."""
    monkeypatch.setattr(module, "experiment_section", lambda *_, **__: 1 / 0)
    found = arms()

    assert found.keys() == {"hindsight"}
    assert found["hindsight"]["users"]
    assert "warning: no verdict of the experiment: " in capsys.readouterr().err


def test_the_hindsight_of_the_own_arm_is_measured_once(arms, monkeypatch, tmp_path):
    """If it is over the same time, which it is where its data is the newest."""
    measured = []

    def look(artifact, *args, **more):
        measured.append(artifact.generation)
        return hindsight(artifact, *args, **more)

    monkeypatch.setattr(module, "hindsight", look)
    manifest = json.loads((tmp_path / NAMES[0] / "manifest.json").read_text("utf-8"))
    manifest["data"]["newest_rating"] = arms.ends[1]
    (tmp_path / NAMES[0] / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    found = arms()

    own = found["experiment"]["arms"][0]["hindsight"]
    assert measured == NAMES[:2]
    assert own["served"] == found["hindsight"]["served"]


def test_after_refreshes_an_arm_is_measured_by_the_lists_of_its_run(data, arms, place, tmp_path):
    """Its newest data is that of the run, so the time of all arms is no shorter."""
    dataset, _ = data
    newest = {"newest_rating": int(dataset.ratings.timestamp.max())}
    refresh = {"of": NAMES[1], "trained_by": NAMES[1]}
    write_night(tmp_path, 2, {}, dataset.movies.ids, data=newest, refresh=refresh)
    place["client"].set(Keys("reco-b").current, NAMES[2])

    one, other, _ = arms()["experiment"]["arms"]

    assert other["hindsight"]["generation"] == NAMES[1]
    assert one["hindsight"]["since"] == other["hindsight"]["since"] == arms.ends[1]


def test_users_of_the_arms_are_not_those_of_a_namespace_without_a_share(arms, place):
    """It records the experiment, and serves no user."""
    shares = (("reco-b", 1.0), ("reco-c", 1.0))
    begin_experiment(place["client"], place["keys"], arms.experiment._replace(arms=shares))

    assert arms()["hindsight"] == {
        "generation": NAMES[0],
        "not_measured": "its users are served by the arms",
    }


def test_a_damaged_experiment_is_a_warning(data, place, measured, capsys):
    """The run continues without hindsight, whose users are not known."""
    place["client"].set(place["keys"].experiment, b"[]")

    with pytest.raises(KeyError):
        measured()
    assert "warning: no hindsight: found the experiment b'[]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def weeks(batch, running, tmp_path_factory):
    """Return a function that runs on the planted ratings until a day, in one home."""
    home = tmp_path_factory.mktemp("weeks")
    ratings, movies = planted()
    table = pd.DataFrame(ratings, columns=["user", "movie", "rating", "time"])
    table["time"] = 1_500_000_000 + (table.time.rank(method="first") * DAY / 60).astype(int)
    with running() as url:

        def run(share, *words):
            rows = table[table.time <= table.time.quantile(share)]
            shutil.rmtree(home / "data", ignore_errors=True)
            write_folder(home / "data", rows.itertuples(index=False), movies)
            place = {"REDIS_URL": url, "RECO_HOME": str(home), **SMALL}
            return batch(
                *("run", "--data", home / "data", "--no-refit", *words),
                program=(sys.executable, str(PROGRAM)),
                **place,
            )

        run.folder = home / "artifacts"
        yield run


@pytest.mark.slow
def test_runs_on_data_cut_by_time(weeks, tmp_path):
    """Manifest, summary, metrics file, gate and report have the figures of the second run."""
    first = weeks(0.8)
    assert first.code == 0, first.err
    assert "hindsight" not in first.out + first.err
    manifest = json.loads((weeks.folder / first.generation / "manifest.json").read_text("utf-8"))
    assert "hindsight" not in manifest

    prom = tmp_path / "reco.prom"
    force = ("--force", "four fifths of the planted data went before")
    second = weeks(1, "--metrics-file", prom, *force)
    assert second.code == 0, second.err
    folder = weeks.folder / second.generation
    past = json.loads((folder / "manifest.json").read_text("utf-8"))["hindsight"]
    assert past["generation"] == first.generation
    assert past["interactions"] + past["new_users"]["interactions"] == 1200 - 960
    assert sum(one["interactions"] for one in past["by_age"]) == past["interactions"]
    assert {one["from_day"] for one in past["by_age"]} == {0, 1, 2, 3}
    served, popular = (past[kind]["ndcg@10"] for kind in ("served", "popular"))
    line = next(line for line in second.out.splitlines() if line.startswith("hindsight"))
    assert f"NDCG@10 {served:.3f} (most popular {popular:.3f})" in line
    text = prom.read_text("utf-8")
    assert 'reco_run_hindsight{list="served",metric="ndcg@10",namespace="reco"}' in text
    checks = json.loads((folder / "manifest.json").read_text("utf-8"))["gate"]["checks"]
    assert checks["hindsight.ndcg"]["figure"] == pytest.approx(served / popular, rel=1e-4)
    page = (folder / "report.html").read_text("utf-8")
    assert '<section id="hindsight">' in page
    assert f"data of <code>{first.generation}</code>" in page
    assert "Served lists and popular movies" in page

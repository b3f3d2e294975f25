"""`batch refresh`: new ratings with the stored models, a whole generation, without TensorFlow."""

import json
import re
import shutil
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from reco_batch.artifact.folder import Artifact
from reco_batch.night.refresh import _as_live
from reco_batch.night.run import end_night
from reco_batch.night.run_manifest import parameters_of, threshold_of
from reco_batch.progress.reporter import QuietReporter
from reco_batch.settings.run_config import RunConfig
from refreshed import FAMILIES_OF_USERS, Shop, of_users, plain_scores, plain_stars


def test_a_live_generation_of_another_machine_is_refused(refused, small, served, tmp_path):
    """One line names the generation and what to do."""
    line = refused("refresh", "--data", small, code=5, RECO_HOME=str(tmp_path))
    assert f"{served} is live, and its artifact is not in {tmp_path / 'artifacts'}" in line
    assert "`batch run`" in line


def test_nothing_live_is_refused(refused, small):
    """One line advises a run first."""
    line = refused("refresh", "--data", small, "--namespace", "empty", code=5)
    assert line.startswith("error: nothing is live, so nothing can be refreshed. Run `batch run`.")


@pytest.mark.parametrize("given", [2.0, None])
def test_a_rating_threshold_of_the_run_is_kept(make_dataset, ratings_frame, tmp_path, given):
    """Also by a refresh of a refresh; one that followed from the ratings follows them again."""
    few, many = make_dataset(ratings_frame[:200]), make_dataset(ratings_frame)
    usual = RunConfig(data="-", threads=1, home=tmp_path)
    config = RunConfig(data="-", threads=1, home=tmp_path, rating_threshold=given)
    for dataset in (few, many):
        parameters = parameters_of(config) | threshold_of(config, dataset)
        assert parameters["rating_threshold"] > 1
        config = _as_live(usual, Artifact(tmp_path, {"parameters": parameters}))
        assert config.rating_threshold == given


def test_metrics_of_an_artifact_are_read_before_it_is_deleted(tmp_path, monkeypatch):
    """With `--keep 1` the previous generation's artifact is deleted at the end of a run."""
    previous = tmp_path / "artifacts" / "20261124T031500Z-beef"
    previous.mkdir(parents=True)
    manifest = {"parameters": {"split": "time"}, "metrics": {"retrieval": 1}}
    monkeypatch.setattr(
        "reco_batch.night.run.read_manifest", lambda folder: manifest if folder.exists() else None
    )
    for name in ("list_generations", "mark_quarantined"):
        monkeypatch.setattr(f"reco_batch.night.run.{name}", lambda *_: ())
    monkeypatch.setattr(
        "reco_batch.night.run.prune_artifacts", lambda *_, **__: shutil.rmtree(previous)
    )
    published = SimpleNamespace(outcome="live", generation="new", previous=previous.name)

    before = end_night(
        RunConfig(data="-", threads=1, home=tmp_path),
        SimpleNamespace(client=None, keys=None),
        Artifact(tmp_path, manifest),
        published,
        now=datetime.now(UTC),
        reporter=QuietReporter(),
    )

    assert before == {"retrieval": 1}
    assert not previous.exists()


@pytest.fixture(scope="module")
def shop(running, tmp_path_factory):
    """Yield a shop after its run, with small models; every test leaves a refresh live."""
    with running() as url:
        shop = Shop(tmp_path_factory.mktemp("shop"), url)
        shop.done("run")
        shop.trained = shop.live()
        yield shop


@pytest.fixture
def refresh(shop, untrained):
    """Refresh on a machine without TensorFlow, and return the result."""

    def run(*words):
        place = {"REDIS_URL": shop.url, "RECO_HOME": str(shop.home)}
        return untrained("refresh", "--data", shop.data, *words, **place)

    return run


def stored(shop, name):
    """Return the arrays of a stored model of the live generation."""
    with np.load(shop.home / "artifacts" / shop.live() / "models" / f"{name}.npz") as archive:
        return dict(archive)


@pytest.mark.slow
def test_nothing_new_publishes_nothing(shop, refresh):
    """One line says so, with exit code 0; store and artifacts are as before."""
    before, folders = shop.values(), sorted((shop.home / "artifacts").iterdir())
    ended = refresh()
    assert ended.code == 0, ended.err
    assert re.fullmatch(rf"unchanged +{shop.trained} .*nothing was published\n", ended.out)
    assert "hindsight" not in ended.err
    assert shop.values() == before
    assert sorted((shop.home / "artifacts").iterdir()) == folders
    assert shop.live() == shop.trained


@pytest.mark.slow
def test_only_users_with_other_ratings_change(shop, refresh):
    """New, other and fewer ratings and new users count; all other values stay byte for byte."""
    before = shop.values()
    shop.rate(3, 1)
    shop.rate(999, 2)
    shop.rate(999, 5, 1.0)
    row = next(row for row in shop.ratings if row[0] == 4)
    shop.ratings[shop.ratings.index(row)] = (*row[:2], 0.5 if row[2] > 1 else 5.0, row[3])
    shop.ratings.remove(next(row for row in shop.ratings if row[0] == 5))
    shop.ratings = [row for row in shop.ratings if row[0] != 6]

    ended = refresh("--metrics-file", shop.home / "refresh.prom")

    assert ended.code == 0, ended.err
    assert "lists of 4 of 60 users computed" in ended.out
    after = shop.values()
    users, earlier = of_users(after), of_users(before)
    assert users.keys() - earlier.keys() == {"999"}
    assert earlier.keys() - users.keys() == {"6"}
    assert {user for user in users if users[user] != earlier.get(user)} == {"3", "4", "5", "999"}
    kept = [name for name in before if name.startswith(("similar:", "next:", "title:"))]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["movie:1"] != before["movie:1"]  # one rating more
    manifest = shop.manifest()
    assert manifest["refresh"] == {
        "of": shop.trained,
        "trained_by": shop.trained,
        "users": 4,
        "all_lists": False,
    }
    assert manifest["hindsight"]["generation"] == shop.trained
    assert manifest["hindsight"]["users"] == 1  # whose rating is newer than the data of the run
    assert 'reco_served_users{namespace="reco"} 60.0' in (shop.home / "refresh.prom").read_text()
    report = (shop.home / "artifacts" / shop.live() / "report.html").read_text("utf-8")
    assert f"models of {shop.trained}" in report


@pytest.mark.slow
@pytest.mark.parametrize("user", [3, 999])
def test_a_changed_list_is_the_fold_in_by_the_plain_formula(shop, refresh, user):
    """User and ranked lists follow from the stored arrays and the ratings."""
    shop.rate(user, 7 + user % 5)
    assert refresh().code == 0
    rows = [row[1:] for row in shop.ratings if row[0] == user]
    seen = {str(row[0]) for row in rows}
    values = of_users(shop.values())[str(user)]

    scores, ids = plain_scores(stored(shop, "retrieval"), rows)
    best = [at for at in np.argsort(-scores, kind="stable") if ids[at] not in seen][:100]
    shown = json.loads(values["user"])
    assert [str(one) for one in shown["i"]] == [ids[at] for at in best]
    assert np.allclose(shown["s"], scores[best], atol=2e-3)

    stars, _ = plain_stars(stored(shop, "rating"), rows)
    shown = json.loads(values["ranked"])
    at = [ids.index(str(one)) for one in shown["i"]]
    assert np.allclose(shown["s"], stars[at], atol=2e-3)
    assert len(at) == len(ids) - len(seen)


@pytest.mark.slow
def test_another_catalogue_computes_all_lists(shop, refresh, tmp_path):
    """A new movie has its card and lists; a rule of `reco.toml` applies to every list."""
    shop.movies.append((5000, "Newest Film (2026)", "Drama"))
    shop.rate(8, 5000)
    ended = refresh()
    assert ended.code == 0, ended.err
    assert "all lists of 60 of 60 users computed" in ended.out
    after = shop.values()
    assert json.loads(after["movie:5000"])["n"] == 1
    assert json.loads(after["similar:5000"])["i"]
    assert 5000 in json.loads(after["seen:8"])["i"]
    firsts = [json.loads(one["user"])["i"][:10] for one in of_users(after).values()]
    assert not any(5000 in first for first in firsts)  # the models do not know it

    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules.never]]\ncolumn = "genres"\nvalues = ["War"]\n', "utf-8")
    ended = refresh("--config", rules)
    assert ended.code == 0, ended.err
    never = {row[0] for row in shop.movies if row[2] == "War"}
    for name, value in shop.values().items():
        if name.split(":")[0] in ("user", "ranked", "similar", "next", "popular"):
            assert never.isdisjoint(json.loads(value)["i"]), name
    assert refresh("--config", rules).out.startswith("unchanged")


@pytest.mark.slow
def test_a_movie_that_the_input_lacked_for_a_while_keeps_its_rank(shop, refresh):
    """Ranked lists are ordered by the ratings in training of all movies, not of the listed ones."""
    shop.movies.append((5001, "Later Film (2026)", "Drama"))
    assert refresh().code == 0
    before, missing = shop.values(), shop.movies.pop(20)
    assert refresh("--max-unknown-ratings", 0.5).code == 0
    shop.movies.insert(20, missing)
    assert refresh().code == 0
    assert shop.values() == before


@pytest.mark.slow
def test_it_is_rolled_back_and_forgets_like_a_run(shop, untrained, refresh):
    """The values before return; a forgotten user stays away, and can be refreshed around."""
    place = {"REDIS_URL": shop.url, "RECO_HOME": str(shop.home)}
    before = shop.values()
    shop.rate(9, 11)
    assert refresh("--keep", 9).code == 0
    assert of_users(shop.values())["9"] != of_users(before)["9"]
    assert untrained("rollback", "--reason", "odd", **place).code == 0
    assert shop.values() == before
    assert untrained("release", **place).code == 0

    assert untrained("forget", "9", **place).code == 0
    assert refresh().out.startswith("live")
    users = of_users(shop.values())
    assert "9" not in users
    assert all(set(one) == set(FAMILIES_OF_USERS) for one in users.values())
    for folder in (shop.home / "artifacts").iterdir():
        assert "9" not in Artifact(folder, {}).history_digests()


@pytest.mark.slow
def test_purchases_are_refreshed_too(running, untrained, tmp_path):
    """Without stars there is no rating model, and there are no ranked lists."""
    with running() as url:
        shop = Shop(tmp_path, url, is_implicit=True)
        shop.done("run")
        before = of_users(shop.values())
        shop.rate(3, 1)
        shop.rate(3, 2)
        place = {"REDIS_URL": url, "RECO_HOME": str(tmp_path)}
        ended = untrained("refresh", "--data", shop.data, **place)
        assert ended.code == 0, ended.err
        after = of_users(shop.values())
        assert {user for user in after if after[user] != before[user]} == {"3"}
        assert all(set(one) == {"user", "because", "seen"} for one in after.values())
        assert not (tmp_path / "artifacts" / shop.live() / "models" / "rating.npz").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "models/retrieval.npz").unlink(), "retrieval.npz"),
        (lambda folder: flip(folder / "models/rating.npz"), "rating.npz"),
        (
            lambda folder: shutil.copy(
                folder / "lists/next.parquet", folder / "lists/similar.parquet"
            ),
            "If `batch forget` was interrupted, repeat it.",
        ),
        (lambda folder: forget_field(folder, "stored_models"), "stored no models"),
        (lambda folder: empty_field(folder, "stored_models"), "preset 'default'"),
    ],
)
def test_a_damaged_or_unfit_artifact_is_refused(shop, refresh, damage, words):
    """One line names what was found; the live generation stays, and no folder is left."""
    folder = shop.home / "artifacts" / shop.live()
    copy = shop.home / "copy"
    shutil.copytree(folder, copy)
    before, folders = shop.values(), sorted((shop.home / "artifacts").iterdir())
    shop.ratings.append((10, 13, 4.0, 1_700_000_000))
    try:
        damage(folder)
        ended = refresh()
        assert ended.code == 5, ended.err
        assert words in ended.err
        assert "un `batch run`." in ended.err
        assert shop.values() == before
        assert sorted((shop.home / "artifacts").iterdir()) == folders
    finally:
        shutil.rmtree(folder)
        shutil.move(copy, folder)
        shop.ratings.pop()


def flip(file):
    """Change a byte in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def forget_field(folder, name):
    """Remove a field from the manifest, as an earlier version did not write it."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    del manifest[name]
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def empty_field(folder, name):
    """Empty a field of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest[name] = {}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


@pytest.mark.slow
def test_a_trained_generation_that_waits_is_not_replaced(shop, refresh):
    """A refresh names it, publishes nothing and exits with 0, unless it is forced."""
    shop.rate(4, 2)
    waiting = shop.done("run", "--stage-only").split()[1]
    live, before = shop.live(), shop.values()

    ended = refresh()

    assert ended.code == 0, ended.err
    line = f"unchanged +{live} .*{waiting} waits for `batch promote`.*nothing was published.*\n"
    assert re.fullmatch(line, ended.out)
    assert shop.values() == before

    ended = refresh("--force", "the new models are worse")

    assert ended.code == 0, ended.err
    assert shop.live() not in {live, waiting}

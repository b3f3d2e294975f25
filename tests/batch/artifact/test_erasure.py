"""Erasure of a user from an artifact: nothing of the user stays, and the rest can be published."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from reco_batch.artifact import erasure
from reco_batch.artifact.erasure import Erased, erase_users, users_of
from reco_batch.artifact.folder import open_artifact
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Movies, Ratings, histories
from reco_batch.data.split import Split
from reco_batch.scoring.popularity import Thresholds, movie_statistics, popular_lists
from reco_batch.scoring.topk import TopK
from reco_store.contract.digest import Summary
from reco_store.contract.families import RANKED, USER

GENERATION = "20261124T031502Z-7f3a"
USERS = ("1", "2", "30")
#: Movie 3 is in no list: the ratings have it, the catalogue does not.
MOVIES = Movies(("10", "20", "30", "40"), ("A", "B", "C", ""), ((),) * 4, (None,) * 4, unlisted=1)
REJECTED = 'file,line,reason,row\nr.csv,2,no stars,"2,10,x"\nr.csv,3,no stars,"12,10,x"\n'
TEXTS = {"report.html": "2", "rejected.csv": REJECTED.replace("\n", "\r\n")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a complete artifact of three users who rated two movies each."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    ratings = Ratings(
        np.array([0, 0, 1, 1, 2, 2], np.int32),
        np.array([0, 1, 1, 3, 2, 0], np.int32),
        np.float32([1, 2, 3, 4, 5, 3]),
        np.arange(6),
    )
    dataset = Dataset(USERS, MOVIES, ratings, (0.5, 5))
    writer = ArtifactWriter(artifacts / GENERATION, MOVIES.catalogue)
    split = Split(*(np.array(rows) for rows in ([0, 2, 4, 5], [], [1, 3])), 0, cold=np.array([]))
    writer.write_split(
        dataset, split._replace(**{n: np.int64(getattr(split, n)) for n in ("validation", "cold")})
    )
    heldout = {"user_index": np.arange(2), "held_out": np.ones(2), "ndcg@10": np.ones(2)}
    writer.write_metrics("retrieval", USERS, heldout)
    lists = TopK(np.array([[2], [0], [1]], np.int32), np.ones((3, 1), np.float32))
    for family in (USER, RANKED):
        blocks = [TopK(lists.items[:2], lists.scores[:2]), TopK(lists.items[2:], lists.scores[2:])]
        writer.write_top_k(family, USERS, iter(blocks))
    seen = histories(ratings, user_count=3).below(3)
    writer.write_seen(USERS, seen)
    statistics = movie_statistics(ratings, movie_count=4).of_first_movies(3)
    movies = MOVIES.catalogue
    writer.write_popular(popular_lists(statistics, movies, thresholds=Thresholds(1, 2.0), n=4))
    writer.write_movies(movies, statistics)
    for name in ("user_model", "explicit_model", "movie_model"):
        (writer.models / name).mkdir(parents=True)
        (writer.models / name / "saved_model.pb").write_text("1 2 30")
    for name, text in TEXTS.items():
        (writer.folder / name).write_bytes(text.encode())
    data = {"users": 3, "movies": 3, "ratings": 6, "train": 4, "validation": 0, "test": 2}
    data |= {"test_users": 2, "unlisted": {"movies": 1, "ratings": 1}}
    writer.finish(
        {
            "schema": 1,
            "generation": GENERATION,
            "created": "2026-11-24T03:15:02+00:00",
            "ids": "integer",
            "parameters": {"namespace": "reco"},
            "data": data,
        }
    )
    return artifacts


@pytest.fixture
def artifact(whole, tmp_path):
    """Return a copy of the artifact."""
    shutil.copytree(whole, tmp_path / "artifacts")
    return open_artifact(tmp_path / "artifacts", GENERATION)


def require_erased(folder, whole):
    """Require that user 2 is nowhere, and that everything else is as it was."""
    now, before = open_artifact(folder.parent, GENERATION), open_artifact(whole, GENERATION)
    left = [entry for entry in before.entries() if not entry[0].endswith(":2")]
    assert list(now.entries()) == left
    summary = Summary()
    summary.update_many(left)
    assert summary.manifest_fields().items() <= now.manifest.items()
    data = {"users": 2, "movies": 3, "ratings": 4, "train": 3, "validation": 0, "test": 1}
    data |= {"test_users": 1, "unlisted": {"movies": 1, "ratings": 0}}
    assert now.manifest["data"] == data
    for file in ("split", "retrieval"):
        found = pd.read_parquet(folder / "evaluation" / f"{file}.parquet")
        kept = pd.read_parquet(whole / GENERATION / "evaluation" / f"{file}.parquet")
        pd.testing.assert_frame_equal(found, kept[kept["userId"] != 2].reset_index(drop=True))
    assert [path.name for path in (folder / "models").iterdir()] == ["movie_model"]
    assert not (folder / "report.html").exists()
    assert (folder / "rejected.csv").read_bytes().decode() == TEXTS["rejected.csv"].replace(
        '"2,10,x"', ""
    )


def test_nothing_of_the_user_stays(artifact, whole):
    """Lists, split, metrics, models, report and the text of rejected rows; a second time nothing.

    Rows: one rejected, two of the split, one of the metrics, three lists.
    """
    assert users_of(artifact) == set(USERS)
    assert erase_users(artifact, {"2"}) == Erased(1, 7, 2)
    require_erased(artifact.folder, whole)
    assert erase_users(open_artifact(artifact.folder.parent, GENERATION), {"2"}) == Erased(0, 0, 0)


def test_an_unknown_user_changes_nothing(artifact, whole):
    """Another id, and one that is the beginning of a known id."""
    assert erase_users(artifact, {"3", "y"}) == Erased(0, 0, 0)
    for file in (whole / GENERATION).rglob("*"):
        if file.is_file():
            copied = artifact.folder / file.relative_to(whole / GENERATION)
            assert copied.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("step", ["delete", "write_manifest", "_rewrite"])
def test_an_erasure_that_was_killed_is_completed(artifact, whole, monkeypatch, step):
    """At a call of each step that changes the folder; of the rewriting, at each file."""
    done = getattr(erasure, step)

    def dying(*arguments, **named):
        if next(left) == 0:
            raise KeyboardInterrupt
        return done(*arguments, **named)

    monkeypatch.setattr(erasure, step, dying)
    for calls in range(4 if step == "_rewrite" else 1):
        left = iter(range(calls, -1, -1))
        with pytest.raises(KeyboardInterrupt):
            erase_users(open_artifact(artifact.folder.parent, GENERATION), {"2"})
    monkeypatch.undo()
    erase_users(open_artifact(artifact.folder.parent, GENERATION), {"2"})
    require_erased(artifact.folder, whole)


def test_a_damaged_artifact_does_not_become_valid(artifact):
    """The digest still differs, so publishing refuses the artifact as before."""
    manifest = json.loads((artifact.folder / "manifest.json").read_text())
    artifact.manifest = {**manifest, "digest": "sha256:0"}
    (artifact.folder / "manifest.json").write_text(json.dumps(artifact.manifest))
    erase_users(artifact, {"2"})
    assert artifact.manifest["digest"] == "sha256:0"
    assert users_of(artifact) == {"1", "30"}


def test_histories_of_events_are_counted_alone(artifact):
    """They have some kinds only, so they do not show which movies are unlisted."""
    data = {**artifact.manifest["data"], "seen": 5}
    (artifact.folder / "manifest.json").write_text(json.dumps({**artifact.manifest, "data": data}))
    opened = open_artifact(artifact.folder.parent, GENERATION)

    erase_users(opened, {"2"})

    assert opened.manifest["data"]["seen"] == 4
    assert opened.manifest["data"]["ratings"] == 4
    assert opened.manifest["data"]["unlisted"] == {"movies": 1, "ratings": 1}

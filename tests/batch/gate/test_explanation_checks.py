"""Checks of explanations: one for each movie of the user's list, from the user's own history."""

from datetime import UTC, datetime

import numpy as np
import pytest

import reco_batch.artifact.folder as artifact_module
import reco_batch.artifact.writer as writer_module
from handmade_ratings import movies_of, ratings_of
from reco_batch.artifact.check import PASSED, REFUSED
from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import histories
from reco_batch.gate.explanation_checks import check_explanations
from reco_batch.scoring.explanations import Explained
from reco_batch.scoring.popularity import MovieStatistics
from reco_batch.scoring.topk import TopK
from reco_store.contract.keys import new_generation_id

GENERATION = new_generation_id(datetime(2026, 11, 24, tzinfo=UTC), "7f3a")
USERS = ("1", "because:2", "3", "4")
LISTS = [[3, 4, -1], [0, 4, -1], [0, 1, 2], [0, 1, 2]]
REASONS = [[0, -1, -1], [3, 3, -1], [4, 3, -1], [-1, -1, -1]]
RATED = [(0, 0), (0, 1), (1, 3), (2, 3), (2, 4)]  # the last user has rated nothing


@pytest.fixture(params=[1, 3, 4096])
def written(request, monkeypatch, tmp_path):
    """Return a function that writes lists with explanations, read in batches of some size."""
    monkeypatch.setattr(artifact_module, "_ROWS_PER_BATCH", request.param)
    monkeypatch.setattr(writer_module, "_ROWS", request.param)

    def write(reasons=REASONS, *, keys=USERS, seen=USERS, users=4):
        writer = ArtifactWriter(tmp_path / GENERATION, movies_of(5), resumed=True)
        lists = np.int32(LISTS)[: len(reasons)]
        block = Explained(TopK(lists, np.zeros(lists.shape, np.float32)), np.int32(reasons))
        writer.write_explained(keys, [block])
        writer.write_seen(seen, histories(ratings_of(RATED), user_count=4))
        writer.write_movies(movies_of(5), MovieStatistics(np.zeros(5, np.int64), np.zeros(5)))
        manifest = {"ids": "string", "parameters": {"because": True}, "data": {"users": users}}
        return Artifact(writer.folder, manifest)

    return write


def refused(artifact):
    """Return the values of the refused checks."""
    checks = list(check_explanations(artifact))
    assert [check.name for check in checks] == [
        *("because.lists", "because.unpaired", "because.unrated"),
    ]
    assert {check.verdict for check in checks} <= {PASSED, REFUSED}
    return {check.name: check.figure for check in checks if check.verdict == REFUSED}


def test_sound_explanations_pass(written):
    """No explanation for a movie, and one for two movies, are sound."""
    assert refused(written()) == {}


def test_a_user_without_explanations_is_refused(written):
    """The number of users must be that of the input."""
    assert refused(written(users=5)) == {"because.lists": 4}
    assert refused(written(REASONS[:3])) == {"because.lists": 3}


def test_an_explanation_that_the_user_did_not_rate_is_refused(written):
    """Each such user counts once."""
    assert refused(written([[3, 3, -1], *REASONS[1:]])) == {"because.unrated": 1}
    assert refused(written([*REASONS[:3], [2, 2, 2]])) == {"because.unrated": 1}


def test_explanations_from_another_history_are_refused(written):
    """Rows that are shifted against each other."""
    assert refused(written(seen=("1", "3", "because:2", "4"))) == {"because.unrated": 2}


def test_explanations_of_another_list_are_refused(written, tmp_path):
    """Fewer explanations than movies, and explanations of another user."""
    artifact = written()
    file = artifact.folder / "lists" / "because.parquet"
    kept = file.read_bytes()
    written([[0, -1, -1], [3, 3, -1], [4, 3, -1], [-1, -1, -1]], keys=(*USERS[:3], "5"))
    of_another = file.read_bytes()
    written()
    assert file.read_bytes() == kept

    file.write_bytes(of_another)

    assert refused(artifact)["because.unpaired"] == 1


def test_an_artifact_without_explanations_has_no_checks(written):
    """Artifacts of an earlier version, or with explanations switched off."""
    artifact = written()
    (artifact.folder / "lists" / "because.parquet").unlink()

    assert list(check_explanations(Artifact(artifact.folder, {"parameters": {}}))) == []

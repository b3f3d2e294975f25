"""Stored models: equal bytes for equal models, and refusal of anything else."""

import dataclasses

import numpy as np
import pytest

from random_hybrids import random_hybrid
from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.stored_models import (
    STORED_MODELS,
    STORED_RATING,
    STORED_RETRIEVAL,
    digests_of,
    store_rating,
    store_retrieval,
    stored_rating,
    stored_retrieval,
    trained_counts,
)
from reco_batch.errors import NightFailed
from reco_batch.models.rating.stored_rating import StoredRating

RATING = StoredRating(
    3.5,
    np.arange(4, dtype=np.float32),
    np.ones((4, 2), np.float32),
    (0.5, 5.0),
    np.zeros(3),
    np.eye(3),
    np.array([9, 2, 7, 4]),
    ("1", "zwei", "三", "4"),
)


@pytest.fixture
def artifact(tmp_path):
    """An artifact with both models."""
    store_retrieval(tmp_path / "models", random_hybrid())
    store_rating(tmp_path / "models", RATING)
    return Artifact(tmp_path, {STORED_MODELS: digests_of(tmp_path / "models")})


def test_they_are_read_as_written(artifact):
    """All arrays, hyper-parameters and ids return."""
    found, given = stored_retrieval(artifact), random_hybrid()
    assert (found.parameters, found.movie_ids) == (given.parameters, given.movie_ids)
    assert found.halves.years == given.halves.years
    for name in ("history", "movies", "users", "times"):
        arrays = (getattr(model.halves.encoder, name) for model in (found, given))
        np.testing.assert_array_equal(*arrays)
    assert (found.halves.neighbours != given.halves.neighbours).nnz == 0
    np.testing.assert_array_equal(found.halves.popularity, given.halves.popularity)
    np.testing.assert_array_equal(found.similar, given.similar)
    rating = stored_rating(artifact)
    for one, other in zip(rating, RATING, strict=True):
        np.testing.assert_array_equal(one, other)


def test_counts_of_training_are_of_the_listed_movies(artifact, monkeypatch):
    """In a refresh they come from the model, for every movie; in a run from the catalogue."""
    monkeypatch.setattr(Artifact, "titles", lambda _: {"4": "D", "new": "E", "zwei": "B"})
    monkeypatch.setattr(Artifact, "rating_counts", lambda _: "present")
    assert trained_counts(artifact) == "present"
    artifact.manifest.update(refresh={}, rating_scale=[0.5, 5])
    assert trained_counts(artifact).tolist() == [4, 0, 2]
    artifact.manifest["rating_scale"] = None
    assert trained_counts(artifact) == "present"


def test_equal_models_give_equal_bytes(artifact, tmp_path):
    """The files have no time of writing."""
    store_retrieval(tmp_path / "again", random_hybrid())
    store_rating(tmp_path / "again", RATING)
    assert digests_of(tmp_path / "again") == artifact.manifest[STORED_MODELS]
    assert set(artifact.manifest[STORED_MODELS]) == {STORED_RETRIEVAL, STORED_RATING}


@pytest.mark.parametrize("place", [0, 40, 1000, -1])
def test_changed_bytes_are_refused(artifact, place):
    """Whatever byte it is; the error names the file and the next step."""
    file = artifact.folder / "models" / STORED_RATING
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(NightFailed, match=r"rating\.npz cannot be used .*Run `batch run`"):
        stored_rating(artifact)


def test_pickles_and_other_versions_are_refused(artifact):
    """An array of objects is never unpickled; an unknown hyper-parameter is an error."""
    models = artifact.folder / "models"
    np.savez(models / STORED_RATING, mean=np.array([object()], object))
    artifact.manifest[STORED_MODELS] = digests_of(models)
    with pytest.raises(NightFailed, match="allow_pickle"):
        stored_rating(artifact)

    given = random_hybrid()
    other = dataclasses.make_dataclass("Other", [("newer", int)])(1)
    store_retrieval(models, given._replace(parameters=other))
    artifact.manifest[STORED_MODELS] = digests_of(models)
    with pytest.raises(NightFailed, match="another version"):
        stored_retrieval(artifact)


def test_missing_ones_are_refused(tmp_path):
    """An artifact of the preset `notebook` has none."""
    assert digests_of(tmp_path) == {}
    with pytest.raises(NightFailed, match="retrieval"):
        stored_retrieval(Artifact(tmp_path, {STORED_MODELS: {}}))

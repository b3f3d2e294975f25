"""Differences between the user lists of two artifacts."""

from functools import partial

import numpy as np
import pytest

import reco_batch.artifact.folder as artifact_module
from listed_nights import NAMES, write_night
from reco_batch.artifact.folder import artifacts_of, open_artifact, write_manifest
from reco_batch.evaluation.generation_diff import baseline_run, compare_runs


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a numbered run, from the lists of users and a catalogue."""
    return partial(write_night, tmp_path)


def test_overlap_is_the_share_of_the_earlier_list(write):
    """Users are matched by id, in any order; an empty list has no overlap."""
    before = write(0, {"a": [1, 2, 3, 4], "b": [1, 2], "c": [], "gone": [4]}, range(1, 5))
    after = write(1, {"new": [5], "b": [1, 2], "a": [1, 2, 5], "c": [3]}, range(5, 0, -1))

    changes = compare_runs(before, after)

    assert changes.users.to_pylist() == ["b", "a", "c"]
    np.testing.assert_allclose(changes.overlap, [1, 2 / 4, np.nan])
    assert changes.rbo[0] == pytest.approx(1)
    assert 0.5 < changes.rbo[1] < 1
    assert (changes.new_users, changes.gone_users) == (1, 1)
    assert [user for user, _, _ in changes.most_changed(5)] == ["a", "b"]


def test_movies_are_counted_by_users_with_them_in_the_top_10(write):
    """Movies of only one catalogue count, too."""
    before = write(0, {"a": range(1, 13), "b": [12]}, range(1, 13))
    after = write(1, {"a": [13, 1], "b": [13]}, [1, 12, 13])

    changes = compare_runs(before, after)

    shown = dict(zip(changes.movies.to_pylist(), changes.shown_before.tolist(), strict=True))
    assert shown == {**{str(i): 1 for i in range(1, 11)}, "11": 0, "12": 1, "13": 0}
    now = dict(zip(changes.movies.to_pylist(), changes.shown_after.tolist(), strict=True))
    assert {movie: count for movie, count in now.items() if count} == {"1": 1, "13": 2}
    assert (changes.new_movies, changes.gone_movies) == (1, 10)


def test_ids_that_became_text_are_the_same_movies(write):
    """One title with a text id makes all ids text, and changes nothing else."""
    before = write(0, {"a": [1, 2]}, [1, 2])
    after = write(1, {"a": [1, 2]}, [1, 2, "x"])

    assert compare_runs(before, after).overlap.tolist() == [1]


def test_runs_without_a_user_have_no_differences(write):
    """There is nothing to compare, and no error."""
    changes = compare_runs(write(0, {}, [1]), write(1, {}, [1]))

    assert len(changes.users) == len(changes.overlap) == len(changes.rbo) == 0
    assert changes.most_changed(3) == []


def test_lists_are_streamed(write, monkeypatch):
    """The result does not depend on the number of lists that are read at once."""
    rng = np.random.default_rng(0)
    nights = [
        write(
            number,
            {f"u{user}": rng.permutation(80)[: rng.integers(0, 70)].tolist() for user in range(30)},
            range(80),
        )
        for number in (0, 1)
    ]
    whole = compare_runs(*nights)

    monkeypatch.setattr(artifact_module, "_ROWS_PER_BATCH", 7)
    by_sevens = compare_runs(*nights)

    assert by_sevens.users.equals(whole.users)
    np.testing.assert_array_equal(by_sevens.overlap, whole.overlap)
    np.testing.assert_allclose(by_sevens.rbo, whole.rbo, atol=1e-12)
    np.testing.assert_array_equal(by_sevens.shown_after, whole.shown_after)
    np.testing.assert_array_equal(by_sevens.shown_before, whole.shown_before)


def test_the_baseline_is_the_run_that_the_gate_compared_with(write, tmp_path):
    """Not the previous run, which may have been refused."""
    write(0, {"a": [1]}, [1])
    write(1, {"a": [1]}, [1], gate={"verdict": "refused", "baseline": NAMES[0]})
    latest = write(2, {"a": [1]}, [1], gate={"verdict": "passed", "baseline": NAMES[0]})
    others = artifacts_of(tmp_path, "reco")

    assert [night.generation for night in others] == NAMES
    assert baseline_run(latest, others).generation == NAMES[0]
    unjudged = open_artifact(tmp_path, NAMES[2])
    unjudged.manifest["gate"] = None
    assert baseline_run(unjudged, others).generation == NAMES[0]
    first = open_artifact(tmp_path, NAMES[0])
    first.manifest["gate"] = {"verdict": "passed", "baseline": "no baseline"}
    assert baseline_run(first, others) is None


def test_only_complete_artifacts_of_the_namespace_are_found(write, tmp_path):
    """Artifacts of another namespace and damaged ones are left out."""
    write(0, {"a": [1]}, [1])
    write(1, {"a": [1]}, [1], parameters={"namespace": "other"})
    (tmp_path / NAMES[2]).mkdir()
    write_manifest(tmp_path / NAMES[2], {"generation": "damaged"})

    assert [night.generation for night in artifacts_of(tmp_path, "reco")] == NAMES[:1]

"""Files of a simulation: readable by a run, complete or absent, and reproducible."""

import pytest

from reco_batch.errors import NightFailed
from reco_batch.ingest.formats.registry import FORMATS
from reco_batch.ingest.readers import read_folder
from reco_batch.ingest.validate import build_dataset
from reco_batch.simulate import files as simulated_files
from reco_batch.simulate.files import write_simulation
from reco_batch.simulate.simulation import Shape, Simulation
from reco_store import UsageError

SHAPE = Shape(users=1200, movies=300, ratings=26_000)  # two blocks


@pytest.fixture(scope="module")
def simulation():
    """A simulation of two blocks."""
    return Simulation(SHAPE, seed=5)


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_reads_all_simulated_values(simulation, form, tmp_path, stage):
    """A run reads every rating, time, title and genre that was written, without findings."""
    write_simulation(simulation, tmp_path / "out", form=form, stage=stage)

    data = build_dataset(read_folder(tmp_path / "out"), rating_scale=(0.5, 5))

    assert stage.steps == SHAPE.users
    assert data.movies == simulation.movies
    assert data.findings.duplicates_dropped == data.findings.unknown_movies == 0
    at = 0
    for block in simulation.blocks():
        read = data.ratings.take(range(at, at + len(block)))
        at += len(block)
        users = [int(data.user_ids[index]) - 1 for index in read.user_index]
        assert users == block.user_index.tolist()
        assert read.movie_index.tolist() == block.movie_index.tolist()
        assert read.rating.tolist() == block.rating.tolist()
        assert read.timestamp.tolist() == block.timestamp.tolist()
    assert at == len(data.ratings) == SHAPE.ratings


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_seed_writes_the_same_bytes(form, tmp_path, stage):
    """Equal seeds write equal bytes in every format."""
    for name in ("one", "two"):
        write_simulation(Simulation(SHAPE, seed=5), tmp_path / name, form=form, stage=stage)

    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {f"ratings.{form}", f"movies.{form}"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("there", ["ratings.csv", "movies.parquet", "ratings.csv.gz"])
def test_no_ratings_are_written_over(simulation, there, tmp_path, stage):
    """A folder with ratings or movies is refused and left unchanged."""
    (tmp_path / there).write_text("mine")

    with pytest.raises(UsageError, match=f"contains {there}: expected no ratings and no movies"):
        write_simulation(simulation, tmp_path, form="csv", stage=stage)

    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_the_folder_is_refused(simulation, tmp_path, stage):
    """A file in place of the folder is refused and left unchanged."""
    (tmp_path / "out").write_text("mine")

    with pytest.raises(UsageError, match="is a file: expected a folder"):
        write_simulation(simulation, tmp_path / "out", form="csv", stage=stage)


def test_half_a_data_set_is_none(simulation, tmp_path, stage, monkeypatch):
    """A full disk leaves no files that a run could read."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(simulated_files, "_ratings", lambda *_: iter(full, None))

    with pytest.raises(NightFailed, match="No space left on device"):
        write_simulation(simulation, tmp_path / "out", form="csv", stage=stage)

    assert list((tmp_path / "out").iterdir()) == []

"""Reading in blocks: the result does not depend on the block size."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planted_ratings import planted_ratings
from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.formats import csv_file
from reco_batch.ingest.readers import read_folder
from reco_batch.ingest.validate import build_dataset


def checked(folder, *, scale=(0.5, 5), **options):
    """Read and check a folder as a run does."""
    return build_dataset(read_folder(folder, **options), rating_scale=scale)


@pytest.fixture
def in_pieces(monkeypatch):
    """Read CSV files a kilobyte at a time."""
    monkeypatch.setattr(csv_file, "_BLOCK_BYTES", 1024)


def test_pieces_are_put_together(in_pieces, data_folder):
    """Ids that are new in a later block, and ids of an earlier block, keep their rows."""
    ratings = read_folder(data_folder).ratings

    wanted = planted_ratings()
    assert ratings[c.USER_ID].astype(str).tolist() == wanted[c.USER_ID].tolist()
    assert ratings[c.MOVIE_ID].astype(str).tolist() == wanted[c.MOVIE_ID].tolist()
    assert ratings[c.RATING].tolist() == wanted[c.RATING].tolist()
    assert ratings[c.TIMESTAMP].tolist() == wanted[c.TIMESTAMP].tolist()
    assert ratings.index.tolist() == list(range(2, len(wanted) + 2))


def test_each_id_is_kept_once_as_text(in_pieces, data_folder):
    """A rating takes at most 4 bytes for each id, and 8 each for stars and time."""
    ratings = read_folder(data_folder).ratings

    for column in (c.USER_ID, c.MOVIE_ID):
        categories = ratings[column].cat.categories
        assert categories.is_unique
        assert len(categories) == ratings[column].nunique()
        assert ratings[column].cat.codes.dtype.itemsize <= 4
    assert (ratings[c.RATING].dtype, ratings[c.TIMESTAMP].dtype) == (np.float64, np.int64)


def test_the_line_is_that_of_the_file(in_pieces, data_folder):
    """The line in a refusal is that of the file, not that of the block."""
    path = data_folder / "ratings.csv"
    lines = path.read_text().splitlines()
    lines[400] = "7,10,four,1"
    path.write_text("\n".join(lines))

    with pytest.raises(DataRefused, match="line 401: rating 'four' is not a number"):
        checked(data_folder)


@pytest.mark.parametrize("kind", ["int32", "uint16", "int64", "string", "category"])
def test_ids_in_parquet_are_read_in_pieces_too(data_folder, kind):
    """Row groups with different ids, of any type, give the same ids as CSV."""
    frame = planted_ratings()
    for column in (c.USER_ID, c.MOVIE_ID):
        frame[column] = frame[column].astype(kind)
    table = pa.Table.from_pandas(frame)
    csv = read_folder(data_folder).ratings
    pq.write_table(table, data_folder / "ratings.parquet", row_group_size=50)
    (data_folder / "ratings.csv").unlink()

    parquet = read_folder(data_folder).ratings

    for column in csv:
        assert parquet[column].astype(str).tolist() == csv[column].astype(str).tolist()
    assert list(parquet[c.USER_ID].cat.categories) == list(csv[c.USER_ID].cat.categories)


def test_a_missing_id_in_a_later_row_group_is_named(data_folder):
    """A missing id in a later row group is refused with the number of its row."""
    frame = planted_ratings().astype({c.USER_ID: "Int64"})
    frame.loc[300, c.USER_ID] = pd.NA
    pq.write_table(pa.Table.from_pandas(frame), data_folder / "ratings.parquet", row_group_size=50)
    (data_folder / "ratings.csv").unlink()

    with pytest.raises(DataRefused, match="line 302: userId is missing; expected a userId"):
        checked(data_folder)


@pytest.mark.parametrize("columns", [["userId", "movieId"], ["timestamp", "userId", "movieId"]])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_purchases_need_no_stars(data_folder, columns, ending):
    """A file with only users, items and perhaps times is implicit feedback."""
    frame = planted_ratings()[columns]
    (data_folder / "ratings.csv").unlink()
    write = frame.to_parquet if ending == "parquet" else frame.to_csv
    write(data_folder / f"ratings.{ending}", index=False)

    ratings = read_folder(data_folder).ratings

    assert set(ratings) == set(columns)
    assert ratings[c.USER_ID].astype(str).tolist() == frame[c.USER_ID].tolist()


@pytest.mark.parametrize("other", ["stars", "price"])
def test_a_rating_under_another_name_is_not_overlooked(data_folder, other):
    """A file with an unknown column and no ratings is refused, because it may be the rating."""
    planted_ratings().rename(columns={c.RATING: other}).to_csv(
        data_folder / "ratings.csv", index=False
    )

    with pytest.raises(DataRefused) as refused:
        read_folder(data_folder)

    assert refused.value.expected == "also 'rating'"
    advice = {
        "stars": "Write the header userId,movieId,rating,timestamp: 'stars' is probably rating; or "
        "keep the names: `batch check-data` prints an [input] for them.",
        "price": "Add 'rating', or give that name to the column that has it.",
    }
    assert refused.value.remedy == (
        f"{advice[other]} If the data has no ratings, leave out '{other}'."
    )

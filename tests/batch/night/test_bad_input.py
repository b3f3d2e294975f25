"""Unusable input is refused in one helpful line, and the served generation does not change.

Every run is a process of its own, to which TensorFlow is not there: it is refused before.
"""

import dataclasses
import gzip
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from redis import Redis

from reco_batch.ingest.readers import read_folder
from reco_batch.ingest.validate import build_dataset
from reco_store import Keys, RunLock, connect

# Each test starts `batch`; tests/batch/ingest covers the same checks in one process.
pytestmark = pytest.mark.slow

BATCH = str(Path(sys.executable).with_name("batch"))
REDIS = shutil.which("redis-server")
KEEP = "; or keep the names: `batch check-data` prints an [input] for them."
MANY = "Correct or remove such rows, or allow some with --max-bad-rows."
EXPORT = "Check the export that writes this file."
RECODE = "Give its encoding, such as --encoding latin-1, or convert it with iconv."
CUT = "Write or copy it again: it was probably cut on the way."
TIME = "seconds since 1970, or a time such as 2024-05-01T18:30:00Z"
IN_SCALE = "expected a rating from 0.5 to 5 (see --rating-scale)"
WIDE = "values, as in the header, and quotes closed"


def line(number, text, encoding="utf-8"):
    """Return a function that replaces one line."""

    def change(content):
        lines = content.split(b"\n")
        lines[number - 1] = text.encode(encoding)
        return b"\n".join(lines)

    return change


def replaced(old, new):
    """Return a function that replaces the first occurrence of a text."""
    return lambda content: content.replace(old.encode(), new.encode(), 1)


def always(content):
    """Return a function that replaces the whole file."""
    return lambda _: content


def cut(content):
    """Compress with gzip and drop the second half."""
    whole = gzip.compress(content)
    return whole[: len(whole) // 2]


def ratings(change):
    """Change the ratings."""
    return {"ratings.csv": change}


def movies(change):
    """Change the movies."""
    return {"movies.csv": change}


def rating(value):
    """Put another rating in line 5."""
    return ratings(line(5, f"1,2,{value},1500000000"))


def test_the_folder_of_these_tests_is_good(folder, accepted):
    """The unchanged data is accepted, so each refusal below is due to its change."""
    notes = accepted("run", "--data", folder())

    assert notes[0].startswith("read and check the data")
    assert notes[0].endswith("60 ratings, 6 users, 30 movies")


REFUSED = {
    "renamed column": (
        ratings(replaced("rating", "stars")),
        (
            "ratings.csv, line 1: the columns are 'userId', 'movieId', 'stars', 'timestamp'; "
            "expected also 'rating'. Write the header userId,movieId,rating,timestamp: 'stars' is "
            f"probably rating{KEEP} If the data has no ratings, leave out 'stars'."
        ),
    ),
    "missing column": (
        movies(always(b"movieId,genres\n1,Drama\n")),
        (
            "movies.csv, line 1: the columns are 'movieId', 'genres'; expected also 'title'. "
            "Add 'title', or give that name to the column that has it."
        ),
    ),
    "both headers": (
        {
            "ratings.csv": replaced("userId,movieId,rating", "user_id,sku,stars"),
            "movies.csv": always(b"product_id;name;categories\n1;One;A\n"),
        },
        (
            "ratings.csv, line 1: the columns are 'user_id', 'sku', 'stars', 'timestamp'; "
            "expected also 'userId', 'movieId', 'rating'. Write the header "
            "userId,movieId,rating,timestamp: 'user_id' is probably userId, 'sku' is probably "
            f"movieId, 'stars' is probably rating{KEEP} Also movies.csv, line 1: the columns are "
            "'product_id', 'name', 'categories'; expected also 'movieId', 'title'. Write the "
            "header movieId;title;genres: 'product_id' is probably movieId, 'name' is probably "
            f"title, 'categories' is probably genres{KEEP}"
        ),
    ),
    "no header": (
        ratings(replaced("userId,movieId,rating,timestamp\n", "")),
        (
            "ratings.csv, line 1: the first line, '1,16,5.0,1528816302', looks like a row; "
            "expected a header with the names of the columns. Put the line "
            "userId,movieId,rating,timestamp above it."
        ),
    ),
    "a column twice": (
        ratings(replaced("timestamp", "rating")),
        (
            "ratings.csv, line 1: 2 columns are named 'rating'; expected one of each name. "
            "Remove or rename the others."
        ),
    ),
    "empty ratings": (
        ratings(always(b"")),
        f"ratings.csv: the file is empty; expected a header and at least one row. {EXPORT}",
    ),
    "empty movies": (
        movies(always(b"")),
        f"movies.csv: the file is empty; expected a header and at least one row. {EXPORT}",
    ),
    "header only": (
        ratings(always(b"userId,movieId,rating,timestamp\n")),
        f"ratings.csv: there is no row below the header; expected at least one row. {EXPORT}",
    ),
    "header only, not ended": (
        ratings(always(b"userId,movieId,rating,timestamp")),
        f"ratings.csv: there is no row below the header; expected at least one row. {EXPORT}",
    ),
    "movies' header only": (
        movies(always(b"movieId,title,genres\n")),
        f"movies.csv: there is no row below the header; expected at least one row. {EXPORT}",
    ),
    "not a number": (
        rating("abc"),
        f"ratings.csv, line 5: rating 'abc' is not a number; expected a number such as 4.5. {MANY}",
    ),
    "a fraction": (
        rating("4/5"),
        f"ratings.csv, line 5: rating '4/5' is not a number; expected a number such as 4.5. {MANY}",
    ),
    "no rating": (
        rating(""),
        f"ratings.csv, line 5: rating is ''; expected a rating. {MANY}",
    ),
    "NaN": (
        rating("NaN"),
        f"ratings.csv, line 5: rating is nan; expected a value. {MANY}",
    ),
    "infinite": (rating("inf"), f"ratings.csv, line 5: rating is inf; {IN_SCALE}. {MANY}"),
    "minus infinite": (rating("-inf"), f"ratings.csv, line 5: rating is -inf; {IN_SCALE}. {MANY}"),
    "above the scale": (rating("7"), f"ratings.csv, line 5: rating is 7.0; {IN_SCALE}. {MANY}"),
    "below the scale": (rating("0"), f"ratings.csv, line 5: rating is 0.0; {IN_SCALE}. {MANY}"),
    "several": (
        ratings(lambda content: line(9, "1,2,9,1")(line(7, "1,2,8,1")(content))),
        f"ratings.csv, line 7: rating is 8.0, the first of 2 such rows; {IN_SCALE}. {MANY}",
    ),
    "negative timestamp": (
        ratings(line(5, "1,2,4,-5")),
        f"ratings.csv, line 5: timestamp is -5; expected seconds since 1970, not negative. {MANY}",
    ),
    "a timestamp in milliseconds": (
        ratings(line(5, "1,2,4,1500000000000")),
        (
            "ratings.csv, line 5: timestamp has milliseconds since 1970 here, and seconds since "
            "1970 in line 2; expected times of one form in all rows. Write all times alike."
        ),
    ),
    "a timestamp as a date": (
        ratings(line(5, "1,2,4,2020-01-01")),
        (
            "ratings.csv, line 5: timestamp has dates here, and seconds since 1970 in line 2; "
            "expected times of one form in all rows. Write all times alike."
        ),
    ),
    "no time": (
        ratings(line(5, "1,2,4,tomorrow")),
        f"ratings.csv, line 5: timestamp 'tomorrow' is not a time; expected {TIME}. {MANY}",
    ),
    "cut in the last time": (
        ratings(lambda content: content.rstrip(b"\n")[:-2]),
        (
            "ratings.csv, line 61: the time of the last line is far before all others, and no line "
            "break follows it; expected a whole file. It was cut in the middle of that line: write "
            "it again."
        ),
    ),
    "cut in the last row": (
        ratings(lambda content: content.rstrip(b"\n").rpartition(b",")[0]),
        (
            "ratings.csv, line 61: 3 values in '6,8,2.5'; expected 4 values, as in the header, and "
            "quotes closed. The file ends there without a line break, so it was probably cut: "
            "write it again."
        ),
    ),
    "faults of several kinds": (
        ratings(
            lambda content: line(9, "NULL,2,4,1500000000")(
                line(7, "1,2,nine,1500000000")(line(5, "1,2,4")(content))
            )
        ),
        (
            "ratings.csv, line 5: 3 values in '1,2,4'; line 7: rating 'nine' is not a number; "
            f"line 9: userId is 'NULL'; expected 4 {WIDE}. {MANY}"
        ),
    ),
    "NUL bytes at the end": (
        ratings(lambda content: content + b"\0" * 512),
        (
            "ratings.csv, line 62: 512 NUL bytes; expected rows only. A crash or a full disk "
            "leaves such an end: write the file again."
        ),
    ),
    "an archive": (
        ratings(always(b"PK\x03\x04...")),
        (
            "ratings.csv: it is a zip archive or an Excel workbook; expected CSV, "
            "Parquet or JSON Lines. Unpack it, or save it as CSV."
        ),
    ),
    "no user": (
        ratings(line(5, ",2,4,1500000000")),
        f"ratings.csv, line 5: userId is ''; expected a userId. {MANY}",
    ),
    "no movie": (
        ratings(line(5, "1,,4,1500000000")),
        f"ratings.csv, line 5: movieId is ''; expected a movieId. {MANY}",
    ),
    "a value too few": (
        ratings(line(5, "1,2,4")),
        f"ratings.csv, line 5: 3 values in '1,2,4'; expected 4 {WIDE}. {MANY}",
    ),
    "a value too many": (
        movies(line(5, "4,Yes, but,Drama")),
        f"movies.csv, line 5: 4 values in '4,Yes, but,Drama'; expected 3 {WIDE}. {MANY}",
    ),
    "after a title of three lines": (
        movies(line(5, '4,"One\nTwo\nThree",Drama\n5,Five')),
        f"movies.csv, line 8: 2 values in '5,Five'; expected 3 {WIDE}. {MANY}",
    ),
    "a movie twice": (
        movies(line(5, "3,Again,Drama")),
        f"movies.csv, line 5: movieId is '3'; expected each movieId only once. {MANY}",
    ),
    "a movie twice, after a title of three lines": (
        movies(line(5, '4,"One\nTwo\nThree",Drama\n3,Again,Drama')),
        f"movies.csv, line 8: movieId is '3'; expected each movieId only once. {MANY}",
    ),
    "no title": (
        movies(line(5, "4,,Drama")),
        f"movies.csv, line 5: title is ''; expected a title. {MANY}",
    ),
    "movies of another data set": (
        movies(lambda content: b"\n".join(content.split(b"\n")[:4])),
        (
            "ratings.csv, line 2: movieId '16' is one of 26 that movies.csv lacks; "
            "53 of 60 ratings are of such movies; expected at most 10%. "
            "Check that the two files are of the same data set; if these movies were removed from "
            "the catalogue, raise --max-unknown-ratings."
        ),
    ),
    "Latin-1 movies": (
        movies(line(5, "4,Amélie (2001),Drama", "latin-1")),
        (
            r"movies.csv, line 5: b'4,Am\xe9lie (2001),Drama' is not UTF-8; "
            f"expected a file in UTF-8. {RECODE}"
        ),
    ),
    "Latin-1 ratings": (
        ratings(line(5, "é,2,4,1500000000", "latin-1")),
        (
            rf"ratings.csv, line 5: b'\xe9,2,4,1500000000' is not UTF-8; expected a file in UTF-8. "
            f"{RECODE}"
        ),
    ),
    "truncated gzip": (
        {"ratings.csv.gz": cut},
        (
            "ratings.csv.gz: the file cannot be decompressed to its end (Compressed file ended "
            f"before the end-of-stream marker was reached); expected a whole compressed file. {CUT}"
        ),
    ),
    "truncated gzip of movies": (
        {"movies.csv.gz": cut},
        (
            "movies.csv.gz: the file cannot be decompressed to its end (Compressed file ended "
            f"before the end-of-stream marker was reached); expected a whole compressed file. {CUT}"
        ),
    ),
    "a value too few, gzipped": (
        {"ratings.csv.gz": lambda content: gzip.compress(line(5, "1,2,4")(content))},
        f"ratings.csv.gz, line 5: 3 values in '1,2,4'; expected 4 {WIDE}. {MANY}",
    ),
    "no Parquet": (
        {"ratings.parquet": lambda content: content},
        (
            "ratings.parquet: the file is not readable Parquet (it does not begin with PAR1); "
            "expected a whole Parquet file. Write or copy it again, or name it .csv if it is CSV."
        ),
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_4_for_data_that_cannot_be_used(folder, refused, served, changes, message):
    """The message contains file, line, value, expectation, next step and live generation."""
    shown = refused("run", "--data", folder(changes), code=4)

    assert shown == f"error: {message} Still served: {served}."


def test_4_for_a_quote_that_is_not_closed(folder, refused):
    """The message has the line of the open quote, and not the rest of the file."""
    shown = refused("run", "--data", folder(movies(line(5, '4,"Open,Drama'))), code=4)

    assert shown.startswith(r"""error: movies.csv, line 5: 2 values in '4,"Open,Drama\n5,Film 5""")
    assert "Close the quote that this row opens" in shown
    assert len(shown) < 350


@pytest.mark.parametrize(
    ("missing", "there"), [("ratings", "movies.csv"), ("movies", "ratings.csv")]
)
def test_4_for_a_missing_file(folder, refused, served, missing, there):
    """The message lists the files of the folder."""
    path = folder({f"{missing}.csv": None})

    assert refused("run", "--data", path, code=4) == (
        f"error: the folder '{path}' has {there}; expected {missing}.csv or {missing}.parquet or "
        f"{missing}.jsonl. Put the file there or give another folder to --data. "
        f"Still served: {served}."
    )


def test_4_for_a_missing_folder(tmp_path, refused, served):
    """A missing folder, or a file in its place, is never replaced by other data."""
    (tmp_path / "file").touch()
    folder = "expected a folder with ratings.csv and movies.csv."
    for name, found, remedy in (
        (
            "nowhere",
            "there is no folder '{}'",
            "Give its path to --data, or the name of a known data set such as `demo`.",
        ),
        ("file", "'{}' is a file", f"Give its folder, '{tmp_path}'."),
    ):
        path = tmp_path / name
        shown = refused("run", "--data", path, code=4)

        assert shown == (f"error: {found.format(path)}; {folder} {remedy} Still served: {served}.")


def test_4_for_a_wrong_encoding(folder, refused):
    """Invalid bytes in other encodings are refused with their line."""
    path = folder(movies(line(5, "4,Amélie (2001),Drama")))

    shown = refused("run", "--data", path, "--encoding", "ascii", code=4)

    assert shown.startswith("error: movies.csv, line 5: b'4,Am\\xc3\\xa9lie (2001),Drama' is not")


@pytest.mark.parametrize("split", ["time", "global"])
def test_4_for_a_split_by_time_without_a_time(folder, refused, split):
    """The message contains the option that needs no timestamps."""
    path = folder(ratings(lambda content: content.replace(b"timestamp", b"when")))

    shown = refused("run", "--data", path, "--split", split, code=4)

    assert "expected one, for a split by time. Add the column or use --split random." in shown


@pytest.mark.parametrize(
    ("file", "column", "row"),
    [
        ("ratings", "userId", 3),
        ("ratings", "movieId", 3),
        ("ratings", "rating", 3),
        ("ratings", "timestamp", 3),
        ("movies", "movieId", 3),
        ("movies", "title", 3),
    ],
)
def test_4_for_a_missing_value_in_parquet(folder, refused, file, column, row):
    """Null values in Parquet are refused as missing."""
    path = folder()
    frame = pd.read_csv(path / f"{file}.csv").astype({column: object})
    frame.loc[row, column] = None
    frame.to_parquet(path / f"{file}.parquet")
    (path / f"{file}.csv").unlink()

    shown = refused("run", "--data", path, code=4)

    assert f"error: {file}.parquet, line {row + 2}: {column} is missing; expected a" in shown
    assert MANY in shown


def test_4_for_lists_in_parquet(folder, refused):
    """A column of lists is refused with its type."""
    path = folder()
    frame = pd.read_csv(path / "ratings.csv")
    frame["rating"] = frame["rating"].map(lambda stars: [stars])
    frame.to_parquet(path / "ratings.parquet")
    (path / "ratings.csv").unlink()

    shown = refused("run", "--data", path, code=4)

    assert (
        "ratings.parquet: the column 'rating' is of type list<element: double>; expected" in shown
    )


def note_of(folder, accepted, changes, *words):
    """Return the notes on a folder, except those on movies without ratings."""
    notes = accepted("run", "--data", folder(changes), *words)
    return [text for text in notes if text.startswith("note: ") and "without a rating" not in text]


def test_repeated_ratings_are_counted(folder, accepted):
    """A repeated pair of user and movie is repaired and noted."""
    twice = ratings(lambda content: content + b"\n".join(content.split(b"\n")[1:4]) + b"\n")

    assert note_of(folder, accepted, twice) == [
        "note: 3 ratings repeated a user and a movie: the latest of each was kept"
    ]


def test_a_few_ratings_of_movies_that_are_not_listed_are_counted(folder, accepted):
    """An unlisted movie is used for training, never shown, and noted."""
    without_the_last = movies(lambda content: content[: content.rindex(b"\n30,") + 1])

    assert note_of(folder, accepted, without_the_last) == [
        (
            "note: 2 ratings of 1 movie that the movies file lacks: models learn from them, "
            "and no list shows such a movie"
        )
    ]


def test_a_few_ratings_dated_after_the_run_are_counted(folder, accepted):
    """A few future ratings are used with the newest valid time, and noted."""
    later = int(time.time()) + 3 * 86_400
    two_ahead = ratings(
        lambda content: content + b"1,30,4,4070908800\n2,30,4,%d\n" % later,
    )

    assert note_of(folder, accepted, two_ahead) == [
        (
            "note: 2 ratings dated after this run, the first on line 62: treated as if dated "
            "at the newest valid timestamp"
        )
    ]


def test_times_up_to_a_day_ahead_are_accepted(folder, accepted):
    """Times up to a day ahead are accepted."""
    soon = int(time.time()) + 12 * 3600

    assert note_of(folder, accepted, ratings(lambda c: c + b"1,30,4,%d\n" % soon)) == []


def test_4_when_many_ratings_are_dated_after_the_run(folder, refused):
    """Many future ratings are refused, because a clock or a unit is wrong."""

    def ahead(content):
        header, *rows = content.splitlines()
        cut = (row.rpartition(b",")[0] for row in rows)
        return b"\n".join([header, *(row + b",4070908800" for row in cut)])

    shown = refused("run", "--data", folder(ratings(ahead)), code=4)

    assert "ratings.csv, line 2: timestamp 4070908800 is 2099-01-01 00:00 UTC, and this " in shown
    assert "60 of 60 ratings are dated after it; expected at most 10%. Set this " in shown


def test_users_with_few_ratings_are_counted(folder, accepted):
    """Users with one rating stay in training, and their number is noted."""
    one_more = ratings(lambda content: content + b"once,1,4,1500000000\n")

    assert note_of(folder, accepted, one_more) == [
        "note: 1 user with too few ratings to hold any out"
    ]


def test_a_single_user_is_enough(folder, accepted):
    """A data set of one user with ten ratings is accepted."""
    first = ratings(lambda content: b"\n".join(content.split(b"\n")[:11]))

    assert accepted("run", "--data", folder(first))[0].endswith("10 ratings, 1 user, 30 movies")


def same(one, other):
    """Compare two data sets, except their sources."""
    assert one.user_ids == other.user_ids
    assert one.movies == other.movies
    for column in dataclasses.fields(one.ratings):
        mine, theirs = (getattr(each.ratings, column.name) for each in (one, other))
        np.testing.assert_array_equal(mine, theirs)


def read(path, **options):
    """Read and validate a folder as a run does."""
    return build_dataset(read_folder(path, **options), rating_scale=(0.5, 5))


FORMS = {
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "no last newline": lambda content: content.rstrip(b"\n"),
    "quoted": lambda content: b"\n".join(
        b",".join(b'"%b"' % value for value in row.split(b",")) for row in content.split()
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_csv_variants_give_the_same_dataset(folder, form):
    """Byte order mark, CRLF, superfluous quotes and a missing last line break are accepted."""
    plain = read(folder())
    if form is FORMS["quoted"]:
        same(read(folder(ratings(form))), plain)
    else:
        same(read(folder({**ratings(form), **movies(form)})), plain)


def test_gzip_gives_the_same_dataset(folder):
    """A compressed ratings.csv.gz and a plain movies.csv are accepted."""
    plain = read(folder())

    same(read(folder({"ratings.csv.gz": gzip.compress})), plain)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_other_encodings_give_the_same_dataset(folder, encoding):
    """With --encoding, texts equal those in UTF-8."""
    path = folder(movies(line(5, "4,Amélie ½ (2001),Drama")))
    utf8 = read(path)
    for file in path.iterdir():
        file.write_bytes(file.read_text("utf-8").encode(encoding))

    same(read(path, encoding=encoding), utf8)
    assert utf8.movies.titles[3] == "Amélie ½ (2001)"


@pytest.mark.parametrize("ids", [str, int, float])
def test_parquet_gives_the_same_dataset(folder, ids):
    """Ids as text, whole numbers and floats give the same dataset."""
    path = folder()
    csv = read(path)
    for name in ("ratings", "movies"):
        frame = pd.read_csv(path / f"{name}.csv")
        frame["movieId"] = frame["movieId"].astype(ids)
        frame.to_parquet(path / f"{name}.parquet")
        (path / f"{name}.csv").unlink()

    same(read(path), csv)


def test_parquet_may_have_its_time_as_a_time(folder):
    """Timestamps of any unit become whole seconds."""
    path = folder()
    csv = read(path)
    frame = pd.read_csv(path / "ratings.csv")
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s") + pd.Timedelta("1ms")
    frame.to_parquet(path / "ratings.parquet")
    (path / "ratings.csv").unlink()

    same(read(path), csv)


def test_without_timestamps_the_later_row_counts(folder):
    """Without timestamps the last row of a repeated pair is kept."""
    path = folder(
        ratings(lambda content: b"\n".join(r.rpartition(b",")[0] for r in content.split()))
    )
    lines = (path / "ratings.csv").read_text().splitlines()
    user, movie, _ = lines[1].split(",")
    (path / "ratings.csv").write_text("\n".join([*lines, f"{user},{movie},0.5"]))

    data = read(path)

    assert data.ratings.timestamp is None
    assert data.findings.duplicates_dropped == 1
    assert data.ratings.rating[-1] == 0.5
    assert len(data.ratings) == 60


@pytest.mark.parametrize(("tail", "year"), [("1870", 1870), ("2099", 2099), ("9999", None)])
def test_a_year_that_no_film_is_of(folder, tail, year):
    """A number outside the range of years is part of the title only."""
    path = folder(movies(line(2, f"1,One ({tail}),Drama")))

    data = read(path)

    assert data.movies.years[data.movies.ids.index("1")] == year


def test_the_latest_of_a_repeated_pair_is_kept(folder):
    """The latest of a repeated pair is kept by timestamp, not by position."""
    path = folder(ratings(line(2, "1,16,1,2000000002\n1,16,2,2000000003\n1,16,3,2000000001")))

    data = read(path)

    first = data.ratings.rating[
        (data.ratings.user_index == data.user_ids.index("1"))
        & (data.ratings.movie_index == data.movies.ids.index("16"))
    ]
    assert first.tolist() == [2.0]
    assert data.findings.duplicates_dropped == 2


USAGE = {
    ("--preset", "best"): "expected default or notebook",
    ("--split", "half"): "expected random, time or global",
    ("--split-date", "2018-01-01"): (
        "expected a date, a time or seconds since 1970, in UTC, and --split global"
    ),
    ("--ranked-k", "0"): "expected a whole number from 1, or all",
    ("--ranked-k", "ten"): "expected a whole number from 1, or all",
    ("--rating-scale", "5"): "expected LOW:HIGH, two numbers, the lower first, such as 0.5:5",
    ("--rating-scale", "5:1"): "expected LOW:HIGH, two numbers, the lower first, such as 0.5:5",
    ("--rating-scale", "a:b"): "expected LOW:HIGH, two numbers, the lower first, such as 0.5:5",
    ("--rating-scale", "1:2:3"): "expected LOW:HIGH, two numbers, the lower first, such as 0.5:5",
    ("--rating-scale", "1:inf"): "expected LOW:HIGH, two numbers, the lower first, such as 0.5:5",
    ("--encoding", "klingon"): "expected a text encoding, such as latin-1",
    ("--encoding", "base64"): "expected a text encoding, such as latin-1",
    ("--data", ""): "expected a folder or its address, demo, ml-latest-small, ml-25m or ml-32m",
    ("--k", "0"): "expected a whole number from 1",
    ("--threads", "0"): "expected a whole number from 1",
    ("--trainings", "3"): "expected a whole number from 1 to 2",
    ("--popular-n", "0"): "expected a whole number from 1",
    ("--count-threshold", "-1"): "expected a whole number from 0",
    ("--rating-threshold", "nan"): "expected a number of stars",
    ("--seed", "-1"): "expected a whole number from 0 to 4294967291",
    ("--seed", "4294967292"): "expected a whole number from 0 to 4294967291",
}


@pytest.mark.parametrize(("words", "expected"), USAGE.items())
def test_2_for_a_value_that_cannot_be(folder, refused, words, expected):
    """A wrong option is refused in one line with option, value and expectation."""
    option, value = words

    shown = refused("run", "--data", folder(), *words, code=2)

    assert shown == f"error: {option} {value!r}: {expected}"


def test_2_for_another_namespace_or_address(folder, refused):
    """Errors of the store are reported in one line."""
    path = folder()

    assert refused("run", "--data", path, "--namespace", "Über", code=2).startswith(
        "error: --namespace 'Über': expected 1 to 32 of"
    )
    assert refused("run", "--data", path, "--redis-url", "http://localhost", code=2).startswith(
        "error: the address http://localhost is not understood; expected redis://"
    )
    assert refused("republish", "../../etc", code=2).startswith(
        "error: '../../etc' is not a generation; expected a name like 2"
    )


def test_2_for_a_file_of_parameters_that_cannot_be(folder, refused, tmp_path):
    """A wrong setting is refused in one line with file, key, value and expectation."""
    path = tmp_path / "mine.json"
    path.write_text('{"preset": "default", "rating": {"factors": 0}}')

    for words in (("run",), ("tune", "--out", str(tmp_path / "out.json"))):
        shown = refused(*words, "--data", folder(), "--parameters", str(path), code=2)

        assert shown == (f"error: {path}: rating: factors is 0; expected a whole number from 1")


@pytest.mark.parametrize(
    "words", [(), ("run", "--data"), ("run", "--colour", "red"), ("republish",)]
)
def test_2_for_words_that_do_not_parse(untrained, words):
    """An unknown option shows the usage, without a traceback."""
    ended = untrained(*words)

    assert ended.code == 2
    assert "Usage: batch" in ended.err or "Error: Option" in ended.err
    assert "Traceback" not in ended.err


def test_3_when_the_server_is_down(folder, untrained):
    """An unreachable server is reported with its masked address."""
    ended = untrained("run", "--data", folder(), REDIS_URL="redis://writer:Hunter2@127.0.0.1:1/0")

    assert (ended.code, ended.out, len(ended.lines)) == (3, "", 1)
    assert ended.err.startswith("error: cannot use the store at redis://127.0.0.1:1: ")
    assert "Check that the server runs and that the address is right" in ended.err
    assert "Hunter2" not in ended.err


def test_3_when_the_password_is_refused(folder, refused, running, publish_to):
    """A missing and a wrong password are reported differently."""
    with running("--requirepass", "right") as url:
        path = url.removeprefix("unix://")
        right = f"unix://:right@{path}"
        publish_to(right)
        reasons = {
            "": "the server requires a user name",
            ":Hunter2@": "the server refused the login",
        }
        for login, reason in reasons.items():
            shown = refused(
                "run", "--data", folder(), "--redis-url", f"unix://{login}{path}", code=3, url=right
            )
            assert shown.startswith(f"error: cannot use the store at {url}: {reason}")
            assert "Hunter2" not in shown


@pytest.mark.parametrize(
    "program",
    [
        None,
        pytest.param(
            REDIS, marks=pytest.mark.skipif(REDIS is None, reason="no redis-server on this machine")
        ),
    ],
    ids=["valkey", "redis"],
)
def test_3_when_the_server_may_evict(folder, refused, running, publish_to, program):
    """An evicting server is refused before training, with the policy to set."""
    with running(program=program) as url:
        generation = publish_to(url)
        with Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")

        shown = refused("run", "--data", folder(), code=3, url=url)

    assert shown == (
        f"error: the server {url} evicts keys when it is full (maxmemory-policy allkeys-lru). "
        "Set maxmemory-policy noeviction, or one of volatile-*, which spare keys without a TTL: "
        "an evicted key is a hole in a generation. "
        f"Still served: {generation}."
    )


def test_5_when_the_home_cannot_be_written(folder, untrained, untouched):
    """A home that cannot be written is reported before training."""
    ended = untrained("run", "--data", folder(), "--home", "/dev/null/home")

    assert (ended.code, ended.out) == (5, "")
    assert ended.lines[-1].startswith("error: the artifact /dev/null/home/artifacts/2")
    assert "could not be written (Not a directory)" in ended.lines[-1]
    assert ended.lines[-1].endswith(f"Still served: {untouched}.")


def test_75_while_another_run_is_at_work(folder, refused, server, served):
    """A held lock is reported with its holder and age, before input is read."""
    with connect(server) as client, RunLock(client, Keys("reco")) as lock:
        shown = refused("run", "--data", folder(), code=75)

    assert shown.startswith(f"error: another run holds the lock: {lock.token}, for ")
    assert shown.endswith(f"Try again later. Still served: {served}.")


def test_nothing_served_is_said_too(tmp_path, untrained):
    """On the first run the message ends with "nothing" as the live generation."""
    ended = untrained("run", "--data", tmp_path, "--namespace", "fresh")

    assert ended.code == 4
    assert ended.err.endswith("Still served: nothing.\n")


def small_disk(tmp_path, size):
    """Return a folder and a function that runs `batch` on a small disk there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    on_the_disk = (
        f"mount -t tmpfs -o size={size} none {disk} && "
        f'"$@"; code=$?; find {disk} -mindepth 2; exit $code'
    )
    return disk, ("unshare", "--mount", "sh", "-c", on_the_disk, "sh", BATCH)


@pytest.mark.usefixtures("may_mount")
def test_5_when_the_disk_is_too_small(tmp_path, small, batch, untouched):
    """Too little disk space is reported before training, with required and free space."""
    disk, on_the_disk = small_disk(tmp_path, "250k")

    ended = batch("run", "--data", small, "--home", disk, program=on_the_disk)

    assert (ended.code, ended.out) == (5, "")
    assert "load TensorFlow" not in ended.err
    assert ended.lines[-1] == (
        f"error: {disk} has 0 MB free, and this run will write about 1 MB there; nothing was "
        "trained. Make room or give another --home, then run again. "
        f"Still served: {untouched}."
    )


@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("size", ["8k", "520k"], ids=["at once", "at the models"])
def test_5_when_the_disk_is_full(tmp_path, small, batch, untouched, size):
    """A full disk ends the run in one line; finished stages are kept for `--resume`."""
    disk, on_the_disk = small_disk(tmp_path, size)

    ended = batch(
        *("run", "--data", small, "--no-refit", "--home", disk),
        *("--force", "the forecast of the disk is passed on purpose"),
        program=on_the_disk,
    )

    assert ended.code == 5, ended.err
    left = ended.out.split()
    assert any("/unfinished/reco/2" in path for path in left)
    assert not any(path.endswith(("manifest.json", ".partial")) for path in left)
    assert ("score similar lists" in ended.err) == (size == "520k")
    assert ended.lines[-1].startswith(f"error: the artifact {disk}/artifacts/2")
    assert "No space left on device); 0 MB are free there." in ended.lines[-1]
    assert re.search(
        r"Make room or give another --home, then run again\. "
        rf"To continue 2\S+: `batch run --resume`\. Still served: {untouched}\.$",
        ended.lines[-1],
    )

"""Unusual input files: each form is read correctly, or refused with a next step."""

import csv
import gzip
import io
import os
import shutil
import socket
import subprocess
import sys

import pytest

from csv_folders import planted, write_folder
from reco_batch.errors import DataRefused
from reco_batch.ingest.readers import read_folder
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset


@pytest.fixture
def folder(tmp_path):
    """Write a data set of six users and thirty movies."""
    return write_folder(tmp_path / "data", *planted(users=6, movies=30, each=10))


def checked(folder, **options):
    """Read and check a folder as a run does."""
    return build_dataset(read_folder(folder, **options), rating_scale=(0.5, 5))


def refused(folder, **options):
    """Return the printed refusal of a folder."""
    with pytest.raises(DataRefused) as found:
        checked(folder, **options)
    return str(found.value)


def content(data):
    """Return the ratings and movies of a dataset."""
    ratings = data.ratings
    return (
        [data.user_ids[i] for i in ratings.user_index],
        [data.movies.ids[i] for i in ratings.movie_index],
        ratings.rating.tolist(),
        ratings.timestamp.tolist(),
        data.movies,
    )


def rows_of(path):
    """Return the rows of a CSV file."""
    return list(csv.reader(io.StringIO(path.read_text())))


def delimited(by):
    """Return a function that rewrites a CSV file with another delimiter."""

    def write(data):
        out = io.StringIO()
        csv.writer(out, delimiter=by).writerows(csv.reader(io.StringIO(data.decode())))
        return out.getvalue().encode()

    return write


def lines(change):
    """Return a function that changes the lines of a file."""
    return lambda data: "\n".join(change(data.decode().splitlines())).encode() + b"\n"


FORMS = {
    "semicolons": (delimited(";"), "ratings.csv is separated by semicolons"),
    "tabs": (delimited("\t"), "ratings.csv is separated by tabs"),
    "bars": (delimited("|"), "ratings.csv is separated by vertical bars"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "ratings.csv is read as UTF-16"),
    "gzip": (gzip.compress, "ratings.csv is compressed, whatever its name"),
    "Excel": (lambda data: b"sep=;\r\n" + delimited(";")(data), "separated by semicolons"),
    "a comment": (lambda data: b"# export\n\n" + data, "ratings.csv, line 1: a comment"),
    "header": (lambda data: data.replace(b"userId,movieId", b" USERID , movieid"), ""),
    "CR": (lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r"), ""),
    "blank lines": (lambda data: data.replace(b"\n", b"\n\n") + b"\n\n", ""),
    "an index": (lines(lambda rows: [f"{i or ''},{row}" for i, row in enumerate(rows)]), ""),
    "commas at the ends": (lines(lambda rows: [rows[0], *(f"{row}," for row in rows[1:])]), ""),
    "empty rows": (lambda data: data + b",,,\n", "one row is empty"),
    "parts put together": (
        lines(lambda rows: [*rows[:9], rows[0], *rows[9:], rows[0]]),
        "2 rows are repetitions of the header",
    ),
    "milliseconds": (lines(lambda rows: [rows[0], *(f"{row}000" for row in rows[1:])]), ""),
    "decimal commas": (lambda data: delimited(";")(data).replace(b".", b","), "semicolons"),
    "quoted": (lambda data: b'"' + data.replace(b",", b'","').replace(b"\n", b'"\n"')[:-1], ""),
    "padded": (lambda data: data.replace(b",", b" , "), ""),
}


@pytest.mark.parametrize(("change", "note"), FORMS.values(), ids=FORMS)
def test_a_form_is_read(folder, change, note):
    """Each form gives the same dataset as plain CSV, and unusual forms are noted."""
    plain = checked(folder)
    path = folder / "ratings.csv"
    path.write_bytes(change(path.read_bytes()))

    data = checked(folder)

    assert content(data) == content(plain)
    assert note in "; ".join(data.findings.describe())


@pytest.mark.parametrize("kind", ["ratings.parquet", "ratings.csv", "ratings"])
def test_a_folder_of_parts_is_read(folder, kind):
    """A folder as Spark writes it is read: marker files, partitions and an empty part."""
    import pandas as pd  # noqa: PLC0415

    plain = checked(folder)
    frame = pd.read_csv(folder / "ratings.csv")
    (folder / "ratings.csv").unlink()
    (folder / kind / "year=2024").mkdir(parents=True)
    for name in ("_SUCCESS", ".part-0.crc", "part-9.csv"):
        (folder / kind / name).touch()
    for name, part in (("part-0", frame[:20]), ("year=2024/part-1", frame[20:])):
        if kind == "ratings.parquet":
            part.to_parquet(folder / kind / f"{name}.snappy.parquet", index=False)
        else:
            part.to_csv(folder / kind / f"{name}.csv", index=False)

    assert content(checked(folder)) == content(plain)
    digests = load(str(folder), cache=folder).origin["sha256"]
    assert set(digests) == {kind, "movies.csv"}


def test_a_compressed_binary_format_is_refused(folder):
    """A Parquet file inside gzip is refused with its format."""
    (folder / "ratings.csv").write_bytes(gzip.compress(b"PAR1" + bytes(100)))

    assert "it is a compressed Parquet file; expected CSV, Parquet or JSON Lines. Decom" in refused(
        folder
    )


def test_the_line_of_a_part_is_named(folder):
    """A refusal contains the name of the part below the folder of the data set."""
    text = (folder / "ratings.csv").read_text()
    (folder / "ratings.csv").unlink()
    (folder / "ratings").mkdir()
    (folder / "ratings/a.csv").write_text(text)
    (folder / "ratings/b.csv").write_text(text.replace("\n1,16,", "\n,16,"))

    assert refused(folder).startswith("ratings/b.csv, line 2: userId is ''; expected a userId")


def test_two_forms_of_a_table_are_refused(folder):
    """A table in two formats is refused with the names and dates of both files."""
    os.utime(folder / "ratings.csv", (0, 0))
    (folder / "ratings.parquet").touch()

    assert "has ratings.csv (of 1970-01-01 00:00:00Z) and ratings.parquet (of 2" in refused(folder)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["ratings-1.csv", "ratings-2.csv"], "`mkdir ratings && mv ratings-1.csv ratings-2.csv"),
        (["ratings.csv.zip"], "Unpack ratings.csv.zip to ratings.csv"),
        (["Ratings.CSV"], "Rename Ratings.CSV to ratings.csv."),
        (["ratings.xlsx"], "Save ratings.xlsx as ratings.csv"),
    ],
)
def test_a_missing_table_is_looked_for(folder, names, advice):
    """The refusal of a missing table gives advice from similar names in the folder."""
    (folder / "ratings.csv").unlink()
    for name in names:
        (folder / name).touch()

    assert advice in refused(folder)


def test_quotes_may_be_escaped_with_a_backslash(folder):
    """Quotes escaped as by Spark and MySQL are read, and so is an escaped backslash."""
    path = folder / "movies.csv"
    rows = path.read_text().splitlines()
    rows[3] = '3,"Don\\"t look, now (1973)",Drama'
    rows[4] = '4,"AC\\\\DC",Drama'
    path.write_text("\n".join(rows))

    movies = checked(folder).movies

    assert movies.titles[2:4] == ('Don"t look, now (1973)', "AC\\DC")
    assert movies.years[2] == 1973


def test_a_backslash_without_escapes_stays(folder):
    """A backslash at the end of a quoted value is part of the value."""
    path = folder / "movies.csv"
    rows = path.read_text().splitlines()
    rows[3] = '3,"C:\\",Drama'
    path.write_text("\n".join(rows))

    assert checked(folder).movies.titles[2] == "C:\\"


def test_line_breaks_in_values_are_read_in_pieces(folder, monkeypatch):
    """Line breaks in texts and ids are read; lines are counted as in an editor."""
    monkeypatch.setattr("reco_batch.ingest.formats.csv_file._BLOCK_BYTES", 1024)
    path = folder / "ratings.csv"
    rows = rows_of(path)
    text = "One,\n\ntwo."
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[*row, text if i else "text"] for i, row in enumerate(rows)])
    assert len(checked(folder).ratings) == 60

    changed = path.read_text().replace("6,8,", "6,8,9", 1)
    path.write_text(changed)
    line = changed[: changed.index("6,8,9")].count("\n") + 1
    assert refused(folder).startswith(f"ratings.csv, line {line}: rating is 92.5")

    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[row[0].replace("6", "6\n6"), *row[1:]] for row in rows])
    assert "6\n6" in checked(folder).user_ids


GENRES = {
    "Crime|Drama": ("Crime", "Drama"),
    " Crime | Drama ": ("Crime", "Drama"),
    '["Crime","Drama"]': ("Crime", "Drama"),
    "['Crime', 'Drama']": ("Crime", "Drama"),
    '[{"id": 1, "name": "Crime"}, {"id": 2, "name": "Drama"}]': ("Crime", "Drama"),
    "[]": (),
    "[Crime": ("[Crime",),
    "NULL": (),
    "(no genres listed)": (),
}


@pytest.mark.parametrize(("text", "wanted"), GENRES.items())
def test_genres_are_read(folder, text, wanted):
    """Genres are read with bars, as JSON, and as a Python list."""
    path = folder / "movies.csv"
    rows = rows_of(path)
    rows[1][2] = text
    rows[2][2] = "A|B"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)

    assert checked(folder).movies.genres[0] == wanted


def test_genres_may_have_commas_or_be_missing(folder):
    """Commas separate genres if no movie has a bar; the column may be missing."""
    path = folder / "movies.csv"
    rows = rows_of(path)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *([i, t, "A, B"] for i, t, _ in rows[1:])])
    data = checked(folder)
    assert set(data.movies.genres) == {("A", "B")}
    assert "movies.csv: genres are separated by ','" in data.findings.describe()[0]

    with path.open("w", newline="") as file:
        csv.writer(file).writerows(row[:2] for row in rows)
    assert set(checked(folder).movies.genres) == {()}


def test_bad_rows_are_left_out_up_to_a_limit(folder):
    """Bad rows up to the limit are reported with line and text; one more refuses the input."""
    path = folder / "ratings.csv"
    rows = path.read_text().splitlines()
    rows[3] = "NULL,2,4,1500000000"
    rows[5] = "1,2"
    rows[7] = "1,2,9,1500000000"
    path.write_text("\n".join([*rows, ""]))

    data = checked(folder, max_bad_rows=3)

    assert len(data.ratings) == 57
    assert sorted(data.findings.rejected, key=lambda row: row.line) == [
        ("ratings.csv", 4, "userId is 'NULL'", "NULL,2,4,1500000000"),
        ("ratings.csv", 6, "2 values", "1,2"),
        ("ratings.csv", 8, "rating is 9.0", "1,2,9,1500000000"),
    ]
    assert data.findings.describe()[0].startswith("3 unusable rows were skipped: the first, ")
    assert "3 bad rows in all, 2 are allowed" in refused(folder, max_bad_rows=2)
    assert "line 6: 2 values" in refused(folder)


def test_a_row_of_another_width_and_encoding_is_refused(folder):
    """Invalid bytes in a ragged row are refused with their line."""
    path = folder / "ratings.csv"
    path.write_bytes(path.read_bytes() + b"\xff\n")

    assert refused(folder).startswith(r"ratings.csv, line 62: b'\xff' is not UTF-8")

    with (folder / "movies.csv").open("ab") as file:
        file.write(b"\xfe\n")
    path.write_bytes(path.read_bytes().replace(b"\xff", b"x"))
    assert refused(folder).startswith(r"movies.csv, line 32: b'\xfe' is not UTF-8")


def test_what_is_no_file_is_not_opened(folder):
    """A pipe, a socket and a broken link are refused without being opened."""
    path = folder / "ratings.csv"
    path.unlink()
    for make, found in (
        (os.mkfifo, "ratings.csv: it is a named pipe"),
        (lambda at: at.symlink_to("gone"), "is a link to 'gone', which is not there"),
        (lambda at: at.symlink_to(at), "which leads back to itself"),
    ):
        make(path)
        assert found in refused(folder)
        path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))
        assert "ratings.csv: it is a socket" in refused(folder)


AS_ANOTHER = """
import os, sys
from pathlib import Path
from reco_batch.errors import DataRefused
from reco_batch.ingest.readers import read_folder
os.setgroups([]); os.setgid(23456); os.setuid(23456)
for folder in sys.argv[1:]:
    try:
        read_folder(Path(folder))
    except DataRefused as refusal:
        print(refusal)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="acting as another account needs root")
def test_another_account_is_named(folder, open_folder):
    """A refusal contains the account and the path that it may not read or enter."""
    data = open_folder / "data"
    shutil.copytree(folder, data)
    data.chmod(0o755)
    (data / "ratings.csv").chmod(0o600)
    inner = open_folder / "closed/inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)

    words = [sys.executable, "-c", AS_ANOTHER, str(data), str(inner)]
    shown = subprocess.run(words, capture_output=True, check=True, text=True).stdout

    who = "cannot be read by the account 23456; expected permission to read it."
    assert shown.splitlines()[0].startswith(f"ratings.csv: '{data}/ratings.csv' {who}")
    assert shown.splitlines()[1].startswith(f"'{inner}' is in '{inner.parent}', which {who}")


@pytest.mark.parametrize("data", ["a" * 300, "~nobody-of-this-name/data", "a\0b"])
def test_a_path_that_cannot_be_is_refused(tmp_path, data):
    """An impossible path is refused without a traceback."""
    with pytest.raises(DataRefused):
        load(data, cache=tmp_path)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("postgresql://reader:hunter2@db/shop", "postgresql://***@db/shop"),
        ("https://KEY:hunter2@host/a", "https://***@host/a"),
        ("jdbc:postgresql://db/shop?user=u&password=hunter2", "password=***"),
    ],
)
def test_an_address_is_refused_without_its_password(tmp_path, data, shown):
    """A URL in place of a folder is refused, and its password is masked."""
    with pytest.raises(DataRefused) as found:
        load(data, cache=tmp_path)

    assert shown in str(found.value)
    assert "hunter2" not in str(found.value)
    assert "as ratings and items in [input]" in str(found.value)

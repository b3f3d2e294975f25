"""Type matrix: every Arrow type in every column is converted, or refused by its name."""

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from csv_folders import planted, write_folder
from planted_ratings import planted_ratings
from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.conversion.type_matrix import (
    MATRIX,
    Family,
    cell_of,
    convert,
    family_of,
    matrix_table,
)
from reco_batch.ingest.readers import read_folder
from reco_batch.ingest.validate import build_dataset

DAY = dt.date(2020, 9, 13)
NOON = dt.datetime(2020, 9, 13, 12, 26, 40, tzinfo=dt.UTC)
SECONDS = 1_600_000_000
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def plain_arrays():
    """Yield an array of every type, with a value that fits as many columns as possible."""
    for name in INTEGERS:
        yield pa.array([4], getattr(pa, name)())
    yield pa.array([np.float16(4)], pa.float16())
    yield pa.array([4], pa.float32())
    yield pa.array([4], pa.float64())
    for decimal in (pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256):
        yield pa.array([Decimal(4)], decimal(9, 2))
    yield pa.array([True])
    for text in (pa.string(), pa.large_string(), pa.string_view()):
        yield pa.array(["4"], text)
    for binary in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1)):
        yield pa.array([b"4"], binary)
    yield pa.array([uuid.UUID(int=4).bytes], pa.uuid())
    yield pa.array([DAY], pa.date32())
    yield pa.array([DAY], pa.date64())
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Asia/Kathmandu"):
            yield pa.array([NOON], pa.timestamp(unit, zone))
        yield pa.array([4], pa.duration(unit))
    yield pa.array([4], pa.time32("s"))
    yield pa.array([4], pa.time32("ms"))
    yield pa.array([4], pa.time64("us"))
    yield pa.array([4], pa.time64("ns"))
    yield pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    yield pa.nulls(1)
    for texts in (pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 1)):
        yield pa.array([["4"]], texts)
    yield pa.array([["4"]], pa.list_view(pa.string()))
    yield pa.array([["4"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    yield pa.array([[4]])
    yield pa.array([{"a": 4}])
    yield pa.array([[("a", 4)]], pa.map_(pa.string(), pa.int8()))
    yield pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([4])])
    yield pa.array([1], pa.bool8())
    yield pa.array(["4"], pa.json_())


def arrays():
    """Yield every array, plain, behind a dictionary, and run-end encoded."""
    for array in plain_arrays():
        yield array
        for wrap in (pc.dictionary_encode, pc.run_end_encode):
            try:
                yield wrap(array)
            except pa.ArrowNotImplementedError:
                continue


ARRAYS = {str(array.type): array for array in arrays()}
CASES = [
    pytest.param(array, kind, id=f"{name}-{kind}")
    for name, array in ARRAYS.items()
    for kind in c.Kind
]
#: What a value is read as, by family and kind of column.
MEANT = {
    c.Kind.ID: {Family.UUID: str(uuid.UUID(int=4))},
    c.Kind.STARS: {Family.BOOLEAN: 1.0},
    c.Kind.TIME: {
        Family.DATE: SECONDS - 12 * 3600 - 26 * 60 - 40,
        Family.TIMESTAMP: SECONDS,
    },
    c.Kind.GENRES: {Family.NULL: ""},
    c.Kind.FLAG: {Family.NULL: None},
}
MEANT[c.Kind.ATTRIBUTE] = {
    **MEANT[c.Kind.ID],
    **MEANT[c.Kind.STARS],
    **MEANT[c.Kind.TIME],
    **dict.fromkeys((Family.TEXT, Family.BINARY, Family.TEXTS), "4"),
}
USUAL = {c.Kind.STARS: 4.0, c.Kind.TIME: 4, c.Kind.FLAG: True, c.Kind.ATTRIBUTE: 4.0}


def test_every_family_is_tried():
    """Every row of the matrix has a type in these tests."""
    assert {family_of(array.type) for array in ARRAYS.values()} == set(MATRIX) == set(Family)


@pytest.mark.parametrize(("array", "kind"), CASES)
def test_a_value_is_what_it_means(array, kind):
    """A value of each type is converted correctly, or its column is refused."""
    if cell_of(kind, array.type).convert is None:
        return
    family = family_of(array.type)

    found = convert(kind, array)

    assert found.array.to_pylist() == [MEANT.get(kind, {}).get(family, USUAL.get(kind, "4"))]
    assert found.unreadable is None


@pytest.mark.parametrize(("array", "kind"), CASES)
def test_a_missing_value_is_missing(array, kind):
    """A missing value is null in a column of any type; missing genres are empty."""
    if cell_of(kind, array.type).convert is None:
        return
    array = (
        pa.nulls(1, array.type)
        if not pa.types.is_run_end_encoded(array.type)
        else (pc.run_end_encode(pa.nulls(1, array.type.value_type)))
    )

    found = convert(kind, array)

    assert found.array.to_pylist() in ([None], [""] if kind is c.Kind.GENRES else [None])
    assert found.unreadable is None


COLUMNS = [("ratings", name) for name in c.RATINGS] + [("movies", name) for name in c.MOVIES]


def replace_column(folder, file, column, values, write):
    """Replace a column by values of another type; return whether the format supports it."""
    csv = folder / f"{file}.csv"
    table = pa_csv.read_csv(csv)
    repeated = (
        pa.nulls(len(table)) if values.type == pa.null() else pa.repeat(values[0], len(table))
    )
    changed = table.set_column(table.schema.get_field_index(column), column, repeated)
    csv.unlink()
    try:
        write(changed, folder / f"{file}.{'csv' if write is pa_csv.write_csv else 'parquet'}")
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


@pytest.mark.parametrize(("file", "column"), COLUMNS)
@pytest.mark.parametrize("write", [pq.write_table, pa_csv.write_csv], ids=["parquet", "csv"])
def test_files_are_read_or_refused(tmp_path, file, column, write):
    """A file is read or refused for every column type; refusals contain column and type."""
    kind = {**c.RATINGS, **c.MOVIES}[column]
    read = refused = unnamed = 0
    for number, values in enumerate(plain_arrays()):
        folder = write_folder(tmp_path / str(number), *planted(users=6, movies=30, each=10))
        replaced = replace_column(folder, file, column, values, write)
        if not replaced:
            continue
        try:
            build_dataset(read_folder(folder), rating_scale=(0, 5))
            read += 1
        except DataRefused as refusal:
            refused += 1
            by_name = write is pq.write_table and cell_of(kind, values.type).convert is None
            unnamed += by_name and f"the column {column!r} is of type " not in str(refusal)
    assert read or (file, column) == ("movies", c.MOVIE_ID)  # of which each may be there once
    assert refused or write is pa_csv.write_csv  # where all is text
    assert not unnamed


@pytest.mark.parametrize(
    ("kind", "texts", "wanted"),
    [
        (c.Kind.ID, [" 7 ", "007", "a b"], ["7", "007", "a b"]),
        (c.Kind.ID, ["", "NULL", "nan", "\\N", "None", "N/A", "<NA>"], [None] * 7),
        (c.Kind.ID, ["1e+05", "1.2345678901e+10"], ["100000", "12345678901"]),
        (c.Kind.STARS, ["4,5", " 4 ", "true", "1e0"], [4.5, 4.0, 1.0, 1.0]),
        (c.Kind.TIME, ["1600000000.9", "1.6e+09"], [SECONDS, SECONDS]),
        (c.Kind.TIME, ["1600000000000", "1600000000999"], [SECONDS, SECONDS]),
        (c.Kind.TIME, ["1600000000000000"], [SECONDS]),
        (c.Kind.TIME, ["1600000000000000000"], [SECONDS]),
        (c.Kind.TIME, ["2020-09-13T12:26:40", "2020-09-13 12:26:40.75"], [SECONDS, SECONDS]),
        (c.Kind.TIME, ["2020-09-13T12:26:40Z", "2020-09-13T14:26:40+02:00"], [SECONDS] * 2),
        (c.Kind.TIME, ["2020-09-13 12:26:40 UTC", "2020-09-13T12:26:40.5-0000"], [SECONDS] * 2),
        (c.Kind.TIME, ["2020-09-13", "2020-09-14"], [1599955200, 1600041600]),
    ],
)
def test_common_spellings_of_values_are_read(kind, texts, wanted):
    """Blanks, missing values, decimal commas and all forms of times are read."""
    found = convert(kind, pa.array(texts))

    assert found.array.to_pylist() == wanted
    assert found.unreadable is None
    assert len(found.forms) <= 1


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        (c.Kind.ID, pa.array([1.5, float("inf"), 2.0**60])),
        (c.Kind.ID, pa.array([float(2**24 + 2)], pa.float32())),
        (c.Kind.ID, pa.array(["1.23457E+10"])),
        (c.Kind.ID, pa.array([Decimal("1.5")])),
        (c.Kind.ID, pa.array([b"\xff", b"a\0"])),
        (c.Kind.STARS, pa.array(["4/5", "five", "80%", "1,000"])),
        (c.Kind.TIME, pa.array(["soon", "2020-02-30", "13.09.2020", "2020-09-13T12", "1e99"])),
        (c.Kind.TIME, pa.array([float("inf")])),
        (c.Kind.TIME, pa.array([2**64 - 1], pa.uint64())),
    ],
)
def test_what_has_no_meaning_is_marked(kind, array):
    """Meaningless values are flagged as unreadable, without an exception."""
    found = convert(kind, array)

    assert found.array.null_count == len(array)
    assert found.unreadable.all()


def test_ids_of_a_dictionary_are_those_that_occur():
    """Ids from a dictionary are in row order, without unused entries."""
    array = pa.DictionaryArray.from_arrays([2, 0], ["a", "b", "c"])

    assert convert(c.Kind.ID, array).array.dictionary.to_pylist() == ["c", "a"]


def test_the_page_has_the_matrix(pytestconfig):
    """The documentation contains the matrix of the code."""
    page = (pytestconfig.rootpath / "docs/data.md").read_text()

    assert "\n".join(matrix_table()) in page


def test_planted_ratings_are_the_same_with_float_ids(data_folder):
    """Ids that pandas wrote as floats are read as whole numbers."""
    frame = planted_ratings()
    before = build_dataset(read_folder(data_folder), rating_scale=(0.5, 5))
    frame[c.USER_ID] = frame[c.USER_ID] + ".0"
    frame[c.MOVIE_ID] = frame[c.MOVIE_ID].astype(float)
    frame.to_csv(data_folder / "ratings.csv", index=False)

    after = build_dataset(read_folder(data_folder), rating_scale=(0.5, 5))

    assert after.user_ids == before.user_ids
    assert after.movies == before.movies

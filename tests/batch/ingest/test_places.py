"""Tables of [input]: every place and format gives the same tables, and every failure one line."""

import gzip
import sqlite3
import threading
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from databases import KEY, SECRET, execute, ingest, needed, running_postgres, running_s3
from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.readers import read_tables
from reco_batch.ingest.sources import load
from reco_batch.ingest.validate import build_dataset
from reco_batch.settings.input_keys import ColumnKeys, InputKeys
from reco_store import UsageError

COLUMNS = ColumnKeys(
    user="customer_id",
    item="sku",
    rating="stars",
    time="created_at",
    title="name",
    tags=("category", "brand"),
    released="launched_at",
    available="!discontinued",
)
ORDERS = pa.table(
    {
        "qty": pa.array([1, 2, 1, 3, 1], pa.int32()),
        "customer_id": pa.array(["ann", "bob", "ann", "ann", "cid"]),
        "sku": pa.array(["A-1", "A-1", "B-2", "C-3", "C-3"]),
        "stars": pa.array([5.0, 4.0, 3.0, 2.5, 1.0]),
        "created_at": pa.array(
            [1_700_000_000 + 3600 * n for n in range(5)], pa.timestamp("s", "UTC")
        ),
    }
)
PRODUCTS = pa.table(
    {
        "sku": ["A-1", "B-2", "C-3"],
        "name": ["Apple", "Ball, red", "Clock"],
        "category": ["food|fresh", "toys", "home"],
        "brand": ["Orchard", "Bounce", None],
        "price": [1.5, 12.0, None],
        "launched_at": pa.array([1_600_000_000, None, 1_650_000_000], pa.timestamp("s", "UTC")),
        "discontinued": [False, None, True],
    }
)


def read(places, **options):
    """Read the tables of [input]."""
    return load(None, cache=None, places=places, **options).tables


@pytest.fixture
def wanted():
    """The tables as every place should give them, ratings by user, item and time."""
    ratings = pd.DataFrame(
        {
            c.USER_ID: ["ann", "ann", "ann", "bob", "cid"],
            c.MOVIE_ID: ["A-1", "B-2", "C-3", "A-1", "C-3"],
            c.RATING: [5.0, 3.0, 2.5, 4.0, 1.0],
            c.TIMESTAMP: [1_700_000_000 + 3600 * n for n in (0, 2, 3, 1, 4)],
        }
    )
    movies = pd.DataFrame(
        {
            c.MOVIE_ID: ["A-1", "B-2", "C-3"],
            c.TITLE: ["Apple", "Ball, red", "Clock"],
            c.GENRES: ["food|fresh|Orchard", "toys|Bounce", "home"],
            c.RELEASED: [1_600_000_000, None, 1_650_000_000],
            c.AVAILABLE: [True, True, False],
            "price": [1.5, 12.0, None],
            "category": ["food|fresh", "toys", "home"],
            "brand": ["Orchard", "Bounce", None],
        }
    )
    return ratings, movies


def require_same(tables, wanted):
    """Require that tables have the wanted values, whatever their types and the order of rows."""
    for found, right in zip((tables.ratings, tables.movies), wanted, strict=True):
        plain = pd.DataFrame({name: found[name].astype(object) for name in right})
        plain = plain.sort_values(list(plain)[:2]).reset_index(drop=True)
        assert set(found) == set(right)
        pd.testing.assert_frame_equal(
            plain.fillna("none"), right.astype(object).fillna("none"), check_dtype=False
        )


def as_csv(table):
    """Return a table as CSV."""
    return table.to_pandas().to_csv(index=False).encode()


def as_lines(table):
    """Return a table as JSON Lines."""
    return table.to_pandas().to_json(orient="records", lines=True, date_format="iso").encode()


def zstd(content):
    """Compress bytes."""
    return pa.compress(content, codec="zstd", asbytes=True)


WRITES = {
    "csv": as_csv,
    "csv.gz": lambda table: gzip.compress(as_csv(table)),
    "csv.zst": lambda table: zstd(as_csv(table)),
    "jsonl": as_lines,
    "jsonl.gz": lambda table: gzip.compress(as_lines(table)),
    "jsonl.zst": lambda table: zstd(as_lines(table)),
}


def test_one_column_of_tags_is_an_attribute_too(tmp_path):
    """Rules can name it, as they name each of several; a column `genres` is tags alone."""
    write(ORDERS, tmp_path / "orders.csv")
    write(PRODUCTS, tmp_path / "products.csv")
    places = InputKeys(
        ratings=str(tmp_path / "orders.csv"),
        items=str(tmp_path / "products.csv"),
        columns=COLUMNS.model_copy(update={"tags": ("category",)}),
    )

    movies = read(places).movies

    assert movies["category"].tolist() == ["food|fresh", "toys", "home"]
    assert movies[c.GENRES].tolist() == ["food|fresh", "toys", "home"]


def write(table, path):
    """Write a table in the format of the path's ending."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        path.write_bytes(WRITES[path.name.partition(".")[2]](table))


@pytest.mark.parametrize("ending", [*WRITES, "parquet"])
def test_every_format_gives_the_same_tables(tmp_path, wanted, ending):
    """Columns are renamed, tags joined, flags inverted, and other columns kept, in every format."""
    orders, products = tmp_path / f"orders.{ending}", tmp_path / f"products.{ending}"
    write(ORDERS, orders)
    write(PRODUCTS, products)

    require_same(read(InputKeys(ratings=str(orders), items=str(products), columns=COLUMNS)), wanted)


def test_parts_may_be_a_folder_or_a_pattern(tmp_path, wanted):
    """A folder of parts and a pattern give the same tables; markers are skipped."""
    (tmp_path / "day=1").mkdir()
    write(ORDERS.slice(0, 2), tmp_path / "day=1/a.parquet")
    write(ORDERS.slice(2), tmp_path / "day=1/b.parquet")
    (tmp_path / "day=1/_SUCCESS").touch()
    write(PRODUCTS, tmp_path / "products.csv")

    for place in ("day=1", "day=*/*.parquet", "**/*.parquet"):
        places = InputKeys(
            ratings=f"{tmp_path}/{place}", items=f"{tmp_path}/products.csv", columns=COLUMNS
        )
        require_same(read(places), wanted)


def test_a_table_may_have_several_places(tmp_path, wanted):
    """Files, folders and patterns of a list are one table; messages name the file of a row."""
    (tmp_path / "old").mkdir()
    write(ORDERS.slice(0, 2), tmp_path / "old/a.parquet")
    write(ORDERS.slice(2, 1), tmp_path / "b.parquet")
    write(ORDERS.slice(3), tmp_path / "c.parquet")
    write(PRODUCTS, tmp_path / "products.csv")
    ratings = tuple(f"{tmp_path}/{place}" for place in ("old", "b.parquet", "c*"))
    places = InputKeys(ratings=ratings, items=f"{tmp_path}/products.csv", columns=COLUMNS)

    source = load(None, cache=None, places=places)

    require_same(source.tables, wanted)
    assert source.origin["name"] == "old + b.parquet + 1 more and products.csv"
    assert set(source.origin["sha256"]) == {"old + b.parquet + 1 more", "products.csv"}
    (tmp_path / "b.parquet").write_bytes(b"none")
    with pytest.raises(DataRefused, match=r"b\.parquet"):
        read(places)


def test_a_list_of_places_has_no_query(tmp_path):
    """A query belongs to one database."""
    with pytest.raises(UsageError, match=r"is a list and input\.ratings_query is 'orders'"):
        read(InputKeys(ratings=("a.csv", "b.csv"), ratings_query="orders", items="c.csv"))


def test_a_zst_file_that_was_cut_is_refused(tmp_path):
    """A cut zstd file is refused like a cut gzip file."""
    write(ORDERS, tmp_path / "orders.csv.zst")
    whole = (tmp_path / "orders.csv.zst").read_bytes()
    (tmp_path / "orders.csv.zst").write_bytes(whole[:-9])
    write(PRODUCTS, tmp_path / "products.csv")
    places = InputKeys(
        ratings=f"{tmp_path}/orders.csv.zst", items=f"{tmp_path}/products.csv", columns=COLUMNS
    )

    with pytest.raises(DataRefused, match="cannot be decompressed to its end"):
        read(places)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rating": "points"}, r"expected also 'points'. Correct rating in \[input.columns\]"),
        (
            {"available": "launched_at", "released": None},
            r'Write available = "!launched_at" if it is the time',
        ),
        ({"tags": ("category", "colour")}, r"also 'colour', which \[input.columns\] tags names"),
        ({"rating": "created_at", "time": None}, "the column 'created_at' is of type timestamp"),
    ],
)
def test_a_wrong_column_is_named(tmp_path, keys, message):
    """A mapping to a column that is missing or of the wrong type is refused with its key."""
    write(ORDERS, tmp_path / "orders.parquet")
    write(PRODUCTS, tmp_path / "products.parquet")
    columns = COLUMNS.model_copy(update=keys)

    with pytest.raises(DataRefused, match=message):
        read(
            InputKeys(
                ratings=f"{tmp_path}/orders.parquet",
                items=f"{tmp_path}/products.parquet",
                columns=columns,
            )
        )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"time": "customer_id"}, "'customer_id' as user and as time"),
        ({"time": " Customer_ID"}, "' Customer_ID' as user and as time"),
        ({"title": "sku"}, "'sku' as id and as title"),
        ({"tags": ("brand", "name")}, "'name' as title and as tags"),
        ({"tags": ("brand", "brand")}, "'brand' as tags and as tags"),
        ({"available": "!launched_at"}, "'launched_at' as released and as available"),
        ({"item": None, "user": "movieId"}, "'movieId' as user and as item"),
    ],
)
def test_two_keys_of_one_column_are_an_error_of_usage(tmp_path, keys, message, ending):
    """The error names the column and both keys, whatever the format."""
    write(ORDERS, tmp_path / f"orders.{ending}")
    write(PRODUCTS, tmp_path / f"products.{ending}")
    places = InputKeys(
        ratings=f"{tmp_path}/orders.{ending}",
        items=f"{tmp_path}/products.{ending}",
        columns=COLUMNS.model_copy(update=keys),
    )

    with pytest.raises(UsageError) as refused:
        read(places)

    assert str(refused.value) == (
        f"input.columns has {message}; expected a column of its own for each key. "
        "Correct one of them, or select it twice in a query."
    )


@pytest.mark.parametrize("with_database", [True, False])
def test_a_query_belongs_to_a_database(with_database):
    """A database without a query, or a query without a database, is an error of usage."""
    place, query = ("sqlite:x.db", None) if with_database else ("x.csv", "orders")

    with pytest.raises(UsageError, match="a query or a table for postgresql: and sqlite:"):
        read(InputKeys(ratings=place, ratings_query=query, items="products.csv"))


def test_sqlite_gives_the_same_tables(tmp_path, wanted):
    """Tables and queries of SQLite are read, and nothing can be written."""
    needed("adbc_driver_sqlite")
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        for name, table in (("orders", ORDERS), ("products", PRODUCTS)):
            table.to_pandas().to_sql(name, database, index=False)
    database.close()
    places = InputKeys(
        ratings=f"sqlite:{path}",
        ratings_query="orders",
        items=f"sqlite:///{path}",
        items_query="SELECT * FROM products;",
        columns=COLUMNS,
    )

    require_same(read(places), wanted)
    for query, message in (
        ("ordres", "no such table: ordres; .* Correct the name of the table"),
        ("DELETE FROM orders", "syntax error"),
        ("SELECT 1 AS one", "the columns are 'one'; expected also 'customer_id'"),
    ):
        with pytest.raises(DataRefused, match=message):
            read(places.model_copy(update={"ratings_query": query}))


@pytest.fixture(scope="module")
def postgres():
    """The address of a PostgreSQL with the shop's tables."""
    needed("adbc_driver_postgresql")
    with running_postgres() as address:
        ingest(address, "orders", ORDERS)
        ingest(address, "products", PRODUCTS)
        execute(
            address,
            "CREATE TABLE large AS SELECT i % 1000 AS customer_id, i % 5000 AS sku, 4.0 AS stars, "
            "now() AS created_at, repeat('x', 200) AS filler FROM generate_series(1, 1000000) AS i",
            "CREATE ROLE guest LOGIN PASSWORD 'Hunter2guest'",
        )
        yield address


def of_postgres(address, query="orders"):
    """Return the places of both tables in PostgreSQL."""
    return InputKeys(
        ratings=address,
        ratings_query=query,
        items=address,
        items_query="products",
        columns=COLUMNS,
    )


def test_postgres_gives_the_same_tables_in_one_order(postgres, wanted):
    """Rows in another order give the same bytes; numeric columns are numbers."""
    numeric = (
        "SELECT customer_id, sku, stars::numeric(3,1), created_at FROM orders ORDER BY random()"
    )

    tables = [read(of_postgres(postgres, query)) for query in ("orders", numeric, numeric)]

    for one in tables:
        require_same(one, wanted)
        pd.testing.assert_frame_equal(
            one.ratings.reset_index(drop=True), tables[0].ratings.reset_index(drop=True)
        )


def test_the_password_may_come_from_the_environment(postgres, wanted, monkeypatch):
    """PGPASSWORD takes the place of a password in the address."""
    monkeypatch.setenv("PGPASSWORD", SECRET)

    require_same(read(of_postgres(postgres.replace(f":{SECRET}", ""))), wanted)


@pytest.mark.parametrize(
    ("change", "query", "message"),
    [
        (("", ""), "ordres", "orders? .*does not exist|ordres.* does not exist"),
        (("", ""), "SELECT sku, FROM orders", "syntax error .*Correct the query"),
        (("", ""), "SELECT nope FROM orders", "column .nope. does not exist"),
        (("owner:" + SECRET, "guest:Hunter2guest"), "orders", "permission denied .*GRANT SELECT"),
        ((SECRET, "Hunter2wrong"), "orders", "password authentication failed .*PGPASSWORD"),
        (("/postgres", "/nowhere"), "orders", 'database "nowhere" does not exist'),
        (("@127.0.0.1:", "@127.0.0.1:1/x?"), "orders", "Check the address"),
        ((SECRET, "Hunter2%ZZ"), "orders", "invalid percent-encoded token"),
        (("", ""), "WITH gone AS (DELETE FROM orders RETURNING *) TABLE gone", "data-modifying"),
    ],
)
def test_a_database_that_refuses_is_one_line_without_secrets(postgres, change, query, message):
    """The refusal has the reason and the next step, and no password; nothing is changed."""
    address = postgres.replace(*change) if change[0] else postgres

    with pytest.raises(DataRefused, match=message) as refused:
        read(of_postgres(address, query))

    assert "\n" not in str(refused.value)
    assert "Hunter2" not in str(refused.value)
    assert "owner:" not in str(refused.value)


def test_a_connection_lost_in_mid_read_is_refused(postgres):
    """A server that ends the session while rows are read gives one line."""
    from reco_batch.ingest.readers import open_tables  # noqa: PLC0415

    opened = open_tables(None, of_postgres(postgres, "large"), encoding="utf-8").whole()
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE 'COPY%large%' AND pid <> pg_backend_pid()"
    )
    reading = threading.Event()

    def kill() -> None:
        while not reading.is_set():
            execute(postgres, end)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(DataRefused, match=r"terminat|closed") as refused:
            read_tables(opened)
    finally:
        reading.set()
        killer.join()
    assert SECRET not in str(refused.value)
    assert "Run again" in str(refused.value)


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of an S3 server with the shop's tables."""
    with running_s3(monkeypatch) as store:
        name = "shop"
        pq.write_table(ORDERS.slice(0, 2), f"{name}/orders/day=1/a.parquet", filesystem=store)
        pq.write_table(ORDERS.slice(2), f"{name}/orders/day=2/b.parquet", filesystem=store)
        for key, table in (
            ("night/ratings/1.parquet", ORDERS),
            ("night/movies.parquet", PRODUCTS),
            ("twice/ratings.parquet", ORDERS),
            ("twice/movies.parquet", PRODUCTS),
            ("twice/movies.csv", PRODUCTS),
        ):
            pq.write_table(table, f"{name}/{key}", filesystem=store)
        for key, content in (
            ("orders/_SUCCESS", b""),
            ("orders.csv.gz", gzip.compress(as_csv(ORDERS))),
            ("orders.csv", as_csv(ORDERS)),
            ("products.csv.zst", zstd(as_csv(PRODUCTS))),
            ("products.jsonl", as_lines(PRODUCTS)),
        ):
            with store.open_output_stream(f"{name}/{key}", compression=None) as stream:
                stream.write(content)
        yield name


def test_an_object_store_gives_the_same_tables(bucket, wanted):
    """Folders, patterns and single files of every format are read from S3."""
    for orders, products in (
        ("orders/", "products.jsonl"),
        ("orders/day=*/*.parquet", "products.csv.zst"),
        ("orders.csv.gz", "products.jsonl"),
        ("orders.csv", "products.csv.zst"),
    ):
        places = InputKeys(
            ratings=f"s3://{bucket}/{orders}",
            items=f"s3://{bucket}/{products}",
            columns=COLUMNS,
        )
        require_same(read(places), wanted)


def test_data_may_be_a_folder_of_an_object_store(bucket, wanted):
    """The folder has both tables under their usual names, each as a file or as part files."""
    places, root = InputKeys(columns=COLUMNS), f"s3://{KEY}:{SECRET}@{bucket}"

    source = load(f"{root}/night/", cache=None, places=places)
    with pytest.raises(DataRefused, match=r"s3://\*\*\*@shop/twice has movies.* one of") as twice:
        load(f"{root}/twice", cache=None, places=places)
    with pytest.raises(DataRefused, match=r"s3://\*\*\*@shop/ratings\* has no files") as none:
        load(root, cache=None, places=places)

    require_same(source.tables, wanted)
    assert source.origin == {"name": "night"}
    assert SECRET not in f"{twice.value} {none.value}"


@pytest.mark.parametrize("place", ["nothing.csv", "none/*.csv", "../other/x.csv"])
def test_an_object_that_is_missing_is_one_line(bucket, place):
    """A missing object, an empty pattern and a foreign bucket are refused without a secret."""
    places = InputKeys(
        ratings=f"s3://{KEY}:{SECRET}@{bucket}/{place}",
        items=f"s3://{bucket}/products.jsonl",
        columns=COLUMNS,
    )

    with pytest.raises(DataRefused, match=r"s3://\*\*\*@shop") as refused:
        read(places)

    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_an_unknown_kind_of_address_is_one_line():
    """An address that is not read is refused without its password."""
    places = InputKeys(ratings=f"mysql://owner:{SECRET}@db/shop", items="products.jsonl")

    with pytest.raises(DataRefused, match=r"mysql://\*\*\*@db/shop could not be read") as refused:
        read(places)

    assert "s3://, gs://" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_store_that_denies_is_one_line(bucket, monkeypatch):
    """An account without rights gets the reason and the variables to check."""
    monkeypatch.setattr(needed("moto.settings"), "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    places = InputKeys(
        ratings=f"s3://{bucket}/orders/", items=f"s3://{bucket}/products.jsonl", columns=COLUMNS
    )

    with pytest.raises(
        DataRefused, match=r"s3://shop/orders/ could not be read \(.*AWS Error"
    ) as no:
        read(places)

    assert "AWS_SECRET_ACCESS_KEY" in str(no.value)
    assert SECRET not in str(no.value)
    assert KEY not in str(no.value)


def released(tmp_path, values, ending):
    """Read a column of release times, and return its values and the notes."""
    path = tmp_path / f"products.{ending}"
    table = PRODUCTS.set_column(5, "launched_at", pa.array(values))
    if path.suffix == ".csv":
        path.write_bytes(as_csv(table))
    else:
        pq.write_table(table, path)
    write(ORDERS, tmp_path / "orders.parquet")
    places = InputKeys(ratings=f"{tmp_path}/orders.parquet", items=str(path), columns=COLUMNS)
    found = read(places)
    return found.movies[c.RELEASED].tolist(), found.notes


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("values", [[1994, None, 2021], [1994.0, None, 2021.0]])
def test_years_of_release_count_from_their_first_day(tmp_path, values, ending):
    """Whole numbers from 1000 to 2999 are years, with a note; an item may lack one."""
    seconds, notes = released(tmp_path, values, ending)

    assert [seconds[0], seconds[2]] == [757_382_400, 1_609_459_200]
    assert pd.isna(seconds[1])
    assert any("launched_at has years, each of which counts from its first day" in n for n in notes)


@pytest.mark.parametrize("values", [[1994, 3000, 2021], [999, 1994, 2021]])
def test_other_small_numbers_of_release_are_seconds(tmp_path, values):
    """One number that is no year makes all of them seconds since 1970."""
    assert released(tmp_path, values, "parquet")[0] == values


def test_a_year_before_1970_is_negative(tmp_path):
    """Old items have a release, too."""
    assert released(tmp_path, [1969, 1000, 2000], "csv")[0][:2] == [-31_536_000, -30_610_224_000]


FLAGS = {"true": True, " No ": False, "": True, "1": True, "0": False, "T": True, "off": False}


def with_flags(tmp_path, flags, column):
    """Write the shop with products of some flags, and return its places."""
    rows = "".join(f"{number},Thing {number},{flag}\n" for number, flag in enumerate(flags))
    (tmp_path / "items.csv").write_text(f"sku,name,flag\n{rows}")
    (tmp_path / "orders.csv").write_text("customer_id,sku\nann,0\n")
    columns = ColumnKeys(user="customer_id", item="sku", title="name", available=column)
    return InputKeys(
        ratings=f"{tmp_path}/orders.csv", items=f"{tmp_path}/items.csv", columns=columns
    )


@pytest.mark.parametrize("column", ["flag", "!flag"])
def test_availability_has_many_spellings(tmp_path, column):
    """Case and blanks do not matter; without a value an item is available, also after `!`."""
    found = read(with_flags(tmp_path, FLAGS, column)).movies[c.AVAILABLE].tolist()

    wanted = [(flag != (column == "!flag")) if text else True for text, flag in FLAGS.items()]
    assert found == wanted


def test_an_availability_that_is_neither_true_nor_false_is_refused(tmp_path):
    """The refusal has the line and the value."""
    raw = read(with_flags(tmp_path, ["true", "soon", "false"], "flag"))

    with pytest.raises(DataRefused, match=r"items.csv, line 3: flag 'soon' is not true or false"):
        build_dataset(raw, rating_scale=(0.5, 5))

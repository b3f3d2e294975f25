"""Tables and queries of a database as `TableFile`: Arrow batches from an ADBC driver.

A query runs in a transaction that can only read, as a subquery that selects the columns to read.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import pyarrow as pa

from reco_batch.data.columns import Kind
from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.path_checks import require_readable
from reco_batch.ingest.formats.table_file import ReadRequest, RowLocation, TableFile
from reco_batch.settings.address import mask_address, scrubbed
from reco_store.errors import NotInstalled

#: A table, with or without its schema.
_TABLE: Final = re.compile(r'\s*(?:\w+|"[^"]+")(?:\.(?:\w+|"[^"]+"))*\s*')
_SHOWN_CHARACTERS: Final = 300
#: Rows of the first batch of SQLite, which decide the types of its columns.
_SQLITE_ROWS: Final = 1 << 16
_CONNECT_SECONDS: Final = 15
#: State of SQL, or a part of the driver's message -> next step.
_REMEDIES: Final[Mapping[str, str]] = {
    "42P01": "Correct the name of the table, or name its schema, such as shop.orders.",
    "no such table": "Correct the name of the table.",
    "42703": "Correct the name of the column in the query.",
    "no such column": "Correct the name of the column in the query.",
    "42601": "Correct the query.",
    "42501": "Let this account read it: GRANT SELECT ON the table TO the account.",
    "25006": "Write a query that only reads.",
    "Failed to connect": (
        "Check the address, and the account and password in it or in PGUSER and PGPASSWORD."
    ),
    "SSL connection has been closed": "Run again; if it recurs, look into the server's log.",
    "closed the connection": "Run again; if it recurs, look into the server's log.",
    "terminating connection": "Run again; if it recurs, look into the server's log.",
    "syntax error": "Correct the query.",
    "mismatch": "Give all values of a column one type, such as with CAST in a query.",
}


class Driver(NamedTuple):
    """Kind of database: name in messages, module of its ADBC driver, and a first statement."""

    name: str
    module: str
    begin: str


_POSTGRES: Final = Driver("PostgreSQL", "adbc_driver_postgresql.dbapi", "SET TRANSACTION READ ONLY")
_SQLITE: Final = Driver("SQLite", "adbc_driver_sqlite.dbapi", "PRAGMA query_only = 1")
DRIVERS: Final[Mapping[str, Driver]] = {
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "sqlite": _SQLITE,
}


class SqlQuery(NamedTuple):
    """Table or query of a database."""

    address: str
    sql: str
    """Name of a table, or a SELECT."""

    @property
    def driver(self) -> Driver:
        """Kind of the database."""
        return DRIVERS[self.address.partition(":")[0].lower()]

    @property
    def select(self) -> str:
        """The query, in a form that can be a subquery."""
        sql = self.sql.strip().rstrip(";")
        return f"SELECT * FROM {sql}" if _TABLE.fullmatch(sql) else sql  # noqa: S608  # meant


@dataclass(frozen=True, kw_only=True)
class SqlTable(TableFile):
    """Result of a query. The database returns its rows in any order."""

    query: SqlQuery
    is_ordered: ClassVar[bool] = False

    def batches(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the requested columns."""
        names = ", ".join(_quoted(self.column_names[at]) for at in request.columns.values())
        sql = f"SELECT {names} FROM ({self.query.select}) AS result"  # noqa: S608  # meant
        with _results(self.query, sql) as reader:
            for batch in reader:
                plain = [
                    _plain(array, is_id=request.kinds[name] is Kind.ID)
                    for name, array in zip(request.columns, batch.columns, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(plain, names=list(request.columns))

    def locate(self, rows: Collection[int]) -> dict[int, RowLocation]:
        """Return the number of each row in the result, from 1."""
        return {row: RowLocation(self.name, row + 1) for row in rows}


def open_query(query: SqlQuery, name: str) -> SqlTable:
    """Return the columns of a table or query.

    Args:
        query: the table or query.
        name: its name in messages.

    Raises:
        DataRefused: the database cannot be reached, or refuses the query.
        NotInstalled: the driver is not installed.
    """
    rows = _SQLITE_ROWS if query.driver is _SQLITE else 0  # SQLite has no types without rows
    sql = f"SELECT * FROM ({query.select}) AS result LIMIT {rows}"  # noqa: S608  # meant
    with _results(query, sql) as reader:
        schema = reader.schema
    return SqlTable(
        path=Path(name),
        name=name,
        format_name=query.driver.name,
        column_names=schema.names,
        column_types=[_plain_type(type_) for type_ in schema.types],
        query=query,
    )


@contextmanager
def _results(query: SqlQuery, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Run a query and yield the stream of its rows.

    Raises:
        DataRefused: the database cannot be reached, refuses the query, or fails in its course.
    """
    try:
        driver = import_module(query.driver.module)
        manager = import_module("adbc_driver_manager")
    except ImportError as error:
        raise NotInstalled(f"{query.driver.name} as input", "sql") from error
    address = _address(query)
    try:
        with driver.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(query.driver.begin)
            if query.driver is _SQLITE:
                rows = {"adbc.sqlite.query.batch_rows": str(_SQLITE_ROWS)}
                cursor.adbc_statement.set_options(**rows)
            cursor.execute(sql)
            with cursor.fetch_record_batch() as reader:
                yield reader
    except (manager.Error, pa.ArrowException, OSError) as error:
        raise _refusal(query, error) from error


def _address(query: SqlQuery) -> str:
    """Return the address for the driver.

    Raises:
        DataRefused: there is no file of that name.
    """
    scheme, _, rest = query.address.partition(":")
    if query.driver is _SQLITE:
        path = Path(rest.removeprefix("//").removeprefix("/") if rest[:3] == "///" else rest)
        require_readable(path.expanduser())
        return f"{path.expanduser().absolute().as_uri()}?mode=ro"
    if "connect_timeout=" in rest:
        return query.address
    return f"{scheme}:{rest}{'&' if '?' in rest else '?'}connect_timeout={_CONNECT_SECONDS}"


def _refusal(query: SqlQuery, error: Exception) -> DataRefused:
    state = str(getattr(error, "sqlstate", None) or "")
    whole = scrubbed(str(error), query.address)
    reason = " ".join(whole.partition("\nquery: ")[0].partition("\n\nQuery was: ")[0].split())
    remedy = next((text for part, text in _REMEDIES.items() if part == state or part in whole), "")
    return DataRefused(
        f"{mask_address(query.address)}: {reason[:_SHOWN_CHARACTERS]}",
        "a table or query that this account may read",
        remedy or "Check the address and the query in [input].",
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type without PostgreSQL's mark: numeric becomes float, the rest text."""
    if not isinstance(type_, pa.BaseExtensionType) or type_.extension_name == "arrow.uuid":
        return type_
    is_numeric = getattr(type_, "type_name", "") == "numeric"
    return pa.float64() if is_numeric else type_.storage_type


def _plain(array: pa.Array, *, is_id: bool) -> pa.Array:
    to = _plain_type(array.type)
    if to == array.type:
        return array
    return array.storage if is_id else array.storage.cast(to)

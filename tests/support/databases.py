"""A real PostgreSQL and a real object store, each on a loopback port of its own."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

SECRET = "Hunter2secret"  # noqa: S105  # opens nothing
KEY = "AKIAHUNTER2"


def needed(module: str) -> ModuleType:
    """Return an optional module; skip the test if it is missing, fail it in CI."""
    return importlib.import_module(module) if os.environ.get("CI") else pytest.importorskip(module)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test without it, fail it in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        message = "PostgreSQL is not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return found[-1].parent


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a PostgreSQL; yield the address of its database for the owner, with a password."""
    bin_, folder, port = programs(), Path(tempfile.mkdtemp(prefix="reco-pg-")), free_port()
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(folder, "postgres")
    password = folder / "password"
    password.write_text(SECRET)
    password.chmod(0o644)
    begin = [*account, str(bin_ / "initdb"), "-D", str(folder / "data"), "-U", "owner"]
    options = ["-A", "scram-sha-256", f"--pwfile={password}", "--no-sync", "-E", "UTF8"]
    subprocess.run([*begin, *options], check=True, stdout=subprocess.DEVNULL)
    serve = [*account, str(bin_ / "postgres"), "-D", str(folder / "data"), "-p", str(port)]
    options = ["-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with subprocess.Popen([*serve, *options], stderr=subprocess.DEVNULL) as process:
        try:
            address = f"postgresql://owner:{SECRET}@127.0.0.1:{port}/postgres"
            _wait_for(address, process)
            yield address
        finally:
            stop = [
                *account,
                str(bin_ / "pg_ctl"),
                "-D",
                str(folder / "data"),
                "stop",
                "-m",
                "fast",
            ]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL)
            process.wait()
            shutil.rmtree(folder)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    driver = needed("adbc_driver_postgresql.dbapi")
    for _ in range(300):
        assert process.poll() is None, "PostgreSQL does not start"
        try:
            driver.connect(address).close()
        except driver.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("PostgreSQL does not answer")


def execute(address: str, *statements: str) -> None:
    """Execute statements, each in the same transaction, and commit."""
    driver = needed("adbc_driver_postgresql.dbapi")
    with driver.connect(address) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def ingest(address: str, name: str, table: Any) -> None:
    """Write an Arrow table as a table of the database."""
    driver = needed("adbc_driver_postgresql.dbapi")
    with driver.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="replace")
        connection.commit()


@contextmanager
def running_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run an S3 server with the bucket `shop`; yield its file system.

    The environment has the address of the server and the credentials.
    """
    server = needed("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        from pyarrow import fs  # noqa: PLC0415

        store = fs.S3FileSystem(
            endpoint_override=f"http://{host}:{port}",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        store.create_dir("shop")
        yield store
    finally:
        server.stop()

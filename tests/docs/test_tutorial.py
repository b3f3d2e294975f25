"""The tutorial is one story: its blocks run in order, in one shell, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
import redis

from databases import needed, programs, running_postgres
from doc_blocks import NODE, ROOT, blocks, require_packages

PAGE = ROOT / "docs" / "tutorial.md"
CUSTOMERS = 500
# Blocks of these languages are saved as files, under the name in the text above them.
SAVED = ("sql", "toml", "js", "python")
# npm would download: the example's packages are installed.
NPM = f'#!/bin/sh\n[ "$*" = "install redis" ] && ln -s {NODE}/node_modules node_modules\n'
PROMPT, MARK = "$ ", "=== "
SECONDS = 300


class Told(NamedTuple):
    """Output and results of the story."""

    outputs: dict[str, str]
    """Command with a prompt -> what it printed on both streams."""
    lists: dict[str, list[str]]
    """Customer -> skus of the published list."""
    products: dict[str, tuple[str, bool, bool]]
    """Sku -> brand, whether it is barred from lists, whether it is new."""


def of_page():
    """Return the blocks of the page."""
    return [block for block in blocks() if block.page == PAGE]


def script():
    """Return the page as a shell script that marks the output of each command with a prompt."""
    text = PAGE.read_text("utf-8").splitlines()
    lines = ["umask 002"]  # as accounts with a group of their own have it
    for block in of_page():
        if block.language in SAVED:
            above = "\n".join(text[: block.line - 1])
            name = re.findall(r"Save this as `(\S+)`", above)[-1]
            lines.append(f"cat > {name} <<'END_OF_FILE'\n{block.text}END_OF_FILE")
        elif block.language == "console":
            commands = [one for one in block.text.splitlines() if one.startswith(PROMPT)]
            for command in (one.removeprefix(PROMPT) for one in commands):
                lines += [f"echo '{MARK}{command}'", command]
        elif block.language == "sh":
            lines.append(block.text)
    return "\n".join(lines).replace("customers=2000", f"customers={CUSTOMERS}")


def rows(address, query):
    """Return the rows of a query."""
    driver = needed("adbc_driver_postgresql.dbapi")
    with driver.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def published(home):
    """Return the user lists of the embedded store, by customer."""
    with redis.Redis(unix_socket_path=f"{home}/store/store.sock", decode_responses=True) as store:
        prefix = f"reco:{store.get('{reco}:current')}:user:"
        keys = list(store.scan_iter(f"{prefix}*", count=1000))
        values = store.mget(keys)
    return {
        key.removeprefix(prefix): json.loads(value)["i"]
        for key, value in zip(keys, values, strict=True)
    }


@pytest.fixture(scope="module")
def told():
    """The story, told once in an empty folder."""
    require_packages()
    needed("adbc_driver_postgresql")
    bin_, folder = programs(), Path(tempfile.mkdtemp(prefix="reco-"))  # a socket's path is short
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "npm").write_text(NPM)
    (folder / "npm").chmod(0o755)
    try:
        with running_postgres() as address:
            at = urlsplit(address)
            environment = {
                "HOME": str(folder),
                "PATH": f"{folder}:{bin_}:{os.environ['PATH']}",
                "LANG": "C.UTF-8",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PGHOST": at.hostname,
                "PGPORT": str(at.port),
                "PGUSER": at.username,
                "PGPASSWORD": at.password,
            }
            ended = subprocess.run(
                ["bash", "-euo", "pipefail"],
                input=script(),
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            assert ended.returncode == 0, ended.stdout
            products = rows(
                f"{address.removesuffix('/postgres')}/shop",
                "SELECT sku, brand, discontinued OR category = 'Gift cards', "
                "launched_at > now() - interval '29 days' FROM products",
            )
            parts = [part.partition("\n") for part in ended.stdout.split(MARK)[1:]]
            yield Told(
                {command: output for command, _, output in parts},
                published(folder / "shop" / "home"),
                {sku: tuple(facts) for sku, *facts in products},
            )
    finally:
        for home in (folder / "shop" / "home", folder / "shop" / "files"):
            stop = [f"{sys.prefix}/bin/batch", "store", "stop", "--home", str(home)]
            subprocess.run(stop, check=False, capture_output=True)
        shutil.rmtree(folder)


def without_figures(text):
    """Return the lines of a text with 0 for every name of a generation and every number."""
    named = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{4}", "0", text)
    return re.sub(r"\d[\d.,:]*", "0", named).splitlines()


@pytest.mark.slow
def test_the_story_prints_what_the_page_shows(told):
    """Except for its figures, every line that the page shows of `batch` is in the output."""
    shown = {}
    for block in of_page():
        if block.language == "console":
            command, _, output = block.text.removeprefix(PROMPT).partition("\n")
            shown[command] = output
    assert {"batch check-data", "batch run"} <= shown.keys()
    for command in ("batch check-data", "batch run"):
        assert set(without_figures(shown[command])) <= set(without_figures(told.outputs[command]))


@pytest.mark.slow
def test_every_list_obeys_the_rules_of_the_page(told):
    """Lists are full, have no barred product, and two new and few of one brand in their top ten."""
    assert len(told.lists) == CUSTOMERS
    for skus in told.lists.values():
        assert len(set(skus)) == 100
        assert not any(told.products[sku][1] for sku in skus)
        assert sum(told.products[sku][2] for sku in skus[:10]) == 2
        assert max(Counter(told.products[sku][0] for sku in skus[:10]).values()) <= 3


@pytest.mark.slow
def test_node_shows_what_the_command_shows(told):
    """The ten products in the same order, which are those of the published list."""
    by_node = [line.split()[1] for line in told.outputs["node top10.mjs 3"].splitlines()[:10]]
    by_command = re.findall(r"^\d+\t(sku-\d+)\t", told.outputs["reco get-user 3 --why"], re.M)

    assert len(by_node) == 10
    assert by_node == by_command == told.lists["3"][:10]

"""Fixtures of the promises: a store with the shipped accounts, forked runs, seeds and counts.

Each promise has a short form, which CI runs, and a long one (``make soak``). Random numbers are
seeded by the promise's name and the number of the trial, so failures are reproducible.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from compose_file import ComposeFile
from forked_nights import Nights
from small_generations import small_night
from store_under_fault import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def many(request):
    """Return the count for the short form or for the long one."""

    def choose(short: int, long: int) -> int:
        return long if request.config.getoption("--soak") else short

    return choose


@pytest.fixture
def draw(request):
    """Return the random generator of a trial, seeded the same way in every run."""

    def make(trial: object = 0) -> random.Random:
        return random.Random(f"{request.node.name}/{trial}")

    return make


@pytest.fixture
def make_store(make_server, binary) -> Iterator:
    """Start a server with the accounts of docker-compose.yml and given options."""
    compose = ComposeFile()
    stores: list[Store] = []

    def make(*options: str, make_night=small_night) -> Store:
        accounts = compose.fill(compose.access_list)
        store = Store(make_server(*options, binary=binary, users=accounts), make_night)
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


@pytest.fixture(scope="session")
def nights(tmp_path_factory) -> Iterator[Nights]:
    """Yield a factory of runs in child processes."""
    forker = Nights(tmp_path_factory.mktemp("nights"))
    yield forker
    forker.close()

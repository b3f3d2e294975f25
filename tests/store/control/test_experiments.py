"""Experiments: users are split between namespaces, consistently and by their shares."""

from __future__ import annotations

from collections import Counter

import pytest

from reco_store.contract.experiment import Experiment, checked_experiment
from reco_store.control.experiments import begin_experiment, end_experiment, read_experiment
from reco_store.errors import ContractMismatch, UsageError
from reco_store.read.async_reader import AsyncReader
from reco_store.read.reader import Reader

HALVES = Experiment("stars", (("reco", 50.0), ("reco-b", 50.0)))


@pytest.mark.parametrize(
    ("user", "namespace"), [("1", "reco-b"), ("42", "reco-b"), ("é", "reco"), ("", "reco")]
)
def test_the_split_is_the_documented_one(user, namespace):
    """A user's arm is the one that docs/keys.md computes with sha256sum."""
    assert HALVES.assign(user) == namespace


def test_shares_are_kept():
    """Each arm gets its share of many users, and a larger share moves no user out of its arm."""
    users = [str(user) for user in range(20_000)]
    small = Experiment("x", (("b", 10.0), ("a", 90.0)))
    large = Experiment("x", (("b", 30.0), ("a", 70.0)))
    assert Counter(map(small.assign, users))["b"] == pytest.approx(2_000, rel=0.1)
    assert all(large.assign(user) == "b" for user in users if small.assign(user) == "b")
    other = Experiment("y", small.arms)
    both = sum(small.assign(user) == other.assign(user) == "b" for user in users)
    assert both == pytest.approx(200, rel=0.3)  # another name draws anew


def test_parts():
    """Shares are numbers of any size; parts are fractions of all users."""
    parts = Experiment("x", (("b", 30.0), ("a", 90.0))).parts
    assert list(parts.items()) == [("b", 0.25), ("a", 0.75)]


def test_the_start_is_kept(client, keys):
    """An experiment of an earlier version has none."""
    for experiment in (HALVES, HALVES._replace(began=1_795_490_100)):
        begin_experiment(client, keys, experiment)
        assert read_experiment(client, keys) == experiment
    end_experiment(client, keys)
    assert read_experiment(client, keys) is None


def test_begin_and_end(server, client, keys):
    """A reader sees the start and the end of an experiment at its next request."""
    with Reader(server.url, keys.namespace) as reader:
        assert (reader.assign("42"), reader.experiment()) == (keys.namespace, None)
        begin_experiment(client, keys, HALVES)
        assert reader.experiment() == HALVES
        assert (reader.assign("é"), reader.assign("42")) == ("reco", "reco-b")
        assert end_experiment(client, keys)
        assert reader.assign("42") == keys.namespace
        assert not end_experiment(client, keys)


async def test_the_asyncio_reader_sees_the_same(server, client, keys):
    """The asynchronous reader returns the experiment and the arm of each user."""
    begin_experiment(client, keys, HALVES)
    async with AsyncReader(server.url, keys.namespace) as reader:
        assert (await reader.experiment(), await reader.assign("é")) == (HALVES, "reco")


@pytest.mark.parametrize(
    ("name", "arms"),
    [
        ("", (("a", 1), ("b", 1))),
        ("x", (("a", 1),)),
        ("x", (("a", 1), ("a", 1))),
        ("x", (("a", 1), ("B!", 1))),
        ("x", (("a", 1), ("b", 0))),
        ("x", (("a", 1), ("b", float("nan")))),
    ],
)
def test_invalid_experiment_is_refused(name, arms):
    """An empty name, one namespace, a repeated one, an invalid one or a share of 0 is refused."""
    with pytest.raises(UsageError, match="expected"):
        checked_experiment(name, arms)


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        b"{}",
        b'{"name":"x","arms":[["a",1]]}',
        b'{"name":"x","arms":[["a",1],["b",1]],"began":"soon"}',
        b"[]",
    ],
)
def test_a_damaged_experiment(server, client, keys, value):
    """A damaged experiment is an error that names it, and assigns no user."""
    client.set(keys.experiment, value)
    with Reader(server.url, keys.namespace) as reader, pytest.raises(ContractMismatch):
        reader.assign("1")

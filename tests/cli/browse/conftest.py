"""Pages of a real embedded store with several generations and an experiment."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from reco_cli.browse.http_rules import HttpRules
from reco_cli.browse.site import make_site
from reco_cli.options import Where
from reco_store import Keys, RunLock, Summary, connect, new_generation_id, publish
from reco_store.connection.embedded.server import stop_server
from reco_store.contract import keys as names
from reco_store.contract.codec import (
    MovieRecord,
    encode_ids,
    encode_list,
    encode_movie,
    encode_reasons,
)
from reco_store.contract.experiment import Experiment
from reco_store.contract.titles import beginnings, fold_title, title_words

HOSTILE = '<script>alert("1")</script>'
MOVIES = {
    "1": MovieRecord("Toy Story (1995)", 1995, ("Animation", "Comedy"), 215, 3.921),
    "2": MovieRecord("Heat (1995)", 1995, ("Crime",), 102, 3.946),
    "3": MovieRecord("Heat (1986)", 1986, (), 3, 2.5),
    "4": MovieRecord(f"{HOSTILE} & 'quoted'", None, ("<b>bold</b>",), 9, None),
    "5": MovieRecord("\u202egnp.exe \x1b[31m {{ 7 * 7 }}", None, ("Drama",), 8, 4.0),
    "6": MovieRecord("שלום עולם (2001)", 2001, ("Drama",), 7, 4.0),
    "7": MovieRecord("Alien (1979)", 1979, ("Horror",), 146, 3.969),
    '"><img src=x>': MovieRecord("Id with quotes", None, (), 1, 1.0),
    "9": MovieRecord("atitleofoneverylongword" * 9, None, ("Long",) * 12, 1, 1.0),
}
LISTS = {
    "kept": ("7", "2", "1"),
    "live": ("1", "2", "4", "5", "6", '"><img src=x>', "9"),
    "staged": ("2", "7", "1"),
}
RULES = {"never": [{"where": {"genres": "<i>Horror</i>"}}]}


@dataclass(frozen=True)
class Source:
    """Generation in memory."""

    generation: str
    content: dict[str, bytes]

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        summary = Summary()
        summary.update_many(self.content.items())
        return {
            "schema": 1,
            "generation": self.generation,
            "created": "2026-11-24T03:15:02+00:00",
            "ids": "string",
            "rating_scale": [0.5, 5.0],
            "genres": ["Animation", "Comedy", "Crime", "Drama", "Horror"],
            "metrics": {"retrieval": {"ndcg@10": 0.385}, "popularity": {"ndcg@10": 0.188}},
            "parameters": {"rules": RULES},
            "data": {"users": 2, "movies": 9, "ratings": 4},
            **summary.manifest_fields(),
        }

    def suffixes(self):
        """Yield every suffix."""
        return iter(self.content)

    def entries(self):
        """Yield every entry."""
        return iter(self.content.items())


def starts(title: str) -> list[str]:
    """Return the beginnings of the words of a title."""
    return [start for word in title_words(fold_title(title)) for start in beginnings(word)]


def content(movies) -> dict[str, bytes]:
    """Return the keys of a generation in which user 42 has a list."""

    def rows(ids):
        return encode_list(ids, [9.0 - place for place in range(len(ids))], numeric_ids=False)

    found = {
        names.user_suffix("42"): rows(movies),
        names.ranked_suffix("42"): rows(movies[::-1]),
        names.because_suffix("42"): encode_reasons(
            ["3", *[None] * (len(movies) - 1)], numeric_ids=False
        ),
        names.seen_suffix("42"): encode_ids(["3"], numeric_ids=False),
        names.similar_suffix("1"): rows(("4", "2")),
        names.next_suffix("1"): rows(("2", "7", "6")),
        names.popular_suffix("most_rated"): rows(("1", "2")),
        names.popular_suffix("trending"): rows(("6", "2")),
        names.popular_suffix("most_rated", "Crime"): rows(("2",)),
    }
    titled: dict[str, list[str]] = {}
    for movie_id, card in MOVIES.items():
        found[names.movie_suffix(movie_id)] = encode_movie(card)
        words = dict.fromkeys(map(names.search_suffix, starts(card.title)))
        for suffix in (*names.title_suffixes(card.title), *words):
            titled.setdefault(suffix, []).append(movie_id)
    return found | {key: encode_ids(ids, numeric_ids=False) for key, ids in titled.items()}


@pytest.fixture(scope="session")
def own_home(tmp_path_factory) -> Path:
    """Yield a home whose embedded store has three generations, and an arm of an experiment."""
    home = tmp_path_factory.mktemp("browse")
    started = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
    with connect(None, home=home, start=True) as client:
        for place, (name, movies) in enumerate(LISTS.items()):
            generation = new_generation_id(started + timedelta(days=place), f"{place:04x}")
            keys = Keys("reco")
            with RunLock(client, keys) as lock:
                source = Source(generation, content(movies))
                publish(client, keys, source, lock=lock, switch=name != "staged")
        keys = Keys("reco-b")
        with RunLock(client, keys) as lock:
            source = Source(new_generation_id(started, "000b"), content(("7",)))
            publish(client, keys, source, lock=lock)
        split = Experiment("<stars>", (("reco", 90.0), ("reco-b", 10.0)))
        client.set(Keys("reco").experiment, split.dump())
        folder = home / "artifacts" / "20261125T031500Z-0001"
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("<!doctype html><title>Report</title>", "utf-8")
        yield home
    stop_server(home)


@pytest.fixture
def staged_first(tmp_path) -> tuple[Where, str]:
    """Yield a store in which nothing is live, and the one generation that is staged in it."""
    with connect(None, home=tmp_path, start=True) as client:
        keys = Keys("reco")
        source = Source(
            new_generation_id(datetime(2026, 11, 24, 3, 15, tzinfo=UTC), "0000"), content(("7",))
        )
        with RunLock(client, keys) as lock:
            publish(client, keys, source, lock=lock, switch=False)
        yield Where(None, "reco", str(tmp_path)), source.generation
    stop_server(tmp_path)


@pytest.fixture(scope="session")
def where(own_home) -> Where:
    """Return the store of the pages."""
    return Where(None, "reco", str(own_home))


@pytest.fixture
def pages(where):
    """Return a client of the pages, as a browser on this machine."""
    site = HttpRules(make_site(where), "127.0.0.1")
    return TestClient(site, base_url="http://127.0.0.1:8484")


@pytest.fixture(scope="session")
def named():
    """Return the generations by what they are."""
    return {
        "kept": "20261124T031500Z-0000",
        "live": "20261125T031500Z-0001",
        "staged": "20261126T031500Z-0002",
    }

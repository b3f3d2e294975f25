"""Small generations from plain lists, as payload sources for the publisher."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.contract.digest import Summary
from reco_store.contract.keys import new_generation_id, title_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_NIGHT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MOVIES = {
    "1": MovieRecord("Toy Story (1995)", 1995, ("Animation", "Comedy"), 215, 3.921),
    "2": MovieRecord("Amélie (2001)", 2001, ("Comedy", "Romance"), 120, 4.183),
    "3": MovieRecord("Heat (1995)", 1995, ("Crime",), 102, 3.946),
    "4": MovieRecord("Heat (1986)", 1986, (), 3, 2.5),
    "5": MovieRecord("Alien (1979)", 1979, ("Horror",), 146, 3.969),
    "6": MovieRecord("Solaris (1972)", 1972, ("Drama",), 9, None),
}


class Source:
    """Generation with given entries."""

    def __init__(self, generation: str, created: datetime, entries: list[tuple[str, bytes]]):
        self.generation = generation
        self.pairs = entries
        summary = Summary()
        summary.update_many(entries)
        self.manifest = {
            "schema": 1,
            "generation": generation,
            "created": created.isoformat(),
            "ids": "integer",
            "metrics": {"rmse": 0.88},
            "parameters": {},
            "data": {},
            "gate": None,
            "rating_scale": [0.5, 5.0],
            **summary.manifest_fields(),
        }

    def suffixes(self) -> Iterator[str]:
        """Yield the suffixes, in order."""
        return (suffix for suffix, _ in self.pairs)

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield the entries, in order."""
        return iter(self.pairs)


def small_entries(tag: float = 0.0, users: int = 3) -> list[tuple[str, bytes]]:
    """Return entries of six movies; ``tag`` makes the first scores differ."""

    def rows(ids: str, first: float = 5.0) -> bytes:
        names = ids.split()
        scores = [first + tag, *[4.0 - place for place in range(len(names) - 1)]]
        return encode_list(names, scores, numeric_ids=True)

    entries = []
    for user in range(1, users + 1):
        entries += [
            (f"user:{user}", rows("3 5 1")),
            (f"ranked:{user}", rows("5 3 1 6")),
            (f"seen:{user}", encode_ids(["2", "4"], numeric_ids=True)),
        ]
    entries += [(f"similar:{movie}", rows("2 5")) for movie in ("1", "3")]
    entries += [
        ("popular:most_rated", rows("1 5 2 3 6 4")),
        ("popular:highest_rated", rows("2 5 3")),
        ("popular:most_rated:genre:Comedy", rows("1 2")),
    ]
    entries += [(f"movie:{name}", encode_movie(movie)) for name, movie in MOVIES.items()]
    titles: dict[str, list[str]] = {}
    for name, movie in MOVIES.items():
        for suffix in title_suffixes(movie.title):
            titles.setdefault(suffix, []).append(name)
    entries += [(key, encode_ids(ids, numeric_ids=True)) for key, ids in titles.items()]
    return entries


def small_night(number: int, users: int = 3) -> Source:
    """Make the generation of a number, the same one each time and everywhere."""
    return night_of(number, small_entries(float(number), users))


def wide_night(number: int, users: int) -> Source:
    """Make a generation of one list per user, about 1.2 kB each."""
    return night_of(number, wide_entries(users, float(number)))


def night_of(number: int, entries: list[tuple[str, bytes]]) -> Source:
    """Make a generation whose id contains its number."""
    created = FIRST_NIGHT + timedelta(days=number)
    return Source(new_generation_id(created, f"{number:04x}"), created, entries)


def number_of(generation: str) -> int:
    """Return the number that a generation was made from."""
    return int(generation.rpartition("-")[2], 16)


def wide_entries(users: int, tag: float = 0.0, length: int = 100) -> list[tuple[str, bytes]]:
    """Return entries of one list per user, about 1.2 kB each."""
    ids = [str(n) for n in range(1000, 1000 + length)]
    scores = [5.0 + tag, *[1.125 + n for n in range(length - 1)]]
    value = encode_list(ids, scores, numeric_ids=True)
    return [*((f"user:{user}", value) for user in range(users)), ("popular:most_rated", value)]

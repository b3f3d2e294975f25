"""Prints the sizing tables of docs/operations.md: store memory by users and movies.

usage: sizing.py

The job's own forecast (`reco_store.publishing.memory_forecast`, which tests hold to real servers
within 5 %), for MovieLens ids and 150 ratings per user.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator

from reco_store.contract.codec import (
    MovieRecord,
    encode_ids,
    encode_list,
    encode_movie,
    encode_reasons,
)
from reco_store.contract.digest import SIZE_BUCKET_BYTES
from reco_store.publishing.memory_forecast import TRANSIENT_BYTES, Sizes, forecast_bytes

SHAPES = ((1_000, 10_000), (10_000, 10_000), (100_000, 20_000), (1_000_000, 60_000))
RANKED = (100, 1_000)
K = 100
RATINGS_A_USER = 150
KEEP = 3
PREFIX_BYTES = len("reco:20261124T031502Z-7f3a:")
ALLOCATORS = {"Redis": "jemalloc-5.3.0", "Valkey": "libc"}
Family = tuple[int, Callable[[], bytes]]
_OF_A_USER = {
    "list of 100 (`user:`)": "user",
    "its reasons (`because:`)": "because",
    "ranked list of 1,000 (`ranked:`)": "ranked",
    "150 rated movies (`seen:`)": "seen",
}
_SAMPLE = 200
_TITLE = "The Lord of the Rings"  # and its year: longer than most


def main() -> None:
    """Print the tables."""
    print("\n".join((*table(), "", *table_of_a_user())))


def table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| users | movies | `ranked_k` | a generation, Redis | Valkey | maxmemory for `keep` 3 |"
    yield "|---|---|---|---|---|---|"
    for users, movies in SHAPES:
        for ranked_k in RANKED:
            sizes = sizes_of(users, movies, ranked_k)
            taken = [
                forecast_bytes(sizes, prefix_bytes=PREFIX_BYTES, allocator=allocator, keys_before=0)
                for allocator in ALLOCATORS.values()
            ]
            whole = (KEEP + 1) * max(taken) + TRANSIENT_BYTES
            cells = [f"{users:,}", f"{movies:,}", f"{ranked_k:,}", *map(_size, (*taken, whole))]
            yield f"| {' | '.join(cells)} |"


def table_of_a_user() -> Iterator[str]:
    """Yield the lines of the table of a user's values."""
    yield "| of one user | value | with its key, Redis | Valkey |"
    yield "|---|---|---|---|"
    users, movies = SHAPES[1]
    families = families_of(users, movies, RANKED[-1])
    for words, family in _OF_A_USER.items():
        count, value = families[family]
        sizes = _sizes({family: (count, value)})
        length = sum(len(value()) for _ in range(_SAMPLE)) / _SAMPLE
        taken = [
            forecast_bytes(sizes, prefix_bytes=PREFIX_BYTES, allocator=allocator, keys_before=0)
            for allocator in ALLOCATORS.values()
        ]
        cells = [_bytes(length), *(_bytes(whole / count) for whole in taken)]
        yield f"| {words} | {' | '.join(cells)} |"


def sizes_of(users: int, movies: int, ranked_k: int) -> Sizes:
    """Return the contents of a generation of so many users and movies."""
    return _sizes(families_of(users, movies, ranked_k))


def families_of(users: int, movies: int, ranked_k: int) -> dict[str, Family]:
    """Return the number of values of each family, and a typical value."""
    draw = random.Random(7)  # noqa: S311  # sizes, no secrets

    def ids(n: int) -> list[str]:
        return [str(movie) for movie in draw.sample(range(1, 200_000), min(n, movies))]

    def scored(n: int) -> bytes:
        return encode_list(
            ids(n), [draw.random() * 5 for _ in range(min(n, movies))], numeric_ids=True
        )

    card = encode_movie(MovieRecord(f"{_TITLE} (2001)", 2001, ("Adventure", "Fantasy"), 102, 3.946))
    return {
        "user": (users, lambda: scored(K)),
        "because": (users, lambda: encode_reasons(ids(K), numeric_ids=True)),
        "ranked": (users, lambda: scored(ranked_k)),
        "seen": (users, lambda: encode_ids(ids(RATINGS_A_USER), numeric_ids=True)),
        "similar": (movies, lambda: scored(K)),
        "next": (movies, lambda: scored(K)),
        "movie": (movies, lambda: card),
        # with its year and without, both of them naming the movie
        f"title:{_TITLE}": (2 * movies, lambda: encode_ids(ids(1), numeric_ids=True)),
    }


def _sizes(families: dict[str, Family]) -> Sizes:
    suffixes: Counter[int] = Counter()
    values: Counter[int] = Counter()
    for family, (count, value) in families.items():
        suffixes[len(f"{family}:{count}")] += count
        for _ in range(_SAMPLE):
            values[len(value()) // SIZE_BUCKET_BYTES * SIZE_BUCKET_BYTES] += count // _SAMPLE
    return Sizes(suffixes, values)


def _bytes(size_bytes: float) -> str:
    """Format a size with three significant digits."""
    return f"{float(f'{size_bytes:.3g}'):,.0f} B"


def _size(size_bytes: float) -> str:
    """Format a size with two significant digits, which is as exact as the forecast."""
    megabytes = size_bytes / 1e6
    return (
        f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{float(f'{megabytes:.2g}'):.0f} MB"
    )


if __name__ == "__main__":
    main()

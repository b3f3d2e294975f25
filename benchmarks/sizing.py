"""Prints the sizing table of docs/operations.md: what a store needs for so many users and movies.

usage: sizing.py

Forecasts, made by what the job itself forecasts with before it writes (`reco_store.memory`, which
tests hold to real servers within 5 %), for ids as MovieLens has them and 150 ratings a user.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator

from reco_store.codec import MovieRecord, encode_ids, encode_list, encode_movie
from reco_store.digest import SIZE_BUCKET_BYTES
from reco_store.memory import TRANSIENT_BYTES, Sizes, forecast_bytes

SHAPES = ((1_000, 10_000), (10_000, 10_000), (100_000, 20_000), (1_000_000, 60_000))
RANKED = (100, 1_000)
K = 100
RATINGS_A_USER = 150
KEEP = 3
PREFIX_BYTES = len("reco:20261124T031502Z-7f3a:")
ALLOCATORS = {"Redis": "jemalloc-5.3.0", "Valkey": "libc"}
_SAMPLE = 200
_TITLE = "The Lord of the Rings"  # and its year: longer than most


def main() -> None:
    """Print the table."""
    print("\n".join(table()))


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


def sizes_of(users: int, movies: int, ranked_k: int) -> Sizes:
    """Return what a generation of so many users and movies consists of."""
    draw = random.Random(7)  # noqa: S311  # sizes, no secrets

    def ids(n: int) -> list[str]:
        return [str(movie) for movie in draw.sample(range(1, 200_000), min(n, movies))]

    def scored(n: int) -> bytes:
        return encode_list(
            ids(n), [draw.random() * 5 for _ in range(min(n, movies))], numeric_ids=True
        )

    card = encode_movie(MovieRecord(f"{_TITLE} (2001)", 2001, ("Adventure", "Fantasy"), 102, 3.946))
    families: dict[str, tuple[int, Callable[[], bytes]]] = {
        "user": (users, lambda: scored(K)),
        "ranked": (users, lambda: scored(ranked_k)),
        "seen": (users, lambda: encode_ids(ids(RATINGS_A_USER), numeric_ids=True)),
        "similar": (movies, lambda: scored(K)),
        "next": (movies, lambda: scored(K)),
        "movie": (movies, lambda: card),
        # With its year and without, both naming the movie.
        f"title:{_TITLE}": (2 * movies, lambda: encode_ids(ids(1), numeric_ids=True)),
    }
    suffixes: Counter[int] = Counter()
    values: Counter[int] = Counter()
    for family, (count, value) in families.items():
        suffixes[len(f"{family}:{count}")] += count
        for _ in range(_SAMPLE):
            values[len(value()) // SIZE_BUCKET_BYTES * SIZE_BUCKET_BYTES] += count // _SAMPLE
    return Sizes(suffixes, values)


def _size(size_bytes: float) -> str:
    """Write a size with two digits that count: more would promise too much."""
    megabytes = size_bytes / 1e6
    return (
        f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{float(f'{megabytes:.2g}'):.0f} MB"
    )


if __name__ == "__main__":
    main()

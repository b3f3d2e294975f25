"""Small data sets as folders of CSV files."""

import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path

RATINGS_HEADER = ("userId", "movieId", "rating", "timestamp")
MOVIES_HEADER = ("movieId", "title", "genres")

Rows = Sequence[Sequence[object]]


def csv_text(header: Sequence[str], rows: Rows) -> str:
    """Return the text of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_folder(folder: Path, ratings: Rows, movies: Rows) -> Path:
    """Write ratings.csv and movies.csv, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.csv").write_text(csv_text(RATINGS_HEADER, ratings), "utf-8")
    (folder / "movies.csv").write_text(csv_text(MOVIES_HEADER, movies), "utf-8")
    return folder


def planted(users: int = 60, movies: int = 150, each: int = 20) -> tuple[Rows, Rows]:
    """Return fixed ratings of users who each like one of three genres."""
    chance = random.Random(7)
    genres = ("Comedy", "Drama", "War")
    catalogue = [(m, f"Film {m} ({1950 + m % 70})", genres[m % 3]) for m in range(1, movies + 1)]
    ratings = []
    for user in range(1, users + 1):
        liked = [m for m in range(1, movies + 1) if m % 3 == user % 3]
        chosen = chance.sample(liked, each * 4 // 5)
        chosen += chance.sample(sorted(set(range(1, movies + 1)) - set(chosen)), each // 5)
        for movie in chosen:
            stars = 4 + chance.randrange(3) / 2 if movie in liked else 1 + chance.randrange(4) / 2
            ratings.append((user, movie, stars, 1_500_000_000 + chance.randrange(10**8)))
    return ratings, catalogue

"""Planted events of a shop, in which purchases follow a taste and most views do not.

Every customer likes one of three kinds of product, and buys only those. Each purchase follows a
view, half of them a cart. Three more views of each purchase are of any products, so models that
count all events alike learn from noise.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from csv_folders import csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = tuple[str, str, str, int]
GENRES = ("Garden", "Kitchen", "Office")
START = 1_650_000_000
DAY = 86_400


def planted_events(
    *, users: int = 300, products: int = 150, bought: int = 12, seed: int = 1
) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """Return events of user, item, kind and time, in order of time, and the products."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for user in range(users):
        liked = [item for item in range(products) if item % 3 == user % 3]
        wanted = chance.sample(liked, bought)
        others = [item for item in range(products) if item not in wanted]
        for item in wanted:
            time = START + chance.randrange(300 * DAY)
            kinds = ["view", "cart", "purchase"] if chance.random() < 0.5 else ["view", "purchase"]
            rows += [(f"c{user}", f"p{item}", kind, time + 60 * n) for n, kind in enumerate(kinds)]
            for other in chance.sample(others, 3):
                time = START + chance.randrange(300 * DAY)
                rows += [(f"c{user}", f"p{other}", "view", time)] * chance.randrange(1, 3)
    rows.sort(key=lambda row: row[3])
    return rows, [(f"p{i}", f"Product {i}", GENRES[i % 3]) for i in range(products)]


def write_events(folder: Path, rows: Sequence[Row], products: Sequence[Sequence[object]]) -> Path:
    """Write ratings.csv with a column `kind`, and movies.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    header = ("userId", "movieId", "kind", "timestamp")
    (folder / "ratings.csv").write_text(csv_text(header, rows), "utf-8")
    (folder / "movies.csv").write_text(csv_text(("movieId", "title", "genres"), products), "utf-8")
    return folder

"""Cost of the explanations in user lists: CPU seconds and bytes, compared with the lists.

Vectors and item-item weights are as wide as the default model's and ratings are distributed as in
MovieLens. All ratings may be explanations; a run excludes those below a mean, so it takes less. One
thread. Both ways run in turn, and the shortest round of each counts.

usage: reasons.py [--rounds N] [--part X]    --part 0.1: of the users of each shape
"""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from machine import begin_anew_without_slowing, describe
from synthetic import histories

from reco_batch.scoring.catalogue import ByProduct, Rows, with_reasons
from reco_batch.scoring.explanations import Influence
from reco_batch.scoring.sparse_term import Rated
from reco_batch.settings.hyperparameters import PRESETS
from reco_store.contract.codec import encode_list, encode_reasons

SHAPES = ((2_000, 9_737), (2_000, 87_585))
K = 100
SEED = 42
_SAMPLE = 200


def main() -> None:
    """Measure, print, and write the results as JSON."""
    begin_anew_without_slowing()
    machine = describe()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=float, default=1.0)
    arguments = parser.parse_args()
    found = [
        measure(int(users * arguments.part), movies, rounds=arguments.rounds)
        for users, movies in SHAPES
    ]
    result = {"figure": "reasons", "machine": machine, "k": K, "shapes": found}
    print(json.dumps(result, indent=1))
    path = Path(__file__).parent / "results" / "reasons.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def measure(users: int, movies: int, *, rounds: int) -> dict[str, float]:
    """Return the results of one shape."""
    alone, rows = case(users, movies)
    explained, explained_rows = with_reasons(alone, rows, influence_of(rows, movies))
    seconds: dict[str, list[float]] = {"lists": [], "with reasons": []}
    blocks = []
    for _ in range(rounds):
        seconds["lists"].append(taken(alone.score(rows, threads=1))[0])
        spent, blocks = taken(explained.score(explained_rows, threads=1))
        seconds["with reasons"].append(spent)
    best = {name: min(found) for name, found in seconds.items()}
    return {
        "users": users,
        "movies": movies,
        "ratings_a_user": float(np.diff(rows.excluded.offsets).mean()),
        "lists_ms": 1000 * best["lists"] / users,
        "reasons_ms": 1000 * (best["with reasons"] - best["lists"]) / users,
        **sizes(blocks[0].lists.items, blocks[0].reasons),
    }


def case(users: int, movies: int) -> tuple[ByProduct, Rows]:
    """Make vectors and weights of the default model's width, and histories."""
    parameters = PRESETS["default"].retrieval
    width = parameters.tower.embedding_dim + 3  # bias and both popularities
    draw = np.random.default_rng(SEED)
    items = draw.standard_normal((movies, width), np.float32)
    queries = draw.standard_normal((users, width), np.float32)
    weights = _item_weights(movies, a_movie=parameters.neighbours.most_neighbours)
    rated = histories(users, movies, seed=SEED)
    weighted = Rated(rated, np.ones(len(rated.movie_index), np.float32))
    return ByProduct(items, K, weights), Rows({"queries": queries}, rated, weighted=weighted)


def _item_weights(movies: int, *, a_movie: int) -> sp.csr_matrix:
    """Draw as many weights of each movie as the default model has at most."""
    draw = np.random.default_rng(SEED + 2)
    rows = draw.integers(movies, size=movies * a_movie)
    values = draw.random(len(rows), np.float32)
    columns = np.repeat(np.arange(movies), a_movie)
    return sp.csr_matrix((values, (rows, columns)), (movies, movies))


def influence_of(rows: Rows, movies: int) -> Influence:
    """Make every rating a possible explanation."""
    width = rows.vectors["queries"].shape[1]
    vectors = np.random.default_rng(SEED + 1).standard_normal((movies, width), np.float32)
    rated = Rated(rows.excluded, np.ones(len(rows.excluded.movie_index), np.float32))
    return Influence(vectors, (width,), np.ones((len(rows), 1), np.float32), rated)


def taken(blocks: Iterable) -> tuple[float, list]:
    """Return the CPU seconds of a scoring, and its result."""
    began = time.process_time()
    made = list(blocks)
    return time.process_time() - began, made


def sizes(items: np.ndarray, reasons: np.ndarray) -> dict[str, float]:
    """Return the mean size of a user's values, with indices in place of ids."""
    rows = range(min(_SAMPLE, len(items)))
    lists = [encode_list([*map(str, items[r])], [1.234] * K, numeric_ids=True) for r in rows]
    by_id = [[None if i < 0 else str(i) for i in reasons[r]] for r in rows]
    because = [encode_reasons(row, numeric_ids=True) for row in by_id]
    return {
        "list_bytes": float(np.mean(list(map(len, lists)))),
        "reasons_bytes": float(np.mean(list(map(len, because)))),
    }


if __name__ == "__main__":
    main()

"""Exact top 100 with exclusions: the job's scoring, alternatives, and the product alone.

Every round runs every way once, in turn; the shortest round of each counts, per user. Slow ways are
timed on the first users only. The lists of ways with exclusions are compared with ours.

usage: topk.py [--rounds N] [--part X]    --part 0.1: of the users of each shape, for a quick look
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import topk_alternatives as ways
from machine import begin_anew_without_slowing, describe
from synthetic import factors, histories

HERE = Path(__file__).parent
SEED = 42
OURS, LIMIT = "ours", "GEMM only"
#: Users, movies, and the bound for our time as a multiple of the product alone.
SHAPES = ((9_737, 9_737, 2.4), (50_000, 20_000, 2.1), (20_000, 87_585, 1.6))


class Way(NamedTuple):
    """One way to compute the lists."""

    run: Callable[[ways.Case, int], object]
    most_pairs: float = np.inf  # of users and movies that it is timed on
    compared: bool = True  # with the lists of ours; False for others, or without exclusions


def ways_of(case: ways.Case) -> dict[str, Way]:
    """Return every way, ready to run."""
    return {
        LIMIT: Way(ways.gemm_only, compared=False),
        OURS: Way(ways.ours),
        "ours, with a sparse term": Way(ways.with_sparse_term(case), 2e8, compared=False),
        "NumPy argpartition, 2 threads": Way(ways.argpartition, 4e8),
        "implicit.cpu.topk": Way(ways.implicit_cpu(case), 2e8),
        "tf.function: matmul, scatter, top_k": Way(ways.tf_function(case), 2e8),
        "TFRS BruteForce, batch 256, no exclusions": Way(
            ways.brute_force(case, batch=ways.BATCH), 2e8, compared=False
        ),
        "TFRS query_with_exclusions": Way(ways.brute_force_with_exclusions(case), 5e7),
        "faiss IndexFlatIP, over-fetch": Way(ways.faiss_flat(case), 5e7),
        "TFRS BruteForce, one query a call (notebook), no exclusions": Way(
            ways.brute_force(case, batch=1), 5e6, compared=False
        ),
    }


def measure(users: int, movies: int, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return the results of each way at one shape."""
    case = ways.Case(factors(users, movies, seed=SEED), histories(users, movies, seed=SEED))
    known = ways_of(case)
    counts = {
        name: int(min(users, max(way.most_pairs / movies, 64))) for name, way in known.items()
    }
    for name, way in known.items():
        way.run(case, min(counts[name], ways.BATCH))  # compiles, allocates
    seconds: dict[str, list[float]] = {name: [] for name in known}
    for _ in range(rounds):
        for name, way in known.items():
            began = time.perf_counter()
            way.run(case, counts[name])
            seconds[name].append((time.perf_counter() - began) / counts[name])
    limit = min(seconds[LIMIT])
    ours = min(seconds[OURS])
    return {
        name: {
            "users_timed": counts[name],
            "rows_a_second": 1 / min(found),
            "of_gemm": min(found) / limit,
            "of_ours": min(found) / ours,
        }
        for name, found in seconds.items()
    }


def agreement(users: int, movies: int) -> dict[str, float]:
    """Return, for each way with exclusions, the share of its movies that our lists contain.

    The share may be below 1: where two scores differ in the last bit, the order of summation
    decides. Each way's last lists are compared, for as many users as it computes in one call.
    """
    case = ways.Case(factors(users, movies, seed=SEED), histories(users, movies, seed=SEED))
    rows = min(users, ways.COMPARED)
    expected = ways.ours(case, rows)
    by_length_order = np.argsort(np.diff(case.seen.offsets[: rows + 1]), kind="stable")
    found = {}
    for name, way in ways_of(case).items():
        if way.compared:
            lists = np.asarray(way.run(case, rows))
            by_length = name.startswith(("faiss", "TFRS query"))
            same = expected[by_length_order[-len(lists) :]] if by_length else expected
            shared = [len(np.intersect1d(a, b)) for a, b in zip(lists, same, strict=True)]
            found[name] = float(np.mean(shared)) / ways.K
    return found


def main() -> None:
    """Measure and print."""
    begin_anew_without_slowing()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", type=float, default=1.0)
    arguments = parser.parse_args()
    result = {"figure": "topk", "machine": describe(ways.PACKAGES), "rounds": arguments.rounds}
    result |= {"k": ways.K, "part": arguments.part, "shapes": []}
    for users, movies, bound in SHAPES:
        count = int(users * arguments.part)
        rows = measure(count, movies, rounds=arguments.rounds)
        shape = {"users": count, "movies": movies, "bound": bound, "ways": rows}
        shape["agreement"] = agreement(count, movies)
        result["shapes"].append(shape)
        show(shape)
    if arguments.part == 1:
        path = HERE / "results" / "topk.json"
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def show(shape: dict) -> None:
    """Print the results of one shape."""
    print(f"{shape['users']:,} users x {shape['movies']:,} movies, bound {shape['bound']} x GEMM")
    for name, row in shape["ways"].items():
        same = shape["agreement"].get(name)
        print(
            f"  {name:62}{row['rows_a_second']:10,.0f} rows/s{row['of_gemm']:8.2f} x GEMM"
            f"{row['of_ours']:8.2f} x ours" + (f"  {same:.4%} alike" if same else "")
        )


if __name__ == "__main__":
    main()

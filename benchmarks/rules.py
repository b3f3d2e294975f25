"""Cost of the rules for lists: exact top 100 with each rule, relative to the same without rules.

Every round scores all users once for each set of rules, in turn; the ratio of a set is the median
over the rounds of its processor time by that without rules in the same round. The sparse term of
the default preset's scores costs more than any rule, so ratios are also measured with it, on fewer
users.

usage: rules.py [--rounds N] [--part X]    --part 0.1: of the users, for a quick look
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import scipy.sparse as sp
from machine import begin_anew_without_slowing, describe
from synthetic import factors, histories

from reco_batch.rules.list_rules import NO_RULES, Cap, ListRules, NewMovies
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.scoring.topk import top_k_blocks

HERE = Path(__file__).parent
SEED, K, THREADS = 42, 100, 2
USERS, MOVIES, BOUND = 50_000, 20_000, 1.30
#: Share of the users that are scored with the sparse term, and weights of each of its rows.
PART_WITH_SPARSE_TERM, STORED = 0.1, 300
NONE, ALL = "no rules", "all together"


def rules_of(vectors: np.ndarray) -> dict[str, ListRules]:
    """Return each set of rules, for movies with these vectors."""
    rng = np.random.default_rng(SEED)
    count = len(vectors)
    eligible = rng.random(count) >= 0.1
    boost = np.where(rng.random(count) < 0.1, 0.5, 0).astype(np.float32)
    # A few brands have many of the movies, as in shops.
    brand = (500 * rng.random((count, 1)) ** 3).astype(np.int32)
    cap = Cap(brand, 3, 10)
    new = NewMovies(np.flatnonzero(rng.random(count) < 0.02).astype(np.int32), 0.2)
    every = ListRules(eligible, boost, (cap,), new, 0.3).with_vectors(vectors)
    alone = {
        "eligibility, 10 % gone": ListRules(eligible),
        "boosts of 10 %": ListRules(boost=boost),
        "at most 3 of a brand in 10 places": ListRules(caps=(cap,)),
        "new movies, share 0.2": ListRules(new=new),
        "diversity 0.3": replace(NO_RULES, diversity=0.3, vectors=every.vectors),
    }
    return {NONE: NO_RULES, **alone, ALL: every}


class Case:
    """Users, movies and histories of one size."""

    def __init__(self, users: int, *, with_sparse_term: bool) -> None:
        self.users = users
        self.vectors = factors(users, MOVIES, seed=SEED)
        self.seen = histories(users, MOVIES, seed=SEED)
        self.sparse = self._sparse_term() if with_sparse_term else None

    def _sparse_term(self) -> SparseTerm:
        rng = np.random.default_rng(STORED)
        columns = (MOVIES * rng.random(MOVIES * STORED) ** 3).astype(np.int32)
        weights = rng.random(len(columns), np.float32)
        ends = np.arange(MOVIES + 1) * STORED
        neighbours = sp.csr_matrix((weights, columns, ends), (MOVIES, MOVIES))
        return SparseTerm(
            Rated(self.seen, rng.random(len(self.seen.movie_index), np.float32)), neighbours
        )

    def seconds(self, rules: ListRules) -> float:
        """Return the processor time of one scoring."""
        users, movies = self.vectors
        began = time.process_time()
        for _ in top_k_blocks(
            users, movies, self.seen, k=K, threads=THREADS, sparse=self.sparse, rules=rules
        ):
            pass
        return time.process_time() - began


def measure(case: Case, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return time and ratio of each set of rules."""
    sets = rules_of(case.vectors.movies)
    for rules in sets.values():
        case.seconds(rules)  # allocates
    found: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(rounds):
        for name, rules in sets.items():
            found[name].append(case.seconds(rules))
    return {
        name: {
            "rows_a_core_second": case.users / median(times),
            "of_none": median(one / none for one, none in zip(times, found[NONE], strict=True)),
        }
        for name, times in found.items()
    }


def main() -> None:
    """Measure and print."""
    begin_anew_without_slowing()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--part", type=float, default=1.0)
    arguments = parser.parse_args()
    result = {"figure": "rules", "machine": describe(), "rounds": arguments.rounds, "bound": BOUND}
    result |= {"k": K, "movies": MOVIES, "cases": []}
    for with_sparse_term, part in ((False, 1.0), (True, PART_WITH_SPARSE_TERM)):
        case = Case(int(USERS * part * arguments.part), with_sparse_term=with_sparse_term)
        rows = measure(case, rounds=arguments.rounds)
        name = "product and sparse term" if with_sparse_term else "product"
        result["cases"].append({"scores": name, "users": case.users, "sets": rows})
        print(f"{case.users:,} users x {MOVIES:,} movies, {name}; bound {BOUND}")
        for rule, row in rows.items():
            print(f"  {rule:36}{row['rows_a_core_second']:10,.0f} rows/core s{row['of_none']:8.2f}")
    if arguments.part == 1:
        path = HERE / "results" / "rules.json"
        path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

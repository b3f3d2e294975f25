"""Ranked lists of all movies: the notebook's network, the default model, and alternatives.

The lower bound of the network is its 256 x 64 product, that of the linear model its only product.
Our function computes whole lists: ratings of all movies, without seen ones, the best thousand in
order. The alternatives only predict ratings. Every round runs each way once; the shortest time per
pair counts. Slow ways are timed on the first users only.

usage: ranked.py [--users N] [--movies N] [--rounds N]
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import begin_anew_without_slowing, describe
from numpy.typing import NDArray
from synthetic import histories
from threadpoolctl import threadpool_limits

from reco_batch.data.dataset import Histories
from reco_batch.models.rating.mlp import MlpModel, RatingWeights
from reco_batch.models.training.tensorflow_runtime import tf
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import ranked_blocks
from reco_batch.scoring.topk import tile_rows_of
from reco_batch.settings.hyperparameters import PRESETS

HERE = Path(__file__).parent
SEED, K, THREADS = 42, 1_000, 2
CHUNK = 512
#: About the width of the default model on MovieLens.
LINEAR_WIDTH = 240
#: Bounds: multiples of the product alone, and of Keras's predict.
BOUND_OF_LIMIT, BOUND_OF_PREDICT = 1.8, 20


class Way(NamedTuple):
    """One way to compute, and the number of users to time."""

    run: Callable[[int], object]
    users: int


def product_alone(
    users: int, left: NDArray[np.float32], right: NDArray[np.float32], rows: int
) -> None:
    """Multiply as often as our function, in as many threads and into the same buffers."""
    buffers = [np.empty((rows, right.shape[1]), np.float32) for _ in range(THREADS)]

    def work(_: int) -> None:
        buffer = buffers.pop()
        for start in range(0, len(left), rows):
            chunk = left[start : start + rows]
            np.matmul(chunk, right, out=buffer[: len(chunk)])
        buffers.append(buffer)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(users)))


def predict(model: MlpModel, users: Sequence[int], movies: int, batch: int) -> None:
    """Let Keras predict every pair of some users in one call."""
    ids = np.array([str(movie) for movie in range(movies)])
    pairs = {
        "userId": tf.constant(np.repeat([str(user) for user in users], movies)),
        "movieId": tf.constant(np.tile(ids, len(users))),
    }
    model.predict(pairs, batch_size=batch, verbose=0)


def predict_each(model: MlpModel, users: int, movies: int, batch: int) -> None:
    """Let Keras predict one user's list at a time, as the notebook does."""
    for user in range(users):
        predict(model, [user], movies, batch)


def compiled(weights: RatingWeights) -> Callable[[int], NDArray[np.float32]]:
    """Return the split network as one function that XLA compiles, one user per call."""
    parts = [tf.constant(part) for part in weights]

    @tf.function(jit_compile=True)
    def stars(user: tf.Tensor) -> tf.Tensor:
        _, movies, hidden, hidden_bias, output, output_bias = parts
        second = tf.nn.relu(tf.matmul(tf.nn.relu(movies + user), hidden) + hidden_bias)
        return tf.linalg.matvec(second, output) + output_bias

    def run(users: int) -> NDArray[np.float32]:
        for row in range(users):
            found = stars(parts[0][row])
        return found.numpy()

    return run


def lists(weights: RatingWeights | LinearRating, seen: Histories, users: int) -> None:
    """Run the job's function."""
    some = {"users": weights.users[:users]}
    if isinstance(weights, LinearRating):
        some["user_bias"] = weights.user_bias[:users]
    k = min(K, len(weights.movies))
    for _ in ranked_blocks(weights._replace(**some), seen.block(0, users), k=k, threads=THREADS):
        pass


def linear(users: int, movies: int) -> LinearRating:
    """Draw a model of the default's form."""
    rng = np.random.default_rng(SEED)

    def drawn(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32) / 10

    vectors = drawn(users, LINEAR_WIDTH), drawn(movies, LINEAR_WIDTH)
    return LinearRating(3.5, drawn(users), drawn(movies), *vectors, (0.5, 5.0))


def ways_of(users: int, movies: int) -> dict[str, Way]:
    """Return every way."""
    user_ids, movie_ids = (tuple(map(str, range(count))) for count in (users, movies))
    model = MlpModel(user_ids, movie_ids, PRESETS["notebook"].rating, seed=SEED)
    weights = model.split_weights()
    other = linear(users, movies)
    seen = histories(users, movies, seed=SEED)
    activations = np.maximum(weights.movies, 0)
    tile = np.ascontiguousarray(other.movies.T)
    rows = tile_rows_of(movies)  # like ours
    return {
        "network: product only": Way(
            lambda n: product_alone(n, activations, weights.hidden, CHUNK), users
        ),
        "network: ours": Way(lambda n: lists(weights, seen, n), users),
        "network: split, XLA": Way(compiled(weights), min(users, 100)),
        "network: Keras predict, batch 8192": Way(
            lambda n: predict_each(model, n, movies, 8192), min(users, 20)
        ),
        "network: Keras predict, batch 8192, all users in a call": Way(
            lambda n: predict(model, range(n), movies, 8192), min(users, 20)
        ),
        "network: Keras predict, batch 32": Way(
            lambda n: predict_each(model, n, movies, 32), min(users, 2)
        ),
        "linear: product only": Way(
            lambda n: product_alone(-(-n // rows), other.users[:rows], tile, rows), users
        ),
        "linear: ours": Way(lambda n: lists(other, seen, n), users),
    }


def measure(users: int, movies: int, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return the results of each way."""
    ways = ways_of(users, movies)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way.run(1)  # compiles
    for number in range(rounds):
        for name, way in ways.items():
            if number and name.endswith("batch 32"):
                continue  # the slowest way, and its results are not close
            began = time.perf_counter()
            way.run(way.users)
            taken[name].append((time.perf_counter() - began) / (way.users * movies))
    pair = {name: min(found) for name, found in taken.items()}
    return {
        name: {
            "million_pairs_a_second": 1e-6 / seconds,
            "of_limit": seconds / pair[f"{name.partition(':')[0]}: product only"],
            "times_predict": pair["network: Keras predict, batch 8192"] / seconds,
        }
        for name, seconds in pair.items()
    }


def main() -> None:
    """Measure and print."""
    begin_anew_without_slowing()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=610)
    parser.add_argument("--movies", type=int, default=9_737)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    result = {"figure": "ranked", "machine": describe(("tf-keras",)), **vars(arguments), "k": K}
    result |= {"bound_of_limit": BOUND_OF_LIMIT, "bound_of_predict": BOUND_OF_PREDICT}
    result["ways"] = measure(arguments.users, arguments.movies, rounds=arguments.rounds)
    for name, row in result["ways"].items():
        print(f"{name:56}" + "".join(f"  {key} {value:.2f}" for key, value in row.items()))
    path = HERE / "results" / "ranked.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

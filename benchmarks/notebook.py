"""The notebook that this job replaces, as a script: the baseline of the whole job.

It keeps the notebook's methods, slow ones included: titles as keys, vocabularies adapted from a
dataset, the top-k metric on every training batch, one query at a time. It computes lists for all
users, 1,000 movies and 50 ranked lists, saves three models, and publishes nothing.

usage: notebook.py DATA_DIR OUT_DIR      prints one JSON object: seconds per stage, test metrics
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_STARTED = time.perf_counter()

import pandas as pd  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_recommenders as tfrs  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

EMBEDDING_DIM = 64
SECONDS: dict[str, float] = {"import": round(time.perf_counter() - _STARTED, 3)}


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Record the duration of a stage."""
    started = time.perf_counter()
    yield
    SECONDS[stage] = round(time.perf_counter() - started, 3)


def objects(column: pd.Series):
    """Return a column in the form that TensorFlow accepts as text."""
    return column.to_numpy(dtype=object)


def dataset(frame: pd.DataFrame, *, rated: bool = False) -> tf.data.Dataset:
    """Return interactions in the notebook's form."""
    columns = {"userId": objects(frame["userId"]), "movieTitle": objects(frame["movieTitle"])}
    if rated:
        columns["rating"] = frame["rating"].to_numpy()
    return tf.data.Dataset.from_tensor_slices(columns)


def tower(vocabulary: tf.keras.layers.StringLookup) -> tf.keras.Sequential:
    """Return an id's lookup and embedding."""
    size = vocabulary.vocabulary_size()
    return tf.keras.Sequential([vocabulary, tf.keras.layers.Embedding(size, EMBEDDING_DIM)])


class Retrieval(tfrs.Model):
    """Two-tower retrieval."""

    def __init__(self, users, movies, task) -> None:
        super().__init__()
        self.users, self.movies, self.task = users, movies, task

    def compute_loss(self, features, training=False):  # noqa: ARG002
        """Return the in-batch softmax loss, and update the metric."""
        return self.task(self.users(features["userId"]), self.movies(features["movieTitle"]))


class Rating(tfrs.Model):
    """Two embeddings and a dense network."""

    def __init__(self, users, movies) -> None:
        super().__init__()
        self.users, self.movies = users, movies
        self.network = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(256, activation="relu"),
                tf.keras.layers.Dense(64, activation="relu"),
                tf.keras.layers.Dense(1),
            ]
        )
        self.task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.MeanSquaredError(),
            metrics=[tf.keras.metrics.RootMeanSquaredError()],
        )

    def call(self, features):
        """Return predicted ratings."""
        joined = [self.users(features["userId"]), self.movies(features["movieTitle"])]
        return self.network(tf.concat(joined, axis=1))

    def compute_loss(self, features, training=False):  # noqa: ARG002
        """Return the squared error."""
        rating = features.pop("rating")
        return self.task(labels=rating, predictions=self(features))


def main(data: str, out: str) -> None:
    """Run the notebook."""
    with timed("load_split"):
        movies = pd.read_csv(f"{data}/movies.csv").rename(columns={"title": "movieTitle"})
        ratings = pd.read_csv(f"{data}/ratings.csv").merge(movies, on="movieId", how="inner")
        ratings["userId"] = ratings["userId"].astype(str).astype(object)
        rest, test = train_test_split(
            ratings, test_size=0.2, stratify=ratings["userId"], random_state=42
        )
        train, valid = train_test_split(
            rest, test_size=0.1, stratify=rest["userId"], random_state=42
        )
    with timed("vocabularies"):
        titles = tf.data.Dataset.from_tensor_slices(objects(movies["movieTitle"]))
        user_ids = tf.keras.layers.StringLookup(mask_token=None)
        movie_titles = tf.keras.layers.StringLookup(mask_token=None)
        user_ids.adapt(dataset(train).map(lambda x: x["userId"]))
        movie_titles.adapt(titles)
    with timed("retrieval_fit"):
        movie_tower, user_tower = tower(movie_titles), tower(user_ids)
        metric = tfrs.metrics.FactorizedTopK(
            candidates=titles.batch(128).map(movie_tower), ks=(1, 5, 10)
        )
        retrieval = Retrieval(user_tower, movie_tower, tfrs.tasks.Retrieval(metrics=metric))
        retrieval.compile(optimizer=tf.keras.optimizers.Adagrad(0.01))
        retrieval.fit(
            dataset(train).batch(4096),
            epochs=15,
            validation_data=dataset(valid).batch(1024),
            verbose=0,
        )
    with timed("retrieval_evaluate"):
        accuracy = retrieval.evaluate(dataset(test).batch(1024), return_dict=True, verbose=0)
    layers = []
    for name, questions in (
        ("user", sorted(ratings["userId"].unique())),
        ("movie", movies["movieTitle"].unique()[:1000]),
    ):
        with timed(f"{name}_lists_one_by_one"):
            layer = tfrs.layers.factorized_top_k.BruteForce(
                user_tower if name == "user" else movie_tower, k=100
            )
            layer.index_from_dataset(titles.batch(100).map(lambda t: (t, movie_tower(t))))
            for question in questions:
                layer(tf.constant([question]))
            layers.append(layer)
    with timed("rating_fit"):
        rating = Rating(tower(user_ids), tower(movie_titles))
        rating.compile(optimizer=tf.keras.optimizers.Adagrad(0.05))
        rating.fit(
            dataset(train, rated=True).batch(4096),
            epochs=40,
            validation_data=dataset(valid, rated=True).batch(1024),
            verbose=0,
        )
    with timed("rating_evaluate"):
        error = rating.evaluate(dataset(test, rated=True).batch(1024), return_dict=True, verbose=0)
    with timed("ranked_lists_50_users"):
        every_title = objects(movies["movieTitle"].drop_duplicates())
        for user in sorted(ratings["userId"].unique())[:50]:
            stars = rating(
                {
                    "userId": tf.constant([user] * len(every_title)),
                    "movieTitle": tf.constant(every_title),
                }
            )
            tf.argsort(stars, axis=0, direction="DESCENDING").numpy()
    with timed("save"):
        names = ("user_model", "movie_model", "explicit_model")
        for name, model in zip(names, (*layers, rating), strict=True):
            model.save(f"{out}/{name}")
    top_k = "factorized_top_k/top_{}_categorical_accuracy"
    print(
        json.dumps(
            {
                "seconds": SECONDS,
                "metrics": {
                    "retrieval": {
                        f"top_{k}_accuracy": float(accuracy[top_k.format(k)]) for k in (1, 5, 10)
                    },
                    "rating": {"rmse": float(error["root_mean_squared_error"])},
                },
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

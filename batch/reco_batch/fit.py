"""Training: both models on the training part, measured on the test part, then on everything.

The trainings do not depend on each other, so two run at a time, the longest first. What is to be
published is handed on as soon as it is trained, while the other lane still trains.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from reco_batch._tensorflow import LANES
from reco_batch.dataset import Dataset
from reco_batch.evaluate import rmse, top_k_accuracy
from reco_batch.presets import Preset
from reco_batch.progress import Reporter
from reco_batch.rating import RatingModel, train_rating
from reco_batch.retrieval import RetrievalModel, train_retrieval
from reco_batch.split import Split


def fit_models(
    dataset: Dataset,
    split: Split,
    parameters: Preset,
    *,
    refit: bool,
    seed: int,
    publish_retrieval: Callable[[RetrievalModel], None],
    publish_rating: Callable[[RatingModel], None],
    reporter: Reporter,
) -> Mapping[str, Mapping[str, float]]:
    """Train, measure and, if wanted, train again on all ratings.

    Args:
        dataset: the whole input.
        split: its parts.
        parameters: of both models.
        refit: publish models that saw every rating; the measured ones saw the training part.
        seed: of all initial weights, and of the order of the second training.
        publish_retrieval: called once, in a thread, with the retrieval model to publish.
        publish_rating: the same with the rating model; the two may run side by side.
        reporter: shows a stage for each training.

    Returns:
        The metrics of the models trained without the test part.
    """
    everything = np.random.default_rng(seed).permutation(len(dataset.ratings))
    test = dataset.ratings.take(split.test)

    def retrieval(rows: NDArray[np.int64], name: str) -> RetrievalModel:
        with reporter.stage(name, total=parameters.retrieval.epochs) as stage:
            return train_retrieval(
                dataset.ratings.take(rows),
                user_ids=dataset.user_ids,
                movie_ids=dataset.movies.ids,
                parameters=parameters.retrieval,
                seed=seed,
                stage=stage,
            )

    def rating(rows: NDArray[np.int64], name: str) -> RatingModel:
        with reporter.stage(name, total=parameters.rating.epochs) as stage:
            return train_rating(
                dataset.ratings.take(rows),
                user_ids=dataset.user_ids,
                movie_ids=dataset.movies.ids,
                parameters=parameters.rating,
                seed=seed,
                stage=stage,
            )

    def measured_retrieval() -> Mapping[str, float]:
        model = retrieval(split.train, "train retrieval")
        metrics = top_k_accuracy(model.embeddings(), test)
        if not refit:
            publish_retrieval(model)
        return metrics

    def measured_rating() -> Mapping[str, float]:
        model = rating(split.train, "train rating")
        metrics = rmse(model.split_weights(), test)
        if not refit:
            publish_rating(model)
        return metrics

    with ThreadPoolExecutor(LANES) as pool:
        jobs = []
        if refit:
            jobs.append(pool.submit(lambda: publish_rating(rating(everything, "refit rating"))))
        of_rating = pool.submit(measured_rating)
        if refit:
            jobs.append(
                pool.submit(lambda: publish_retrieval(retrieval(everything, "refit retrieval")))
            )
        of_retrieval = pool.submit(measured_retrieval)
        for job in jobs:
            job.result()
        return {"retrieval": of_retrieval.result(), "rating": of_rating.result()}

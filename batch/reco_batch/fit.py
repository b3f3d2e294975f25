"""Training: both models on the training part, measured on the test part, then on everything.

The trainings do not depend on each other, so two run at a time, the longest first. What is to be
published is handed on as soon as it is trained, while the other lane still trains.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

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

    metrics: dict[str, Mapping[str, float]] = {}

    def measured_retrieval() -> None:
        model = retrieval(split.train, "train retrieval")
        metrics["retrieval"] = top_k_accuracy(model.embeddings(), test)
        if not refit:
            publish_retrieval(model)

    def measured_rating() -> None:
        model = rating(split.train, "train rating")
        metrics["rating"] = rmse(model.split_weights(), test)
        if not refit:
            publish_rating(model)

    jobs: list[Callable[[], object]] = [measured_rating, measured_retrieval]
    if refit:
        jobs.insert(0, lambda: publish_rating(rating(everything, "refit rating")))
        jobs.insert(2, lambda: publish_retrieval(retrieval(everything, "refit retrieval")))
    _run_side_by_side(jobs, reporter)
    return metrics


def _run_side_by_side(jobs: Iterable[Callable[[], object]], reporter: Reporter) -> None:
    """Run the jobs in the lanes, in this order; the first failure ends them all."""
    pool = ThreadPoolExecutor(LANES)
    try:
        done, _ = wait([pool.submit(job) for job in jobs], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        reporter.cancel()  # else the other lane would train on for what nobody wants any more
        raise
    finally:
        pool.shutdown(cancel_futures=True)

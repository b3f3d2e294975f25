"""What the size of the data decides about the default models, for the manifest and the person.

Nothing is decided here: the figures are those by which the models are trained, from the functions
that their trainings ask (`plans`, `sessions`, `neighbours`). They need no trained model, so a
resumed night has them, too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reco_batch.data.dataset import Ratings
from reco_batch.models.retrieval.cooccurrence import affordable_window
from reco_batch.models.retrieval.ease import taking_part
from reco_batch.models.training.plans import tower_plan, trained_members
from reco_batch.settings.hyperparameters import HistoryParameters, Preset, TasteParameters


def decided(
    parameters: Preset,
    ratings: Ratings,
    *,
    user_count: int,
    movie_count: int,
    rating_count: int,
) -> Mapping[str, Mapping[str, Any]]:
    """Return what the size of a training part decides, as JSON values.

    Args:
        parameters: of both models.
        ratings: of the training part.
        user_count: U.
        movie_count: I.
        rating_count: N of the whole data.

    Returns:
        `retrieval`: the towers' epochs, the users of a step and how many steps there are, and the
        others of its budgets; `rating`: how many members are trained, and its window. Nothing of
        the notebook's models, in which the size decides nothing, and no `rating` where nobody gave
        stars.
    """
    found: dict[str, Mapping[str, Any]] = {}
    retrieval, rating = parameters.retrieval, parameters.rating
    if isinstance(retrieval, HistoryParameters):
        rated = np.bincount(ratings.movie_index, minlength=movie_count)
        found["retrieval"] = {
            **tower_plan(retrieval.tower, user_count=user_count)._asdict(),
            "candidates": min(retrieval.tower.most_candidates, movie_count),
            "window": _window(retrieval.neighbours.window, ratings),
            "neighbour_movies": len(taking_part(rated, retrieval.neighbours)),
        }
    if isinstance(rating, TasteParameters) and ratings.rating is not None:
        found["rating"] = {
            "members": trained_members(rating, rating_count=rating_count),
            "window": _window(rating.window, ratings),
        }
    return found


def budgets(
    parameters: Preset,
    found: Mapping[str, Mapping[str, Any]],
    *,
    user_count: int,
    movie_count: int,
) -> list[str]:
    """Return a sentence for each budget by which training is not as the parameters say.

    Args:
        parameters: of both models.
        found: from `decided`.
        user_count: U.
        movie_count: I.
    """
    said: list[str] = []
    if isinstance(parameters.retrieval, HistoryParameters):
        said += _of_retrieval(parameters.retrieval, found["retrieval"], user_count, movie_count)
    if isinstance(parameters.rating, TasteParameters) and "rating" in found:
        said += _of_rating(parameters.rating, found["rating"])
    return said


def _of_retrieval(
    parameters: HistoryParameters, found: Mapping[str, Any], user_count: int, movie_count: int
) -> list[str]:
    tower, neighbours = parameters.tower, parameters.neighbours
    said: list[str] = []
    if found["epochs"] < tower.epochs:
        said.append(
            f"the towers are trained for {found['epochs']} epochs, not {tower.epochs}: "
            f"{user_count:,} users are looked at {tower.most_visits:,} times in all at most"
        )
    if found["batch"] > tower.batch_users:
        said.append(
            f"a step of the towers takes {found['batch']:,} users, not {tower.batch_users:,}: "
            f"there are {tower.most_steps:,} steps at most, or as few as fit in memory"
        )
    if found["candidates"] < movie_count:
        said.append(
            f"a step of the towers looks at {found['candidates']:,} movies, drawn anew each time, "
            f"not at all {movie_count:,}"
        )
    if found["neighbour_movies"] == neighbours.most_movies:
        said.append(f"only the {neighbours.most_movies:,} most rated movies have neighbours")
    if user_count > parameters.recency_users and len(parameters.recency_choices) > 1:
        said.append(f"how newer ratings count is chosen by {parameters.recency_users:,} users")
    if found["window"] is not None and found["window"] < neighbours.window:
        said.append(_narrower("neighbours", found["window"], neighbours.window))
    return said


def _of_rating(parameters: TasteParameters, found: Mapping[str, Any]) -> list[str]:
    said: list[str] = []
    if found["members"] < parameters.members:
        said.append(
            "the rating model is its closed form alone, not the mean with "
            f"{parameters.members} trained members: each would take more than "
            f"{parameters.most_steps:,} steps"
        )
    if found["window"] is not None and found["window"] < parameters.window:
        said.append(_narrower("the rating model", found["window"], parameters.window))
    return said


def _narrower(what: str, window: int, wanted: int) -> str:
    return f"for {what} movies are rated together up to {window} ratings apart, not {wanted}"


def _window(window: int, ratings: Ratings) -> int | None:
    """Return how far apart pairs stand; None where ratings have no order."""
    return None if ratings.timestamp is None else affordable_window(window, len(ratings))

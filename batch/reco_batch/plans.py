"""How long the default models are trained: epochs and the size of a step, by stated budgets.

What is trained is decided by steps. A step has a price of its own, whatever it looks at: every
vector of every user and movie is moved a little. So with more users neither may a step stay as
small nor may there be as many of them: up to a stated number of steps a model is trained as its
parameters say, and beyond it each step takes more; what each user costs is bounded by how often all
are looked at. Pure arithmetic: the same sizes give the same plan, which stands in the manifest.

Shapes: N ratings, U users.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from reco_batch.presets import TasteParameters, TowerParameters

#: Users in a step of the towers: with 20,000 candidates their scores take 160 MB.
_MOST_USERS: Final = 2048
#: Ratings in a step of whole users, on average: with 77 features they take 80 MB.
_MOST_RATINGS: Final = 262_144


class Of(StrEnum):
    """What the steps of a training are made of."""

    RATINGS = "ratings"
    USERS = "users"
    """With all of their ratings: what is summed over a history is summed once for all of it."""


class Plan(NamedTuple):
    """How long a model is trained."""

    epochs: int
    of: Of
    batch: int
    """Ratings or users in a step."""
    steps: int
    """Of all epochs."""


def tower_plan(parameters: TowerParameters, *, user_count: int) -> Plan:
    """Return the plan of the towers: fewer epochs beyond `most_visits`, then larger steps.

    Args:
        parameters: with the budgets.
        user_count: U.
    """
    users = max(user_count, 1)
    epochs = min(parameters.epochs, max(1, parameters.most_visits // users))
    batch = parameters.batch_users
    if _steps(users, batch, epochs) > parameters.most_steps:
        batch = max(batch, min(_MOST_USERS, -(-users * epochs // parameters.most_steps)))
    return Plan(epochs, Of.USERS, batch, _steps(users, batch, epochs))


def taste_plan(parameters: TasteParameters, *, user_count: int, rating_count: int) -> Plan:
    """Return the plan of each trained member: steps of ratings, or of whole users if too many.

    Args:
        parameters: with the budgets.
        user_count: U.
        rating_count: N.
    """
    epochs, users, ratings = parameters.epochs, max(user_count, 1), max(rating_count, 1)
    steps = _steps(ratings, parameters.batch_size, epochs)
    if steps <= parameters.most_steps:
        return Plan(epochs, Of.RATINGS, parameters.batch_size, steps)
    most = max(1, _MOST_RATINGS * users // ratings)
    batch = max(1, min(most, -(-users * epochs // parameters.user_steps)))
    return Plan(epochs, Of.USERS, batch, _steps(users, batch, epochs))


def _steps(rows: int, batch: int, epochs: int) -> int:
    return epochs * -(-rows // batch)

"""How long the default models are trained: epochs and the size of a step, by stated budgets.

What is trained is decided by steps. A step has a price of its own, whatever it looks at: every
vector of every user and movie is moved a little. So with more users neither may a step of the
towers stay as small nor may there be as many of them: up to a stated number of steps they are
trained as their parameters say, and beyond it each step takes more; what each user costs is bounded
by how often all are looked at. A step of the rating model cannot take more (its price is the
histories that it sums, and larger ones learn less), so beyond its budget nothing of it is trained,
and its closed form stands alone. Pure arithmetic: the same sizes give the same plan, which stands
in the manifest.

Shapes: N ratings, U users.
"""

from typing import Final, NamedTuple

from reco_batch.settings.hyperparameters import TasteParameters, TowerParameters

#: Users in a step of the towers: with 20,000 candidates their scores take 160 MB.
_MOST_USERS: Final = 2048


class Plan(NamedTuple):
    """How long the towers are trained."""

    epochs: int
    batch: int
    """Users in a step."""
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
    return Plan(epochs, batch, _steps(users, batch, epochs))


def trained_members(parameters: TasteParameters, *, rating_count: int) -> int:
    """Return how many members of the rating model are trained: all, or of too many ratings none.

    Args:
        parameters: with the budget.
        rating_count: N, of the whole data: what is measured is of the kind of what is published.
    """
    steps = _steps(rating_count, parameters.batch_size, parameters.epochs)
    return parameters.members if steps <= parameters.most_steps else 0


def _steps(rows: int, batch: int, epochs: int) -> int:
    return epochs * -(-rows // batch)

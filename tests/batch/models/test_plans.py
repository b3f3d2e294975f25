"""How long models are trained: as the parameters say, until a budget bites."""

from hypothesis import given
from hypothesis import strategies as st

from reco_batch.models.training.plans import Plan, tower_plan, trained_members
from reco_batch.settings.hyperparameters import TasteParameters, TowerParameters

TOWERS, TASTES = TowerParameters(), TasteParameters()


def test_small_data_are_trained_as_the_parameters_say():
    """What the parameters were chosen on is not touched by any budget."""
    assert tower_plan(TOWERS, user_count=610) == Plan(40, 128, 200)
    assert trained_members(TASTES, rating_count=100_836) == TASTES.members


def test_large_data_are_trained_within_the_budgets():
    """The size of ml-32m, by hand: 2.4 million visits are 11 of everybody."""
    assert tower_plan(TOWERS, user_count=200_948) == Plan(11, 922, 2398)
    assert trained_members(TASTES, rating_count=32_000_204) == 0


@given(st.integers(0, 10**8))
def test_towers_keep_their_budgets(users):
    """Visits always, but for the one epoch that there must be; steps as long as they fit."""
    plan = tower_plan(TOWERS, user_count=users)

    assert 1 <= plan.epochs <= TOWERS.epochs
    assert plan.epochs == 1 or plan.epochs * users <= TOWERS.most_visits
    assert TOWERS.batch_users <= plan.batch <= 2048
    # Each epoch's last step may be a smaller one.
    assert plan.batch == 2048 or plan.steps <= TOWERS.most_steps + plan.epochs
    assert plan.steps * plan.batch >= plan.epochs * users


def test_one_user_more_than_a_budget_allows():
    """What is at the limit stays; the next one changes the plan by little."""
    most = TOWERS.most_visits // TOWERS.epochs
    assert tower_plan(TOWERS, user_count=most).epochs == TOWERS.epochs
    assert tower_plan(TOWERS, user_count=most + 1).epochs == TOWERS.epochs - 1


def test_one_rating_more_than_a_budget_allows():
    """5,000 steps of 2,048 in each of six epochs are the last that members are trained on."""
    assert trained_members(TASTES, rating_count=5_000 * 2_048) == TASTES.members
    assert trained_members(TASTES, rating_count=5_000 * 2_048 + 1) == 0

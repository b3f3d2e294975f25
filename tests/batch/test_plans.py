"""How long models are trained: as the parameters say, until a budget bites."""

from hypothesis import given
from hypothesis import strategies as st

from reco_batch.plans import Of, Plan, taste_plan, tower_plan
from reco_batch.presets import TasteParameters, TowerParameters

TOWERS, TASTES = TowerParameters(), TasteParameters()


def test_small_data_are_trained_as_the_parameters_say():
    """What the parameters were chosen on is not touched by any budget."""
    assert tower_plan(TOWERS, user_count=610) == Plan(40, Of.USERS, 128, 200)
    plan = taste_plan(TASTES, user_count=610, rating_count=100_836)
    assert plan == Plan(6, Of.RATINGS, 2048, 300)


def test_large_data_are_trained_within_the_budgets():
    """The size of ml-32m, by hand: 2.4 million visits are 11 of everybody."""
    assert tower_plan(TOWERS, user_count=200_948) == Plan(11, Of.USERS, 922, 2398)
    plan = taste_plan(TASTES, user_count=200_948, rating_count=32_000_204)
    assert plan == Plan(6, Of.USERS, 1206, 1002)


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


@given(st.integers(1, 10**7), st.integers(1, 500))
def test_members_keep_their_budget_or_fit_in_memory(users, each):
    """A step never takes more ratings than stated, unless it is a single user's."""
    plan = taste_plan(TASTES, user_count=users, rating_count=users * each)

    assert plan.epochs == TASTES.epochs
    if plan.of is Of.USERS:
        assert TASTES.epochs * users * each > TASTES.most_steps * TASTES.batch_size / 2
        assert plan.batch * each <= 262_144
        bounded = plan.batch == 262_144 // each
        assert bounded or plan.steps <= TASTES.user_steps + plan.epochs
    else:
        assert plan.steps <= TASTES.most_steps


def test_one_user_more_than_a_budget_allows():
    """What is at the limit stays; the next one changes the plan by little."""
    most = TOWERS.most_visits // TOWERS.epochs
    assert tower_plan(TOWERS, user_count=most).epochs == TOWERS.epochs
    assert tower_plan(TOWERS, user_count=most + 1).epochs == TOWERS.epochs - 1

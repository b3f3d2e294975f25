"""What metrics mean to a user, in words."""

import pytest

from reco_terminal.wording import quality_figures, quality_words

METRICS = {
    "retrieval": {"hit@10": 0.8819, "recall@100": 0.5462, "ndcg@10": 0.3974},
    "popularity": {"hit@10": 0.6213, "recall@100": 0.303},
    "lists": {"coverage@10": 0.083},
    "popular_lists": {"coverage@10": 0.0054},
    "rating": {"rmse": 0.80519},
    "means": {"rmse": 0.86879},
}


def test_each_figure_stands_beside_its_baseline():
    """So that a reader knows whether it is good."""
    assert quality_words(METRICS) == {
        "first 10": (
            "88 of 100 users find at least one movie that was held back from the models; showing "
            "everyone the most popular: 62"
        ),
        "first 100": "55 of 100 movies held back are there; of the most popular: 30",
        "shown": "8 of 100 movies stand in somebody's first ten; of the most popular: 0.5",
        "stars": (
            "predictions are 0.805 off (root mean square); from the means of user and movie: 0.869"
        ),
    }


def test_main_figures_with_the_last_run():
    """Each with what it was and what doing without models gives, as far as these are known."""
    before = {"retrieval": {"ndcg@10": 0.39, "recall@100": "many"}, "rating": None}

    assert quality_figures(METRICS | {"popularity": {"recall@100": 0.303}}, before) == {
        "NDCG@10": "0.397 (last run 0.390)",
        "Recall@100": "0.546 (most popular 0.303)",
        "RMSE": "0.805 (user and item means 0.869)",
    }
    assert quality_figures({"rating": {"rmse": 0.8}}) == {"RMSE": "0.800"}
    assert quality_figures(None, before) == quality_figures([], None) == {}


def test_without_baselines_the_figure_stands_alone():
    """As another version may have written it."""
    alone = {name: METRICS[name] for name in ("retrieval", "lists", "rating")}

    assert quality_words(alone) == {
        "first 10": ("88 of 100 users find at least one movie that was held back from the models"),
        "first 100": "55 of 100 movies held back are there",
        "shown": "8 of 100 movies stand in somebody's first ten",
        "stars": "predictions are 0.805 off (root mean square)",
    }


@pytest.mark.parametrize(
    "metrics", [None, {}, [], "x", {"retrieval": None}, {"retrieval": {"hit@10": "many"}}]
)
def test_what_is_not_there_is_not_said(metrics):
    """Nothing else happens."""
    assert quality_words(metrics) == {}


def test_a_night_without_stars_says_so():
    """Instead of saying nothing, which would look like a fault."""
    said = quality_words({"rating": {}, "without_stars": True})

    assert said == {"stars": "none are predicted, since the input has none to learn from"}
    assert quality_words({"rating": {}, "without_stars": "yes"}) == {}

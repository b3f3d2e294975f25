"""Metrics in words."""

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


#: topic -> (figure, baseline)
IN_WORDS = {
    "first 10": ("88 of 100 users", "62"),
    "first 100": ("55 of 100 movies", "30"),
    "shown": ("8 of 100 movies", "0.5"),
    "stars": ("0.805", "0.869"),
}


def test_each_figure_comes_with_its_baseline():
    """Baselines show readers whether a figure is good."""
    words = quality_words(METRICS)

    assert words.keys() == IN_WORDS.keys()
    for topic, (figure, baseline) in IN_WORDS.items():
        assert figure in words[topic]
        assert words[topic].endswith(f": {baseline}")


def test_main_figures_with_the_last_run():
    """Each figure has the last run's value or its baseline, as far as known."""
    before = {"retrieval": {"ndcg@10": 0.39, "recall@100": "many"}, "rating": None}

    assert quality_figures(METRICS | {"popularity": {"recall@100": 0.303}}, before) == {
        "NDCG@10": "0.397 (last run 0.390)",
        "Recall@100": "0.546 (most popular 0.303)",
        "RMSE": "0.805 (user and item means 0.869)",
    }
    assert quality_figures({"rating": {"rmse": 0.8}}) == {"RMSE": "0.800"}
    assert quality_figures(None, before) == quality_figures([], None) == {}


def test_a_figure_without_a_baseline_is_given_alone():
    """Another version may have written a manifest without baselines."""
    words = quality_words({name: METRICS[name] for name in ("retrieval", "lists", "rating")})

    assert words.keys() == IN_WORDS.keys()
    for topic, (figure, baseline) in IN_WORDS.items():
        assert figure in words[topic]
        assert baseline not in words[topic]


@pytest.mark.parametrize(
    "metrics", [None, {}, [], "x", {"retrieval": None}, {"retrieval": {"hit@10": "many"}}]
)
def test_what_is_not_there_is_not_said(metrics):
    """Missing metrics have no words."""
    assert quality_words(metrics) == {}


def test_a_night_without_stars_says_so():
    """Without ratings, a sentence explains the missing errors."""
    words = quality_words({"rating": {}, "without_stars": True})

    assert words == {"stars": "none are predicted, since the input has none to learn from"}
    assert quality_words({"rating": {}, "without_stars": "yes"}) == {}

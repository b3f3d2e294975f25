"""Texts of metrics: values, baselines and meanings."""

import pytest

from reco_store.contract.metrics import Use, figures
from reco_terminal.wording import chosen_words, quality_figures, quality_words

METRICS = {
    "retrieval": {"hit@10": 0.8819, "recall@100": 0.5462, "ndcg@10": 0.3974},
    "popularity": {"hit@10": 0.6213, "recall@100": 0.303},
    "lists": {"coverage@10": 0.083},
    "popular_lists": {"coverage@10": 0.0054},
    "rating": {"rmse": 0.80519},
    "means": {"rmse": 0.86879},
}


#: Label -> value and baseline.
VALUES = {
    "NDCG@10": "0.397",
    "Recall@100": "0.546 (most popular 0.303)",
    "Hit rate@10": "0.882 (most popular 0.621)",
    "Coverage@10": "8.3% (most popular 0.5%)",
    "RMSE": "0.805 (user and item means 0.869)",
}


def test_each_metric_has_its_baseline_and_meaning():
    """`reco status --all` explains each metric in one sentence."""
    meanings = {figure.label: figure.meaning for figure in figures(Use.DETAILS)}

    assert quality_words(METRICS) == {
        label: f"{value}. {meanings[label]}" for label, value in VALUES.items()
    }


def test_the_main_metrics_have_the_previous_live_value_and_a_baseline():
    """A value that a manifest lacks is left out."""
    before = {"retrieval": {"ndcg@10": 0.39, "recall@100": "many"}, "rating": None}

    assert quality_figures(METRICS | {"popularity": {"recall@100": 0.303}}, before) == {
        "NDCG@10": "0.397 (live before 0.390)",
        "Recall@100": "0.546 (most popular 0.303)",
        "RMSE": "0.805 (user and item means 0.869)",
    }
    assert quality_figures({"rating": {"rmse": 0.8}}) == {"RMSE": "0.800"}
    assert quality_figures(None, before) == quality_figures([], None) == {}


def test_what_rules_cost_is_beside_each_value():
    """A value of the lists with rules comes before the baseline."""
    ruled = {"retrieval_with_rules": {"recall@100": 0.5}, "lists_with_rules": {"coverage@10": 0.1}}

    assert quality_figures(METRICS | ruled)["Recall@100"] == (
        "0.546 (with rules 0.500, most popular 0.303)"
    )
    assert quality_words(METRICS | ruled)["Coverage@10"].startswith(
        "8.3% (with rules 10.0%, most popular 0.5%). "
    )


def test_recent_popularity_is_among_the_details():
    """`batch run` stays short: it has one baseline."""
    metrics = METRICS | {"popularity_7d": {"ndcg@10": 0.2, "recall@100": 0.4}}

    assert quality_words(metrics)["Recall@100"].startswith(
        "0.546 (most popular 0.303, of the last 7 days 0.400). "
    )
    assert quality_figures(metrics)["Recall@100"] == "0.546 (most popular 0.303)"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"test_users": 49}, True),
        ({"test_users": 50}, False),
        ({"test_users": 109, "held_out_after": 889_237_669.0}, True),
        ({"test_users": "many"}, False),
        (None, False),
    ],
)
def test_few_test_users_are_shown_with_the_interval(data, shown):
    """A metric of few users, or of a global split, is not shown without its uncertainty."""
    metrics = METRICS | {"intervals": {"retrieval": {"ndcg@10": [0.31, 0.48]}, "rating": "x"}}

    found = quality_figures(metrics, data=data)

    assert found["NDCG@10"] == ("0.397 (95 %: 0.310 to 0.480)" if shown else "0.397")
    assert found.get("test users") == (str(data["test_users"]) if shown else None)


def test_without_metrics_no_number_of_users_is_shown():
    """A run that could measure nothing has no text."""
    assert quality_figures({}, data={"test_users": 0}) == {}


@pytest.mark.parametrize(
    "metrics", [None, {}, [], "x", {"retrieval": None}, {"retrieval": {"hit@10": "many"}}]
)
def test_missing_metrics_are_left_out(metrics):
    """Manifests of other versions, and damaged ones, have no text."""
    assert quality_words(metrics) == {}


def test_a_run_without_ratings_has_no_rmse():
    """Implicit feedback: the text gives the reason."""
    words = quality_words({"rating": {}, "without_stars": True})

    assert words == {"RMSE": "not measured: the interactions have no rating values"}
    assert quality_words({"rating": {}, "without_stars": "yes"}) == {}


def test_the_choice_is_one_line():
    """Values that a manifest lacks are left out."""
    values = {"neighbours.kind": "ordered", "tower_share": 1.0, "neighbour_share": 0.35}

    assert (
        chosen_words({"chosen": {"retrieval": {**values, "recent_share": 2.0, "recency": 0.25}}})
        == "ordered neighbours; shares: encoder 1, neighbours 0.35, recent popularity 2"
    )
    assert chosen_words({"chosen": {"retrieval": {"neighbours.kind": "walk"}}}) == "walk neighbours"
    for junk in (None, {}, {"chosen": 3}, {"chosen": {"retrieval": {"neighbours.kind": 3}}}):
        assert chosen_words(junk) == ""

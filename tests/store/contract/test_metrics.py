"""The table of metrics: every metric of a run has a record, and every record is computed."""

import numpy as np
import pytest

from reco_batch.data.dataset import Histories
from reco_batch.metrics.ranking_metrics import list_metrics, per_user_metrics
from reco_store.contract.metrics import (
    METRICS,
    Better,
    Use,
    figures,
    is_higher_better,
    metric_of,
)


def test_every_ranking_metric_has_a_record():
    """A metric that is computed has a label, a direction and a meaning."""
    lists = np.array([[0, 1]], np.int32)
    relevant = Histories(np.array([0, 1]), np.array([1], np.int32))
    names = {
        *per_user_metrics(lists, relevant, np.array([0]), ks=(1, 2)),
        *list_metrics(lists, np.array([3, 1]), k=2),
        "top_10_accuracy",
        "little_known@10",
        "liked_ndcg@10",
        "diversity@10",
        "miscalibration@10",
        "rmse",
        "mae",
    }

    assert {metric_of(name).name for name in names} == {metric.name for metric in METRICS}
    assert all(metric.label and metric.meaning for metric in METRICS)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("ndcg@10", Better.HIGHER),
        ("top_5_accuracy", Better.HIGHER),
        ("rmse", Better.LOWER),
        ("novelty@10", Better.NEITHER),
        ("of_another_version@10", Better.NEITHER),
    ],
)
def test_a_name_of_a_manifest_has_a_direction(name, better):
    """A name that is not in the table has none, and cannot be optimised."""
    assert metric_of(name).better is better
    if better is Better.NEITHER:
        with pytest.raises(ValueError, match="no better direction"):
            is_higher_better(name)
    else:
        assert is_higher_better(name) is (better is Better.HIGHER)


def test_every_path_is_of_a_group_and_a_metric():
    """No path in the table is misspelt, so every use yields its figures."""
    paths = {path for metric in METRICS for path in metric.uses}

    assert {figure.path for use in Use for figure in figures(use)} == paths
    for metric in METRICS:
        assert all(metric_of(path.partition(".")[2]) is metric for path in metric.uses)


def test_a_figure_has_a_label_and_a_meaning():
    """Labels are different, so they can be keys."""
    shown = {figure.path: (figure.label, figure.meaning) for figure in figures(Use.REPORT)}

    assert shown["retrieval.recall@100"] == (
        "Recall@100",
        "Share of a user's held-out movies that are in the top-100",
    )
    assert shown["ranked.ndcg@10"][0] == "NDCG@10, ranked lists"
    assert len({label for label, _ in shown.values()}) == len(shown)

"""Report of the choice on the validation part: its line, everything tried, and its notes."""

import json

import numpy as np
import pytest

from reco_batch.data.split import split_ratings
from reco_batch.models.retrieval import choose as choosing
from reco_batch.models.retrieval.choose import LADDER, choose
from reco_batch.progress.reporter import NotedStage, stage_line
from reco_batch.progress.terminal import wrap
from reco_batch.settings.hyperparameters import HybridParameters, TowerParameters
from reco_batch.settings.search_space import values_of

SMALL = HybridParameters(tower=TowerParameters(embedding_dim=8, steps=2))


class Notes(NotedStage):
    """Stage that keeps its last note and ignores epochs."""

    def __init__(self):
        super().__init__(None, print)

    def advance(self, steps):
        """Ignore an epoch."""


def chosen_of(dataset, stage, *, measured=True, last=()):
    """Choose on the planted ratings."""
    split, ratings = split_ratings(dataset.ratings, by="random", seed=42), dataset.ratings
    validation = ratings.take(split.validation if measured else split.validation[:0])
    train = ratings.take(split.train)
    return choose(SMALL, dataset, train, validation, last=dict(last), seed=42, stage=stage)


@pytest.fixture(scope="module")
def stage():
    """Stage of the choice of `chosen`."""
    return Notes()


@pytest.fixture(scope="module")
def chosen(sittings, stage):
    """Choice without a last run."""
    return chosen_of(sittings, stage)


def test_everything_tried_has_a_step_its_values_and_metrics(chosen):
    """The current value of a step comes first, and the chosen one has the best lists of its row."""
    assert json.loads(json.dumps(chosen.tried)) == chosen.tried
    steps = {}
    for entry in chosen.tried:
        assert {"ndcg@10", "recall@10"} < entry.keys()
        if entry["values"]:
            assert entry["name"] == ", ".join(entry["values"]) or entry["name"].startswith("give")
            assert entry["values"].keys() <= LADDER.keys()
        steps.setdefault(entry["name"], []).append(entry["values"])
    assert steps["neighbours.kind"] == [{"neighbours.kind": k} for k in ("slim", "ordered", "walk")]
    assert steps["recency"][0] == {"recency": values_of(SMALL)["recency"]}
    assert steps["chosen lists"] == steps["most popular"] == [{}]


def test_the_line_has_the_metric_of_the_lists_and_of_the_alternatives(chosen, stage):
    """Two lines of 80 columns at most, with the name of the stage."""
    assert f"share {chosen.values['neighbour_share']:g}" in stage.text
    for entry in chosen.tried:
        if entry["name"] == "neighbours.kind":
            assert f"{entry['values']['neighbours.kind']}" in stage.text
            assert f"{entry['ndcg@10']:.3f}" in stage.text
        if entry["name"] == "most popular":
            assert f"most popular {entry['ndcg@10']:.3f}; " in stage.text
    assert stage.text.startswith("NDCG@10 0.")
    line = stage_line("choose for this catalogue", 1234.5, stage.text)
    assert len(wrap(line, 78)) <= 2


def test_without_a_measure_the_line_names_the_origin_of_the_values(sittings):
    """`--choose off`: nothing is tried."""
    stage = Notes()

    first = chosen_of(sittings, stage, measured=False)
    assert (stage.text, first.tried, first.notes) == (
        "defaults, since nothing was measured",
        [],
        (),
    )

    again = chosen_of(sittings, stage, measured=False, last={"recency": 0.5})
    assert (stage.text, again.values["recency"]) == ("values of the last run", 0.5)


@pytest.mark.parametrize("enough", [0.3, 1.0, None])
def test_giving_way_to_popularity_is_noted(monkeypatch, sittings, enough):
    """Until no metric is worse: the note has the share, the entries have what was tried."""
    ladder = choosing._Ladder(SMALL, frozenset(LADDER), has_last=False)

    def metrics_of(parameters):
        share = parameters.popularity_share
        is_popular = parameters.neighbour_share == 0
        good = is_popular or (enough is not None and share >= enough)
        return {"ndcg@10": np.array([0.2 if good else 0.1]), "goal": np.array([0.2])}

    blend = type("Blend", (), {"measured": staticmethod(metrics_of)})

    (note,) = choosing._give_way(ladder, blend, metrics_of(SMALL))

    tried = [entry["values"] for entry in ladder.tried if entry["name"] == choosing.GIVE_WAY]
    assert note.startswith("on validation, personal lists were worse than the most popular movies")
    if enough is None:
        assert note.endswith("which are published instead")
        assert (ladder.parameters.popularity_share, ladder.parameters.tower_share) == (1, 0)
        assert len(tried) == 4
    else:
        assert note.endswith(f"popularity was added, with a share of {enough:g}")
        assert ladder.parameters.popularity_share == enough
        assert tried[-1] == {"popularity_share": enough}
    assert choosing._give_way(ladder, blend, dict.fromkeys(("ndcg@10", "goal"), np.ones(1))) == ()

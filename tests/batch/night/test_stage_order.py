"""Order of a run: every combination of options gives stages whose needs come before them."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from reco_batch.night.stage_order import order_of
from reco_batch.night.train_and_refit import Trainings


def stages_of(*, has_stars=True, refits=True, candidates=None, folds_in=True):
    """Return the stages of a run, with stand-ins for all work."""
    config = SimpleNamespace(
        refits=refits,
        ranked_candidates=candidates,
        because=True,
        parameters=SimpleNamespace(
            retrieval=SimpleNamespace(chooses=True, folds_in=folds_in),
            rating=SimpleNamespace(folds_in=folds_in, continues=True),
        ),
    )
    movies = SimpleNamespace(catalogue=("1", "2"), genres=(), ids=("1", "2"))
    dataset = SimpleNamespace(user_ids=("1",), movies=movies, has_stars=has_stars, ratings=range(3))
    writer = SimpleNamespace(
        folder=Path("run"),
        models=Path("run/models"),
        catalogue=Path("run/movies.parquet"),
        split=Path("run/split.parquet"),
        histories=Path("run/histories.parquet"),
        lists=lambda family: Path("run/lists") / family.name,
        metrics=lambda group: Path("run/evaluation") / group,
    )
    trainings = object.__new__(Trainings)
    model = SimpleNamespace(epochs=lambda _: 5, continued_epochs=lambda _: 1)
    trainings._dataset, trainings._config, trainings._writer = dataset, config, writer
    trainings._popular = ("popularity",)
    trainings._models = {"retrieval": model} | ({"rating": model} if has_stars else {})
    lists = SimpleNamespace(
        **dict.fromkeys(
            (
                "popular",
                "user",
                "similar",
                "next",
                "save_retrieval",
                "ranked",
                "save_rating",
            )
        )
    )
    return order_of(config, dataset, None, writer, trainings=trainings, lists=lists, finish=print)


@pytest.mark.parametrize(
    ("has_stars", "refits", "candidates"), list(product((True, False), (True, False), (None, 10)))
)
def test_needs_come_first(has_stars, refits, candidates, monkeypatch):
    """A stage needs stages of the list only, and no rating stage exists without ratings."""
    monkeypatch.setattr(
        "reco_batch.night.train_and_refit.DataSize", SimpleNamespace(of=lambda _: None)
    )

    stages = stages_of(has_stars=has_stars, refits=refits, candidates=candidates)

    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names)
    assert all(need in names for stage in stages for need in stage.needs)
    assert ("measure rating" in names) == ("score ranked lists" in names) == has_stars
    assert ("refit retrieval" in names) == refits
    found = {stage.name: (stage.after, stage.total) for stage in stages}
    if has_stars:
        assert found["train rating"] == (None, 5)
    if has_stars and refits:
        continues = candidates is None
        assert found["refit rating"] == (("train rating", 1) if continues else (None, 5))
        assert (names.index("train rating") < names.index("refit rating")) == continues


@pytest.mark.parametrize("folds_in", [True, False])
def test_files_for_refreshes_are_those_of_models_that_fold_in(folds_in, monkeypatch):
    """Histories are digested, and models stored, only if a refresh can use them."""
    monkeypatch.setattr(
        "reco_batch.night.train_and_refit.DataSize", SimpleNamespace(of=lambda _: None)
    )
    written = {path.name for stage in stages_of(folds_in=folds_in) for path in stage.writes}
    for_refreshes = {"histories.parquet", "retrieval.npz", "rating.npz"}
    assert written & for_refreshes == (for_refreshes if folds_in else set())

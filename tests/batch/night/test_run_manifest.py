"""Fields of the manifest that depend on the input and its split."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from reco_batch.artifact.manifests import split_of
from reco_batch.data.dataset import Events, Ratings
from reco_batch.data.split import split_ratings
from reco_batch.night.preflight import disk_bytes
from reco_batch.night.run_manifest import findings_of, input_of, lists_fingerprint
from reco_batch.night.train_and_refit import fitted_rows
from reco_batch.rules.compiled import CompiledRules
from reco_batch.rules.list_rules import NO_RULES
from reco_batch.settings.hyperparameters import PRESETS, SplitBy
from reco_batch.settings.run_config import RunConfig


@pytest.fixture
def divided(make_ratings, make_dataset):
    """Return a data set and its global split; the last 30 ratings are of three new users."""
    dataset = make_dataset(make_ratings(seed=3, at_least=14))
    ratings = dataset.ratings
    count = len(ratings)
    user = np.where(np.arange(count) < count - 30, ratings.user_index, np.arange(count) % 3)
    user[: count - 30] = np.maximum(user[: count - 30], 4)
    user[count * 3 // 4] = 3  # the first rating of this user is as late as validation
    ratings = replace(ratings, user_index=user.astype(np.int32), timestamp=np.arange(count))
    return replace(dataset, ratings=ratings), split_ratings(ratings, by=SplitBy.GLOBAL, seed=42)


def test_cold_users_are_counted(divided):
    """Users who are new after the moment are a finding, and no part of the test."""
    dataset, split = divided

    data = input_of(dataset, split)["data"]

    assert (data["cold"], data["cold_users"]) == (30, 3)
    assert data["train"] + data["validation"] + data["test"] + 30 == len(dataset.ratings)
    assert data["held_out_after"] == split.moment
    assert findings_of(dataset, split)[-1] == (
        "30 ratings of 3 users without earlier ratings, left out of the test part"
    )


def test_histories_are_counted_without_a_copy(divided, monkeypatch, tmp_path):
    """A copy of large data takes half a gigabyte."""
    dataset, split = divided
    latest = np.zeros((len(dataset.ratings), 2), np.uint32)
    latest[:, 0], latest[::3, 1] = 1, 1
    events = Events(("view", "buy"), latest, ("buy",), ("buy",))
    dataset = replace(dataset, events=events)
    expected = len(dataset.seen)
    monkeypatch.setattr(Ratings, "take", None)

    disk_bytes(RunConfig(data="-", threads=1, home=tmp_path), dataset)

    assert dataset.seen_count == expected == -(-len(dataset.ratings) // 3)
    assert input_of(dataset, split)["data"]["seen"] == expected
    every = replace(dataset, events=events._replace(seen=("view",)))
    assert "seen" not in input_of(every, split)["data"]
    assert every.seen_count == replace(dataset, events=None).seen_count == len(dataset.ratings)


@pytest.mark.parametrize(("preset", "with_validation"), [("default", True), ("notebook", False)])
def test_all_users_of_the_test_part_are_trained_on(divided, preset, with_validation):
    """Users who are new in the validation part are fitted, with either preset."""
    _, split = divided
    assert len(split.newcomers) == 1

    rows = fitted_rows(split, PRESETS[preset], seed=42)

    parts = [split.train, split.newcomers, *([split.validation] if with_validation else [])]
    np.testing.assert_array_equal(np.sort(rows), np.sort(np.concatenate(parts)))


def test_two_moments_are_two_kinds_of_split():
    """Metrics of different test parts are not compared."""
    one, other = (
        {"parameters": {"split": "global", "split_date": date}} for date in (None, "2018-01-01")
    )

    assert split_of(one) == "global"
    assert split_of(other) == "global after 2018-01-01"
    assert split_of({"parameters": {"split": "time"}}) == "time"


def test_a_date_is_given_to_the_split(divided):
    """The moment of a given date is the one in the manifest."""
    dataset, _ = divided
    date = datetime.fromtimestamp(100, UTC)

    split = split_ratings(dataset.ratings, by=SplitBy.GLOBAL, seed=42, date=date)

    assert input_of(dataset, split)["data"]["held_out_after"] == 100


def test_settings_that_decide_copied_lists_are_in_their_fingerprint(divided, tmp_path):
    """After another scale, or other kinds of seen events, a refresh computes all lists."""
    dataset, _ = divided
    config = RunConfig(data="-", threads=1, home=tmp_path)
    events = Events(("view", "buy"), np.ones((len(dataset.ratings), 2), np.uint32), ("buy",), ())
    shop = replace(dataset, events=events)
    viewed = replace(dataset, events=events._replace(seen=("view", "buy")))
    wider = config.model_copy(update={"rating_scale": (0.5, 10.0)})

    def of(*given):
        return lists_fingerprint(*given, CompiledRules(NO_RULES, NO_RULES))

    found = {of(config, dataset), of(wider, dataset), of(config, shop), of(config, viewed)}
    assert len(found) == 4
    assert of(config.model_copy(), replace(dataset)) == of(config, dataset)

"""Comparison of a staged generation with the live one."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reco_batch.gate.churn_checks as churn_module
from reco_batch.evaluation.list_statistics import ListFigures, Measured
from reco_batch.evaluation.top10_diversity import Top10Figures
from reco_batch.gate.churn_checks import compare
from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie

LIVE = "20261123T031502Z-7f3a"
CATALOGUE = [str(10 * place) for place in range(1, 21)]


class LiveValues:
    """Gate input with the values of a live generation."""

    def __init__(self, values):
        self.values = values
        self.read_suffixes = []

    def read(self, generation, suffixes):
        """Yield the value of each suffix."""
        assert generation == LIVE
        for suffix in suffixes:
            self.read_suffixes.append(suffix)
            yield suffix, self.values.get(suffix)


def encoded(ids, family):
    """Encode a list as in the key contract."""
    if family == "seen":
        return encode_ids(ids, numeric_ids=True)
    return encode_list(ids, [1.0] * len(ids), numeric_ids=True)


def generations(staged, live, titles=None, live_titles=None):
    """Return both generations, from `{family: {key: movies}}`."""
    index_of = {movie: place for place, movie in enumerate(CATALOGUE)}
    families = {}
    for family in ("user", "ranked", "similar", "seen"):
        lists = staged.get(family, {})
        arrays = {
            key: np.array([index_of.get(i, -1) for i in ids], np.int32)
            for key, ids in lists.items()
        }
        entries = sum(map(len, lists.values()))
        families[family] = ListFigures(entries=entries, sampled=arrays, lists=len(lists))
    values = {
        f"{family}:{key}": encoded(ids, family)
        for family, lists in live.items()
        for key, ids in lists.items()
    }
    for movie, title in (live_titles or {}).items():
        values[f"movie:{movie}"] = encode_movie(MovieRecord(title, None, (), 0, None))
    top10 = Top10Figures(0, 0, 0, 0, 0, 0, 0.0, 0.0)
    artifact = SimpleNamespace(titles=lambda: dict(titles or {}))
    return LiveValues(values), artifact, Measured(len(CATALOGUE), families, top10, index_of)


def compared(*sides, **more):
    """Return the comparison of a staged and a live generation."""
    given_, artifact, measured = generations(*sides, **more)
    return compare(given_, LIVE, artifact, measured)


lists_of_ten = st.lists(st.sampled_from(CATALOGUE), min_size=1, max_size=10, unique=True)
keys = st.dictionaries(st.sampled_from("abcdef"), lists_of_ten)


@given(keys, keys)
def test_churn_is_the_missing_share_of_the_live_list(staged, live):
    """The mean over the keys of both generations; None without such keys."""
    churn = compared({"user": staged}, {"user": live}).churn["user"]

    both = staged.keys() & live.keys()
    shares = [1 - len(set(staged[key]) & set(live[key])) / len(live[key]) for key in both]
    assert churn == (pytest.approx(np.mean(shares)) if both else None)


def test_only_the_top_10_counts_as_churn():
    """Changes below the tenth position do not matter."""
    live = [*CATALOGUE[:10], *CATALOGUE[15:]]

    assert compared({"user": {"a": CATALOGUE[:10]}}, {"user": {"a": live}}).churn["user"] == 0


def test_a_list_that_lost_most_of_its_movies_is_churn():
    """The gate, the report and `batch diff` all compare with the earlier list."""
    ten = CATALOGUE[:10]

    assert compared({"user": {"a": ten[:2]}}, {"user": {"a": ten}}).churn["user"] == 0.8
    assert compared({"user": {"a": ten}}, {"user": {"a": ten[:2]}}).churn["user"] == 0


def test_movies_that_left_the_catalogue_are_no_lost_history():
    """Histories of the staged generation cannot contain them."""
    kept, lost = CATALOGUE[:2]
    comparison = compared({"seen": {"a": [kept]}}, {"seen": {"a": ["99", kept, lost]}})

    assert comparison.known_history == 0.5
    assert compared({"seen": {"a": [kept]}}, {"seen": {"a": ["99"]}}).known_history is None


def test_another_order_is_no_churn():
    """Ten equal movies in another order have a churn of 0."""
    ten = CATALOGUE[:10]

    assert compared({"similar": {"a": ten[::-1]}}, {"similar": {"a": ten}}).churn["similar"] == 0


def test_movies_that_left_the_catalogue_are_churn():
    """No staged list contains them, and they are different from one another."""
    churn = compared({"user": {"a": ["77"]}}, {"user": {"a": ["99"]}}).churn["user"]

    assert churn == 1


@given(keys, keys)
def test_known_users_and_their_history(staged, live):
    """The share of users in the live generation, and of their ten newest movies that are kept."""
    comparison = compared({"seen": staged}, {"seen": live})

    both = staged.keys() & live.keys()
    kept = [len(set(staged[key]) & set(live[key])) / len(live[key]) for key in both]
    assert comparison.known_users == (len(both) / len(staged) if staged else None)
    assert comparison.known_history == (pytest.approx(np.mean(kept)) if both else None)


def test_a_longer_history_keeps_all_of_the_live_one():
    """New ratings, in any order, are no lost history."""
    comparison = compared({"seen": {"a": CATALOGUE}}, {"seen": {"a": CATALOGUE[4:12]}})

    assert comparison.known_history == 1


def test_only_the_ten_newest_movies_of_a_history_count():
    """Losing older movies of a long history does not matter."""
    comparison = compared({"seen": {"a": CATALOGUE[:10]}}, {"seen": {"a": CATALOGUE}})

    assert comparison.known_history == 1


def test_known_titles_is_the_share_of_unchanged_titles():
    """Movies of only one generation do not count."""
    comparison = compared(
        {},
        {},
        titles={"10": "One", "20": "Two", "30": "New"},
        live_titles={"10": "One", "20": "Zwei", "40": "Gone"},
    )

    assert comparison.known_titles == 0.5


def test_generations_without_a_common_key_have_no_churn():
    """The value is None, not 0."""
    comparison = compared({"user": {"a": ["10"]}, "seen": {"a": ["20"]}}, {})

    assert comparison.churn == {"user": None, "ranked": None, "similar": None}
    assert (comparison.known_users, comparison.known_history) == (0, None)
    assert comparison.known_titles is None


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"[]", b"null", b'{"i":7}', b'{"i":[1],"s":['])
def test_damaged_live_values_count_as_missing(damaged):
    """A damaged live generation is no reason to refuse its successor."""
    sides = {family: {"a": ["10"], "b": ["20"]} for family in ("user", "seen")}
    given_, artifact, measured = generations(sides, sides, titles={"10": "One"})
    given_.values |= {"user:a": damaged, "seen:a": damaged, "movie:10": damaged}

    comparison = compare(given_, LIVE, artifact, measured)

    assert comparison.churn["user"] == 0
    assert (comparison.known_users, comparison.known_titles) == (0.5, None)


def test_empty_lists_count_in_no_mean():
    """Their users are known, but an empty list has no churn."""
    sides = {"user": {"a": [], "b": ["10"]}, "seen": {"a": [], "b": ["20"]}}

    comparison = compared(sides, sides)

    assert comparison.churn["user"] == 0
    assert (comparison.known_users, comparison.known_history) == (1, 1)


def test_the_bytes_read_are_bounded(monkeypatch):
    """Fewer keys are read if lists are long, evenly spaced."""
    monkeypatch.setattr(churn_module, "_BYTES_TO_READ", 13 * 10 * 60)
    lists = {f"{place:03}": CATALOGUE[:10] for place in range(300)}
    given_, artifact, measured = generations({"ranked": lists}, {"ranked": lists})

    assert compare(given_, LIVE, artifact, measured).churn["ranked"] == 0
    assert given_.read_suffixes == [f"ranked:{place:03}" for place in range(0, 300, 5)]

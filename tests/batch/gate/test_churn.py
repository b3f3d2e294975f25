"""Comparing tonight's lists with those that are served."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reco_batch.gate.churn as comparison_module
from reco_batch.evaluation.list_statistics import ListFigures, Measured
from reco_batch.evaluation.top10_diversity import HeadFigures
from reco_batch.gate.churn import compare
from reco_store.contract.codec import MovieRecord, encode_ids, encode_list, encode_movie

LIVE = "20261123T031502Z-7f3a"
CATALOGUE = [str(10 * place) for place in range(1, 21)]


class Given:
    """The live generation's values."""

    def __init__(self, values):
        self.values = values
        self.asked = []

    def read(self, generation, suffixes):
        """Yield what there is."""
        assert generation == LIVE
        for suffix in suffixes:
            self.asked.append(suffix)
            yield suffix, self.values.get(suffix)


def encoded(ids, family):
    """Write a list as the contract has it."""
    if family == "seen":
        return encode_ids(ids, numeric_ids=True)
    return encode_list(ids, [1.0] * len(ids), numeric_ids=True)


def nights(tonight, live, titles=None, live_titles=None):
    """Make both sides from `{family: {key: movies}}`."""
    index_of = {movie: place for place, movie in enumerate(CATALOGUE)}
    families = {}
    for family in ("user", "ranked", "similar", "seen"):
        lists = tonight.get(family, {})
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
    heads = HeadFigures(0, 0, 0, 0, 0, 0, 0.0, 0.0)
    artifact = SimpleNamespace(titles=lambda: dict(titles or {}))
    return Given(values), artifact, Measured(len(CATALOGUE), families, heads, index_of)


def compared(*sides, **more):
    """Compare them."""
    given_, artifact, measured = nights(*sides, **more)
    return compare(given_, LIVE, artifact, measured)


lists_of_ten = st.lists(st.sampled_from(CATALOGUE), min_size=1, max_size=10, unique=True)
keys = st.dictionaries(st.sampled_from("abcdef"), lists_of_ten)


@given(keys, keys)
def test_churn_is_what_counting_gives(tonight, live):
    """Over the keys of both nights, the mean share that is new, of the shorter list."""
    churn = compared({"user": tonight}, {"user": live}).churn["user"]

    both = tonight.keys() & live.keys()
    shares = [
        1 - len(set(tonight[key]) & set(live[key])) / min(len(tonight[key]), len(live[key]))
        for key in both
    ]
    assert churn == (pytest.approx(np.mean(shares)) if both else None)


def test_only_the_first_ten_count():
    """What stands below is not seen."""
    live = [*CATALOGUE[:10], *CATALOGUE[15:]]

    assert compared({"user": {"a": CATALOGUE[:10]}}, {"user": {"a": live}}).churn["user"] == 0


def test_movies_that_left_the_catalogue_are_no_lost_history():
    """Nobody's history has them any more, which is what taking them off means."""
    kept, lost = CATALOGUE[:2]
    found = compared({"seen": {"a": [kept]}}, {"seen": {"a": ["99", kept, lost]}})

    assert found.known_history == 0.5
    assert compared({"seen": {"a": [kept]}}, {"seen": {"a": ["99"]}}).known_history is None


def test_order_is_no_churn():
    """The same movies in another order."""
    ten = CATALOGUE[:10]

    assert compared({"similar": {"a": ten[::-1]}}, {"similar": {"a": ten}}).churn["similar"] == 0


def test_movies_that_left_the_catalogue_are_churn():
    """They are in none of tonight's lists, and equal to no unknown one."""
    churn = compared({"user": {"a": ["77"]}}, {"user": {"a": ["99"]}}).churn["user"]

    assert churn == 1


@given(keys, keys)
def test_known_users_and_their_history(tonight, live):
    """Users whom the live night had, and what of their newest ten is seen still."""
    compared_ = compared({"seen": tonight}, {"seen": live})

    both = tonight.keys() & live.keys()
    kept = [len(set(tonight[key]) & set(live[key])) / len(live[key]) for key in both]
    assert compared_.known_users == (len(both) / len(tonight) if tonight else None)
    assert compared_.known_history == (pytest.approx(np.mean(kept)) if both else None)


def test_a_longer_history_is_the_same_history():
    """Whatever was added, in whatever order, nothing was lost."""
    compared_ = compared({"seen": {"a": CATALOGUE}}, {"seen": {"a": CATALOGUE[4:12]}})

    assert compared_.known_history == 1


def test_only_the_newest_ten_of_a_history_count():
    """What a long history lost long ago is no matter."""
    compared_ = compared({"seen": {"a": CATALOGUE[:10]}}, {"seen": {"a": CATALOGUE}})

    assert compared_.known_history == 1


def test_titles():
    """Of the movies of both nights the share whose title is the same."""
    compared_ = compared(
        {},
        {},
        titles={"10": "One", "20": "Two", "30": "New"},
        live_titles={"10": "One", "20": "Zwei", "40": "Gone"},
    )

    assert compared_.known_titles == 0.5


def test_nothing_in_common():
    """There is no figure, rather than one that looks good."""
    compared_ = compared({"user": {"a": ["10"]}, "seen": {"a": ["20"]}}, {})

    assert compared_.churn == {"user": None, "ranked": None, "similar": None}
    assert (compared_.known_users, compared_.known_history) == (0, None)
    assert compared_.known_titles is None


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"[]", b"null", b'{"i":7}', b'{"i":[1],"s":['])
def test_damaged_live_values_count_as_missing(damaged):
    """They are no reason to go on serving them."""
    sides = {family: {"a": ["10"], "b": ["20"]} for family in ("user", "seen")}
    given_, artifact, measured = nights(sides, sides, titles={"10": "One"})
    given_.values |= {"user:a": damaged, "seen:a": damaged, "movie:10": damaged}

    compared_ = compare(given_, LIVE, artifact, measured)

    assert compared_.churn["user"] == 0
    assert (compared_.known_users, compared_.known_titles) == (0.5, None)


def test_empty_lists_have_nothing_to_differ_in():
    """They are known, and count for no mean."""
    sides = {"user": {"a": [], "b": ["10"]}, "seen": {"a": [], "b": ["20"]}}

    compared_ = compared(sides, sides)

    assert compared_.churn["user"] == 0
    assert (compared_.known_users, compared_.known_history) == (1, 1)


def test_no_more_is_read_than_is_allowed(monkeypatch):
    """Of lists of a large catalogue fewer are read, evenly spaced."""
    monkeypatch.setattr(comparison_module, "_BYTES_TO_READ", 13 * 10 * 60)
    lists = {f"{place:03}": CATALOGUE[:10] for place in range(300)}
    given_, artifact, measured = nights({"ranked": lists}, {"ranked": lists})

    assert compare(given_, LIVE, artifact, measured).churn["ranked"] == 0
    assert given_.asked == [f"ranked:{place:03}" for place in range(0, 300, 5)]

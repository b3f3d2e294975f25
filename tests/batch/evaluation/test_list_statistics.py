"""Statistics of lists equal those of plain code that counts list by list."""

import itertools
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reco_batch.evaluation.list_statistics as measure_module
from reco_batch.data import columns as c
from reco_batch.evaluation.list_statistics import measure
from reco_store.contract.families import SEEN
from reco_store.contract.keys import family_suffix

OF_MOVIES = ("similar", "next")
FAMILIES = ("user", "ranked", *OF_MOVIES, "seen", "popular")


class Lists:
    """Lists in memory with the interface of an artifact, in batches of any size."""

    def __init__(
        self,
        catalogue,
        families,
        *,
        numeric=True,
        rows=3,
        ratings=(),
        parameters=None,
        eligible=None,
        caps=(),
    ):
        self.catalogue, self.families, self.rows = catalogue, families, rows
        self._eligible, self._caps = eligible, caps
        self.ratings = [*ratings, *[9] * (len(catalogue) - len(ratings))]
        self.type = pa.int64() if numeric else pa.string()
        self.write = int if numeric else str
        self.manifest = {
            "counts": {name: len(lists) for name, lists in families.items()},
            "parameters": parameters or {},
        }

    def movie_ids(self):
        """Return the catalogue."""
        return pa.array([self.write(i) for i in self.catalogue], self.type)

    def rating_counts(self):
        """Return the ratings of each movie."""
        return np.array(self.ratings)

    def eligible(self):
        """Return the eligible movies; None for all."""
        return self._eligible

    def caps(self):
        """Return the caps of the user lists."""
        return self._caps

    def has_lists(self, family):
        """Return whether there are lists of a family."""
        return family.name in self.families

    def lists(self, family, *, rows=None):  # noqa: ARG002  as the artifact's
        """Yield batches; those of `seen` have other boundaries, as on disk."""
        size = self.rows + (family == SEEN)
        lists = self.families[family.name]
        for start in range(0, len(lists), size):
            part = lists[start : start + size]
            columns = {
                c.SUFFIX: pa.array([family_suffix(family, key) for key, *_ in part], pa.string()),
                c.MOVIE_IDS: pa.array(
                    [[self.write(i) for i in ids] for _, ids, *_ in part], pa.list_(self.type)
                ),
            }
            if family != SEEN:
                scores = [row[2] for row in part]
                columns[c.SCORES] = pa.array(scores, pa.list_(pa.float32()))
            yield pa.RecordBatch.from_pydict(columns)


def counted(artifact, family, k):
    """Return the statistics of one family by counting."""
    catalogue = set(artifact.catalogue)
    gone = set(itertools.compress(artifact.catalogue, ~artifact.eligible()))
    k = len(catalogue) if k is None else k
    if family in OF_MOVIES:
        left_out = {place: (i, [i]) for place, i in enumerate(artifact.catalogue)}
    else:
        left_out = dict(enumerate(artifact.families["seen"]))
    leaves_out = family in ("user", "ranked", *OF_MOVIES)
    found = Counter()
    for place, (key, ids, *scores) in enumerate(artifact.families[family]):
        found["lists"] += 1
        found["entries"] += len(ids)
        known = [i for i in ids if i in catalogue]
        found["duplicates"] += len(set(known)) < len(known)
        found["unknown"] += len(known) < len(ids)
        found["ineligible"] += family != "seen" and not gone.isdisjoint(known)
        if scores:
            values = np.float32(scores[0])
            found["not_finite"] += not np.isfinite(values).all()
            found["unordered"] += any(a < b for a, b in pairwise(values))
            ratings = artifact.ratings[place : place + 1] if family in OF_MOVIES else [9]
            judged = ratings != [] and ratings[0] < 3
            found["judged"] += not judged
            found["flat"] += not judged and len(values) > 1 and values[0] == values[-1]
        if leaves_out and place not in left_out:
            found["misplaced"] += 1
        elif leaves_out:
            owner, excluded = left_out[place]
            found["misplaced"] += str(owner) != str(key)
            found["excluded"] += bool(set(excluded) & set(known))
            found["full"] += len(ids) >= min(k, len(catalogue - gone - set(excluded)))
    return found


def require_counted(artifact, *, k, ranked_k):
    """Compare all families with counting."""
    measured = measure(artifact, k=k, ranked_k=ranked_k)

    for family in FAMILIES:
        wanted = counted(artifact, family, ranked_k if family == "ranked" else k)
        figures = measured.families[family]
        names = [name for name in figures.__slots__ if name != "sampled"]
        assert {name: getattr(figures, name) for name in names} == {n: wanted[n] for n in names}
    return measured


ids_of_nothing = st.integers(1000, 1003)
scores = st.sampled_from([0.0, 1.0, 1.0, 2.0, -1.0, np.nan, np.inf])


@st.composite
def artifacts(draw):
    """Draw small artifacts with every kind of fault."""
    catalogue = draw(st.lists(st.integers(1, 40), min_size=1, max_size=12, unique=True))
    movie = st.one_of(st.sampled_from(catalogue), st.sampled_from(catalogue), ids_of_nothing)

    def lists(keys):
        made = []
        for key in keys:
            ids = draw(st.lists(movie, max_size=6))
            values = draw(st.lists(scores, min_size=len(ids), max_size=len(ids)))
            made.append((key, ids, values))
        return made

    users = [str(user) for user in range(draw(st.integers(0, 9)))]
    some = draw(st.permutations(users))[: draw(st.integers(0, len(users)))]
    seen = st.lists(st.sampled_from([*catalogue, 1000]), max_size=6, unique=True)
    families = {
        "user": lists(draw(st.sampled_from([users, some]))),
        "ranked": lists(users),
        **{
            family: lists(draw(st.sampled_from([catalogue, catalogue[::-1], catalogue[1:]])))
            for family in OF_MOVIES
        },
        "seen": [(user, draw(seen)) for user in draw(st.sampled_from([users, users[1:]]))],
        "popular": lists(["most_rated"]),
    }
    ratings = draw(st.lists(st.integers(0, 5), max_size=len(catalogue)))
    numeric, rows = draw(st.booleans()), draw(st.integers(1, 4))
    shares = st.sampled_from([True, True, False])
    size = len(catalogue)
    eligible = np.array(draw(st.lists(shares, min_size=size, max_size=size)))
    return Lists(
        catalogue, families, numeric=numeric, rows=rows, ratings=ratings, eligible=eligible
    )


@given(artifacts(), st.integers(1, 8), st.one_of(st.none(), st.integers(1, 8)))
@settings(max_examples=200)
def test_statistics_equal_counting(artifact, k, ranked_k):
    """Every fault counts once for each list, in batches of any size."""
    require_counted(artifact, k=k, ranked_k=ranked_k)


@given(artifacts(), st.integers(1, 50))
@settings(max_examples=100)
def test_statistics_do_not_depend_on_the_tile_size(artifact, cells):
    """Statistics do not depend on the number of lists in a tile."""
    whole = measure(artifact, k=5, ranked_k=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure_module, "_CELLS", cells)
        parts = measure(artifact, k=5, ranked_k=None)

    for family in FAMILIES:
        ours, theirs = whole.families[family], parts.families[family]
        names = [name for name in ours.__slots__ if name != "sampled"]
        assert [getattr(ours, n) for n in names] == [getattr(theirs, n) for n in names]
    assert whole.top10 == parts.top10


def falling(ids):
    """Return falling scores."""
    return [float(-place) for place, _ in enumerate(ids)]


def with_users(lists, catalogue, seen=None):
    """Return an artifact whose users have these lists."""
    keys = [str(user) for user in range(len(lists))]
    user = [(key, ids, falling(ids)) for key, ids in zip(keys, lists, strict=True)]
    families = {
        "user": user,
        "ranked": user,
        **{family: [(i, [], []) for i in catalogue] for family in OF_MOVIES},
        "seen": [(key, (seen or {}).get(key, [])) for key in keys],
        "popular": [],
    }
    return Lists(catalogue, families)


@given(st.lists(st.permutations(range(12)), min_size=1, max_size=12), st.integers(1, 12))
def test_top_10_diversity_equals_counting(orders, length):
    """Distinct lists, covered movies, and the most frequent first movie."""
    lists = [order[:length] for order in orders]

    top10 = measure(with_users(lists, range(12)), k=length, ranked_k=length).top10

    tens = [tuple(ids[:10]) for ids in lists]
    assert top10.lists == len(lists)
    assert top10.distinct == len(set(tens))
    assert top10.covered == len(set().union(*tens))
    assert top10.coverable == min(12, 10 * len(lists))
    assert top10.most_first == max(Counter(ids[0] for ids in lists).values())
    assert top10.pairs == 0  # twelve movies are too few


def test_an_unknown_movie_in_a_history_excludes_nothing():
    """Least of all the last movie of the user before."""
    artifact = with_users([[0, 2], [0, 1]], range(3), {"1": [1000]})

    assert measure(artifact, k=2, ranked_k=2).families["user"].excluded == 0


@pytest.mark.parametrize(
    ("rule", "repeated"),
    [
        ("never", 1),
        ("after 3 days", 0),
        ({"purchase": "never", "view": "allowed"}, 1),
        ({"view": "after 3 days"}, 1),
        ({"purchase": "after 3 days"}, 0),
        ({"purchase": "allowed", "view": "never"}, 0),
    ],
)
def test_a_seen_movie_in_a_list_is_a_fault_unless_its_kind_may_return(rule, repeated):
    """A rule for kinds that are not seen lets no movie of the history return."""
    artifact = with_users([[0, 2], [0, 1]], range(3), {"1": [1]})
    artifact.manifest["parameters"] = {"rules": {"seen": rule}, "events": {"seen": ["purchase"]}}

    assert measure(artifact, k=2, ranked_k=2).families["user"].excluded == repeated


def test_empty_lists_do_not_count_as_distinct():
    """An empty list is no list."""
    top10 = measure(with_users([[], [0, 1], []], range(3)), k=2, ranked_k=2).top10

    assert (top10.lists, top10.distinct, top10.coverable) == (1, 1, 3)


@given(st.lists(st.permutations(range(40)), min_size=2, max_size=8))
def test_the_overlap_of_neighbours_equals_counting(orders):
    """The mean share of a top-10 that the next user has, too."""
    lists = [order[:15] for order in orders]
    seen = {str(user): list(range(40, 45)) for user in range(len(lists))}

    top10 = measure(with_users(lists, range(45), seen), k=15, ranked_k=15).top10

    shares = [len(set(a[:10]) & set(b[:10])) / 10 for a, b in pairwise(lists)]
    assert top10.pairs == len(shares)
    assert top10.alike == pytest.approx(np.mean(shares))


@given(
    st.permutations(range(45)),
    st.lists(st.sets(st.integers(0, 44), min_size=5, max_size=14), min_size=2, max_size=8),
)
def test_the_overlap_of_popularity_lists_equals_counting(counts, histories):
    """Popularity lists contain the most popular unseen movies of each user."""
    lists = [[i for i in range(45) if i not in seen][:15] for seen in histories]
    seen = {str(user): sorted(history) for user, history in enumerate(histories)}
    artifact = with_users(lists, range(45), seen)
    artifact.ratings = counts

    top10 = measure(artifact, k=15, ranked_k=15).top10

    hits = np.argsort(-np.array(counts), kind="stable").tolist()
    unseen = [[hit for hit in hits if hit not in history] for history in histories]
    tens = [set(some[:10]) for some in unseen]
    assert top10.popular_alike == pytest.approx(
        np.mean([len(a & b) / 10 for a, b in pairwise(tens)])
    )
    assert top10.pairs == len(tens) - 1


@pytest.mark.parametrize(("ratings", "pairs"), [(4, 0), (5, 2)])
def test_users_with_few_ratings_are_in_no_pair(ratings, pairs):
    """Popular movies are the best guess for all of them."""
    seen = {str(user): list(range(40, 40 + ratings)) for user in range(3)}

    top10 = measure(with_users([list(range(15))] * 3, range(45), seen), k=15, ranked_k=15).top10

    assert top10.pairs == pairs


@pytest.mark.parametrize(
    ("by", "ids", "scores", "unordered"),
    [
        ("highest_rated", [1, 2, 3], [4.0, 3.0, 5.0], 0),  # 3 has ten ratings, the others sixty
        ("highest_rated", [1, 3, 2], [4.0, 5.0, 3.0], 1),
        ("highest_rated", [2, 1, 3], [3.0, 4.0, 5.0], 1),
        ("highest_rated", [3, 1, 2], [5.0, 4.0, 3.0], 0),  # as an older version had it
        ("most_rated", [1, 4], [60.0, 90.0], 1),
        ("most_rated", [1, 3, 4], [60.0, 10.0, 90.0], 1),
    ],
)
def test_popularity_lists_are_ordered_within_tiers(by, ids, scores, unordered):
    """Movies above the threshold of ratings come first."""
    families = {family: [] for family in FAMILIES}
    families["popular"] = [(by, ids, scores)]
    artifact = Lists(
        [1, 2, 3, 4],
        families,
        ratings=[60, 61, 10, 90],
        parameters={"count_threshold": 50},
    )

    assert measure(artifact, k=1, ranked_k=1).families["popular"].unordered == unordered


def test_users_with_few_unseen_movies_are_in_no_pair():
    """Their lists are similar whatever is recommended."""
    lists = [list(range(30, 40))] * 3
    seen = {str(user): list(range(30)) for user in range(3)}

    top10 = measure(with_users(lists, range(40), seen), k=10, ranked_k=10).top10

    assert (top10.pairs, top10.alike) == (0, 0)


@pytest.mark.parametrize("users", [1, 5, 100, 101])
def test_samples_are_bounded_and_evenly_spaced(users, monkeypatch):
    """All of a few lists; of many about the wanted number, up to the last one."""
    monkeypatch.setattr(measure_module, "SAMPLE_LISTS", 10)
    lists = [np.roll(np.arange(12), user).tolist() for user in range(users)]

    figures = measure(with_users(lists, range(12)), k=12, ranked_k=12).families["user"]

    step = max(1, users // 10)
    assert list(figures.sampled) == [str(user) for user in range(0, users, step)]
    assert all(figures.sampled[user].tolist() == lists[int(user)][:10] for user in figures.sampled)


def test_ids_that_contain_colons_are_whole():
    """Only the first colon of a key suffix separates."""
    ids = ["a:b", "user:1", ":"]
    families = {name: [(i, [], []) for i in ids] for name in ("user", "ranked")}
    families |= {"seen": [(i, []) for i in ids], "popular": [], "similar": [("m:1", [], [])]}
    artifact = Lists(["m:1"], families, numeric=False)

    measured = measure(artifact, k=1, ranked_k=1)

    assert [measured.families[f].misplaced for f in ("user", "ranked", "similar")] == [0, 0, 0]
    assert list(measured.families["user"].sampled) == ids

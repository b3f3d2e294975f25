"""Later interactions of users, looked up in the lists that they were served."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from listed_nights import NAMES, write_night
from ranking_oracle import judge
from reco_batch.artifact.manifests import NOT_MEASURED
from reco_batch.data.dataset import Dataset, Events, Histories, Movies, Ratings
from reco_batch.errors import NightFailed
from reco_batch.evaluation import hindsight as module
from reco_batch.evaluation.hindsight import hindsight

DAY = 86_400
END = 1_000 * DAY
"""End of the generation's data."""
CATALOGUE = range(1, 131)
COUNTS = tuple(range(130, 0, -1))  # movie 1 is the most rated


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the generation that was served."""

    def make(lists, **more):
        more = {"counts": COUNTS, "data": {"newest_rating": END}, **more}
        return write_night(tmp_path, 0, lists, CATALOGUE, **more)

    return make


def today(*rows, movies=CATALOGUE, timed=True):
    """Return a data set of (user, movie, days since the end of the generation's data)."""
    users = tuple(sorted({user for user, *_ in rows}))
    ids = tuple(map(str, movies))
    at = [END + round(DAY * days) for *_, days in rows]
    ratings = Ratings(
        np.array([users.index(user) for user, *_ in rows], np.int32),
        np.array([ids.index(str(movie)) for _, movie, _ in rows], np.int32),
        None,
        np.array(at) if timed else None,
    )
    empty = (None,) * len(ids)
    return Dataset(users, Movies(ids, ids, ((),) * len(ids), empty), ratings, (0, 1))


def test_planted_interactions_have_known_figures(write):
    """One user took the second movie of a list, one the third most popular, one neither."""
    lists = {user: range(40, 130) for user in "abc"}
    found = hindsight(
        write(lists, seen={"b": [1, 2]}),
        today(("a", 41, 0.5), ("b", 5, 0.5), ("c", 39, 0.5), ("c", 40, -3)),
    )

    assert (found["generation"], found["since"], found["until"]) == (NAMES[0], END, END + DAY // 2)
    assert (found["users"], found["interactions"]) == (3, 3)
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    assert found["served"] == {
        "hit@10": pytest.approx(1 / 3, abs=1e-6),
        "recall@100": pytest.approx(1 / 3, abs=1e-6),
        "ndcg@10": pytest.approx(second / 3, abs=1e-6),
    }
    # 1 and 2 were seen, so that 5 is the third; movie 39 and 41 are among the first hundred.
    assert found["popular"] == {
        "hit@10": pytest.approx(1 / 3, abs=1e-6),
        "recall@100": 1,
        "ndcg@10": pytest.approx(third / 3, abs=1e-6),
    }
    gains = np.array([second, -third, 0])
    assert found["gain"]["ndcg@10"] == {
        "mean": pytest.approx(gains.mean(), abs=1e-6),
        "standard_error": pytest.approx(gains.std() / np.sqrt(3), abs=1e-6),
    }
    assert found["new_users"] == {"users": 0, "interactions": 0}
    assert (found["repeats"], found["new_movies"]) == (0, 0)


def test_random_lists_agree_with_brute_force(write, monkeypatch):
    """Users with long and short histories, in tiles of a few cells."""
    rng = np.random.default_rng(5)
    lists, seen, rows = {}, {}, []
    for number in range(40):
        user = f"u{number:02}"
        order = (1 + rng.permutation(len(CATALOGUE))).tolist()
        size = int(rng.integers(0, 60))
        seen[user], lists[user] = order[:size], order[size : size + 60]
        rows += [(user, movie, 0.1) for movie in rng.choice(order[size:], 3, replace=False)]
    counts = rng.permutation(len(CATALOGUE)).tolist()
    most_rated = sorted(CATALOGUE, key=lambda movie: -counts[movie - 1])
    more = {"seen": seen, "counts": counts, "parameters": {"namespace": "reco", "k": 60}}
    artifact = write(lists, **more)
    whole = hindsight(artifact, today(*rows))
    monkeypatch.setattr(module, "_CELLS", 700)

    assert hindsight(artifact, today(*rows)) == whole
    for kind, shown in (("served", lists.get), ("popular", partial(unseen, most_rated, seen))):
        for name, k in (("hit@10", 10), ("ndcg@10", 10), ("recall@100", 100)):
            expected = [
                judge(shown(user), {movie for own, movie, _ in rows if own == user}, k=k)[name]
                for user in lists
            ]
            assert whole[kind][name] == pytest.approx(np.mean(expected), abs=1e-6)


def unseen(most_rated, seen, user):
    """Return the most rated movies without those that a user has seen."""
    return [movie for movie in most_rated if movie not in seen[user]][:60]


def test_ages_are_whole_days_since_the_end_of_the_data(write):
    """A band begins at its first moment; the last one has no end."""
    artifact = write({"a": [1], "b": [1]})
    found = hindsight(
        artifact,
        today(
            ("a", 1, 0.01),
            ("a", 2, 0.99),
            ("a", 3, 1),
            ("b", 4, 6.99),
            ("b", 5, 7),
            ("b", 1, 30),
            ("a", 6, 400),
        ),
    )

    bands = {(one["from_day"], one["to_day"]): one for one in found["by_age"]}
    assert {band: (one["users"], one["interactions"]) for band, one in bands.items()} == {
        (0, 1): (1, 2),
        (1, 2): (1, 1),
        (3, 7): (1, 1),
        (7, 14): (1, 1),
        (30, None): (2, 2),
    }
    assert bands[0, 1]["served"]["hit@10"] == 1
    assert bands[1, 2]["served"]["hit@10"] == 0
    assert bands[30, None]["served"]["hit@10"] == 0.5


def test_users_without_a_list_are_counted_apart(write):
    """They were served popular movies."""
    found = hindsight(write({"a": [40]}), today(("a", 40, 1), ("n", 1, 1), ("n", 99, 1)))

    assert (found["users"], found["served"]["hit@10"]) == (1, 1)
    assert found["new_users"]["users"] == 1
    assert found["new_users"]["interactions"] == 2
    assert found["new_users"]["popular"]["hit@10"] == 1


def test_seen_and_later_movies(write):
    """A repeat is left out, an unlisted movie too; one that the catalogue lacked was missed."""
    data = today(
        ("a", 7, 1), ("a", "later", 1), ("a", "nowhere", 1), movies=[*CATALOGUE, "later", "nowhere"]
    )
    data = replace(data, movies=replace(data.movies, unlisted=1))
    found = hindsight(write({"a": [40]}, seen={"a": [7]}), data)

    assert (found["repeats"], found["new_movies"]) == (1, 1)
    assert (found["users"], found["interactions"]) == (1, 1)
    assert found["served"]["hit@10"] == found["popular"]["recall@100"] == 0


def test_only_served_users_are_measured(write):
    """The other arm of an experiment has other lists."""
    data = today(("a", 40, 1), ("b", 41, 1))

    found = hindsight(write({"a": [40], "b": [40]}), data, among=np.array([True, False]))

    assert (found["users"], found["served"]["hit@10"]) == (1, 1)


def returned(**seen):
    """Return the parameters of a generation with a rule for movies that users have seen."""
    kinds = {"events": {"seen": [*seen]}} if "rule" not in seen else {}
    return {"namespace": "reco", "rules": {"seen": seen.get("rule", seen)}, **kinds}


@pytest.mark.parametrize(
    ("parameters", "repeats", "served", "popular"),
    [
        (returned(rule="never"), 2, 0, 0),
        (returned(rule="after 30 days"), 1, 1, 1 / 2),
        (returned(view="after 30 days", buy="never"), 1, 1, 1 / 2),
        (returned(view="never", buy="never"), 2, 0, 0),
        (returned(rule="allowed"), 0, 1 / 2, 1 / 2),
        (returned(view="allowed", buy="allowed"), 0, 1 / 2, 1 / 2),
    ],
)
def test_movies_that_may_return_count(write, parameters, repeats, served, popular):
    """User a took again what the list shows and what it does not, user b something new.

    If everything may return, nothing was left out; otherwise the list shows what may.
    """
    lists, seen = {"a": [2, 40], "b": [50]}, {"a": [2, 1], "b": [2]}
    artifact = write(lists, seen=seen, parameters={"k": 3, **parameters})

    found = hindsight(artifact, today(("a", 1, 1), ("a", 2, 1), ("b", 60, 1)))

    assert found["repeats"] == repeats
    assert found["interactions"] == 3 - repeats
    if repeats == 2:  # of user a nothing is left
        assert found["users"] == 1
    assert found["served"]["recall@100"] == pytest.approx(served / found["users"], abs=1e-6)
    assert found["popular"]["recall@100"] == pytest.approx(popular, abs=1e-6)


def test_without_times_nothing_that_was_seen_is_new(write):
    """Whatever may return: each pair of the input would be."""
    artifact = write({"a": [40]}, seen={"a": [1]}, data={}, parameters=returned(rule="allowed"))

    found = hindsight(artifact, today(("a", 1, 0), ("a", 40, 0), timed=False))

    assert (found["users"], found["interactions"]) == (1, 1)


@pytest.mark.parametrize(("since", "start", "count"), [(END + DAY, 1, 1), (END - DAY, 0, 2)])
def test_a_later_time_to_count_from(write, since, start, count):
    """Arms are compared over the same time; the age of a list is that of its own data."""
    data = today(("a", 40, 1), ("a", 41, 2.5))

    found = hindsight(write({"a": [40, 41]}), data, since=since)

    assert (found["since"], found["interactions"]) == (END + start * DAY, count)
    assert found["by_age"][-1]["from_day"] == 2


def test_a_view_of_an_old_purchase_is_not_new(write):
    """Targets have the time of their newest target event."""
    data = today(("a", 40, 1), ("a", 41, 1), ("b", 42, 1))
    times = np.array([END - 5, END + 5, -1])
    ratings = replace(data.ratings, is_target=times > 0, target_time=times)

    found = hindsight(write({"a": [40, 41], "b": [42]}), replace(data, ratings=ratings))

    assert (found["users"], found["interactions"]) == (1, 1)


def test_without_times_new_pairs_of_known_users_count(write):
    """No age and no end; all pairs of new users are new."""
    artifact = write({"a": [40], "b": [41]}, seen={"a": [1], "b": [2]}, data={})
    rows = [("a", 1, 0), ("a", 40, 0), ("b", 2, 0), ("n", 3, 0)]

    found = hindsight(artifact, today(*rows, timed=False))

    assert (found["users"], found["interactions"], found["repeats"]) == (1, 1, 0)
    assert found["served"]["hit@10"] == 1
    assert (found["since"], found["until"]) == (None, None)
    assert "by_age" not in found
    assert found["new_users"]["users"] == 1


@pytest.mark.parametrize("pairs", [1, 20, 10**6])
def test_blocks_of_users_find_what_they_had_seen(monkeypatch, pairs):
    """Users with and without a history, in blocks of one, of some, and of all."""
    rng = np.random.default_rng(6)
    seen = rng.random((30, 12)) < rng.choice([0, 0.3, 0.9], 30)[:, np.newaxis]
    row, movie = np.nonzero(rng.random(seen.shape) < 0.5)
    chosen = rng.permutation(len(row))
    new = module._New(row[chosen], movie[chosen], None)
    histories = Histories(np.cumsum([0, *seen.sum(axis=1)]), np.nonzero(seen)[1].astype(np.int32))
    monkeypatch.setattr(module, "_CELLS", pairs)
    sizes, isin = [], np.isin
    monkeypatch.setattr(
        module.np, "isin", lambda *own, **more: sizes.append(len(own[0])) or isin(*own, **more)
    )

    assert (module._is_among(new, histories) == seen[new.row, new.movie]).all()
    assert max(sizes) <= max(pairs, 12)
    assert sum(sizes) == len(row)


def test_nothing_new_has_no_figures(write):
    """An input that has not changed: counts are zero, and there is no mean of nothing."""
    found = hindsight(write({"a": [40]}), today(("a", 40, 0)))

    assert (found["users"], found["interactions"], found["by_age"]) == (0, 0, [])
    assert "served" not in found


@pytest.mark.parametrize(
    ("timed", "data", "words"),
    [(False, {"newest_rating": END}, "only one"), (True, {}, "only one")],
)
def test_times_of_one_input_alone_are_not_compared(write, timed, data, words):
    """The reason is in place of the figures."""
    found = hindsight(write({"a": [40]}, data=data), today(("a", 40, 1), timed=timed))

    assert found.keys() == {"generation", NOT_MEASURED}
    assert words in found[NOT_MEASURED]


def test_targets_outside_the_histories_need_times(write):
    """Without them every purchase would be new if the histories have views alone."""
    data = today(("a", 40, 1), timed=False)
    events = Events(("view", "buy"), np.ones((1, 2), np.uint32), ("view",), ("buy",))

    found = hindsight(write({"a": [40]}, data={}), replace(data, events=events))

    assert found[NOT_MEASURED] == "without times, and buy is of no seen kind"


def test_a_damaged_artifact_is_an_error(write):
    """The night reports it in place of the figures."""
    artifact = write({"a": [40]})
    (artifact.folder / "lists" / "user.parquet").write_bytes(b"PAR1")

    with pytest.raises(NightFailed, match="damaged"):
        hindsight(artifact, today(("a", 40, 1)))

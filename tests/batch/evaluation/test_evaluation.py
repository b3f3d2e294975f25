"""Metrics of models on held-out ratings, and of their baselines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from ranking_oracle import judge
from reco_batch.data.dataset import Dataset, Events, Movies, Ratings, histories
from reco_batch.evaluation.evaluate import Evaluation
from reco_batch.metrics.list_variety import intra_list_diversity, miscalibration, tag_shares
from reco_batch.rules.compiled import CompiledRules
from reco_batch.rules.list_rules import ListRules
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.settings.hyperparameters import RankBy
from sparse_terms import dense_scores, drawn_vectors

USERS, MOVIES = 80, 24


class Fixed:
    """A trained model of given vectors."""

    def __init__(self, embeddings, alike=None):
        self._embeddings = embeddings
        self._alike = embeddings.movies if alike is None else alike

    def embeddings(self):
        """Return them."""
        return self._embeddings

    def similar_embeddings(self):
        """Return the vectors of the movies, unless others were given."""
        return self._alike


def drawn_case(seed, *, held_out_share=0.3):
    """Draw ratings of popular and other movies, some held out, and vectors with many ties."""
    rng = np.random.default_rng(seed)
    share = rng.random(MOVIES) ** 3  # of all users, who rated the movie
    share[0] = 0.95
    pairs = rng.permutation(np.flatnonzero(rng.random((USERS, MOVIES)) < share))
    ratings = Ratings(
        (pairs // MOVIES).astype(np.int32),
        (pairs % MOVIES).astype(np.int32),
        (rng.integers(1, 11, len(pairs)) / 2).astype(np.float32),
        None,
    )
    outside = np.arange(len(pairs)) < max(1, int(held_out_share * len(pairs)))
    ids = tuple(map(str, range(MOVIES)))
    movies = Movies(ids, ids, ((),) * MOVIES, (None,) * MOVIES)
    dataset = Dataset(tuple(map(str, range(USERS))), movies, ratings, (0.5, 5.0))
    vectors = Embeddings(
        rng.integers(-1, 2, (USERS, 2)).astype(np.float32),
        rng.integers(-1, 2, (MOVIES, 2)).astype(np.float32),
    )
    return (
        dataset,
        ratings.take(np.flatnonzero(~outside)),
        ratings.take(np.flatnonzero(outside)),
        vectors,
    )


def evaluation(dataset, fitted, held_out, *, rank_by=RankBy.PREDICTION, candidates=None, **more):
    """Return an evaluation."""
    return Evaluation(
        dataset,
        fitted=fitted,
        held_out=held_out,
        rank_by=rank_by,
        candidates=candidates,
        seed=0,
        threads=1,
        **more,
    )


def lists_of(scores, fitted):
    """Return each user's unseen movies by falling score; equal scores order by index."""
    lists = []
    for user in range(USERS):
        seen = set(fitted.movie_index[fitted.user_index == user].tolist())
        left = [m for m in range(MOVIES) if m not in seen]
        lists.append(sorted(left, key=lambda m: (-scores[user, m], m)))
    return lists


def by_oracle(scores, fitted, held_out):
    """Return the metrics of those lists, means over the users with held-out ratings."""
    wanted = {}
    for user, movie in zip(held_out.user_index, held_out.movie_index, strict=True):
        wanted.setdefault(int(user), set()).add(int(movie))
    lists = lists_of(scores, fitted)
    judged = [judge(lists[user], relevant, k=10) for user, relevant in wanted.items()]
    return {name: float(np.mean([row[name] for row in judged])) for name in judged[0]}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_list_metrics_equal_those_of_scikit_learn(seed):
    """Lists exclude seen movies, means users without held-out ratings; ties order by index."""
    dataset, fitted, held_out, vectors = drawn_case(seed)

    found = evaluation(dataset, fitted, held_out).of_retrieval(Fixed(vectors))

    theirs = by_oracle(vectors.users @ vectors.movies.T, fitted, held_out)
    assert {name: found["retrieval"][name] for name in theirs} == pytest.approx(theirs)
    count = np.bincount(fitted.movie_index, minlength=MOVIES)
    theirs = by_oracle(np.tile(count, (USERS, 1)), fitted, held_out)
    assert {name: found["popularity"][name] for name in theirs} == pytest.approx(theirs)


def test_lists_with_rules_are_measured_beside_those_without():
    """On the same held-out ratings: without ineligible movies, and with the boosts' order."""
    dataset, fitted, held_out, vectors = drawn_case(5)
    eligible = np.arange(MOVIES) % 3 > 0
    boost = np.where(np.arange(MOVIES) % 2, 1.0, 0).astype(np.float32)
    rules = CompiledRules(ListRules(eligible, boost), ListRules(eligible))

    plain = evaluation(dataset, fitted, held_out).of_retrieval(Fixed(vectors))
    ruled = evaluation(dataset, fitted, held_out, rules=rules).of_retrieval(Fixed(vectors))

    scores = vectors.users @ vectors.movies.T
    boosted = scores + boost * scores.std(axis=1, keepdims=True)
    gone = np.flatnonzero(~eligible)
    hidden = Ratings(
        np.repeat(np.arange(USERS, dtype=np.int32), len(gone)),
        np.tile(gone.astype(np.int32), USERS),
        None,
        None,
    )
    left_out = Ratings(
        np.concatenate([fitted.user_index, hidden.user_index]),
        np.concatenate([fitted.movie_index, hidden.movie_index]),
        None,
        None,
    )
    theirs = by_oracle(boosted, left_out, held_out)
    found = ruled.pop("retrieval_with_rules")
    assert {name: found[name] for name in theirs} == pytest.approx(theirs)
    assert found["ndcg@10"] != plain["retrieval"]["ndcg@10"]
    assert ruled.pop("lists_with_rules")["coverage@10"] <= eligible.mean()
    assert ruled == plain


def test_movies_that_may_return_are_measured_as_they_are_listed():
    """A rule on repeats puts rated movies into the lists that are measured with rules."""
    dataset, fitted, held_out, vectors = drawn_case(6)
    rules = CompiledRules(ListRules(repeats=True), ListRules(), repeat_days=0)

    found = evaluation(dataset, fitted, held_out, rules=rules).of_retrieval(Fixed(vectors))

    nothing = fitted.take(np.zeros(0, np.int64))
    theirs = by_oracle(vectors.users @ vectors.movies.T, nothing, held_out)
    assert {name: found["retrieval_with_rules"][name] for name in theirs} == pytest.approx(theirs)


def test_with_events_a_rule_on_repeats_alone_is_not_measured():
    """Lists are measured on products that are new to the user, so both would be the same."""
    dataset, fitted, held_out, vectors = drawn_case(6)
    latest = np.ones((len(dataset.ratings), 1), np.uint32)
    dataset = replace(dataset, events=Events(("view",), latest, ("view",), ("view",)))
    hidden = np.ones(MOVIES, bool)
    hidden[0] = False

    def groups(rules):
        compiled = CompiledRules(rules, ListRules(), repeat_days=0)
        return evaluation(dataset, fitted, held_out, rules=compiled).of_retrieval(Fixed(vectors))

    assert "retrieval_with_rules" not in groups(ListRules(repeats=True))
    assert "retrieval_with_rules" in groups(ListRules(hidden, repeats=True))


def test_rules_that_change_no_user_list_are_not_measured():
    """Nothing is measured twice."""
    dataset, fitted, held_out, vectors = drawn_case(5)
    rules = CompiledRules(ListRules(), ListRules())

    found = evaluation(dataset, fitted, held_out, rules=rules).of_retrieval(Fixed(vectors))

    assert not [group for group in found if group.endswith("with_rules")]


def test_the_variety_of_lists_is_a_mean_over_the_users_with_held_out_ratings():
    """Diversity by the similar vectors, miscalibration by the genres of the training ratings."""
    dataset, fitted, held_out, vectors = drawn_case(7)
    genres = tuple((("a", "b", "c")[n % 3],) * (n % 5 > 0) for n in range(MOVIES))
    dataset = replace(dataset, movies=replace(dataset.movies, genres=genres))

    found = evaluation(dataset, fitted, held_out).of_retrieval(Fixed(vectors))["lists"]

    asked = np.unique(held_out.user_index)
    top10 = np.full((USERS, 10), -1, np.int32)
    for user, listed in enumerate(lists_of(vectors.users @ vectors.movies.T, fitted)):
        top10[user, : len(listed[:10])] = listed[:10]
    seen = histories(fitted, user_count=USERS)
    variety = intra_list_diversity(top10[asked], vectors.movies)
    missed = miscalibration(top10[asked], seen.rows(asked), tag_shares(genres))
    assert found["diversity@10"] == pytest.approx(np.nanmean(variety))
    assert found["miscalibration@10"] == pytest.approx(np.nanmean(missed))
    without = evaluation(*drawn_case(7)[:3]).of_retrieval(Fixed(vectors))["lists"]
    assert "miscalibration@10" not in without
    assert without["diversity@10"] == found["diversity@10"]


def with_times(ratings, *, seed=1):
    """Return the ratings with times of about a hundred days."""
    drawn = np.random.default_rng(seed).integers(0, 100 * 86_400, len(ratings))
    return replace(ratings, timestamp=drawn)


@pytest.mark.parametrize(("group", "days"), [("popularity_7d", 7), ("popularity_30d", 30)])
def test_recent_popularity_is_a_baseline(group, days):
    """The most rated movies of the last days, ties by all ratings, then by index."""
    dataset, fitted, held_out, vectors = drawn_case(4)
    fitted = with_times(fitted)

    found = evaluation(dataset, fitted, held_out).of_retrieval(Fixed(vectors))

    late = fitted.timestamp > fitted.timestamp.max() - days * 86_400
    count = np.bincount(fitted.movie_index, minlength=MOVIES)
    recent = np.bincount(fitted.movie_index[late], minlength=MOVIES)
    theirs = by_oracle(np.tile(recent * 1000 + count, (USERS, 1)), fitted, held_out)
    assert {name: found[group][name] for name in theirs} == pytest.approx(theirs)
    assert found[group].keys() == found["popularity"].keys() - {"rmse"}
    assert found[group] != found["popularity"]
    assert found["intervals"][group].keys() == found["intervals"]["popularity"].keys()
    order = np.lexsort((-count, -recent))
    top = np.isin(held_out.movie_index, order[:5]).mean()
    assert found[group]["top_5_accuracy"] == pytest.approx(top)


def test_without_times_there_is_no_recent_popularity():
    """Other metrics are the same with and without times."""
    dataset, fitted, held_out, vectors = drawn_case(4)

    without, found = (
        evaluation(dataset, part, held_out).of_retrieval(Fixed(vectors))
        for part in (fitted, with_times(fitted))
    )

    assert found.keys() - without.keys() == {"popularity_7d", "popularity_30d"}
    assert without["retrieval"] == found["retrieval"]
    assert without["popularity"] == found["popularity"]


@pytest.mark.parametrize("group", ["retrieval", "popularity"])
def test_liked_movies_are_at_or_above_the_users_mean(group):
    """NDCG of those held-out movies alone, over the users with any."""
    dataset, fitted, held_out, vectors = drawn_case(4)
    means = [fitted.stars[fitted.user_index == u].mean(dtype=np.float64) for u in range(USERS)]
    liked = [i for i, u in enumerate(held_out.user_index) if held_out.stars[i] >= means[u] - 1e-6]
    assert 0 < len(liked) < len(held_out)

    found = evaluation(dataset, fitted, held_out).of_retrieval(Fixed(vectors))

    count = np.bincount(fitted.movie_index, minlength=MOVIES)
    scores = {
        "retrieval": vectors.users @ vectors.movies.T,
        "popularity": np.tile(count, (USERS, 1)),
    }
    theirs = by_oracle(scores[group], fitted, held_out.take(np.array(liked)))
    assert found[group]["liked_ndcg@10"] == pytest.approx(theirs["ndcg@10"])


def test_implicit_feedback_has_no_liked_movies():
    """Without stars nothing is disliked."""
    dataset, fitted, held_out, vectors = drawn_case(4)
    parts = (replace(part, rating=None) for part in (dataset.ratings, fitted, held_out))
    ratings, fitted, held_out = parts

    found = evaluation(replace(dataset, ratings=ratings), fitted, held_out)

    assert "liked_ndcg@10" not in found.of_retrieval(Fixed(vectors))["retrieval"]


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_test_users(count):
    """Every metric and interval is a number, also if no held-out movie is liked."""
    dataset, fitted, held_out, vectors = drawn_case(4)
    users = np.unique(held_out.user_index)[:count]
    few = held_out.take(np.flatnonzero(np.isin(held_out.user_index, users)))
    hated = replace(few, rating=np.full(len(few), -9, np.float32))

    found = evaluation(dataset, with_times(fitted), few).of_retrieval(Fixed(vectors))
    without = evaluation(dataset, fitted, hated).of_retrieval(Fixed(vectors))

    values = [value for name in found.keys() - {"intervals"} for value in found[name].values()]
    ends = [end for group in found["intervals"].values() for pair in group.values() for end in pair]
    assert np.isfinite([*values, *ends]).all()
    assert "liked_ndcg@10" not in without["retrieval"]


@pytest.mark.parametrize("name", ["ndcg@10", "recall@20"])
def test_one_metric_is_the_same_as_among_all(name):
    """Tuning, which computes one metric, compares the value that a run reports."""
    dataset, fitted, held_out, vectors = drawn_case(5)
    measured = evaluation(dataset, fitted, held_out)

    metrics = measured.of_retrieval(Fixed(vectors))["retrieval"]

    assert measured.retrieval_metric(Fixed(vectors), name) == metrics[name]


def linear_model(seed):
    """Draw a rating model whose predictions leave the scale now and then."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return rng.normal(0, 1, shape).astype(np.float32)

    return LinearRating(
        3.5, drawn(USERS), drawn(MOVIES), drawn(USERS, 2), drawn(MOVIES, 2), (0.5, 5.0)
    )


def test_rating_errors_equal_those_of_scikit_learn():
    """Over all ratings, and over the movies of each band of rating counts."""
    dataset, fitted, held_out, _ = drawn_case(1)
    model = linear_model(1)

    found = evaluation(dataset, fitted, held_out).of_rating(model)

    stars = model.predict(held_out.user_index, held_out.movie_index)
    assert found["rating"] == pytest.approx(
        {
            "rmse": root_mean_squared_error(held_out.rating, stars),
            "mae": mean_absolute_error(held_out.rating, stars),
        }
    )
    rated = np.bincount(fitted.movie_index, minlength=MOVIES)[held_out.movie_index]
    bands = {
        "0": rated == 0,
        "1-2": (rated >= 1) & (rated <= 2),
        "3-9": (rated >= 3) & (rated <= 9),
        "10-49": (rated >= 10) & (rated <= 49),
        "50+": rated >= 50,
    }
    assert all(inside.any() for inside in bands.values())
    assert found["rmse_by_ratings"] == pytest.approx(
        {
            name: root_mean_squared_error(held_out.rating[inside], stars[inside])
            for name, inside in bands.items()
        }
    )


@pytest.mark.parametrize("rank_by", RankBy)
def test_ranked_lists_are_measured_in_published_order(rank_by):
    """By predicted rating, or by its lower bound."""
    dataset, fitted, held_out, _ = drawn_case(11)
    model = linear_model(2)
    rated = np.bincount(fitted.movie_index, minlength=MOVIES)
    stars = np.stack(
        [
            model.mean + model.user_bias[u] + model.movie_bias + model.movies @ model.users[u]
            for u in range(USERS)
        ]
    )
    if rank_by is RankBy.BOUND:
        stars = np.clip(stars, 0.5, 5.0) - (2 / np.sqrt(rated + 1)).astype(np.float32)

    found = evaluation(dataset, fitted, held_out, rank_by=rank_by).of_rating(model)

    theirs = by_oracle(stars, fitted, held_out)
    assert theirs["ndcg@10"] > 0
    assert {name: found["ranked"][name] for name in theirs} == pytest.approx(theirs)
    first = [rated[movie] for row in lists_of(stars, fitted) for movie in row[:10]]
    assert found["ranked"]["little_known@10"] == pytest.approx(np.mean(np.array(first) <= 2))


def test_ranked_lists_of_candidates_are_measured_as_published():
    """A movie that retrieval does not propose is in no list, whatever its predicted rating."""
    dataset, fitted, held_out, vectors = drawn_case(11)
    model = linear_model(2)
    proposed = lists_of(vectors.users @ vectors.movies.T, fitted)
    users, movies = model.folded()
    stars = users @ movies.T
    for user in range(USERS):
        others = np.setdiff1d(np.arange(MOVIES), proposed[user][:12])
        stars[user, others] -= 1000

    judged = evaluation(dataset, fitted, held_out, candidates=12)
    found = judged.of_rating(model, Fixed(vectors))

    theirs = by_oracle(stars, fitted, held_out)
    assert {name: found["ranked"][name] for name in theirs} == pytest.approx(theirs)
    everything = evaluation(dataset, fitted, held_out).of_rating(model)
    assert found["ranked"] != everything["ranked"]
    assert found["rating"] == everything["rating"]


def test_without_held_out_ratings_there_is_no_metric():
    """Groups are empty, and a single metric is NaN."""
    dataset, fitted, held_out, vectors = drawn_case(3)
    nothing = evaluation(dataset, fitted, held_out.take(np.array([], np.int64)))

    assert nothing.of_retrieval(Fixed(vectors)) == {"retrieval": {}, "popularity": {}}
    assert nothing.of_rating(linear_model(0)) == {"rating": {}}
    assert np.isnan(nothing.retrieval_metric(Fixed(vectors), "ndcg@10"))


def test_the_same_seed_gives_the_same_intervals():
    """The intervals of a manifest can be computed again."""
    case = drawn_case(7)

    first, again = (evaluation(*case[:3]).of_retrieval(Fixed(case[3])) for _ in range(2))

    assert first == again
    low, high = first["intervals"]["retrieval"]["ndcg@10"]
    assert low <= first["retrieval"]["ndcg@10"] <= high


def test_each_users_metrics_are_kept():
    """Their means are the metrics of the manifest."""
    dataset, fitted, held_out, vectors = drawn_case(7)
    kept = {}
    judged = evaluation(dataset, fitted, held_out, keep=kept.__setitem__)

    found = {**judged.of_retrieval(Fixed(vectors)), **judged.of_rating(linear_model(2))}

    asked, counts = np.unique(held_out.user_index, return_counts=True)
    assert kept.keys() == {"retrieval", "popularity", "ranked", "rating"}
    for group, columns in kept.items():
        np.testing.assert_array_equal(columns["user_index"], asked)
        np.testing.assert_array_equal(columns["held_out"], counts)
        for name in columns.keys() - {"user_index", "held_out", "rmse", "mae"}:
            values = columns[name][~np.isnan(columns[name])]  # liked movies: of some users
            assert values.mean() == found[group][name]
    errors = kept["rating"]
    assert found["rating"] == {
        "rmse": pytest.approx(np.sqrt((errors["rmse"] ** 2 * counts).sum() / counts.sum())),
        "mae": pytest.approx((errors["mae"] * counts).sum() / counts.sum()),
    }


def test_errors_and_ranked_lists_have_intervals():
    """Each metric is inside its interval."""
    dataset, fitted, held_out, _ = drawn_case(7)
    found = evaluation(dataset, fitted, held_out).of_rating(linear_model(2))

    for group, name in (("rating", "rmse"), ("rating", "mae"), ("ranked", "ndcg@10")):
        low, high = found["intervals"][group][name]
        assert low < found[group][name] < high


def test_ranked_lists_have_a_baseline():
    """Each user's unseen movies by their mean rating, shrunk towards the mean of all ratings."""
    dataset, fitted, held_out, _ = drawn_case(7)
    mean = fitted.stars.mean()
    counts = np.bincount(fitted.movie_index, minlength=MOVIES)
    sums = np.bincount(fitted.movie_index, fitted.stars, minlength=MOVIES)
    shrunk = np.tile(((sums + 2 * mean) / (counts + 2)).astype(np.float32), (USERS, 1))

    found = evaluation(dataset, fitted, held_out).of_rating(linear_model(2))["ranked_means"]

    theirs = by_oracle(shrunk, fitted, held_out)
    assert {name: found[name] for name in theirs} == pytest.approx(theirs)
    assert found.keys() >= {"ndcg@10", "little_known@10"}


def _without_liked(found):
    """Return metrics without those that depend on a user's mean, which is of all ratings."""
    return {
        name: _without_liked(part) if isinstance(part, dict) else part
        for name, part in found.items()
        if name != "liked_ndcg@10"
    }


@pytest.mark.parametrize("candidates", [None, 6])
def test_unlisted_movies_are_not_expected_in_lists(candidates):
    """Lists are measured without them; their ratings are still predicted."""
    dataset, fitted, held_out, vectors = drawn_case(3)
    listed = MOVIES - 6
    with_gone = replace(dataset, movies=replace(dataset.movies, unlisted=MOVIES - listed))
    without = replace(dataset, movies=with_gone.movies.catalogue)
    kept = [part.take(np.flatnonzero(part.movie_index < listed)) for part in (fitted, held_out)]
    fewer = Embeddings(vectors.users, vectors.movies[:listed])
    model = linear_model(3)
    model_without = model._replace(
        movie_bias=model.movie_bias[:listed], movies=model.movies[:listed]
    )

    ours = evaluation(with_gone, fitted, held_out, candidates=candidates)
    theirs = evaluation(without, *kept, candidates=candidates)

    lists, wanted = ours.of_retrieval(Fixed(vectors)), theirs.of_retrieval(Fixed(fewer))
    assert lists["popularity"].pop("rmse") != wanted["popularity"].pop("rmse")
    assert _without_liked(lists) == _without_liked(wanted)
    found = ours.of_rating(model, Fixed(vectors))
    ranked = theirs.of_rating(model_without, Fixed(fewer))["ranked"]
    assert _without_liked(found["ranked"]) == _without_liked(ranked)
    stars = model.predict(held_out.user_index, held_out.movie_index)
    assert found["rating"]["mae"] == pytest.approx(np.abs(stars - held_out.rating).mean())


@pytest.mark.parametrize("unlisted", [0, 5])
def test_the_sparse_term_is_part_of_every_metric(unlisted):
    """Metrics equal those of a model whose dot products are the whole scores."""
    dataset, fitted, held_out, _ = drawn_case(7)
    dataset = replace(dataset, movies=replace(dataset.movies, unlisted=unlisted))
    vectors = drawn_vectors(np.random.default_rng(7), users=USERS, movies=MOVIES)
    one = Fixed(vectors)
    same = Fixed(Embeddings(dense_scores(vectors), np.eye(MOVIES, dtype="f4")), vectors.movies)
    measured = evaluation(dataset, fitted, held_out, candidates=6)
    rating = linear_model(7)

    assert measured.of_retrieval(one) == measured.of_retrieval(same)
    for name in ("ndcg@10", "recall@10"):
        assert measured.retrieval_metric(one, name) == measured.retrieval_metric(same, name)
    assert measured.of_rating(rating, one) == measured.of_rating(rating, same)
    less = Fixed(vectors._replace(sparse=None))
    assert measured.of_retrieval(one) != measured.of_retrieval(less)
    assert measured.of_rating(rating, one) != measured.of_rating(rating, less)

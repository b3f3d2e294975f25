"""Choice of the hybrid's hyper-parameters, on planted data in which the best ones are known."""

import re
from dataclasses import replace

import numpy as np
import pytest

from handmade_ratings import MINUTE, START, movies_of, ratings_of
from reco_batch.data.dataset import Dataset, histories
from reco_batch.metrics.ranking_metrics import per_user_metrics
from reco_batch.models.retrieval import choose as choosing
from reco_batch.models.retrieval.choose import GIVE_WAY, LADDER, LISTS, POPULAR, choose
from reco_batch.models.retrieval.hybrid_training import train_hybrid
from reco_batch.scoring.topk import top_k_blocks
from reco_batch.settings.hyperparameters import HybridParameters, NeighbourKind, TowerParameters
from reco_batch.settings.search_space import values_of, with_values

SMALL = HybridParameters(tower=TowerParameters(embedding_dim=8, batch_users=100))
DAY = 86_400


#: Name of the step in which these are chosen together.
PENALTIES_AND_SHARE = "neighbours.l1, neighbours.l2, neighbour_share"


def chosen(parts, *, last=None, parameters=SMALL, seed=1, stage):
    """Choose for a training and a validation part."""
    train, validation = parts
    pairs = [(int(own.user_index.max(initial=0)), own.movie_index.max(initial=0)) for own in parts]
    users, movies = np.max(pairs, axis=0) + 1
    dataset = Dataset(
        tuple(f"user:{user}" for user in range(users)),
        movies_of(int(movies), genres=False, years=False),
        train,
        (0.5, 5.0),
    )
    return choose(parameters, dataset, train, validation, last=last or {}, seed=seed, stage=stage)


def names_of(choice):
    """Return the names of everything that was tried."""
    return set().union(*(one["values"] for one in steps_of(choice)))


def steps_of(choice):
    """Return what was tried, without the comparison with popularity at the end."""
    return [one for one in choice.tried if one["name"] not in {LISTS, POPULAR, GIVE_WAY}]


def tried(choice, name):
    """Return the metrics of each value of one hyper-parameter."""
    return {one["values"][name]: one["ndcg@10"] for one in choice.tried if one["name"] == name}


@pytest.fixture(scope="module")
def series():
    """Users who rate the three parts of some series; the third one of the last is held out."""
    rng, kept, held_out = np.random.default_rng(0), [], []
    for user in range(300):
        start = START + int(rng.integers(1000)) * DAY
        for day, first in enumerate(3 * rng.permutation(20)[:7]):
            for part in range(3):
                rating = (user, first + part, start + day * DAY + part * MINUTE)
                (held_out if (day, part) == (6, 2) else kept).append(rating)

    return tuple(
        ratings_of(
            [rating[:2] for rating in rows],
            stars=[4] * len(rows),
            timestamps=[int(rating[2]) for rating in rows],
        )
        for rows in (kept, held_out)
    )


@pytest.fixture(scope="module")
def first(series):
    """Choice of a first run."""
    return chosen(series, stage=Quiet())


class Quiet:
    """Stage without output."""

    def note(self, text):
        """Ignore the text."""

    def advance(self, steps):
        """Ignore the steps."""

    def record_loss(self, epoch, loss):
        """Ignore the loss."""


def test_every_value_is_one_of_the_ladder(first):
    """Every hyper-parameter has a value, and the default is one to try."""
    assert first.values.keys() == LADDER.keys()
    for name in LADDER.keys() - {"tower.steps"}:
        assert first.values[name] in LADDER[name]
        assert values_of(HybridParameters())[name] in LADDER[name]
    assert first.values["tower.steps"] in tried(first, "tower.steps")
    assert names_of(first) == LADDER.keys()
    assert all(0 <= one["ndcg@10"] <= 1 for one in first.tried)


def test_every_pair_of_penalties_is_of_the_ladder():
    """The values of the last run are only believed if they are of the ladder."""
    l1s, l2s = (set(values) for values in zip(*choosing._PENALTIES, strict=True))

    assert l1s == set(LADDER["neighbours.l1"])
    assert l2s | {*choosing._STRONGER} == set(LADDER["neighbours.l2"])
    assert max(l2s) < choosing._STRONGER[0]
    assert sorted(choosing._STRONGER) == list(choosing._STRONGER)


def strengthened(first, best, *, has_last=False, noise=0.0):
    """Return the L2 penalty that a ladder ends with, and those that it measured.

    The gains of users are up to `noise` times the mean gain away from it.
    """
    parameters = with_values(SMALL, {"neighbours.l2": first})
    ladder = choosing._Ladder(parameters, frozenset(LADDER), has_last=has_last)

    def measure(parameters):
        away = abs(np.log(parameters.neighbours.l2 / best))
        return {"goal": -away * (1 + noise * np.tile([-1.0, 0.0, 1.0], 3))}

    ladder.strengthen(measure)
    tried = [one["values"]["neighbours.l2"] for one in ladder.tried]
    return ladder.parameters.neighbours.l2, tried


def test_a_penalty_is_raised_as_long_as_the_lists_get_better():
    """The next larger one is not tried where the one before it is worse."""
    assert strengthened(60.0, 600.0) == (600.0, [200.0, 600.0, 2000.0])
    assert strengthened(60.0, 60.0) == (60.0, [200.0])
    assert strengthened(60.0, 1e6)[0] == 6000.0
    assert strengthened(60.0, 600.0, noise=3)[0] == 600.0
    assert strengthened(60.0, 600.0, noise=5) == (60.0, [200.0])  # within a standard error
    assert strengthened(20.0, 600.0) == (20.0, [])


def test_a_penalty_of_the_last_run_is_lowered_too():
    """The new data may have fewer common users."""
    assert strengthened(2000.0, 200.0, has_last=True) == (
        200.0,
        [6000.0, 600.0, 200.0, 60.0],
    )
    assert strengthened(2000.0, 6000.0, has_last=True)[0] == 6000.0
    assert strengthened(6000.0, 6000.0, has_last=True) == (6000.0, [2000.0])


@pytest.mark.slow
def test_the_same_data_have_the_same_choice(series, first, stage):
    """To the last digit of everything that was tried."""
    assert chosen(series, stage=stage) == first
    assert re.fullmatch(
        r"NDCG@10 (0\.9\d\d|1\.000), most popular 0\.0\d\d; slim neighbours alone \d\.\d{3} "
        r"\(ordered \d\.\d{3}, walk 0\.\d{3}\), share [\d.]+",
        stage.notes[-1],
    )


def test_the_best_kind_is_chosen(first):
    """In planted series the other parts follow; a walk goes on to popular movies as well."""
    walk = tried(first, "neighbours.kind")[NeighbourKind.WALK]

    assert first.values["neighbours.kind"] == NeighbourKind.SLIM
    assert first.tried[0]["ndcg@10"] > walk + 0.2


@pytest.mark.slow
def test_the_last_runs_values_give_way_to_a_clear_gain(series, stage):
    """The last run may have been on other data."""
    again = chosen(series, last={"neighbours.kind": "walk", "half_trust": 20.0}, stage=stage)

    assert again.values["neighbours.kind"] != NeighbourKind.WALK
    assert again.values["half_trust"] < 20.0


@pytest.mark.slow
def test_the_last_runs_values_stay_without_a_gain(series, stage):
    """Among equally good kinds, the last run's is kept."""
    again = chosen(series, last={"neighbours.kind": "ordered"}, stage=stage)

    assert again.values["neighbours.kind"] == NeighbourKind.ORDERED


@pytest.mark.parametrize(
    ("has_last", "gains", "kept"),
    [
        (False, [0.1, 0.1, 0.1, 0.1], 2.0),
        (False, [1, -0.5, -0.2, -0.2], 2.0),
        (False, [1, -1, 0, 0], 1.0),
        (True, [0.1, 0.1, 0.1, 0.1], 2.0),
        (True, [1, -0.5, -0.2, -0.2], 1.0),  # 0.025, and its standard error is 0.3
        (True, [1, -1, 0, 0], 1.0),
    ],
)
def test_after_a_last_run_a_gain_must_exceed_its_standard_error(has_last, gains, kept):
    """A first run keeps the best value, whatever the gain."""
    base = np.array([0.5, 0.2, 0.3, 0.4])
    ladder = choosing._Ladder(
        replace(SMALL, half_trust=1.0), frozenset({"half_trust"}), has_last=has_last
    )

    def measure(parameters):
        return {choosing._GOAL: base + (np.array(gains) if parameters.half_trust == 2.0 else 0)}

    found = ladder.step([{"half_trust": 2.0}], measure)

    assert ladder.parameters.half_trust == kept
    expected = base + np.array(gains) if kept == 2.0 else base
    np.testing.assert_array_equal(found[choosing._GOAL], expected)


@pytest.mark.slow
def test_values_of_a_parameter_file_are_not_chosen(series, stage):
    """Neither the last run's values nor any gain replaces them."""
    own = {"neighbours.kind": NeighbourKind.WALK, "half_trust": 8.0, "recent_days": 14}

    choice = chosen(
        series,
        last={"neighbours.kind": "ordered", "half_trust": 1.0},
        parameters=with_values(SMALL, own),
        stage=stage,
    )

    assert own.items() <= choice.values.items()
    for name, value in own.items():
        assert {one["values"].get(name, value) for one in steps_of(choice)} == {value}
    assert names_of(choice) == LADDER.keys() - {"neighbours.l1", "neighbours.l2"}


LAST = {
    "neighbours.kind": "walk",
    "recency": 0.5,
    "dislike_weight": -0.5,
    "tower_share": 0,
    "recent_days": 7,
}


def test_without_validation_the_last_runs_values_stay(series, stage):
    """As with `--choose off`; without a last run they are the defaults."""
    train, validation = series
    nothing = train, validation.take(np.arange(0))

    start = chosen(nothing, stage=stage)
    again = chosen(nothing, last=LAST, stage=stage)

    defaults = {name: values_of(SMALL)[name] for name in LADDER}
    assert start == (defaults, [], ())
    assert again == (defaults | LAST, [], ())
    given_way = {"popularity_share": 3.0, "neighbour_share": 0.0}  # not on the ladder
    assert chosen(nothing, last=given_way, stage=stage).values == defaults | given_way


def test_held_out_ratings_of_unlisted_movies_alone_choose_nothing(series, stage):
    """No list may contain such a movie, so no user can be measured."""
    train, validation = series
    movies = int(max(train.movie_index.max(), validation.movie_index.max())) + 2
    users = int(train.user_index.max()) + 1
    unlisted = replace(movies_of(movies, genres=False, years=False), unlisted=1)
    dataset = Dataset(tuple(f"user:{user}" for user in range(users)), unlisted, train, (0.5, 5.0))
    held_out = replace(validation, movie_index=np.full_like(validation.movie_index, movies - 1))

    found = choose(SMALL, dataset, train, held_out, last={}, seed=1, stage=stage)

    assert found.tried == []


@pytest.mark.parametrize(
    "damaged",
    [
        {"colour": 1, "neighbours": {"kind": "walk"}, "tower.epochs": 1, "": None},
        {"neighbours.kind": "ease", "recency": "0.5", "tower.steps": -2, "half_trust": 1e300},
        {"neighbours.kind": 2, "recency": [0.5], "tower.steps": {"steps": 24}, "half_trust": None},
        {
            "neighbours.l2": float("nan"),
            "tower.steps": 0,
            "recent_days": 7.5,
            "neighbour_share": float("inf"),
        },
    ],
    ids=["names", "values", "types", "numbers"],
)
def test_unknown_values_of_a_manifest_are_not_used(series, damaged, stage):
    """The manifest may be damaged, or of another version."""
    train, validation = series
    nothing = train, validation.take(np.arange(0))

    assert chosen(nothing, last=damaged, stage=stage) == chosen(nothing, stage=stage)


@pytest.mark.slow
def test_an_unknown_value_does_not_make_a_run_the_second(series, first, stage):
    """The first run's rule applies: the best value, whatever the gain."""
    assert chosen(series, last={"tower.steps": "24"}, stage=stage) == first


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["stars", "times"])
def test_steps_without_data_are_skipped(series, lacking, stage):
    """Without stars nothing is disliked; without times nothing is newer or recent."""
    without = {"rating": None} if lacking == "stars" else {"timestamp": None}
    parts = tuple(replace(part, **without) for part in series)

    choice = chosen(parts, stage=stage)

    missing = {
        "stars": {"dislike_weight"},
        "times": {"recency", "recent_days", "recent_share"},
    }[lacking]
    assert names_of(choice) == LADDER.keys() - missing
    assert choice.values.keys() == LADDER.keys()
    kinds = {*tried(choice, "neighbours.kind"), NeighbourKind.SLIM}
    assert (NeighbourKind.ORDERED in kinds) == (lacking == "stars")


@pytest.mark.slow
def test_an_order_without_times_is_not_kept(series, stage):
    """The last run had times; without them its kind is SLIM, by that name."""
    parts = tuple(replace(part, timestamp=None) for part in series)

    found = chosen(parts, last={"neighbours.kind": "ordered"}, stage=stage)

    of_slim = chosen(parts, stage=stage).tried[0]
    assert of_slim["values"] == {"neighbours.kind": "slim"}
    assert found.tried[0] == of_slim


def genre_pairs(*, users=120):
    """Yield users who rate two of four genres, 15 movies each, in random order."""
    rng = np.random.default_rng(0)
    for user in range(users):
        one, other = rng.choice(4, 2, replace=False)
        yield user, 15 * one + rng.permutation(15), 15 * other + rng.permutation(15)


@pytest.mark.slow
def test_recency_suits_what_is_held_out(stage):
    """The newest ratings predict best if tastes change; equal weights are best for the oldest."""
    train, early, late = [], [], []
    for user, before, after in genre_pairs():
        train += [(user, movie) for movie in (*before[:10], *after[:5])]
        early += [(user, movie) for movie in before[10:]]
        late += [(user, movie) for movie in after[5:10]]
    train, early, late = (ratings_of(rows, stars=[4] * len(rows)) for rows in (train, early, late))

    of_late, of_early = (chosen((train, part), stage=stage) for part in (late, early))

    assert of_late.values["recency"] > of_early.values["recency"] == 0.0


@pytest.mark.slow
def test_dislikes_count_less_where_that_helps(stage):
    """Users dislike the genre of which they rated more, and go on to rate the other one."""
    train, validation, stars = [], [], []
    for user, disliked, liked in genre_pairs():
        train += [(user, movie) for movie in (*disliked[:10], *liked[:5])]
        stars += [1] * 10 + [5] * 5
        validation += [(user, movie) for movie in liked[5:10]]
    parts = (
        ratings_of(train, stars=stars, timestamps=None),
        ratings_of(validation, stars=[5] * len(validation), timestamps=None),
    )

    choice = chosen(parts, stage=stage)

    assert choice.values["dislike_weight"] <= 0
    assert tried(choice, "dislike_weight")[0.0] > tried(choice, "dislike_weight")[0.5]


def by_popularity(users=400, movies=300):
    """Make users of three ratings each, drawn by popularity alone; one more is held out."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, movies + 1)
    drawn = [
        rng.choice(movies, 4, replace=False, p=share / share.sum()).tolist() for _ in range(users)
    ]
    train = [(user, movie) for user, own in enumerate(drawn) for movie in own[:3]]
    validation = [(user, own[3]) for user, own in enumerate(drawn)]
    return tuple(ratings_of(rows, stars=[4] * len(rows)) for rows in (train, validation))


def of_lists(train, validation, lists, *, users):
    """Return the mean metrics of lists."""
    wanted = histories(validation, user_count=users)
    index = np.flatnonzero(np.diff(wanted.offsets))
    found = per_user_metrics(lists[index], wanted, index, ks=[10, 20, 100])
    return {name: own.mean() for name, own in found.items()}


@pytest.mark.slow
def test_lists_worse_than_popularity_give_way_to_it(stage):
    """No mean of the chosen lists is below that of the most popular movies."""
    train, validation = by_popularity()

    choice = chosen((train, validation), stage=stage)

    assert choice.values["popularity_share"] > 0
    model = train_hybrid(
        lambda: train,
        movies=movies_of(300, genres=False, years=False),
        user_ids=[str(user) for user in range(400)],
        parameters=with_values(SMALL, choice.values),
        seed=1,
        stage=stage,
    )
    seen = histories(train, user_count=400)
    users, movies, sparse = model.embeddings()
    (ours,) = top_k_blocks(users, movies, seen, k=100, threads=1, sparse=sparse)
    counts = np.bincount(train.movie_index, minlength=300).astype(np.float32)
    (popular,) = top_k_blocks(
        np.ones((400, 1), np.float32), counts[:, np.newaxis], seen, k=100, threads=1
    )
    found, floor = (
        of_lists(train, validation, block.items, users=400) for block in (ours, popular)
    )
    assert all(found[name] >= floor[name] - 1e-9 for name in floor)


@pytest.mark.slow
def test_what_is_measured_is_what_the_model_recommends(series, stage):
    """The chosen values have the metrics that the model trained with them has."""
    train, validation = series
    parameters = replace(SMALL, neighbour_share=0.7, recency=0.25, popularity_share=0.1)
    dataset = Dataset(
        tuple(f"user:{user}" for user in range(300)),
        movies_of(60, genres=False, years=False),
        train,
        (0.5, 5.0),
    )

    data = choosing._Data.of(dataset, train, validation, parameters, seed=1)
    blend = choosing._Blend(data, choosing._Neighbours(data), data.sampled)
    training = choosing._EncoderTraining(data, blend, parameters, least=parameters.tower.steps)
    training.run(stage)
    blend.encode(training.encoder(parameters), parameters)
    found = blend.measured(parameters)

    model = train_hybrid(
        lambda: train,
        movies=dataset.movies,
        user_ids=dataset.user_ids,
        parameters=parameters,
        seed=1,
        stage=stage,
    )
    users, movies, sparse = model.embeddings()
    seen = histories(train, user_count=300)
    (block,) = top_k_blocks(users, movies, seen, k=20, threads=1, sparse=sparse)
    wanted = histories(validation, user_count=300)
    expected = per_user_metrics(block.items, wanted, np.arange(300), ks=[10, 20])
    assert 0.3 < expected["ndcg@10"].mean() < 0.99
    differing = np.abs(found["ndcg@10"] - expected["ndcg@10"])
    assert (differing > 1e-6).mean() < 0.05  # near ties may swap
    assert differing.mean() < 0.005


def test_penalties_are_measured_beside_the_encoder(first):
    """Alone, the item-item half would need more weights; each pair is tried with each share."""
    steps = list(dict.fromkeys(one["name"] for one in first.tried))

    assert steps == [
        "neighbours.kind",
        "recency",
        "dislike_weight",
        "tower.steps",
        PENALTIES_AND_SHARE,
        "half_trust",
        "popularity_share",
        "tower_share",
        "recent_days, recent_share",
        choosing.LISTS,
        choosing.POPULAR,
    ]
    tried = [one["values"] for one in first.tried if one["name"] == steps[4]]
    shares = choosing.LADDER["neighbour_share"]
    pairs = {(one["neighbours.l1"], one["neighbours.l2"], one["neighbour_share"]) for one in tried}
    assert pairs >= {(*pair, share) for pair in choosing._PENALTIES for share in shares}


def test_a_strong_penalty_of_the_last_run_is_tried_with_each_share(series, stage):
    """Its share would otherwise remain that of the first run that chose the penalty."""
    last = {"neighbours.kind": "slim", "neighbours.l1": 0.5, "neighbours.l2": 600.0}

    found = chosen(series, last=last, stage=stage)

    tried = [one["values"] for one in found.tried if one["name"] == PENALTIES_AND_SHARE]
    shares = {one["neighbour_share"] for one in tried if one["neighbours.l2"] == 600.0}
    assert shares == {*LADDER["neighbour_share"]}


def test_values_of_a_parameter_file_are_recorded_with_the_others(series, stage):
    """The report finds the chosen combination among those that were tried."""
    found = chosen(series, parameters=replace(SMALL, neighbour_share=0.7), stage=stage)

    tried = [one["values"] for one in found.tried if one["name"] == PENALTIES_AND_SHARE]
    assert {one["neighbour_share"] for one in tried} == {0.7}
    assert {name: found.values[name] for name in tried[0]} in tried


def test_only_the_chosen_kind_is_fitted_with_every_penalty(series, monkeypatch, stage):
    """The weights of all penalties of a kind that is not chosen would take memory for nothing."""
    fitted = []
    weights = choosing.SlimProblem.weights

    def recorded(problem, penalties):
        fitted.append(list(penalties))
        return weights(problem, penalties)

    monkeypatch.setattr(choosing.SlimProblem, "weights", recorded)

    chosen(series, stage=stage)

    usual = (SMALL.neighbours.l1, SMALL.neighbours.l2)
    others = [pair for pair in choosing._PENALTIES if pair != usual]
    assert fitted == [[usual], [usual], others]


def test_newcomers_have_few_ratings_of_their_own(series):
    """Every fourth user of the sample with a longer history, with five drawn ratings, in order."""
    train, validation = series
    short = train.take(np.flatnonzero((train.user_index % 2 == 0) | (train.movie_index < 4)))
    dataset = Dataset(
        tuple(f"user:{user}" for user in range(300)),
        movies_of(60, genres=False, years=False),
        short,
        (0.5, 5.0),
    )
    data = choosing._Data.of(dataset, short, validation, SMALL, seed=1)

    sample, users, are_newcomers = data.newcomers()

    history = users.rated.history
    whole = histories(short, user_count=300)
    longer = [user for user in data.sample.users if len(whole.of(user)) > 5]
    np.testing.assert_array_equal(sample.users, longer[::4])
    assert are_newcomers
    assert users.own is None
    drawn = [list(history.of(row)) for row in range(len(sample.users))]
    for own, user in zip(drawn, sample.users, strict=True):
        assert len(own) == 5
        places = [list(whole.of(user)).index(movie) for movie in own]
        assert places == sorted(places)
    assert any(
        own != list(whole.of(user)[:5]) for own, user in zip(drawn, sample.users, strict=True)
    )
    np.testing.assert_array_equal(sample.seen.of(0), whole.of(sample.users[0]))

    first = [np.flatnonzero(train.user_index == user)[:5] for user in range(300)]
    few = choosing._Data.of(dataset, train.take(np.concatenate(first)), validation, SMALL, seed=1)
    assert few.newcomers() is None


def test_only_measured_steps_are_recorded(series, stage):
    """A first run ends its training at a loss; the next reaches the steps of the last run."""
    first = tried(chosen(series, stage=stage), "tower.steps")
    assert len(first) == 1

    (best,) = first
    longest = choosing._MOST_MARKS * choosing._MARK_STEPS
    again = tried(chosen(series, last={"tower.steps": longest}, stage=stage), "tower.steps")

    assert again.keys() == {longest}, "the lists are as good again after a loss"
    assert again[longest] >= first[best]


@pytest.mark.slow
def test_a_sample_of_many_users_is_measured(series, stage):
    """The sample has the given size, and depends on the seed; all users train the models."""
    train, validation = series
    few = replace(SMALL, choosing_users=40)

    found = chosen(series, parameters=few, stage=stage)

    of_forty = np.sort(np.random.default_rng(1).choice(300, 40, replace=False))
    only = validation.take(np.flatnonzero(np.isin(validation.user_index, of_forty)))
    assert found == chosen((train, only), stage=stage)
    assert found != chosen(series, parameters=few, seed=2, stage=stage)


@pytest.mark.slow
def test_a_choice_from_more_ratings_than_the_budget_is_that_of_some_users(series, stage):
    """The ratings of 50 users, 20 each, are within the budget; those of the others are not used."""
    train, validation = series
    drawn = np.sort(np.random.default_rng(1).permutation(300)[:50])

    def alone(part):
        own = part.take(np.flatnonzero(np.isin(part.user_index, drawn)))
        return replace(own, user_index=np.searchsorted(drawn, own.user_index).astype(np.int32))

    within = replace(SMALL, choosing_ratings=20 * 50 + 19)
    found = chosen(series, parameters=within, stage=stage)

    assert found == chosen((alone(train), alone(validation)), stage=stage)


def test_ratings_within_the_budget_are_all_used(series, monkeypatch, stage):
    """No user is left out of data that are as large as the budget."""
    monkeypatch.setattr(choosing, "_climb", lambda _, data, __: sizes.append(len(data.train)) or ())
    sizes: list[int] = []

    for most in (len(series[0]), len(series[0]) - 1):
        chosen(series, parameters=replace(SMALL, choosing_ratings=most), stage=stage)

    assert sizes[0] == len(series[0])
    assert len(series[0]) - 20 <= sizes[1] < len(series[0])


def test_scores_of_the_sample_are_bounded(series, monkeypatch):
    """A larger catalogue has a smaller sample, of at least one user."""
    train, validation = series

    def sampled(most):
        monkeypatch.setattr(choosing, "_MOST_SCORES", most)
        sample = choosing._Sample.of(train, validation, shape=(300, 60), most=200, seed=1)
        return len(sample.users)

    assert sampled(60 * 50) == 50
    assert sampled(60 * 250) == 200
    assert sampled(59) == 1


@pytest.mark.slow
def test_a_short_training_is_measured_where_it_ends(series, stage):
    """A budget can end the training before its first measurement."""
    of_an_epoch = replace(SMALL, tower=replace(SMALL.tower, most_scores=300 * 60))

    choice = chosen(series, parameters=of_an_epoch, stage=stage)

    assert tried(choice, "tower.steps").keys() == {3}

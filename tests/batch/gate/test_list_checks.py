"""Checks of a generation: which side of each threshold passes."""

import copy
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reco_batch.artifact.check import Check, at_least, at_most, exactly
from reco_batch.artifact.manifests import Manifests
from reco_batch.evaluation.list_statistics import ListFigures, Measured
from reco_batch.evaluation.top10_diversity import Top10Figures
from reco_batch.gate.churn_checks import Comparison
from reco_batch.gate.judge import check_generation
from reco_batch.settings.gate_thresholds import GateBounds

DAY = 86_400
NULL = object()  # JSON's, where None takes a field away
MANIFEST = {
    "created": "2026-11-24T03:15:00+00:00",
    "ids": "integer",
    "parameters": {"split": "random"},
    "data": {
        "name": "export",
        "users": 1000,
        "movies": 500,
        "ratings": 90_000,
        "test": 18_000,
        "newest_rating": 1_795_000_000,
        "sha256": {"ratings.csv": "aa"},
    },
    "metrics": {
        "retrieval": {"top_1_accuracy": 0.02, "top_10_accuracy": 0.2},
        "rating": {"rmse": 0.8},
        "popularity": {"top_1_accuracy": 0.01, "top_10_accuracy": 0.1, "rmse": 1.0},
    },
    "gate": {"checks": {"first_ten.coverage": {"verdict": "passed", "figure": 0.4}}},
}
TOP10 = Top10Figures(
    lists=1000,
    distinct=990,
    covered=200,
    coverable=500,
    most_first=50,
    pairs=999,
    alike=0.1,
    popular_alike=0.3,
)
COMPARISON = Comparison({"user": 0.4, "ranked": 0.3, "similar": 0.5}, 0.99, 1.0, 1.0)


def families():
    """Return statistics of sound lists that agree with the manifest."""
    whole = {"user": 1000, "ranked": 1000, "similar": 500, "next": 500, "seen": 1000, "popular": 40}
    made = {
        name: ListFigures(lists=count, full=count, judged=count) for name, count in whole.items()
    }
    made["seen"].entries = 90_000
    return made


def checked(
    *,
    staged=None,
    live=None,
    lists=None,
    top10=TOP10,
    comparison=COMPARISON,
    movies=500,
    first=False,
    without=(),
    **bounds,
):
    """Return the checks of a generation like the live one, with changes by dotted path."""
    found = {name: figures for name, figures in families().items() if name not in without}
    measured = Measured(movies, found, top10, {})
    for path, value in (lists or {}).items():
        family, name = path.split(".")
        setattr(measured.families[family], name, value)
    manifests = Manifests(changed(staged), None if first else changed(live))
    checks = check_generation(manifests, measured, comparison, GateBounds(**bounds))
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def changed(changes):
    """Return the manifest with other values at some paths; None removes a value."""
    manifest = copy.deepcopy(MANIFEST)
    for path, value in (changes or {}).items():
        *way, last = path.split("/")
        place = manifest
        for name in way:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = None if value is NULL else value
    return manifest


def refused(**changes):
    """Return the names of the refused checks."""
    return [name for name, check in checked(**changes).items() if check.verdict == "refused"]


def test_the_same_generation_again_passes():
    """Nothing is refused and nothing is a warning; identical input is noted."""
    verdicts = {name: check.verdict for name, check in checked().items()}

    assert set(verdicts.values()) == {"passed", "noted"}
    assert verdicts["input.identical"] == "noted"
    assert len(verdicts) > 50


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"purchase": "never", "view": "never"}, "skipped"),
        ({"view": "after 3 days"}, "skipped"),
        ({"purchase": "after 30 days", "view": "allowed"}, "refused"),
        ("after 30 days", "refused"),
    ],
)
def test_lists_are_judged_by_what_is_left_only_if_the_histories_tell_it(rule, verdict):
    """A view that is not seen keeps a product out of the lists, but is in no history."""
    parameters = {"split": "random", "rules": {"seen": rule}, "events": {"seen": ["purchase"]}}
    lists = {"user.full": 900, "ranked.full": 900, "user.over_cap": 1, "similar.full": 400}

    checks = checked(staged={"parameters": parameters}, lists=lists)

    names = ("user.full", "ranked.full", "user.over_cap")
    assert [checks[name].verdict for name in names] == [verdict] * 3
    assert "rules.seen" in checks["user.full"].note or verdict == "refused"
    assert checks["similar.full"].verdict == "refused"


def test_an_older_artifact_has_no_next_lists():
    """A family that an earlier version did not write is skipped with the reason."""
    checks = checked(without=["next"])

    assert checks["next.lists"].verdict == "skipped"
    assert "older" in checks["next.lists"].note
    assert [name for name, check in checks.items() if check.verdict == "refused"] == []


def test_the_first_generation_has_no_baseline():
    """Comparisons with the live generation have the verdict "no baseline"; all others are made."""
    verdicts = {n: c.verdict for n, c in checked(first=True, comparison=None).items()}

    without = {name for name, verdict in verdicts.items() if verdict == "no baseline"}
    assert without == {
        *("input.days_behind", "input.users", "input.movies", "input.ratings"),
        *("retrieval.top_1_accuracy", "retrieval.top_10_accuracy", "rating.rmse"),
        *("first_ten.coverage_drop", "churn.user", "churn.ranked", "churn.similar"),
        *("known.users", "known.history", "known.titles"),
    }
    assert set(verdicts.values()) == {"passed", "noted", "no baseline"}


@pytest.mark.parametrize(
    ("name", "just", "beyond"),
    [
        ("input.users", {"data/users": 900}, {"data/users": 899}),
        ("input.movies", {"data/movies": 450}, {"data/movies": 449}),
        ("input.ratings", {"data/ratings": 81_000}, {"data/ratings": 80_999}),
        (
            "input.days_behind",
            {"data/newest_rating": 1_795_000_000 - 7 * DAY},
            {"data/newest_rating": 1_795_000_000 - 7 * DAY - 1},
        ),
        (
            "retrieval.top_10_accuracy",
            {"metrics/retrieval/top_10_accuracy": 0.1801},
            {"metrics/retrieval/top_10_accuracy": 0.1799},
        ),
        ("rating.rmse", {"metrics/rating/rmse": 0.8399}, {"metrics/rating/rmse": 0.8401}),
    ],
)
def test_thresholds_of_manifest_checks(name, just, beyond):
    """A value at the threshold passes, a value just beyond it is refused."""
    assert name not in refused(staged=just)
    assert name in refused(staged=beyond)


@pytest.mark.parametrize(
    ("name", "just", "beyond"),
    [
        ("user.full", {"user.full": 990}, {"user.full": 989}),
        ("ranked.full", {"ranked.full": 990}, {"ranked.full": 989}),
        ("similar.full", {"similar.full": 495}, {"similar.full": 494}),
        ("next.full", {"next.full": 495}, {"next.full": 494}),
        ("user.flat", {"user.flat": 500}, {"user.flat": 501}),
        ("user.lists", {}, {"user.lists": 999, "user.full": 999}),
        ("ranked.lists", {}, {"ranked.lists": 1001}),
        ("similar.lists", {}, {"similar.lists": 499, "similar.full": 499}),
        ("seen.lists", {}, {"seen.lists": 999}),
        ("seen.ratings", {}, {"seen.entries": 89_999}),
        ("popular.lists", {"popular.lists": 1}, {"popular.lists": 0}),
        ("user.seen", {}, {"user.excluded": 1}),
        ("similar.itself", {}, {"similar.excluded": 1}),
        ("next.lists", {}, {"next.lists": 499, "next.full": 499}),
        ("next.itself", {}, {"next.excluded": 1}),
        *(
            (f"{family}.{name}", {}, {f"{family}.{name}": 1})
            for family in ("user", "ranked", "similar", "next", "seen", "popular")
            for name in ("duplicates", "unknown", "not_finite", "unordered")
        ),
        *((f"{f}.misplaced", {}, {f"{f}.misplaced": 1}) for f in ("user", "ranked", "similar")),
    ],
)
def test_thresholds_of_list_checks(name, just, beyond):
    """A value just beyond the threshold is refused by this check and no other."""
    assert refused(lists=just) == []
    assert refused(lists=beyond) == [name]


@pytest.mark.parametrize(
    ("name", "just", "beyond"),
    [
        ("first_ten.distinct", {"distinct": 100}, {"distinct": 99}),
        ("first_ten.same_first", {"most_first": 500}, {"most_first": 501}),
        ("first_ten.alike", {"alike": 0.4}, {"alike": 0.41}),
        ("first_ten.coverage_drop", {"covered": 100}, {"covered": 99}),
    ],
)
def test_thresholds_of_top_10_checks(name, just, beyond):
    """A value at the threshold passes, a value just beyond it is refused."""
    assert refused(top10=TOP10._replace(**just)) == []
    assert refused(top10=TOP10._replace(**beyond)) == [name]


def test_coverage_has_an_absolute_minimum():
    """A first generation below it is a warning."""
    assert refused(top10=TOP10._replace(covered=3, coverable=600), first=True) == []
    assert refused(top10=TOP10._replace(covered=2, coverable=600), first=True) == [
        "first_ten.coverage"
    ]


def test_overlap_of_users_is_compared_with_popularity_lists():
    """Overlap is refused if it is near that of popularity lists."""
    short = TOP10._replace(popular_alike=0.9)

    assert refused(top10=short._replace(alike=0.81)) == []
    assert refused(top10=short._replace(alike=0.82)) == ["first_ten.alike"]
    assert refused(top10=short._replace(alike=0.82), first=True, comparison=None) == [
        "first_ten.alike"
    ]
    assert refused(top10=short._replace(alike=0.5), alike=0.4) == ["first_ten.alike"]


WORSE = {"metrics/retrieval/top_10_accuracy": 0.05}


@pytest.mark.parametrize(
    ("name", "changes", "bound"),
    [
        ("similar.flat", {"lists": {"similar.flat": 500}}, {"flat_lists": 0.5}),
        ("next.flat", {"lists": {"next.flat": 500}}, {"flat_lists": 0.5}),
        (
            "first_ten.coverage",
            {"top10": TOP10._replace(covered=2, coverable=600)},
            {"coverage": 0.005},
        ),
        ("popularity.top_10_accuracy", {"staged": WORSE}, {"popularity_ratio": 1}),
    ],
)
def test_without_a_live_generation_weak_lists_are_a_warning(name, changes, bound):
    """Weak lists are better than none; a configured threshold still refuses."""
    first = checked(**changes, first=True, comparison=None)

    assert first[name].verdict == "warning"
    assert [n for n, check in first.items() if check.verdict == "refused"] == []
    assert refused(**changes, first=True, comparison=None, **bound) == [name]
    later = {"live": WORSE} if "staged" in changes else {}
    assert name in refused(**changes, **later)


def test_refused_checks_stay_refused_after_data_loss():
    """Only refused checks stay refused; those of a forced generation do not."""
    lists = {"similar.flat": 500, "next.flat": 500}
    gate = {"verdict": "refused", "checks": {"similar.flat": {"verdict": "refused"}}}

    assert refused(lists=lists, staged={"gate": gate}, first=True, comparison=None) == [
        "similar.flat"
    ]
    gate["verdict"] = "forced"
    assert refused(lists=lists, staged={"gate": gate}, first=True, comparison=None) == []


@pytest.mark.parametrize("family", ["user", "ranked"])
def test_without_a_live_generation_broken_lists_are_refused(family):
    """Lists whose scores are all equal are no recommendations."""
    lost = {f"{family}.flat": 1000}

    assert refused(lists=lost, first=True, comparison=None) == [f"{family}.flat"]


def test_flat_lists_of_rarely_rated_movies_are_not_judged():
    """The check is skipped if no movie has enough ratings."""
    found = checked(lists={"similar.judged": 0, "similar.flat": 0})

    assert (found["similar.flat"].verdict, found["similar.flat"].note) == (
        "skipped",
        "no movie has 3 ratings",
    )


def test_a_live_rating_in_the_future_does_not_make_the_input_old():
    """The live input counts as no newer than the live generation."""
    live = {"data/newest_rating": 4_070_908_800}
    created = 1_795_490_100  # as the manifest has it
    just = {"data/newest_rating": created - 7 * DAY}
    beyond = {"data/newest_rating": created - 7 * DAY - 1}

    assert refused(live=live, staged=just) == []
    assert refused(live=live, staged=beyond) == ["input.days_behind"]


def test_ratings_of_unlisted_movies_are_not_in_histories():
    """Histories must contain all other ratings."""
    unlisted = {"data/unlisted": {"movies": 3, "ratings": 1000}}

    assert refused(staged=unlisted) == ["seen.ratings"]
    assert refused(staged=unlisted, lists={"seen.entries": 89_000}) == []


def test_unlisted_movies_that_an_earlier_version_counted_are_no_loss():
    """The first run of this version is not refused for fewer movies."""
    fewer = {"data/movies": 400, "data/unlisted": {"movies": 100, "ratings": 0}}
    now = {
        "lists": {
            f"{family}.{name}": 400 for family in ("similar", "next") for name in ("lists", "full")
        },
        "movies": 400,
    }

    assert refused(staged=fewer, **now) == []
    assert refused(staged=fewer, live={"data/unlisted": {"movies": 0, "ratings": 0}}, **now) == [
        "input.movies"
    ]


def test_ranked_lists_are_compared_with_the_live_ones():
    """A lower NDCG is refused; the share of little-known movies is only noted."""
    live = {"metrics/ranked": {"ndcg@10": 0.3, "little_known@10": 0.1}}
    worse = {"metrics/ranked": {"ndcg@10": 0.2, "little_known@10": 0.9}}

    found = checked(staged=worse, live=live)

    assert refused(staged=worse, live=live) == ["ranked.ndcg@10"]
    assert (found["ranked.little_known@10"].verdict, found["ranked.little_known@10"].note) == (
        "noted",
        "live 0.1",
    )


def test_fewer_than_ten_lists_have_no_diversity_check():
    """Distinct lists and overlap are skipped."""
    alike = Top10Figures(
        lists=9,
        distinct=1,
        covered=1,
        coverable=90,
        most_first=9,
        pairs=8,
        alike=1,
        popular_alike=1,
    )

    found = checked(top10=alike)

    names = ("distinct", "same_first", "alike", "coverage", "coverage_drop")
    assert {found[f"first_ten.{name}"].verdict for name in names} == {"skipped"}


def test_a_small_catalogue_has_no_diversity_check():
    """Fewer than thirty movies have no diversity check."""
    for movies, verdicts in ((29, {"skipped"}), (30, {"refused"})):
        alike = Top10Figures(
            lists=500,
            distinct=1,
            covered=10,
            coverable=movies,
            most_first=500,
            pairs=0,
            alike=0,
            popular_alike=0,
        )
        found = checked(top10=alike)
        assert {
            found[f"first_ten.{name}"].verdict for name in ("distinct", "same_first")
        } == verdicts


@pytest.mark.parametrize(
    ("name", "just", "beyond"),
    [
        ("churn.user", {"churn": {**COMPARISON.churn, "user": 0.8}}, {"user": 0.81}),
        ("churn.ranked", {"churn": {**COMPARISON.churn, "ranked": 0.9}}, {"ranked": 0.91}),
        ("churn.similar", {"churn": {**COMPARISON.churn, "similar": 0.9}}, {"similar": 0.91}),
        ("known.users", {"known_users": 0.5}, {"known_users": 0.49}),
        ("known.history", {"known_history": 0.9}, {"known_history": 0.89}),
        ("known.titles", {"known_titles": 0.9}, {"known_titles": 0.89}),
    ],
)
def test_thresholds_of_churn_checks(name, just, beyond):
    """A value at the threshold passes, a value just beyond it is refused."""
    if name.startswith("churn"):
        beyond = {"churn": COMPARISON.churn | beyond}

    assert refused(comparison=COMPARISON._replace(**just)) == []
    assert refused(comparison=COMPARISON._replace(**beyond)) == [name]


def test_churn_without_common_keys_is_skipped():
    """The check of known users is refused, since all users are different."""
    nothing = Comparison(dict.fromkeys(COMPARISON.churn), 0.0, None, None)

    found = checked(comparison=nothing)

    assert found["churn.user"].verdict == found["known.history"].verdict == "skipped"
    assert refused(comparison=nothing) == ["known.users"]


def test_a_drop_within_chance_passes():
    """On few held-out ratings a metric may change more."""
    drop = {"metrics/retrieval/top_10_accuracy": 0.13}

    assert refused(staged=drop) == ["retrieval.top_10_accuracy"]
    assert refused(staged={**drop, "data/test": 200}) == []
    assert refused(staged=drop, live={"data/test": 200}) == []


def test_a_drop_is_judged_without_the_number_of_held_out_ratings():
    """A manifest without that number gets no allowance for chance."""
    silent = {"data/test": None}
    drop = {"metrics/retrieval/top_10_accuracy": 0.1799, **silent}

    assert refused(staged=drop, live=silent) == ["retrieval.top_10_accuracy"]


@pytest.mark.parametrize("other", [{"parameters/split": "time"}, {"parameters": None}])
def test_metrics_of_another_split_are_not_compared(other):
    """Another split measures something else, so the checks are skipped."""
    worse = {"metrics/retrieval/top_10_accuracy": 0.01}

    found = checked(staged=worse, live=other)

    assert found["retrieval.top_10_accuracy"].verdict == "skipped"
    assert found["retrieval.top_10_accuracy"].figure == 0.01


@pytest.mark.parametrize(("users", "dropped"), [(40, []), (4000, ["retrieval.ndcg@10"])])
def test_the_allowance_for_chance_depends_on_users(users, dropped):
    """Each user has one value of a ranking metric, however many ratings are held out."""
    both = {"data/test_users": users, "data/test": 10**6, "metrics/popularity": {}}

    found = refused(
        staged=both | {"metrics/retrieval": {"ndcg@10": 0.2}},
        live=both | {"metrics/retrieval": {"ndcg@10": 0.3}},
    )

    assert found == dropped


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("first", [True, False])
def test_a_metric_that_is_not_finite_is_refused(value, first):
    """With and without a live generation."""
    assert "rating.rmse" in refused(staged={"metrics/rating/rmse": value}, first=first)


def test_a_missing_group_of_metrics_is_refused():
    """One missing metric passes, since another version may compute fewer."""
    assert refused(staged={"metrics/rating": {}}) == ["rating.metrics"]
    assert refused(staged={"metrics/retrieval/top_1_accuracy": None}) == []
    assert refused(live={"metrics/rating": {}}) == []


def test_a_model_worse_than_popularity_is_refused():
    """The notebook's models are refused only with a configured threshold."""
    worse = {"metrics/retrieval": {"top_1_accuracy": 0.02, "top_10_accuracy": 0.05}}
    notebook = {"parameters/preset": "notebook"}

    good, poor = checked(), checked(staged=worse | notebook)

    assert good["popularity.top_10_accuracy"] == Check(
        *("popularity.top_10_accuracy", 2.0, "at least", 1.0, "passed", "0.2, popularity 0.1")
    )
    assert "popularity.top_10_accuracy" in refused(staged=worse)
    assert (good["popularity.rmse"].verdict, good["popularity.rmse"].figure) == ("passed", 1.25)
    assert "popularity.top_1_accuracy" not in good
    assert (poor["popularity.top_10_accuracy"].verdict) == "warning"
    assert poor["popularity.top_10_accuracy"].figure == 0.5
    strict = {"popularity_ratio": 1.1}
    assert "popularity.top_10_accuracy" in refused(staged=worse | notebook, **strict)
    assert refused(staged={"metrics/rating/rmse": 0.95}, **strict, error_rise=9) == [
        "popularity.rmse"
    ]


def test_ndcg_and_recall_are_compared_with_popularity():
    """The threshold is lowered by the allowance for chance."""
    ours = {"ndcg@10": 0.19, "recall@100": 0.31, "hit@100": 0.9}
    theirs = {"ndcg@10": 0.2, "recall@100": 0.3, "hit@100": 0.95}
    intervals = {"retrieval": {"ndcg@10": [0.17, 0.21]}}
    sides = {"metrics/retrieval": ours, "metrics/popularity": theirs}

    found = checked(staged=sides | {"metrics/intervals": intervals})

    assert {name for name in found if name.startswith("popularity.")} == {
        "popularity.ndcg@10",
        "popularity.recall@100",
    }
    assert found["popularity.ndcg@10"].verdict == "warning"
    assert found["popularity.ndcg@10"].bound == pytest.approx(1 - 3 * 0.04 / (2 * 1.96) / 0.2)
    assert "popularity.ndcg@10" in refused(staged=sides)


def hindsight(served, popular=0.2, *, users=400, chance=0.01):
    """Return a manifest's change: the lists that were served, in hindsight."""
    gain = {"mean": served - popular, "standard_error": chance}
    groups = {"served": {"ndcg@10": served}, "popular": {"ndcg@10": popular}}
    return {"hindsight": {"users": users, "gain": {"ndcg@10": gain}, **groups}}


@pytest.mark.parametrize(
    ("served", "ratio", "verdict"),
    [
        (0.3, None, "passed"),
        (0.171, None, "passed"),  # three standard errors are 0.03
        (0.169, None, "warning"),
        (0.169, 1.0, "refused"),
        (0.25, 1.5, "refused"),
        (0.271, 1.5, "passed"),
    ],
)
def test_served_lists_are_compared_with_popularity_in_hindsight(served, ratio, verdict):
    """A refusal would keep these lists, so it needs a threshold."""
    check = checked(staged=hindsight(served), hindsight_ratio=ratio)["hindsight.ndcg"]

    assert (check.verdict, check.figure) == (verdict, served / 0.2)
    assert check.bound == pytest.approx((ratio or 1) - 0.15)
    assert check.note == f"served {served}, popularity 0.2"


def test_hindsight_without_figures_is_skipped():
    """The reason is the note; without a live generation there is no check."""
    few = checked(staged=hindsight(0.1, users=9), hindsight_ratio=1)["hindsight.ndcg"]
    lost = {"hindsight": {"not_measured": "its artifact is gone"}}

    assert (few.verdict, few.note) == ("skipped", "fewer than 10 users with new interactions")
    assert checked(staged=lost)["hindsight.ndcg"].note == "its artifact is gone"
    nothing = checked(staged=hindsight(0.1, popular=0))["hindsight.ndcg"]
    assert (nothing.verdict, nothing.note) == ("skipped", "no hit of popularity to compare with")
    assert "hindsight.ndcg" not in checked()


@pytest.mark.parametrize(
    ("split", "verdict", "note"),
    [
        ("global", "refused", "0.3, popularity of the last 7 days 0.4"),
        ("time", "passed", "0.3, popularity 0.2"),
        ("random", "passed", "0.3, popularity 0.2"),
    ],
)
def test_a_global_split_is_compared_with_the_best_popularity(split, verdict, note):
    """Recent popularity is a baseline only where the test part is the future."""
    groups = {"retrieval": 0.3, "popularity": 0.2, "popularity_7d": 0.4, "popularity_30d": 0.35}
    sides = {f"metrics/{group}": {"ndcg@10": value} for group, value in groups.items()}

    found = checked(staged=sides | {"parameters/split": split}, live={"parameters/split": split})

    assert found["popularity.ndcg@10"].verdict == verdict
    assert found["popularity.ndcg@10"].note == note


def test_the_baselines_uncertainty_is_chance_too():
    """If no user has a hit, the model's interval is empty; that of the baseline is not."""
    sides = {"metrics/retrieval": {"ndcg@10": 0.0}, "metrics/popularity": {"ndcg@10": 0.02}}
    ends = {"retrieval": {"ndcg@10": [0.0, 0.0]}, "popularity": {"ndcg@10": [0.0, 0.06]}}

    assert checked(staged=sides | {"metrics/intervals": ends})["popularity.ndcg@10"].verdict == (
        "warning"
    )
    assert "popularity.ndcg@10" in refused(staged=sides)


@pytest.mark.parametrize("users", [0, 1, 2, 9])
def test_few_test_users_are_not_judged(users):
    """A single user's lists decide nothing, whether they are all hits or none."""
    both = {"data/test_users": users, "metrics/popularity": {"ndcg@10": 0.9}}
    now = both | {"metrics/retrieval": {"ndcg@10": 0.0}, "metrics/rating/rmse": 2.0}

    found = checked(staged=now, live=both | {"metrics/retrieval": {"ndcg@10": 1.0}})

    names = ("retrieval.ndcg@10", "rating.rmse", "popularity.ndcg@10")
    assert {found[name].verdict for name in names} == {"skipped"}
    assert "fewer than 10 test users" in found["retrieval.ndcg@10"].note


@pytest.mark.parametrize(("live", "now"), [(1.0, 0.9), (1.0, 0.75)])
def test_a_perfect_metric_of_twelve_users_may_fall_by_chance(live, now):
    """The share of users varies even if all of them happened to have a hit."""
    both = {"data/test_users": 12, "metrics/popularity": {}}

    assert (
        refused(
            staged=both | {"metrics/retrieval": {"hit@10": now}},
            live=both | {"metrics/retrieval": {"hit@10": live}},
        )
        == []
    )


def test_the_liked_metric_is_noted():
    """It is measured on fewer users than the others."""
    worse = {"metrics/retrieval/liked_ndcg@10": 0.0}

    found = checked(staged=worse, live={"metrics/retrieval/liked_ndcg@10": 0.9})

    assert found["retrieval.liked_ndcg@10"].verdict == "noted"


def test_the_age_of_ratings_is_refused_only_with_a_threshold():
    """Without one the age is noted."""
    old = {"data/newest_rating": 1_790_000_000}
    age = (1_795_490_100 - 1_790_000_000) / DAY

    found = checked(staged=old, live=old)["input.age_days"]

    assert (found.verdict, found.figure) == ("noted", age)
    assert refused(staged=old, live=old, rating_age_days=age) == []
    assert refused(staged=old, live=old, rating_age_days=age - 0.01) == ["input.age_days"]


def test_input_without_timestamps_has_no_age():
    """The checks of age are skipped."""
    for side in ("staged", "live"):
        found = checked(**{side: {"data/newest_rating": None}})
        assert found["input.days_behind"].verdict == "skipped"


@pytest.mark.parametrize("path", ["data/sha256", "data/name", "data/ratings", "data/newest_rating"])
def test_other_input_is_not_identical(path):
    """A difference in any property of the input counts."""
    assert "input.identical" not in checked(live={path: 7})


def test_ids_that_changed_their_type_are_a_warning():
    """Readers in other languages may depend on the type."""
    check = checked(staged={"ids": "string"})["input.ids"]

    assert check.verdict == "warning"
    assert str(check).startswith("input.ids (movie ids in values are of type string")


def test_a_live_manifest_without_gate_results_refuses_nothing():
    """Checks without a live value are skipped."""
    old = {"gate": None, "metrics": None, "data": None, "parameters": None}

    assert refused(live=old) == []


@given(st.floats(), st.floats(allow_nan=False))
@example(math.nan, 0.0)
def test_relations_compare_with_the_threshold(figure, bound):
    """NaN is refused by every relation."""
    assert (at_least("x", figure, bound).verdict == "passed") == (figure >= bound)
    assert (at_most("x", figure, bound).verdict == "passed") == (figure <= bound)
    assert (exactly("x", figure, bound).verdict == "passed") == (figure == bound)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_wider_threshold_refuses_no_more(churn, narrow, wide):
    """For any value."""
    narrow, wide = sorted((narrow, wide))
    change = COMPARISON._replace(churn={**COMPARISON.churn, "user": churn})

    if refused(comparison=change, churn=wide):
        assert refused(comparison=change, churn=narrow)


def test_a_check_as_text_and_as_json():
    """The text is short; JSON has no NaN."""
    check = at_most("churn.user", 0.9666666666, 0.8, note="of 2,000")

    assert str(check) == "churn.user 0.9667 (at most 0.8; of 2,000)"
    assert check.to_json() == {
        "verdict": "refused",
        "figure": 0.966667,
        "at_most": 0.8,
        "note": "of 2,000",
    }
    assert str(at_least("input.users", 30.0, 54.0)) == "input.users 30 (at least 54)"
    assert at_least("x", math.nan, 1).to_json()["figure"] == "nan"
    assert at_least("x", None, 1).to_json() == {
        "verdict": "skipped",
        "at_least": 1,
        "note": "no figure",
    }


def test_input_without_ratings_needs_no_ranked_lists():
    """The checks are skipped with the reason."""
    changes = {"rating_scale": NULL, "metrics/rating": {}}
    lists = {"ranked.lists": 0, "ranked.full": 0}
    for live, first in ((changes, False), (None, True)):
        checks = without_stars(changes, live=live, lists=lists, first=first)

        assert not [check for check in checks.values() if check.verdict == "refused"]
        for name in ("rating.metrics", "ranked.full"):
            assert checks[name].verdict == "skipped"
            assert "no ratings" in checks[name].note
        assert checks["ranked.lists"].verdict == "passed"


def test_ratings_that_disappeared_are_refused():
    """The live generation had ratings, so the column may be lost."""
    checks = without_stars({"metrics/rating": {}}, lists={"ranked.lists": 0})

    assert [name for name, check in checks.items() if check.verdict == "refused"] == [
        "rating.metrics"
    ]


def test_ranked_lists_without_ratings_are_refused():
    """No model could have computed them."""
    checks = without_stars({"metrics/rating": {}}, lists={"ranked.lists": 3}, first=True)

    assert checks["ranked.lists"].verdict == "refused"


def without_stars(staged, *, live=None, **other):
    """Return the checks of a generation whose manifest has null as rating scale."""
    return checked(staged={**staged, "rating_scale": NULL}, live=live, **other)

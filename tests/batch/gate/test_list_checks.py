"""Figures against bounds: on which side of each bound a night passes."""

import copy
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reco_batch.artifact.checks import Check, at_least, at_most, exactly
from reco_batch.artifact.manifests import Manifests
from reco_batch.evaluation.list_statistics import ListFigures, Measured
from reco_batch.evaluation.top10_diversity import Top10Figures
from reco_batch.gate.churn import Comparison
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
    """Sound lists, as the manifest says."""
    whole = {"user": 1000, "ranked": 1000, "similar": 500, "next": 500, "seen": 1000, "popular": 40}
    made = {
        name: ListFigures(lists=count, full=count, judged=count) for name, count in whole.items()
    }
    made["seen"].entries = 90_000
    return made


def checked(
    *,
    tonight=None,
    live=None,
    lists=None,
    top10=TOP10,
    comparison=COMPARISON,
    movies=500,
    first=False,
    without=(),
    **bounds,
):
    """Judge a night that is like the live one but for what is said, by dotted paths."""
    found = {name: figures for name, figures in families().items() if name not in without}
    measured = Measured(movies, found, top10, {})
    for path, value in (lists or {}).items():
        family, name = path.split(".")
        setattr(measured.families[family], name, value)
    manifests = Manifests(changed(tonight), None if first else changed(live))
    checks = check_generation(manifests, measured, comparison, GateBounds(**bounds))
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def changed(changes):
    """Return the manifest with other values at some paths; None removes."""
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


def refused(**said):
    """Return the names of the refused checks."""
    return [name for name, check in checked(**said).items() if check.verdict == "refused"]


def test_the_same_night_again_passes():
    """Nothing is refused, nothing warned of; that it is the same is noted."""
    verdicts = {name: check.verdict for name, check in checked().items()}

    assert set(verdicts.values()) == {"passed", "noted"}
    assert verdicts["input.identical"] == "noted"
    assert len(verdicts) > 50


def test_an_older_artifact_has_no_next_lists():
    """It is judged by what it has, and the check says why it is left out."""
    checks = checked(without=["next"])

    assert checks["next.lists"].verdict == "skipped"
    assert "older" in checks["next.lists"].note
    assert [name for name, check in checks.items() if check.verdict == "refused"] == []


def test_the_first_night_has_no_baseline():
    """What is compared with last night says so; what is not is judged."""
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
def test_bounds_of_the_manifests(name, just, beyond):
    """Just at the bound a night passes, just beyond it does not."""
    assert name not in refused(tonight=just)
    assert name in refused(tonight=beyond)


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
def test_bounds_of_the_lists(name, just, beyond):
    """Just at the bound a night passes, just beyond it does not, and nothing else complains."""
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
def test_bounds_of_the_first_ten(name, just, beyond):
    """Just at the bound a night passes, just beyond it does not."""
    assert refused(top10=TOP10._replace(**just)) == []
    assert refused(top10=TOP10._replace(**beyond)) == [name]


def test_coverage_has_a_least_of_its_own():
    """On the first night, too."""
    assert refused(top10=TOP10._replace(covered=3, coverable=600), first=True) == []
    assert refused(top10=TOP10._replace(covered=2, coverable=600), first=True) == [
        "first_ten.coverage"
    ]


def test_first_tens_are_compared_with_what_popularity_would_show():
    """Users with short histories have much in common; as much as of the hits is too much."""
    short = TOP10._replace(popular_alike=0.9)

    assert refused(top10=short._replace(alike=0.81)) == []
    assert refused(top10=short._replace(alike=0.82)) == ["first_ten.alike"]
    assert refused(top10=short._replace(alike=0.82), first=True, comparison=None) == [
        "first_ten.alike"
    ]
    assert refused(top10=short._replace(alike=0.5), alike=0.4) == ["first_ten.alike"]


WORSE = {"metrics/retrieval/top_10_accuracy": 0.05}


@pytest.mark.parametrize(
    ("name", "said", "bound"),
    [
        ("similar.flat", {"lists": {"similar.flat": 500}}, {"flat_lists": 0.5}),
        ("next.flat", {"lists": {"next.flat": 500}}, {"flat_lists": 0.5}),
        (
            "first_ten.coverage",
            {"top10": TOP10._replace(covered=2, coverable=600)},
            {"coverage": 0.005},
        ),
        ("popularity.top_10_accuracy", {"tonight": WORSE}, {"popularity_ratio": 1}),
    ],
)
def test_while_nothing_is_served_weak_lists_are_a_warning(name, said, bound):
    """They are better than none; a bound that somebody has set is kept."""
    first = checked(**said, first=True, comparison=None)

    assert first[name].verdict == "warning"
    assert [n for n, check in first.items() if check.verdict == "refused"] == []
    assert refused(**said, first=True, comparison=None, **bound) == [name]
    later = {"live": WORSE} if "tonight" in said else {}
    assert name in refused(**said, **later)


def test_what_was_refused_is_not_softened_by_a_store_that_lost_its_data():
    """Only the checks that were refused; what was forced since is not among them."""
    lists = {"similar.flat": 500, "next.flat": 500}
    gate = {"verdict": "refused", "checks": {"similar.flat": {"verdict": "refused"}}}

    assert refused(lists=lists, tonight={"gate": gate}, first=True, comparison=None) == [
        "similar.flat"
    ]
    gate["verdict"] = "forced"
    assert refused(lists=lists, tonight={"gate": gate}, first=True, comparison=None) == []


@pytest.mark.parametrize("family", ["user", "ranked"])
def test_while_nothing_is_served_broken_lists_are_refused(family):
    """Scores that are all the same are no recommendations."""
    lost = {f"{family}.flat": 1000}

    assert refused(lists=lost, first=True, comparison=None) == [f"{family}.flat"]


def test_flat_lists_of_movies_that_nobody_knows():
    """Where no movie has ratings enough there is nothing to judge."""
    found = checked(lists={"similar.judged": 0, "similar.flat": 0})

    assert (found["similar.flat"].verdict, found["similar.flat"].note) == (
        "skipped",
        "no movie has 3 ratings",
    )


def test_a_live_night_with_a_date_in_the_future_wedges_nothing():
    """Its input cannot be newer than the night itself."""
    live = {"data/newest_rating": 4_070_908_800}
    created = 1_795_490_100  # as the manifest has it
    just = {"data/newest_rating": created - 7 * DAY}
    beyond = {"data/newest_rating": created - 7 * DAY - 1}

    assert refused(live=live, tonight=just) == []
    assert refused(live=live, tonight=beyond) == ["input.days_behind"]


def test_ratings_of_movies_that_no_list_shows():
    """Histories have all others."""
    unlisted = {"data/unlisted": {"movies": 3, "ratings": 1000}}

    assert refused(tonight=unlisted) == ["seen.ratings"]
    assert refused(tonight=unlisted, lists={"seen.entries": 89_000}) == []


def test_an_older_version_counted_what_the_movies_file_lacks():
    """The first night of this one is not refused for it."""
    fewer = {"data/movies": 400, "data/unlisted": {"movies": 100, "ratings": 0}}
    now = {
        "lists": {
            f"{family}.{name}": 400 for family in ("similar", "next") for name in ("lists", "full")
        },
        "movies": 400,
    }

    assert refused(tonight=fewer, **now) == []
    assert refused(tonight=fewer, live={"data/unlisted": {"movies": 0, "ratings": 0}}, **now) == [
        "input.movies"
    ]


def test_ranked_lists_are_compared_with_the_live_ones():
    """Found movies may not become fewer; how many are little known is only recorded."""
    live = {"metrics/ranked": {"ndcg@10": 0.3, "little_known@10": 0.1}}
    worse = {"metrics/ranked": {"ndcg@10": 0.2, "little_known@10": 0.9}}

    found = checked(tonight=worse, live=live)

    assert refused(tonight=worse, live=live) == ["ranked.ndcg@10"]
    assert (found["ranked.little_known@10"].verdict, found["ranked.little_known@10"].note) == (
        "noted",
        "live 0.1",
    )


def test_few_users_cannot_be_too_alike():
    """With fewer than ten lists, how many are different says nothing."""
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


def test_with_a_handful_of_movies_lists_may_be_alike():
    """Among fewer than thirty movies, everybody sees the same ones; from thirty on, not."""
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
def test_bounds_of_change(name, just, beyond):
    """Just at the bound a night passes, just beyond it does not."""
    if name.startswith("churn"):
        beyond = {"churn": COMPARISON.churn | beyond}

    assert refused(comparison=COMPARISON._replace(**just)) == []
    assert refused(comparison=COMPARISON._replace(**beyond)) == [name]


def test_what_cannot_be_compared_is_skipped():
    """Other users altogether: the lists have nothing to be compared with, the users are refused."""
    nothing = Comparison(dict.fromkeys(COMPARISON.churn), 0.0, None, None)

    found = checked(comparison=nothing)

    assert found["churn.user"].verdict == found["known.history"].verdict == "skipped"
    assert refused(comparison=nothing) == ["known.users"]


def test_a_drop_that_chance_explains_is_none():
    """On few held-out ratings a metric may move further."""
    drop = {"metrics/retrieval/top_10_accuracy": 0.13}

    assert refused(tonight=drop) == ["retrieval.top_10_accuracy"]
    assert refused(tonight={**drop, "data/test": 200}) == []
    assert refused(tonight=drop, live={"data/test": 200}) == []


def test_a_drop_is_judged_without_the_number_of_held_out_ratings():
    """A manifest that does not say it is given no allowance for chance."""
    silent = {"data/test": None}
    drop = {"metrics/retrieval/top_10_accuracy": 0.1799, **silent}

    assert refused(tonight=drop, live=silent) == ["retrieval.top_10_accuracy"]


@pytest.mark.parametrize("other", [{"parameters/split": "time"}, {"parameters": None}])
def test_metrics_of_another_split_are_not_compared(other):
    """They measure something else."""
    worse = {"metrics/retrieval/top_10_accuracy": 0.01}

    found = checked(tonight=worse, live=other)

    assert found["retrieval.top_10_accuracy"].verdict == "skipped"
    assert found["retrieval.top_10_accuracy"].figure == 0.01


@pytest.mark.parametrize(("users", "dropped"), [(40, []), (4000, ["retrieval.ndcg@10"])])
def test_a_figure_of_few_users_moves_by_itself(users, dropped):
    """However many ratings they have: each user has one figure of its lists."""
    both = {"data/test_users": users, "data/test": 10**6, "metrics/popularity": {}}

    found = refused(
        tonight=both | {"metrics/retrieval": {"ndcg@10": 0.2}},
        live=both | {"metrics/retrieval": {"ndcg@10": 0.3}},
    )

    assert found == dropped


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("first", [True, False])
def test_a_metric_that_is_no_number(value, first):
    """Is refused, on the first night too."""
    assert "rating.rmse" in refused(tonight={"metrics/rating/rmse": value}, first=first)


def test_metrics_that_are_missing():
    """All of a group are refused, one is not: another version may have fewer."""
    assert refused(tonight={"metrics/rating": {}}) == ["rating.metrics"]
    assert refused(tonight={"metrics/retrieval/top_1_accuracy": None}) == []
    assert refused(live={"metrics/rating": {}}) == []


def test_the_popularity_baseline():
    """Worse is refused, the notebook's only if a bound says so; the longest list counts."""
    worse = {"metrics/retrieval": {"top_1_accuracy": 0.02, "top_10_accuracy": 0.05}}
    notebook = {"parameters/preset": "notebook"}

    good, poor = checked(), checked(tonight=worse | notebook)

    assert good["popularity.top_10_accuracy"] == Check(
        *("popularity.top_10_accuracy", 2.0, "at least", 1.0, "passed", "0.2, popularity 0.1")
    )
    assert "popularity.top_10_accuracy" in refused(tonight=worse)
    assert (good["popularity.rmse"].verdict, good["popularity.rmse"].figure) == ("passed", 1.25)
    assert "popularity.top_1_accuracy" not in good
    assert (poor["popularity.top_10_accuracy"].verdict) == "warning"
    assert poor["popularity.top_10_accuracy"].figure == 0.5
    strict = {"popularity_ratio": 1.1}
    assert "popularity.top_10_accuracy" in refused(tonight=worse | notebook, **strict)
    assert refused(tonight={"metrics/rating/rmse": 0.95}, **strict, error_rise=9) == [
        "popularity.rmse"
    ]


def test_what_popularity_is_compared_by():
    """By ndcg@10 and recall@100 where there are both, less what chance does to the former."""
    ours = {"ndcg@10": 0.19, "recall@100": 0.31, "hit@100": 0.9}
    theirs = {"ndcg@10": 0.2, "recall@100": 0.3, "hit@100": 0.95}
    intervals = {"retrieval": {"ndcg@10": [0.17, 0.21]}}
    sides = {"metrics/retrieval": ours, "metrics/popularity": theirs}

    found = checked(tonight=sides | {"metrics/intervals": intervals})

    assert {name for name in found if name.startswith("popularity.")} == {
        "popularity.ndcg@10",
        "popularity.recall@100",
    }
    assert found["popularity.ndcg@10"].verdict == "warning"
    assert found["popularity.ndcg@10"].bound == pytest.approx(1 - 3 * 0.04 / (2 * 1.96) / 0.2)
    assert "popularity.ndcg@10" in refused(tonight=sides)


def test_old_ratings():
    """Their age is only recorded, unless a bound says how old they may be."""
    old = {"data/newest_rating": 1_790_000_000}
    age = (1_795_490_100 - 1_790_000_000) / DAY

    found = checked(tonight=old, live=old)["input.age_days"]

    assert (found.verdict, found.figure) == ("noted", age)
    assert refused(tonight=old, live=old, rating_age_days=age) == []
    assert refused(tonight=old, live=old, rating_age_days=age - 0.01) == ["input.age_days"]


def test_input_without_timestamps():
    """There is nothing to say about its age."""
    for side in ("tonight", "live"):
        found = checked(**{side: {"data/newest_rating": None}})
        assert found["input.days_behind"].verdict == "skipped"


@pytest.mark.parametrize("path", ["data/sha256", "data/name", "data/ratings", "data/newest_rating"])
def test_other_input_is_not_identical(path):
    """Whatever it differs in."""
    assert "input.identical" not in checked(live={path: 7})


def test_ids_that_changed_their_type_are_a_warning():
    """Readers in other languages may care."""
    check = checked(tonight={"ids": "string"})["input.ids"]

    assert check.verdict == "warning"
    assert str(check).startswith("input.ids (movie ids in values are of type string")


def test_a_manifest_of_a_version_without_a_gate():
    """Nothing is refused for what it does not say."""
    old = {"gate": None, "metrics": None, "data": None, "parameters": None}

    assert refused(live=old) == []


@given(st.floats(), st.floats(allow_nan=False))
@example(math.nan, 0.0)
def test_relations(figure, bound):
    """Each is what it says; what is no number is refused by all."""
    assert (at_least("x", figure, bound).verdict == "passed") == (figure >= bound)
    assert (at_most("x", figure, bound).verdict == "passed") == (figure <= bound)
    assert (exactly("x", figure, bound).verdict == "passed") == (figure == bound)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_wider_bound_refuses_no_more(churn, narrow, wide):
    """Whatever the figure is."""
    narrow, wide = sorted((narrow, wide))
    change = COMPARISON._replace(churn={**COMPARISON.churn, "user": churn})

    if refused(comparison=change, churn=wide):
        assert refused(comparison=change, churn=narrow)


def test_checks_for_people_and_for_the_manifest():
    """Short figures, the bound, what is to be known beside; JSON has no NaN."""
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


def test_a_night_without_stars_has_none_to_be_judged():
    """After such a night, or first: no ranked list is missed, and the checks say why."""
    said = {"rating_scale": NULL, "metrics/rating": {}}
    lists = {"ranked.lists": 0, "ranked.full": 0}
    for live, first in ((said, False), (None, True)):
        checks = without_stars(said, live=live, lists=lists, first=first)

        assert not [check for check in checks.values() if check.verdict == "refused"]
        for name in ("rating.metrics", "ranked.full"):
            assert checks[name].verdict == "skipped"
            assert "no ratings" in checks[name].note
        assert checks["ranked.lists"].verdict == "passed"


def test_stars_that_have_gone_are_missed():
    """The live night had them, so the column may simply be lost."""
    checks = without_stars({"metrics/rating": {}}, lists={"ranked.lists": 0})

    assert [name for name, check in checks.items() if check.verdict == "refused"] == [
        "rating.metrics"
    ]


def test_ranked_lists_of_a_night_without_stars_are_wrong():
    """Somebody put them there."""
    checks = without_stars({"metrics/rating": {}}, lists={"ranked.lists": 3}, first=True)

    assert checks["ranked.lists"].verdict == "refused"


def without_stars(tonight, *, live=None, **other):
    """Judge a night whose manifest has null for the rating scale."""
    return checked(tonight={**tonight, "rating_scale": NULL}, live=live, **other)

"""Parts of a report: sample users, coverage, changes beyond chance, labels and formats."""

import numpy as np
import pytest

from reco_batch.artifact.check import PASSED, REFUSED
from reco_batch.artifact.manifests import Manifests
from reco_batch.data import columns as c
from reco_batch.evaluation.list_statistics import measure
from reco_batch.gate.judge import check_generation
from reco_batch.progress.terminal import duration
from reco_batch.report.checks import check_words
from reco_batch.report.coverage import spread_of
from reco_batch.report.quality import metric_rows
from reco_batch.report.sample_users import sample_users
from reco_batch.report.text import moment, number, percent, safe
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store.contract.families import family_named


def lists(artifact, family):
    """Return all lists of a family by id."""
    found = {}
    for batch in artifact.lists(family_named(family)):
        for row in batch.to_pylist():
            found[row[c.SUFFIX].partition(":")[2]] = [str(i) for i in row[c.MOVIE_IDS]]
    return found


def test_sample_users_are_spread_over_histories(kept):
    """One user of each twentieth, with history and list; new movies are marked."""
    users = sample_users(kept.refused, kept.second, seed=7)
    seen, shown = lists(kept.refused, "seen"), lists(kept.refused, "user")
    then = lists(kept.second, "user")
    lengths = np.sort([len(movies) for movies in seen.values()])

    assert len({user.user_id for user in users}) == 20
    for place, user in enumerate(users):
        assert lengths[place * 10] <= user.rated <= lengths[place * 10 + 9]
        assert user.rated == len(seen[user.user_id])
        now, before = shown[user.user_id][:10], then[user.user_id][:10]
        assert [one.new for one in user.shown] == [movie not in before for movie in now]
        assert user.kept == len(set(now) & set(before))


def test_sample_users_are_drawn_by_the_seed(kept):
    """One seed draws the same users each time; another seed draws others."""
    first, again, other = (
        [user.user_id for user in sample_users(kept.second, None, seed=seed)] for seed in (1, 1, 2)
    )

    assert first == again != other


def test_spread_counts_users_and_best_positions(kept):
    """Compared with counting list by list."""
    spread = spread_of(kept.second)
    ids = kept.second.movie_ids().to_pylist()

    for row, movie in enumerate(map(str, ids)):
        places = [m.index(movie) for m in lists(kept.second, "user").values() if movie in m]
        assert spread.shown[row] == sum(place < 10 for place in places)
        assert spread.place[row] == min(places, default=50)
    assert spread.places == 10 * len(lists(kept.second, "user"))


def test_every_check_has_words(kept):
    """Every check of the gate has a label."""
    measured = measure(kept.second, k=20, ranked_k=None)
    manifests = Manifests(kept.second.manifest, kept.first.manifest)
    checks = check_generation(manifests, measured, None, GateBounds(rating_age_days=3))

    assert len(checks) > 50
    for check in checks:
        assert check_words(check.name) != check.name
    assert check_words("other.version") == "other.version"


@pytest.mark.parametrize(
    ("now", "was", "change", "kind"),
    [
        (0.9, 0.5, "+80.0 %", "bad"),  # an error
        (0.5, 0.9, "\N{MINUS SIGN}44.4 %", "good"),
        (0.9, 0.87, "+3.4 %", "none"),  # outside the interval; both vary, so it is chance
        (0.9, 0.899, "+0.1 %", "none"),
        (0.9, 0.9, "the same", "none"),
        (0.9, None, "", "none"),
    ],
)
def test_a_change_is_good_or_bad_beyond_chance(now, was, change, kind):
    """A lower error is better, and a change within chance is neither."""
    before = None if was is None else {"metrics": {"rating": {"rmse": was}}}

    ends = {"rating": {"rmse": [now - 0.025, now + 0.025]}}
    tonight = {"metrics": {"rating": {"rmse": now}, "intervals": ends}}

    (row,) = metric_rows(tonight, before, [])

    assert (row.change, row.kind) == (change, kind)
    (row,) = metric_rows({"metrics": {"rating": {"rmse": now}}}, before, [])
    assert (row.change, row.kind) == (change, "none")  # without an interval it cannot be judged


def test_a_change_inside_the_interval_is_chance():
    """A value inside the interval is neither better nor worse."""
    group = {"hit@10": 0.5}
    now = {"metrics": {"retrieval": group, "intervals": {"retrieval": {"hit@10": [0.4, 0.6]}}}}

    kinds = [
        metric_rows(now, {"metrics": {"retrieval": {"hit@10": was}}}, [])[0].kind
        for was in (0.3, 0.4, 0.6, 0.7)
    ]

    assert kinds == ["good", "none", "none", "bad"]


def test_ranked_lists_have_a_baseline():
    """The baseline of ranked lists is the order by mean rating."""
    metrics = {"ranked": {"ndcg@10": 0.14}, "ranked_means": {"ndcg@10": 0.12}}

    (row,) = metric_rows({"metrics": metrics}, None, [])

    assert (row.baseline, row.baseline_name) == ("0.120", "highest mean rating")


def test_user_lists_have_baselines_of_recent_ratings():
    """Their values are below that of all time; a run without times has none."""
    metrics = {"retrieval": {"ndcg@10": 0.19}, "popularity": {"ndcg@10": 0.11}}
    recent = {"popularity_7d": {"ndcg@10": 0.2146}, "popularity_30d": {"ndcg@10": 0.2}}

    (row,) = metric_rows({"metrics": metrics | recent}, None, [])
    (without,) = metric_rows({"metrics": metrics}, None, [])

    assert (row.baseline, row.baseline_name) == ("0.110", "most popular")
    assert row.recent == ["0.215 of the last 7 days", "0.200 of the last 30 days"]
    assert without.recent == []


def test_the_course_marks_refused_nights():
    """The last point is this run's."""
    nights = [
        {"metrics": {"rating": {"rmse": 0.9}}, "gate": {"verdict": verdict}}
        for verdict in (PASSED, REFUSED, PASSED)
    ]

    (row,) = metric_rows(nights[-1], nights[0], nights)

    assert [kind for _, _, kind, _ in row.trend.dots] == ["before", "refused", "now"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(None), "\N{EN DASH}"),
        (number(0.00015), "0.00015"),
        (number(0.3810284), "0.381"),
        (number(9066), "9,066"),
        (number(1234.56), "1,234.6"),
        (number(float("nan")), "nan"),
        (percent(0.092), "9.2 %"),
        (percent(1.0), "100 %"),
        (duration(0.01), "< 0.1 s"),
        (duration(59.6), "1 min 00 s"),
        (duration(3700), "1 h 02 min"),
        (moment("2026-11-24T04:15:00+01:00"), "2026-11-24 03:15 UTC"),
        (moment("no time"), "no time"),
        (safe("a\u202eb\x1b"), "a\\u202eb\\x1b"),
        (len(safe("x" * 1_000)), 90),
    ],
)
def test_numbers_and_texts(text, expected):
    """Numbers, shares and times have one format each."""
    assert text == expected


def test_a_value_has_that_of_the_lists_with_rules_beside_it():
    """Only in runs whose rules change the user lists."""
    metrics = {"retrieval": {"ndcg@10": 0.4}}
    ruled = {"retrieval_with_rules": {"ndcg@10": 0.37}}

    (row,) = metric_rows({"metrics": metrics | ruled}, None, [])
    (without,) = metric_rows({"metrics": metrics}, None, [])

    assert (row.now, row.with_rules) == ("0.400", "0.370 with rules")
    assert without == row._replace(with_rules="")

"""Hindsight in the report: served lists and popular movies, over the kept runs."""

import pytest

from reco_batch.report.hindsight import experiment_view, hindsight_view

PAST = {
    "generation": "20261123T031502Z-7f3a",
    "since": 1_500_000_000,
    "until": 1_500_200_000,
    "users": 1_234,
    "interactions": 5_678,
    "served": {"hit@10": 0.31, "recall@100": 0.4, "ndcg@10": 0.081},
    "popular": {"hit@10": 0.24, "recall@100": 0.3, "ndcg@10": 0.06},
    "gain": {
        "ndcg@10": {"mean": 0.021, "standard_error": 0.004},
        "hit@10": {"mean": -0.07, "standard_error": 0.01},
    },
    "by_age": [
        {"from_day": 0, "to_day": 1, "users": 1_000, "interactions": 4_000},
        {
            "from_day": 30,
            "to_day": None,
            "users": 300,
            "interactions": 1_678,
            "served": {"ndcg@10": 0.07},
            "popular": {"ndcg@10": 0.05},
        },
    ],
    "new_users": {"users": 12, "interactions": 30, "popular": {"hit@10": 0.125}},
    "repeats": 7,
    "new_movies": 0,
    "before_created": 3,
}


def test_figures_and_ages():
    """Each metric has both values and the difference; each band of ages its counts."""
    view = hindsight_view({"hindsight": PAST}, [])

    assert view.generation == "20261123T031502Z-7f3a"
    ndcg, hit, recall = view.rows
    assert (ndcg.label, ndcg.served, ndcg.popular) == ("NDCG@10", "0.081", "0.060")
    assert ndcg.gain == "+0.021 ± 0.004"
    assert hit.gain == "\N{MINUS SIGN}0.070 ± 0.010"
    assert recall.gain == ""
    assert [row.age for row in view.ages] == ["0 to 1 days", "30 or more days"]
    assert (view.ages[1].interactions, view.ages[1].served) == ("1,678", "0.070")
    size, strangers, early, repeats = view.sentences
    assert size == "1,234 users with a list gave 5,678 new ratings from 2017-07-14 to 2017-07-16."
    assert strangers.startswith("12 new users had no list and were served popular movies, with a")
    assert "hit rate@10 of 0.125" in strangers
    assert early.startswith("3 ratings are from before the measured generation was made")
    assert repeats == "7 ratings of movies that the user had seen are left out."


def test_the_plot_has_a_line_for_each_kind_of_list():
    """Runs without figures leave a gap in neither line's order."""
    later = {**PAST, "served": {"ndcg@10": 0.09}}
    nights = [{}, {"hindsight": PAST}, {"hindsight": {"not_measured": "x"}}, {"hindsight": later}]

    plot = hindsight_view(nights[-1], nights).plot

    assert [line.name for line in plot.lines] == ["served", "most popular"]
    assert [len(line.dots) for line in plot.lines] == [2, 2]
    assert [tick.label for tick in plot.x_ticks] == ["2", "3", "4"]
    assert "served 0.090, most popular 0.060" in plot.words.about


def test_a_reason_is_in_place_of_the_figures():
    """Without figures there is no table and no plot."""
    past = {"generation": "x", "not_measured": "its artifact is <gone>"}

    view = hindsight_view({"hindsight": past}, [{"hindsight": past}])

    assert view.sentences == ["Not measured: its artifact is <gone>."]
    assert (view.rows, view.ages, view.plot) == ([], [], None)


@pytest.mark.parametrize("junk", [{}, {"hindsight": None}, {"hindsight": 3}])
def test_without_a_live_generation_there_is_no_view(junk):
    """The page reports that nothing was live."""
    assert hindsight_view(junk, []) is None


@pytest.mark.parametrize("junk", [{"by_age": 3}, {"by_age": [3, {}]}, {"served": 3}, {"users": []}])
def test_a_section_of_another_version_is_shown_as_far_as_known(junk):
    """Fields of other types are left out."""
    past = {**PAST, **junk}

    assert hindsight_view({"hindsight": past}, [{"hindsight": past}]) is not None


FOUND = {
    "name": "stars",
    "days": 6.25,
    "arms": [
        {"namespace": "reco", "users": 1_000, "interactions": 3_000, "rate": 0.5},
        {
            "namespace": "reco-b",
            "users": 900,
            "interactions": 3_024,
            "rate": 0.56,
            "hindsight": {"served": {"ndcg@10": 0.081}},
        },
    ],
    "comparisons": [
        {
            "namespace": "reco-b",
            "lift": 0.12,
            "lift_low": 0.041,
            "lift_high": 0.199,
            "verdict": "better",
            "needed": {"lift": 0.05, "users": 4_743},
        }
    ],
}


def test_each_arm_is_a_row():
    """The first arm has nothing to be compared with."""
    view = experiment_view({"experiment": FOUND})

    control, arm = view.rows
    assert view.name == "stars"
    assert view.verdict.startswith("reco-b is better than reco: +12.0%")
    assert control[:4] == ("reco", "1,000", "3,000", "0.500")
    assert (control.lift, control.needed) == ("", "")
    assert arm.lift == "+12.0% (95 %: +4.1% to +19.9%)"
    assert arm.needed == "4,743 for 5%"
    assert arm.served == "0.081"


def test_a_reason_is_in_place_of_the_verdict():
    """Without figures there are no rows."""
    view = experiment_view({"experiment": {"name": "stars", "not_measured": "too early"}})

    assert (view.verdict, view.rows) == ("not measured: too early", [])


@pytest.mark.parametrize("junk", [{}, {"experiment": None}, {"experiment": 3}])
def test_without_an_experiment_there_is_no_view(junk):
    """The page does not mention experiments."""
    assert experiment_view(junk) is None


@pytest.mark.parametrize("junk", [{"arms": 3}, {"comparisons": [3]}, {"arms": [{}, 3]}])
def test_an_experiment_of_another_version_is_shown_as_far_as_known(junk):
    """Fields of other types are left out."""
    assert experiment_view({"experiment": {**FOUND, **junk}}) is not None

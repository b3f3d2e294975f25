"""Summary of a run: outcome and next command first, as wide as the terminal, one line a label."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from reco_batch.artifact.erasure import Erased
from reco_batch.artifact.quarantine import StoredArtifact
from reco_batch.commands.messages import (
    arm_message,
    forget_message,
    generation_table,
    live_line,
    run_summary,
    tuning_summary,
)
from reco_batch.night.forget import Forgot
from reco_batch.progress.terminal import fit_to_terminal
from reco_batch.tuning.suggest import Trial
from reco_batch.tuning.tune import Search
from reco_store import Held, Published, Verdict

ID = "20261129T162737Z-8f41"
METRICS = {
    "retrieval": {"ndcg@10": 0.385, "recall@100": 0.532},
    "popularity": {"ndcg@10": 0.188, "recall@100": 0.303},
    "rating": {"rmse": 0.806},
    "means": {"rmse": 0.869},
}
PASSED = {
    "verdict": "passed",
    "refused": [],
    "warnings": [],
    "baseline": "20261128T162737Z-8f41",
    "checks": {"one": {"verdict": "passed"}, "two": {"verdict": "passed"}},
}
REFUSED = {
    "verdict": "refused",
    "refused": ["churn.user 0.97 (at most 0.8)"],
    "warnings": ["churn.similar 0.7 (at most 0.6)"],
    "baseline": "20261128T162737Z-8f41",
    "checks": {
        "one": {"verdict": "passed"},
        "churn.user": {"verdict": "refused"},
        "churn.similar": {"verdict": "warning"},
    },
}


def summary(tmp_path, published, **more):
    """Return the summary of a run with a report in its folder."""
    folder = tmp_path / ID
    folder.mkdir(exist_ok=True)
    Path(folder, "report.html").touch()
    manifest = {
        **more,
        "counts": {"user": 610, "movie": 9742, "ranked": 610},
        "entries": 58292,
        "bytes": 31_600_000,
        "metrics": METRICS,
    }
    run = SimpleNamespace(
        artifact=SimpleNamespace(folder=folder, manifest=manifest),
        published=published,
        before={"retrieval": {"ndcg@10": 0.396}},
        example_user=lambda preferred: preferred,
    )
    return run_summary(run, store="embedded in /h/store", reading_options=" -x", seconds=64)


def live(previous=None):
    """Return a publication that passed the gate."""
    return Published(ID, "live", previous, Verdict(passed=True, report=PASSED))


def test_a_live_run_is_five_lines_in_a_pipe(tmp_path):
    """One label a line, all metrics on one; commands to try only after the first run."""
    text = summary(tmp_path, live(previous="20261128T162737Z-8f41"))

    outcome, quality, gate, store, report = text.splitlines()
    assert outcome == (
        f"live        {ID}   610 users, 9,742 movies, 58,292 keys (31.6 MB), 1 min 04 s"
    )
    assert quality == (
        "quality     NDCG@10 0.385 (live before 0.396, most popular 0.188)   "
        "Recall@100 0.532 (most popular 0.303)   RMSE 0.806 (user and item means 0.869)"
    )
    assert gate == "gate        passed: 2 checks, 0 warnings"
    assert store == "store       embedded in /h/store"
    assert report == f"report      {tmp_path}/{ID}/report.html"
    assert "try next" in summary(tmp_path, live())


def test_hindsight_is_one_line_below_the_quality(tmp_path):
    """Figures of the lists that were served, or the reason why there are none."""
    found = {
        "since": 1_500_000_000,
        "users": 1_234,
        "interactions": 5_678,
        "served": {"hit@10": 0.31, "recall@100": 0.4, "ndcg@10": 0.081},
        "popular": {"hit@10": 0.24, "recall@100": 0.3, "ndcg@10": 0.06},
    }
    text = summary(tmp_path, live(previous=ID), hindsight=found)
    assert text.splitlines()[2] == (
        "hindsight   NDCG@10 0.081 (most popular 0.060), Hit rate@10 0.310 (most popular 0.240), "
        "Recall@100 0.400 (most popular 0.300), 1,234 users, 5,678 ratings since 2017-07-14"
    )
    nothing = {"since": 1_500_000_000, "users": 0, "interactions": 0}
    text = summary(tmp_path, live(previous=ID), hindsight=nothing)
    assert "hindsight   no new ratings of known users since 2017-07-14" in text.splitlines()
    text = summary(tmp_path, live(previous=ID), hindsight={"not_measured": "it is gone"})
    assert "hindsight   not measured: it is gone" in text.splitlines()


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_terminal_each_metric_has_a_line(tmp_path, monkeypatch, columns):
    """Nothing but the path of the report is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    text = summary(tmp_path, live(previous="20261128T162737Z-8f41"))

    lines = fit_to_terminal(text).splitlines()

    assert max(cell_len(line) for line in lines if str(tmp_path) not in line) <= columns
    assert {line[12:].split()[0] for line in lines} >= {"NDCG@10", "Recall@100", "RMSE"}
    assert lines[-1] == f"report      {tmp_path}/{ID}/report.html"
    if columns == 80:
        assert lines[:3] == [
            f"live        {ID}",
            "            610 users, 9,742 movies, 58,292 keys (31.6 MB), 1 min 04 s",
            "quality     NDCG@10 0.385 (live before 0.396, most popular 0.188)",
        ]


def test_a_staged_run_names_the_commands_that_read_and_serve_it(tmp_path):
    """It is no failure, so it has no reason."""
    verdict = Verdict(passed=True, report=PASSED)

    lines = summary(tmp_path, Published(ID, "staged", None, verdict)).splitlines()

    assert lines[0].startswith(f"staged      {ID}   610 users")
    assert lines[1] == "next        look at it, then serve it:"
    assert lines[2].endswith(f"reco get-popular --generation {ID} -x")
    assert lines[3].endswith(f"batch promote {ID} -x")
    assert not [line for line in lines if line.startswith(("reason", "try next"))]


def test_a_staged_run_without_comparison_is_republished(tmp_path):
    """A promotion would refuse it: the store had lost what was live."""
    checks = {"live.data": {"verdict": "warning"}}
    report = {**PASSED, "baseline": "no baseline", "checks": checks}
    verdict = Verdict(passed=True, report=report)

    lines = summary(tmp_path, Published(ID, "staged", None, verdict)).splitlines()

    assert lines[3].endswith(f"batch republish {ID} -x")


def test_a_refused_run_begins_with_the_reason_and_the_next_command(tmp_path):
    """The gate's counts and warnings follow below the metrics."""
    verdict = Verdict(passed=False, report=REFUSED, reason="churn.user 0.97 (at most 0.8)")

    lines = summary(tmp_path, Published(ID, "refused", None, verdict)).splitlines()

    assert lines[0].startswith(f"refused     {ID}   610 users")
    assert lines[1] == "reason      churn.user 0.97 (at most 0.8)"
    assert lines[2].startswith("next        fix the input or the threshold (--gate-bound)")
    assert lines[3].endswith(f"batch republish {ID} --force REASON -x")
    assert lines[5:7] == [
        "gate        refused: 3 checks, 1 warning, 1 refused: churn.user 0.97 (at most 0.8)",
        "warning     churn.similar 0.7 (at most 0.6)",
    ]
    assert "try next" not in lines


def test_a_held_run_begins_with_the_hold_and_the_commands_that_end_it(tmp_path):
    """`--force` is suggested only where publishing again needs it."""
    held = Held(ID, "2026-11-30T03:00:00+00:00", "withdrawn by a rollback")

    lines = summary(tmp_path, Published(ID, "held", None, None, held)).splitlines()

    assert lines[0].startswith(f"held        {ID}   ")
    assert lines[1] == "reason      withdrawn by a rollback; held until 2026-11-30T03:00:00+00:00"
    assert lines[2] == "next        end the hold, then serve this generation:"
    assert lines[3].endswith("batch release -x")
    assert lines[4].endswith(f"batch republish {ID} -x")


def test_a_run_that_was_cut_short_after_it_went_live_is_one_line():
    """Only the generation is known then."""
    assert live_line(ID) == f"live        {ID}"


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ((0.81,), "0.8100 with the preset; no other trial was run"),
        ((0.81, 0.9), "0.8100 with the preset; the other trial is not better"),
        ((0.81, 0.9, 0.9), "0.8100 with the preset; none of 2 other trials is better"),
        ((0.81, 0.9, 0.8), "0.8100 with the preset, 0.8000 in the best of 3 trials"),
    ],
)
def test_a_tuning_summary_compares_the_best_trial_with_the_preset(tmp_path, scores, text):
    """The first trial is the preset itself, and may be the only one."""
    trials = [Trial({}, score) for score in scores]
    searches = [Search("rating", None, tmp_path / "trials", trials)]

    shown = tuning_summary(searches, out=tmp_path / "tuned.json", data="demo", preset="default")

    assert shown.splitlines()[0] == f"rating      validation rmse: {text}"


def test_a_user_without_data_is_named():
    """A typo of the id to erase is the one fact that matters; of many ids the first five."""
    known = Forgot(2, 8, 2, Erased(), 0, Path("list.json"))
    nothing = known._replace(users=0, keys=0, generations=0)
    many = tuple(f"u{place}" for place in range(7))

    assert "no data" not in forget_message(known)
    assert forget_message(known._replace(unknown=("a@b.example",))).endswith(
        "\nnote: no data was found for a@b.example; check the spelling"
    )
    first = "no data was found for "
    assert forget_message(nothing).startswith(f"{first}anybody who was forgotten earlier\n")
    named = forget_message(nothing._replace(users=7, unknown=many))
    assert named.startswith(f"{first}u0, u1, u2, u3, u4 and 2 users more\n")


def test_the_end_of_an_experiment_says_what_is_live():
    """No person gave --force: the reason in the gate's report is the command's own."""
    report = {**PASSED, "forced": "promoted from other after the experiment blurb"}
    published = Published(ID, "live", None, Verdict(passed=True, report=report))

    shown = arm_message(published, "other", "reco", is_over=True).splitlines()

    assert shown[0].split() == ["live", ID, "from", "other"]
    assert "force" not in "".join(shown)
    assert shown[-1].startswith("next")


def test_the_legend_fits_the_terminal(monkeypatch):
    """Meanings continue below their beginning."""
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    now = datetime(2026, 11, 30, tzinfo=UTC)
    kept = [
        StoredArtifact(ID, now.isoformat(), "refused", "", is_quarantined=withdrawn)
        for withdrawn in (False, True)
    ]

    legends = [generation_table([], [one], now=now).partition("\n\n")[2] for one in kept]

    for state, legend in zip(("refused", "quarantined"), legends, strict=True):
        first, *rest = legend.splitlines()
        assert first.startswith(f"{state:13}")
        assert rest
        assert all(line.startswith(" " * 13) for line in rest)
        assert max(map(cell_len, legend.splitlines())) <= 70

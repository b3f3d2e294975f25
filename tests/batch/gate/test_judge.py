"""Verdict and report that follow from the checks."""

import json
import math

import pytest

from reco_batch.artifact.check import LIVE_DATA, NO_BASELINE, Check, at_most, summary
from reco_batch.gate.judge import refused_before, require_verdict, verdict_of
from reco_store import UsageError

LIVE = "20261123T031502Z-7f3a"
GOOD = at_most("churn.user", 0.4, 0.8)
WARNED = Check("popularity.rmse", 0.9, "at least", 0.0, "warning")


def bad(count):
    """Return refused checks."""
    return [at_most(f"bad.{place}", place + 1, 0) for place in range(count)]


def test_a_generation_that_passes_has_no_reason():
    """Warnings and values are in the report."""
    verdict = verdict_of([GOOD, WARNED], live=LIVE, force=None)

    assert (verdict.passed, verdict.reason) == (True, "")
    assert verdict.report == {
        "verdict": "passed",
        "baseline": LIVE,
        "refused": [],
        "warnings": ["popularity.rmse 0.9 (at least 0)"],
        "sampled": 2000,
        "checks": {
            "churn.user": {"verdict": "passed", "figure": 0.4, "at_most": 0.8},
            "popularity.rmse": {"verdict": "warning", "figure": 0.9, "at_least": 0},
        },
    }
    assert summary(verdict.report) == "1 checks passed"


def test_the_first_generation_has_no_baseline():
    """The report contains "no baseline"."""
    verdict = verdict_of([GOOD], live=None, force=None)

    assert verdict.report["baseline"] == "no baseline"
    assert summary(verdict.report) == "1 checks passed, no baseline: nothing was served before"


def test_the_reason_of_a_refusal_names_the_checks():
    """With value and threshold."""
    verdict = verdict_of([GOOD, *bad(2)], live=LIVE, force=None)

    assert (verdict.passed, verdict.report["verdict"]) == (False, "refused")
    assert verdict.reason == "bad.0 1 (at most 0), bad.1 2 (at most 0)"
    assert verdict.report["refused"] == ["bad.0 1 (at most 0)", "bad.1 2 (at most 0)"]
    assert summary(verdict.report) == (
        "1 checks passed, 2 refused: bad.0 1 (at most 0); bad.1 2 (at most 0)"
    )


def test_the_reason_of_many_refused_checks_is_one_line():
    """The reason names six checks and counts the others; the report contains all."""
    verdict = verdict_of(bad(9), live=LIVE, force=None)

    assert verdict.reason.endswith("bad.5 6 (at most 0) and 3 more")
    assert summary(verdict.report).endswith("; bad.5 6 (at most 0)")
    assert len(verdict.report["refused"]) == 9


def test_a_forced_generation_passes():
    """The report keeps the reason and the refused checks."""
    verdict = verdict_of([GOOD, *bad(1)], live=LIVE, force="new catalogue")

    assert verdict.passed
    assert verdict.reason == "forced: new catalogue (bad.0 1 (at most 0))"
    assert (verdict.report["verdict"], verdict.report["forced"]) == ("forced", "new catalogue")
    assert summary(verdict.report).endswith(", forced: new catalogue")


def test_force_without_a_refusal_is_recorded():
    """The verdict is "passed"."""
    verdict = verdict_of([GOOD], live=LIVE, force="new catalogue")

    assert (verdict.reason, verdict.report["verdict"]) == ("", "passed")
    assert summary(verdict.report).endswith(", --force was not needed: new catalogue")


@pytest.mark.parametrize("report", [{}, {"verdict": "passed"}])
def test_a_report_of_another_version_has_no_summary(report):
    """The summary is empty."""
    assert summary(report) == ""


@pytest.mark.parametrize("found", [at_most("churn.user", 0.9, 0.8), at_most("x", math.inf, 1)])
def test_a_refusal_that_cannot_be_repeated_keeps_its_value_and_baseline(found):
    """However often the generation is published."""
    report = verdict_of([found], live=LIVE, force=None).report
    now = [Check(found.name, None, "", None, "no baseline")]

    lines = []
    for _ in range(3):
        checks = refused_before({"gate": report}, now)
        report = verdict_of(checks, live=None, force=None).report
        lines += report["refused"]

    figure = "0.9" if found.name == "churn.user" else "inf"
    assert lines == 3 * [
        f"{found.name} (refused in comparison with {LIVE}, {figure}, and cannot be judged now)"
    ]


def test_the_report_is_json():
    """Readers in any language can decode it, values that are not finite included."""
    verdict = verdict_of(
        [at_most("x", math.nan, 1), at_most("y", math.inf, 1)], live=None, force=""
    )

    assert json.loads(json.dumps(verdict.report, allow_nan=False)) == verdict.report


def judged(verdict="passed", baseline="a", **checks):
    """Return a manifest with a gate's report."""
    return {
        "generation": "b",
        "gate": {"verdict": verdict, "baseline": baseline, "checks": checks},
    }


@pytest.mark.parametrize(
    ("manifest", "live"),
    [
        (judged(), "a"),
        (judged("forced"), "a"),
        (judged(baseline=NO_BASELINE), None),
    ],
)
def test_verdict_that_allows_a_promotion(manifest, live):
    """It passed or was forced, in comparison with what is live; or there was nothing to compare."""
    require_verdict(manifest, live)


@pytest.mark.parametrize(
    ("manifest", "live", "reason"),
    [
        (judged("refused"), "a", "verdict on b is refused"),
        ({"generation": "b", "gate": None}, "a", "verdict on b is missing"),
        (judged(), "c", "compared b with a, but c is live now"),
        (judged(), None, "compared b with a, but nothing is live now"),
        (judged(baseline=NO_BASELINE), "c", "compared b with no baseline, but c is live now"),
        (judged(baseline=NO_BASELINE, **{LIVE_DATA: {}}), "a", "no baseline, but a is live now"),
    ],
)
def test_verdict_that_forbids_a_promotion(manifest, live, reason):
    """Anything else is refused, with the command that judges it again."""
    with pytest.raises(UsageError, match=f"{reason}.*`batch republish b`"):
        require_verdict(manifest, live)

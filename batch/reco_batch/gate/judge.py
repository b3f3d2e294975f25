"""Verdict of the quality gate on a staged generation, between read-back and switch.

`reco_store.publish` calls `judge_generation`, which makes the checks of the other modules. Their
results are recorded in the manifest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reco_batch.artifact.check import (
    AT_MOST,
    FORCED,
    LIVE_DATA,
    NAMED,
    NO_BASELINE,
    PASSED,
    REFUSED,
    SKIPPED,
    WARNING,
    Check,
)
from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.manifests import Manifests, refused_checks, section
from reco_batch.evaluation.list_statistics import SAMPLE_LISTS, Measured, measure
from reco_batch.gate.churn_checks import Comparison, check_churn, compare, lost_share
from reco_batch.gate.explanation_checks import check_explanations
from reco_batch.gate.input_checks import check_input
from reco_batch.gate.list_checks import check_lists
from reco_batch.gate.metric_checks import check_metrics
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import GateInput, UsageError, Verdict

_NO_MANIFEST: Final = "missing or damaged: input and metrics have no baseline"
_NO_LISTS: Final = "the store lost keys of the live generation, so it is no baseline"
_SOME_LISTS: Final = "the store lost keys of the live generation"
#: Start of the note of a check that was refused earlier and cannot be repeated now.
_CARRIED_OVER: Final = "refused in comparison with "
#: Start of such a note in artifacts of earlier versions.
_CARRIED_OVER_EARLIER: Final = "refused beside "
#: Largest share of lost keys with which the live generation can still serve as a baseline.
_LOST_SHARE: Final = 0.05
#: Prefix of a check's name -> its threshold, if a value beyond it does not mean a broken list.
_SOFT: Final = {
    "similar.flat": "flat_lists",
    "next.flat": "flat_lists",
    "first_ten.coverage": "coverage",
    "popularity.": "popularity_ratio",
}


def judge_generation(
    given: GateInput, artifact: Artifact, *, bounds: GateBounds, force: str | None = None
) -> Verdict:
    """Return the verdict on a staged generation, with every check for the manifest.

    Args:
        given: both manifests, and access to the live values.
        artifact: the staged generation, which the read-back has compared with the store.
        bounds: thresholds.
        force: reason for serving the generation in spite of refused checks; None to obey them.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    if given.live == given.generation:
        recorded = _recorded(given, artifact)
        return Verdict(passed=True, report=recorded, reason=_reason(recorded))
    given, found = with_baseline(given)
    parameters = artifact.manifest["parameters"]
    measured = measure(artifact, k=parameters["k"], ranked_k=_ranked_length(parameters))
    comparison = None if given.live is None else compare(given, given.live, artifact, measured)
    manifests = Manifests(artifact.manifest, given.live_manifest)
    checks = check_generation(manifests, measured, comparison, bounds)
    checks = refused_before(artifact.manifest, [*found, *checks, *check_explanations(artifact)])
    return verdict_of(checks, live=given.live, force=force)


def require_verdict(manifest: Mapping[str, Any], live: str | None) -> None:
    """Refuse to promote a generation that did not pass the gate against the one live now.

    A verdict without comparison, because the store had lost keys of the live generation, does not
    count: that generation may be whole again.

    Args:
        manifest: the generation's manifest, with the gate's report.
        live: generation that is live now; None without one.

    Raises:
        UsageError: there is no such verdict.
    """
    gate, generation = section(manifest, "gate"), manifest["generation"]
    again = f"`batch republish {generation}` judges it again, and serves it if it passes"
    if gate.get("verdict") not in (PASSED, FORCED):
        raise UsageError(
            f"the gate's verdict on {generation} is {gate.get('verdict', 'missing')}; expected "
            f"{PASSED} or {FORCED}. {again}"
        )
    baseline = gate.get("baseline")
    if baseline != (NO_BASELINE if live is None else live):
        raise UsageError(
            f"the gate compared {generation} with {baseline}, but {live or 'nothing'} is live now. "
            f"{again}"
        )


def check_generation(
    manifests: Manifests, measured: Measured, comparison: Comparison | None, bounds: GateBounds
) -> list[Check]:
    """Return the checks of a generation, passed and refused ones.

    Args:
        manifests: both manifests.
        measured: statistics of the staged lists.
        comparison: with the live lists; None without a live generation.
        bounds: thresholds.
    """
    is_first = manifests.live is None and comparison is None
    checks = [
        *check_input(manifests, bounds),
        *check_metrics(manifests, bounds),
        *check_lists(manifests, measured, bounds),
        *check_churn(comparison, bounds),
    ]
    if not is_first:
        return checks
    refused = refused_checks(manifests.staged)
    return [check if check.name in refused else _of_first_run(check, bounds) for check in checks]


def _of_first_run(check: Check, bounds: GateBounds) -> Check:
    """Return a warning in place of a refusal, if nothing is live and no list is broken.

    A configured threshold still refuses. Checks that were refused earlier are not changed: a store
    that lost its data does not improve a list.
    """
    bound = next((b for prefix, b in _SOFT.items() if check.name.startswith(prefix)), None)
    if check.verdict != REFUSED or bound is None or bound in bounds.model_fields_set:
        return check
    return check._replace(verdict=WARNING)


def with_baseline(given: GateInput) -> tuple[GateInput, list[Check]]:
    """Return the input without a live generation that is too damaged to be a baseline.

    Args:
        given: both manifests, and access to the live values.

    Returns:
        The input, and a warning for each part of the live generation that is missing.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    lost = 0.0 if given.live is None else lost_share(given, given.live)
    found = list(_findings(given, lost))
    if lost > _LOST_SHARE:
        given = replace(given, live=None, live_manifest=None)
    return given, found


def _findings(given: GateInput, lost: float) -> Iterator[Check]:
    """Yield a warning for each part of the live generation that is missing."""
    if lost:
        note = _NO_LISTS if lost > _LOST_SHARE else _SOME_LISTS
        yield Check(LIVE_DATA, lost, AT_MOST, 0, WARNING, note)
    if given.live is not None and given.live_manifest is None:
        yield Check("live.manifest", None, "", None, WARNING, _NO_MANIFEST)


def refused_before(manifest: Mapping[str, Any], checks: Sequence[Check]) -> list[Check]:
    """Return the checks, with earlier refusals that cannot be judged again.

    A store that lost its data has no live generation to compare with. That does not improve an
    artifact that was refused in comparison with one.

    Args:
        manifest: the artifact's manifest, with the gate's report if it was judged before.
        checks: the checks made now.
    """
    made = {check.name for check in checks if check.verdict not in (NO_BASELINE, SKIPPED)}
    baseline = section(manifest, "gate").get("baseline")
    again = {
        name: Check(name, None, "", None, REFUSED, _refusal(was, baseline))
        for name, was in refused_checks(manifest).items()
        if name not in made
    }
    return [*(check for check in checks if check.name not in again), *again.values()]


def _refusal(check: Mapping[str, Any], baseline: object) -> str:
    """Return the note of a check that was refused against a baseline that is gone.

    A note that is carried over again keeps the figure and the baseline of the first refusal.
    """
    note = str(check.get("note", ""))
    if note.startswith((_CARRIED_OVER, _CARRIED_OVER_EARLIER)):
        return note
    found = (str(baseline), str(check.get("figure", "")), "and cannot be judged now")
    return f"{_CARRIED_OVER}{', '.join(filter(None, found))}"


def _ranked_length(parameters: Mapping[str, Any]) -> int | None:
    """Return the expected length of ranked lists; None for all movies."""
    limits = [parameters.get(name) for name in ("ranked_k", "ranked_candidates")]
    return min((limit for limit in limits if limit is not None), default=None)


def verdict_of(checks: Sequence[Check], *, live: str | None, force: str | None) -> Verdict:
    """Return the verdict that follows from the checks.

    Args:
        checks: all checks.
        live: live generation that the checks compared with; None without one.
        force: reason for serving the generation in spite of refused checks; None to obey them.
    """
    refused = [check for check in checks if check.verdict == REFUSED]
    report: dict[str, Any] = {
        "verdict": PASSED if not refused else REFUSED if force is None else FORCED,
        "baseline": NO_BASELINE if live is None else live,
        "refused": [str(check) for check in refused],
        "warnings": [str(check) for check in checks if check.verdict == WARNING],
        "sampled": SAMPLE_LISTS,
        "checks": {check.name: check.to_json() for check in checks},
    }
    if force is not None:
        report["forced"] = force
    return Verdict(report["verdict"] != REFUSED, report, _reason(report))


def _recorded(given: GateInput, artifact: Artifact) -> dict[str, Any]:
    """Return the gate's report of the live generation, which is published again."""
    manifest = artifact.manifest if given.live_manifest is None else given.live_manifest
    gate = manifest.get("gate")
    return dict(gate) if isinstance(gate, Mapping) else {}


def _reason(report: Mapping[str, Any]) -> str:
    """Return the reason in the registry; empty for a generation that passed."""
    if report.get("verdict") not in (REFUSED, FORCED):
        return ""
    named = ", ".join(report["refused"][:NAMED])
    if (more := len(report["refused"]) - NAMED) > 0:
        named += f" and {more} more"
    return f"forced: {report['forced']} ({named})" if report["verdict"] == FORCED else named

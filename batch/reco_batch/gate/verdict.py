"""The gate: between read-back and switch, is this generation fit to be served?

`judge_generation` is what `reco_store.publish` calls. It measures the artifact's lists (`measure`)
and their reasons (`reason_checks`), compares a sample with what is served (`comparison`), judges
all of it by the bounds (`judge`) and puts every check into the manifest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reco_batch.artifact.checks import (
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
from reco_batch.artifact.manifests import Nights, refused_checks, section
from reco_batch.evaluation.list_statistics import SAMPLE_LISTS, measure
from reco_batch.gate.churn import compare, lost_share
from reco_batch.gate.explanation_checks import check_reasons
from reco_batch.gate.list_checks import check_night
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import GateInput, Verdict

_NO_MANIFEST: Final = "missing or damaged: input and metrics have no baseline"
_NO_LISTS: Final = "the store lost keys of the live generation, so it is no baseline"
_SOME_LISTS: Final = "the store lost keys of the live generation"
#: Beginning of the note of a check that was refused earlier and cannot be made now.
_CARRIED_OVER: Final = "refused beside "
#: Largest share of lost keys with which the live generation can still serve as a baseline.
_LOST_SHARE: Final = 0.05


def judge_generation(
    given: GateInput, artifact: Artifact, *, bounds: GateBounds, force: str | None = None
) -> Verdict:
    """Judge a staged generation.

    Args:
        given: both manifests, and the live values.
        artifact: what was staged; the read-back has shown that the store has the same.
        bounds: what is allowed.
        force: why it shall be served whatever is found; None: it shall not.

    Returns:
        Whether it may be served, with every check for the manifest.

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
    checks = check_night(
        Nights(artifact.manifest, given.live_manifest), measured, comparison, bounds
    )
    checks = refused_before(artifact.manifest, [*found, *checks, *check_reasons(artifact)])
    return verdict_of(checks, live=given.live, force=force)


def with_baseline(given: GateInput) -> tuple[GateInput, list[Check]]:
    """Decide whether the live generation is a baseline.

    Args:
        given: with the live generation, if there is one.

    Returns:
        The input, without the live generation if the store lost too much of it; and a warning for
        each thing that it lacks.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    lost = 0.0 if given.live is None else lost_share(given, given.live)
    found = list(_findings(given, lost))
    if lost > _LOST_SHARE:
        given = replace(given, live=None, live_manifest=None)
    return given, found


def _findings(given: GateInput, lost: float) -> Iterator[Check]:
    """Yield a warning for each thing that the live generation lacks."""
    if lost:
        note = _NO_LISTS if lost > _LOST_SHARE else _SOME_LISTS
        yield Check(LIVE_DATA, lost, AT_MOST, 0, WARNING, note)
    if given.live is not None and given.live_manifest is None:
        yield Check("live.manifest", None, "", None, WARNING, _NO_MANIFEST)


def refused_before(manifest: Mapping[str, Any], checks: Sequence[Check]) -> list[Check]:
    """Return the checks; earlier refusals that cannot be judged again stay refusals.

    A store that lost its data has no live generation to compare with. An artifact that was refused
    in comparison with one has not become better by that.

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

    However often it is carried over, the note keeps the figure and baseline of the first refusal.
    """
    note = str(check.get("note", ""))
    if note.startswith(_CARRIED_OVER):
        return note
    found = (str(baseline), str(check.get("figure", "")), "and cannot be judged now")
    return f"{_CARRIED_OVER}{', '.join(filter(None, found))}"


def _ranked_length(parameters: Mapping[str, Any]) -> int | None:
    """Return how long ranked lists should be; None: as long as can be."""
    said = [parameters.get(name) for name in ("ranked_k", "ranked_candidates")]
    return min((length for length in said if length is not None), default=None)


def verdict_of(checks: Sequence[Check], *, live: str | None, force: str | None) -> Verdict:
    """Return what follows from the checks.

    Args:
        checks: all of them.
        live: the generation that was compared with; None on the first night.
        force: why the generation shall be served whatever the checks say.
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
    """Return what was found when the live generation, now filled again, went live."""
    manifest = artifact.manifest if given.live_manifest is None else given.live_manifest
    gate = manifest.get("gate")
    return dict(gate) if isinstance(gate, Mapping) else {}


def _reason(report: Mapping[str, Any]) -> str:
    """Return the line that stands in the registry: empty for what simply passed."""
    if report.get("verdict") not in (REFUSED, FORCED):
        return ""
    named = ", ".join(report["refused"][:NAMED])
    if (more := len(report["refused"]) - NAMED) > 0:
        named += f" and {more} more"
    return f"forced: {report['forced']} ({named})" if report["verdict"] == FORCED else named

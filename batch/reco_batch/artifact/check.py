"""Check of the quality gate: a figure, its threshold, and the resulting verdict.

Pure values. The modules of the room `gate` define the checks.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PASSED: Final = "passed"
WARNING: Final = "warning"
REFUSED: Final = "refused"
NO_BASELINE: Final = "no baseline"
SKIPPED: Final = "skipped"
NOTED: Final = "noted"
FORCED: Final = "forced"  # verdict on a whole generation only

AT_LEAST: Final = "at least"
AT_MOST: Final = "at most"
EXACTLY: Final = "exactly"

#: Name of the check that the store still has all keys of the live generation.
LIVE_DATA: Final = "live.data"
#: Refused checks named in the summary line; the manifest contains all of them.
NAMED: Final = 6


class Check(NamedTuple):
    """Figure, threshold and verdict of one check."""

    name: str
    figure: float | None
    relation: str
    bound: float | None
    verdict: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the check as a JSON object of the manifest, without empty fields."""
        fields = {
            "figure": _plain(self.figure),
            self.relation.replace(" ", "_") or "bound": _plain(self.bound),
            "note": self.note,
        }
        filled = {name: value for name, value in fields.items() if value not in (None, "")}
        return {"verdict": self.verdict, **filled}

    def __str__(self) -> str:
        """Return the check as text, such as `churn.user 0.97 (at most 0.8)`."""
        bound = "" if self.bound is None else f"{self.relation} {short(self.bound)}"
        inside = "; ".join(part for part in (bound, self.note) if part)
        figure = "" if self.figure is None else f" {short(self.figure)}"
        return f"{self.name}{figure}" + (f" ({inside})" if inside else "")


def summary(report: Mapping[str, Any]) -> str:
    """Return a one-line summary of the gate's report; empty without checks."""
    if not report.get("checks"):
        return ""
    counts = Counter(check["verdict"] for check in report["checks"].values())
    parts = [f"{counts[PASSED]} checks passed"]
    if report["refused"]:
        named = "; ".join(report["refused"][:NAMED])
        parts.append(f"{len(report['refused'])} refused: {named}")
    if report["baseline"] == NO_BASELINE:
        lost = lost_baseline(report)
        why = "the store lost what was served" if lost else "nothing was served before"
        parts.append(f"{NO_BASELINE}: {why}")
    if "forced" in report:
        used = "forced" if report["verdict"] == FORCED else "--force was not needed"
        parts.append(f"{used}: {report['forced']}")
    return ", ".join(parts)


def lost_baseline(report: Mapping[str, Any]) -> bool:
    """Return whether the gate compared with nothing because the store had lost what was live."""
    return report.get("baseline") == NO_BASELINE and LIVE_DATA in (report.get("checks") or ())


def at_least(
    name: str, figure: float | None, bound: float, *, note: str = "", lacking: str = ""
) -> Check:
    """Refuse a figure below its bound; skip a missing figure with the note `lacking`."""
    if figure is None:
        return Check(name, None, AT_LEAST, bound, SKIPPED, lacking or "no figure")
    # Not `figure < bound`, so that NaN is refused too.
    return Check(name, figure, AT_LEAST, bound, PASSED if figure >= bound else REFUSED, note)


def at_most(
    name: str, figure: float | None, bound: float, *, note: str = "", lacking: str = ""
) -> Check:
    """Refuse a figure above its bound; skip a missing figure with the note `lacking`."""
    if figure is None:
        return Check(name, None, AT_MOST, bound, SKIPPED, lacking or "no figure")
    return Check(name, figure, AT_MOST, bound, PASSED if figure <= bound else REFUSED, note)


def exactly(name: str, figure: float, bound: float | None) -> Check:
    """Refuse a figure that differs from the manifest's; skip it without one."""
    if bound is None:
        return Check(name, figure, EXACTLY, None, SKIPPED, "not in the manifest")
    return Check(name, figure, EXACTLY, bound, PASSED if figure == bound else REFUSED)


def _plain(value: float | None) -> float | int | str | None:
    """Return a number as JSON value with six significant digits; text if it is not finite."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(value)
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def short(value: float) -> str:
    """Return a number as short text."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"

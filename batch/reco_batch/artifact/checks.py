"""One check of the gate: a figure, a bound, and the verdict that follows.

Pure values; which checks there are stands in `judge`.
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
FORCED: Final = "forced"  # of the whole night

AT_LEAST: Final = "at least"
AT_MOST: Final = "at most"
EXACTLY: Final = "exactly"

#: Name of the check that the live generation is all there.
LIVE_DATA: Final = "live.data"
#: Refused checks that the one line names; the manifest has them all.
NAMED: Final = 6


class Check(NamedTuple):
    """One figure, its bound, and what that means."""

    name: str
    figure: float | None
    relation: str
    bound: float | None
    verdict: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the check as the manifest has it, without what is empty."""
        fields = {
            "figure": _plain(self.figure),
            self.relation.replace(" ", "_") or "bound": _plain(self.bound),
            "note": self.note,
        }
        said = {name: value for name, value in fields.items() if value not in (None, "")}
        return {"verdict": self.verdict, **said}

    def __str__(self) -> str:
        """Return the check as a person reads it: `churn.user 0.97 (at most 0.8)`."""
        bound = "" if self.bound is None else f"{self.relation} {short(self.bound)}"
        inside = "; ".join(part for part in (bound, self.note) if part)
        figure = "" if self.figure is None else f" {short(self.figure)}"
        return f"{self.name}{figure}" + (f" ({inside})" if inside else "")


def summary(report: Mapping[str, Any]) -> str:
    """Say in one line how a generation came through the gate; empty for one that never did."""
    if not report.get("checks"):
        return ""
    counts = Counter(check["verdict"] for check in report["checks"].values())
    parts = [f"{counts[PASSED]} checks passed"]
    if report["refused"]:
        named = "; ".join(report["refused"][:NAMED])
        parts.append(f"{len(report['refused'])} refused: {named}")
    if report["baseline"] == NO_BASELINE:
        lost = LIVE_DATA in report["checks"]
        why = "the store lost what was served" if lost else "nothing was served before"
        parts.append(f"{NO_BASELINE}: {why}")
    if "forced" in report:
        used = "forced" if report["verdict"] == FORCED else "--force was not needed"
        parts.append(f"{used}: {report['forced']}")
    return ", ".join(parts)


def at_least(
    name: str, figure: float | None, bound: float, *, note: str = "", lacking: str = ""
) -> Check:
    """Refuse a figure below its bound; skip one that is not there, saying what is `lacking`."""
    if figure is None:
        return Check(name, None, AT_LEAST, bound, SKIPPED, lacking or "no figure")
    # Not `figure < bound`: what is no number is not good enough either.
    return Check(name, figure, AT_LEAST, bound, PASSED if figure >= bound else REFUSED, note)


def at_most(
    name: str, figure: float | None, bound: float, *, note: str = "", lacking: str = ""
) -> Check:
    """Refuse a figure above its bound; skip one that is not there, saying what is `lacking`."""
    if figure is None:
        return Check(name, None, AT_MOST, bound, SKIPPED, lacking or "no figure")
    return Check(name, figure, AT_MOST, bound, PASSED if figure <= bound else REFUSED, note)


def exactly(name: str, figure: float, bound: float | None) -> Check:
    """Refuse a figure that is not what the manifest says."""
    if bound is None:
        return Check(name, figure, EXACTLY, None, SKIPPED, "the manifest does not say")
    return Check(name, figure, EXACTLY, bound, PASSED if figure == bound else REFUSED)


def _plain(value: float | None) -> float | int | str | None:
    """Return a number that JSON can hold, and no longer than it tells."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(value)
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def short(value: float) -> str:
    """Write a number for people."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"

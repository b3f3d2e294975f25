"""Numbers, times and texts of the report, formatted and sanitised. Pure functions."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from reco_terminal.console import printable

#: Longest text in one line of the page, in characters.
_LONGEST: Final = 90
_NONE: Final = "\N{EN DASH}"


def safe(text: object, longest: int = _LONGEST) -> str:
    """Return a text of the data without characters that hide or reverse text, cut to a length.

    The template escapes HTML.
    """
    clean = printable(str(text)[: longest + 1])
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def number(value: float | None) -> str:
    """Format a number: whole ones with separators, others with three significant places."""
    if value is None:
        return _NONE
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) >= 1:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def signed(change: float) -> str:
    """Format a whole number with its sign."""
    return f"{change:+,.0f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Format a share as a percentage, small ones with one decimal."""
    hundred = 100 * share
    return f"{hundred:.1f} %" if 0 < hundred < 9.95 else f"{hundred:.0f} %"


def moment(text: object) -> str:
    """Format an ISO 8601 time to the minute, in UTC; any other text is only sanitised."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return safe(text)
    return f"{when.astimezone(UTC) if when.tzinfo else when:%Y-%m-%d %H:%M} UTC"


def day(seconds: float) -> str:
    """Format seconds since 1970 as a date."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def part_of(mapping: object, *path: str) -> Mapping[str, Any]:
    """Return a section of a manifest; empty if it is missing or has another type."""
    for name in path:
        mapping = mapping.get(name) if isinstance(mapping, Mapping) else None
    return mapping if isinstance(mapping, Mapping) else {}


def figure_of(mapping: object, *path: str) -> float | None:
    """Return a finite number of a manifest; None if there is none."""
    *parents, name = path
    value = part_of(mapping, *parents).get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None

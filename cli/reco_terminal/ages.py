"""Ages in words, for both commands."""

from __future__ import annotations

from reco_store.contract.words import counted

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def age_words(age_seconds: float) -> str:
    """Return an age in words, for example `3 hours`.

    Args:
        age_seconds: in seconds; negative if the clocks of two machines differ.
    """
    if age_seconds < _MINUTE:
        return "less than a minute"
    if age_seconds < 2 * _HOUR:
        return counted(int(age_seconds // _MINUTE), "minute")
    if age_seconds < 2 * _DAY:
        return counted(int(age_seconds // _HOUR), "hour")
    return counted(int(age_seconds // _DAY), "day")

"""Hold that a rollback places on publishing: until it ends, newer generations do not go live.

    {"until": seconds since 1970, "reason": text}

Pure values; the script that switches generations compares ``until`` with the caller's clock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

from reco_store.errors import ContractMismatch

__all__ = ["Hold"]


class Hold(NamedTuple):
    """End of a hold and the reason for it."""

    until: datetime
    reason: str

    @property
    def until_iso(self) -> str:
        """End of the hold, in ISO 8601."""
        return self.until.isoformat(timespec="seconds")

    def dump(self) -> str:
        """Return the hold as JSON."""
        return json.dumps({"until": self.until.timestamp(), "reason": self.reason})

    @classmethod
    def load(cls, value: bytes | str) -> Hold:
        """Return the hold that a stored value describes.

        Raises:
            ContractMismatch: the value is damaged.
        """
        try:
            fields = json.loads(value)
            until = datetime.fromtimestamp(float(fields["until"]), UTC)
        except (ValueError, KeyError, TypeError) as error:
            raise ContractMismatch(
                f"the hold {value[:40]!r}",
                "a hold as `batch rollback` writes it",
                "Run `batch release`.",
            ) from error
        return cls(until, str(fields.get("reason", "a rollback put a hold on")))

"""The hold that a rollback puts on: until it ends, newer generations are staged but not live.

    {"until": seconds since 1970, "reason": text}

Pure values; the script that flips compares ``until`` with the caller's clock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

from reco_store.errors import ContractMismatch

__all__ = ["Hold"]


class Hold(NamedTuple):
    """Why newer generations are held back, and until when."""

    until: datetime
    reason: str

    @property
    def until_iso(self) -> str:
        """Return the end as ISO 8601."""
        return self.until.isoformat(timespec="seconds")

    def dump(self) -> str:
        """Return the hold as it is stored."""
        return json.dumps({"until": self.until.timestamp(), "reason": self.reason})

    @classmethod
    def load(cls, value: bytes | str) -> Hold:
        """Read a stored hold.

        Raises:
            ContractMismatch: it is damaged.
        """
        try:
            fields = json.loads(value)
            until = datetime.fromtimestamp(float(fields["until"]), UTC)
        except (ValueError, KeyError, TypeError) as error:
            raise ContractMismatch(
                f"the hold {value[:40]!r}", "what a rollback writes", "Run `batch release`."
            ) from error
        return cls(until, str(fields.get("reason", "a rollback put a hold on")))

"""Input of the quality gate and result of publishing, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reco_store.connection.client import Client, store_errors
from reco_store.connection.transfer import read_batches, read_values
from reco_store.contract.keys import MOST_RATED_SUFFIX
from reco_store.contract.manifest import load_if_whole
from reco_store.control.generation_registry import read_control
from reco_store.control.inventory import sample_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reco_store.contract.keys import Keys
    from reco_store.errors import Held

__all__ = ["HELD", "LIVE", "REFUSED", "STAGED", "GateInput", "Published", "Verdict"]

LIVE: Final = "live"
HELD: Final = "held"
REFUSED: Final = "refused"
STAGED: Final = "staged"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict of the gate on a staged generation."""

    passed: bool
    report: Mapping[str, Any] = field(default_factory=dict)  # becomes `gate` of the manifest
    reason: str = ""  # one line, becomes the note in the registry


@dataclass(frozen=True, slots=True)
class GateInput:
    """Input of the gate: the staged and the live generation, and access to their values."""

    generation: str
    manifest: Mapping[str, Any]
    live: str | None
    live_manifest: Mapping[str, Any] | None  # None at the first run: no baseline
    client: Client
    keys: Keys

    @classmethod
    def read_from(
        cls, client: Client, keys: Keys, generation: str, manifest: Mapping[str, Any]
    ) -> GateInput:
        """Return the input for a generation, with the live generation read from the store.

        A damaged live manifest counts as missing.

        Raises:
            ContractMismatch: the registry is damaged, or the live manifest of a newer schema.
            StoreUnreachable: the store does not answer.
        """
        with store_errors(client):
            live = read_control(client, keys).live
            value = None if live is None else read_values(client, [keys.manifest(live)])[0]
        live_manifest = None if live is None or value is None else load_if_whole(value, live)
        return cls(generation, manifest, live, live_manifest, client, keys)

    def read(self, generation: str, suffixes: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield suffixes of the staged or live generation with their values; None if missing."""
        with store_errors(self.client):
            prefix = self.keys.data_prefix(generation)
            for batch, values in read_batches(self.client, prefix, suffixes):
                yield from zip(batch, values, strict=True)

    def sample(self, generation: str, most: int) -> Sequence[str]:
        """Return a sample of the suffixes that a generation was published with, evenly spaced.

        Without an inventory, the suffix of the one list that every generation contains is returned.
        """
        with store_errors(self.client):
            found = sample_suffixes(self.client, self.keys, generation, most)
        return found or [MOST_RATED_SUFFIX]


@dataclass(frozen=True, slots=True)
class Published:
    """Result of publishing a generation."""

    generation: str
    outcome: str  # live, staged (on request), held (after a rollback) or refused (by the gate)
    previous: str | None  # generation that was live before
    verdict: Verdict | None = None
    held: Held | None = None
    retired: tuple[str, ...] = ()
    warning: str = ""  # failure after the switch, which the next run repairs; empty if none

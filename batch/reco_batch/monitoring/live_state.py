"""State of the store after a run: the live generation, and the memory forecast."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from reco_store import Keys, RecoError, store_errors
from reco_store.connection.client import Client, is_cluster
from reco_store.connection.servers import look_at_servers
from reco_store.contract.manifest import load_if_whole
from reco_store.control.generation_registry import read_control
from reco_store.publishing.capacity import needed_bytes
from reco_store.publishing.memory_forecast import TRANSIENT_BYTES


@dataclass(frozen=True, slots=True)
class Served:
    """The live generation of a namespace."""

    generation: str
    live_since: str
    """ISO 8601; empty if the registry lacks it."""
    manifest: dict[str, Any]
    """Manifest of the live generation; empty if it is damaged."""
    memory_forecast: float | None
    """Expected memory of the fullest server while another generation of this size is staged, as a
    share of its limit; None if a server has no limit or does not answer."""


def read_served(client: Client, keys: Keys) -> Served | None:
    """Return the live generation; None if nothing is live.

    Raises:
        ContractMismatch: the registry is damaged or from a later version.
        StoreUnreachable: the store does not answer.
    """
    with store_errors(client):
        control = read_control(client, keys)
        if control.live is None:
            return None
        value = client.get(keys.manifest(control.live))
    known = isinstance(value, bytes) and load_if_whole(value, control.live)
    manifest = known or {}
    record = control.record_of(control.live)
    return Served(
        control.live,
        "" if record is None else record.since,
        manifest,
        _memory_forecast(client, keys, manifest) if manifest else None,
    )


def _memory_forecast(client: Client, keys: Keys, manifest: dict[str, Any]) -> float | None:
    """Return the expected share of memory used on the fullest server."""
    with suppress(RecoError), store_errors(client):
        nodes = look_at_servers(client).nodes
        share = len(nodes) if is_cluster(client) else 1
        return max(
            (node.used_bytes + needed_bytes(keys, manifest, node, share) + TRANSIENT_BYTES)
            / node.limit_bytes
            for node in nodes
            if node.limit_bytes
        )
    return None

"""Registry of a namespace's generations, one JSON value, and its atomic changes.

    {"v": 1, "generations": [{"id": ..., "state": ..., "created": ..., "entries": ...,
                              "bytes": ..., "chunks": ..., "since": ..., "note": ...},
                             ...]}

``chunks`` is the number of a generation's inventory chunks in the store; 0 means that nothing of
the generation is stored. ``since`` is the time at which it last became live, empty if it never was
live. A refresh has ``trained_by``, the generation whose models it uses. States:

    staging      being written, or left behind by a run that died
    ready        complete and verified: live, or available for a rollback
    refused      complete, but refused by the gate
    quarantined  withdrawn by a rollback while it was live: never live again, unless overruled
    retired      replaced; being deleted, or deleted

The registry lists the newest ``MAX_GONE`` deleted generations. Quarantined generations stay listed
forever, so that none is published again; there are few, because each is the decision of an
operator. While an operator publishes one nevertheless, its record keeps the note of the quarantine
as ``overruled``, and returns to quarantine unless the generation goes live.

The pointer alone determines the live generation. Every change reads registry and pointer, computes
the new state, and writes both unless one has changed since (``change.lua``). Otherwise it starts
over, so a rollback and a nightly run cannot undo each other's work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from reco_store.connection.scripts import CHANGE, reply_text, run_script, values, with_retries
from reco_store.connection.servers import runs_scripts_when_full
from reco_store.contract.hold import Hold
from reco_store.errors import ContractMismatch, Fenced, StoreUnfit, UsageError, VerifyFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from reco_store.connection.client import Client
    from reco_store.contract.keys import Keys

__all__ = ["Change", "Control", "Record", "apply_change", "parse_control", "read_control"]

STAGING: Final = "staging"
READY: Final = "ready"
REFUSED: Final = "refused"
QUARANTINED: Final = "quarantined"
RETIRED: Final = "retired"
# Not stored: words for ready generations, according to the pointer.
LIVE: Final = "live"
STAGED: Final = "staged"

REMOVE: Final = "-"
VERSION: Final = 1
MAX_GONE: Final = 30  # deleted generations that stay listed
_ATTEMPTS: Final = 50
_DELETING: Final = "deleting"
_OVERRULED: Final = "overruled"
_TRAINED_BY: Final = "trained_by"


@dataclass(frozen=True, slots=True)
class Record:
    """Registry entry of one generation."""

    id: str
    state: str
    created: str = ""
    entries: int = 0
    size_bytes: int = 0
    chunks: int = 0
    since: str = ""
    note: str = ""
    trained_by: str = ""  # of a refresh: generation of the run that trained its models
    # Fields of later versions, kept unchanged.
    more: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_complete(self) -> bool:
        """True if all keys of the generation, and its manifest, are in the store."""
        return (
            self.chunks > 0 and not self.is_being_deleted and self.state not in (STAGING, RETIRED)
        )

    @property
    def is_being_deleted(self) -> bool:
        """True once the deletion has begun: some keys may already be missing."""
        return bool(self.more.get(_DELETING))

    @property
    def is_quarantined(self) -> bool:
        """True if the generation was withdrawn by a rollback and has not been live since."""
        return self.state == QUARANTINED or self.is_overruled

    @property
    def is_overruled(self) -> bool:
        """True while the generation is being published despite its quarantine."""
        return _OVERRULED in self.more

    def overruling(self, quarantined: Record) -> Record:
        """Return the record of a new attempt to publish a quarantined generation, with its note."""
        note = quarantined.more.get(_OVERRULED, quarantined.note)
        return replace(self, more={**self.more, _OVERRULED: note})

    def quarantined_again(self) -> Record:
        """Return the record with an overruled quarantine restored."""
        if not self.is_overruled:
            return self
        note = str(self.more[_OVERRULED])
        return replace(self.no_longer_overruled(), state=QUARANTINED, note=note)

    def no_longer_overruled(self) -> Record:
        """Return the record without an overruled quarantine."""
        return replace(self, more={k: v for k, v in self.more.items() if k != _OVERRULED})

    def marked_for_deletion(self) -> Record:
        """Return the record marked as being deleted, after which keys may be missing."""
        return replace(self, more={**self.more, _DELETING: True})

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return {
            **self.more,
            "id": self.id,
            "state": self.state,
            "created": self.created,
            "entries": self.entries,
            "bytes": self.size_bytes,
            "chunks": self.chunks,
            "since": self.since,
            "note": self.note,
            **({_TRAINED_BY: self.trained_by} if self.trained_by else {}),
        }


class Control(NamedTuple):
    """Control state: registry and pointer, read together."""

    live: str | None
    records: tuple[Record, ...]  # newest first
    raw: str  # stored text of the registry, compared when it is written

    def record_of(self, generation: str) -> Record | None:
        """Return the record of a generation; None if it is not listed."""
        return next((record for record in self.records if record.id == generation), None)

    def state_of(self, record: Record) -> str:
        """Return a record's state in words: its own, or live or staged if it is ready."""
        if record.id == self.live:
            return LIVE
        if record.is_quarantined:
            return QUARANTINED
        return STAGED if self.is_waiting(record) else record.state

    def is_waiting(self, record: Record) -> bool:
        """Return whether a generation is ready, newer than the live one, and never was live.

        It was staged on request, or is held after a rollback.
        """
        return (
            record.state == READY
            and record.is_complete
            and not record.since
            and record.id > (self.live or "")
        )

    def with_records(self, *records: Record) -> tuple[Record, ...]:
        """Return all records, newest first, with the given ones added or replaced."""
        changed = {record.id: record for record in records}
        kept = [record for record in self.records if record.id not in changed]
        return tuple(sorted([*kept, *changed.values()], key=lambda r: r.id, reverse=True))


class Change(NamedTuple):
    """Change of the control state; a part that is None stays as it is."""

    records: tuple[Record, ...]
    live: str | None = None
    hold: str | None = None  # REMOVE deletes it
    manifest_of: str | None = None
    manifest: str | None = None  # REMOVE deletes it
    hold_checked_at: float | None = None  # seconds since 1970; None: ignore holds
    run_id: str | None = None  # required run id of the server


class HoldInForce(Exception):
    """Signal that a hold forbids the change."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(hold)
        self.hold = hold


def read_control(client: Client, keys: Keys) -> Control:
    """Read registry and pointer together.

    Raises:
        ContractMismatch: the registry is damaged, or of a later version.
        redis.RedisError: the store does not answer.
    """
    # Both keys have the hash tag of the namespace, so one command reads them on a cluster too.
    names = (keys.generations, keys.current)
    raw, pointer = with_retries(lambda: values(client.mget(names), len(names)))
    return parse_control(raw, pointer)


def parse_control(registry: bytes | None, pointer: bytes | None) -> Control:
    """Return the control state from the values of registry and pointer, read together.

    Raises:
        ContractMismatch: the registry is damaged, or of a later version.
    """
    text = "" if registry is None else reply_text(registry)
    return Control(None if pointer is None else reply_text(pointer), _parse(text), text)


def apply_change(
    client: Client, keys: Keys, decide: Callable[[Control], Change | None], *, token: str = ""
) -> Control:
    """Change the control state atomically.

    Args:
        client: connection to the store.
        keys: keys of the namespace.
        decide: returns the change for a state, or None for no change; called again if the state
            has changed since it was read.
        token: fencing token of the run; empty for an operator.

    Returns:
        The state for which the change was decided.

    Raises:
        Fenced: another run took over.
        HoldInForce: the change respects holds, and one is in force.
        VerifyFailed: the server is not the one that the generation was staged to.
        ContractMismatch: the registry is damaged, or of a later version.
        StoreUnfit: the registry changed during each attempt to write it.
        redis.RedisError: the store does not answer, or refuses.
    """
    for _ in range(_ATTEMPTS):
        control = read_control(client, keys)
        change = decide(control)
        if change is None:
            return control
        word, fact = _send(client, keys, control, change, token)
        if word == "done":
            return control
        if word == "fenced":
            raise Fenced(fact)
        if word == "held":
            raise HoldInForce(Hold.load(fact))
        if word == "restarted":
            raise VerifyFailed(
                change.live or change.manifest_of or "", "the server was restarted meanwhile"
            )
    raise StoreUnfit(
        f"the registry changed during each of {_ATTEMPTS} attempts to write it",
        f"Check which other programs write {keys.generations}.",
    )


def _send(
    client: Client, keys: Keys, control: Control, change: Change, token: str
) -> tuple[str, str]:
    names = (keys.current, keys.generations, keys.lock, keys.fence, keys.hold)
    manifest_key = keys.manifest(change.manifest_of or change.live or "none")
    checked_at = "" if change.hold_checked_at is None else repr(change.hold_checked_at)
    arguments = (
        token,
        control.raw,
        _dump(change.records),
        control.live or "",
        change.live or "",
        change.hold or "",
        change.manifest or "",
        checked_at,
        change.run_id or "",
    )
    word, fact = run_script(
        client,
        CHANGE,
        (*names, manifest_key),
        arguments,
        allow_when_full=runs_scripts_when_full(client),
    )
    return reply_text(word), reply_text(fact)


def without_keys(record: Record) -> Record:
    """Return the record of a generation after its keys were deleted."""
    state = RETIRED if record.state in (STAGING, READY) else record.state
    more = {name: value for name, value in record.more.items() if name != _DELETING}
    return replace(record, state=state, chunks=0, more=more).quarantined_again()


def _dump(records: tuple[Record, ...]) -> str:
    kept: list[dict[str, Any]] = []
    gone_count = 0
    for record in records:  # newest first
        is_quarantined = record.state == QUARANTINED
        gone_count += record.chunks == 0 and not is_quarantined
        if record.chunks or is_quarantined or gone_count <= MAX_GONE:
            kept.append(record.to_json())
    return json.dumps({"v": VERSION, "generations": kept}, separators=(",", ":"))


def _parse(text: str) -> tuple[Record, ...]:
    if not text:
        return ()
    try:
        content = json.loads(text)
        if content["v"] > VERSION:
            raise ContractMismatch(
                f"a registry of version {content['v']}", f"version {VERSION}", "Upgrade reco."
            )
        return tuple(_record(entry) for entry in content["generations"])
    except (ValueError, KeyError, TypeError) as error:
        raise ContractMismatch(
            f"the registry {text[:60]!r}",
            "the registry of generations",
            "Something else writes under this namespace; choose another with --namespace.",
        ) from error


def _record(entry: dict[str, Any]) -> Record:
    known = {"id", "state", "created", "entries", "bytes", "chunks", "since", "note", _TRAINED_BY}
    return Record(
        id=str(entry["id"]),
        state=str(entry["state"]),
        created=str(entry.get("created", "")),
        entries=int(entry.get("entries", 0)),
        size_bytes=int(entry.get("bytes", 0)),
        chunks=int(entry.get("chunks", 0)),
        since=str(entry.get("since", "")),
        note=str(entry.get("note", "")),
        trained_by=str(entry.get(_TRAINED_BY, "")),
        more={name: value for name, value in entry.items() if name not in known},
    )


def refuse_quarantined(control: Control, generation: str) -> None:
    """Refuse to publish a quarantined generation.

    Raises:
        UsageError: the generation was withdrawn by a rollback.
    """
    known = control.record_of(generation)
    if known is not None and known.is_quarantined:
        note = known.quarantined_again().note
        raise UsageError(
            f"generation {generation} was withdrawn by a rollback ({note}) and is not published "
            "again; run `batch run` for a new one, or, if the rollback was a mistake, "
            f"`batch republish {generation} --force REASON`"
        )

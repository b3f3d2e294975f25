"""What exists in a namespace: the registry, one JSON value, and its atomic changes.

    {"v": 1, "generations": [{"id": ..., "state": ..., "created": ..., "entries": ...,
                              "bytes": ..., "chunks": ..., "since": ..., "note": ...},
                             ...]}

``chunks`` counts the inventory chunks of a generation that are in the store: 0 means that
nothing of it is left. ``since`` is when it last became live, empty if it never was. States:

    staging      being written, or left behind by a run that died
    ready        complete and verified: live, or one to roll back to
    refused      complete, but refused by the gate
    quarantined  was live and was rolled back from: never live again, unless overruled
    retired      replaced; being deleted, or gone

Of the generations that are gone, the newest ``MAX_GONE`` are listed. Quarantined generations are
listed for ever, so that none of them is published again: each is the work of a person, so there
are few. While one is published all the same, its record has the note of its quarantine as
``overruled``: it is in quarantine again if it does not go live.

Which generation is live is said by the pointer alone. Every change reads registry and pointer,
computes, and writes both if neither changed meanwhile (``change.lua``); else it starts over, so an
operator's rollback and a nightly run cannot undo each other's work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from reco_store.connection.scripts import CHANGE, insist, run_script, values
from reco_store.connection.servers import runs_scripts_when_full
from reco_store.contract.hold import Hold
from reco_store.errors import ContractMismatch, Fenced, StoreUnfit, UsageError, VerifyFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from reco_store.connection.client import Client
    from reco_store.contract.keys import Keys

__all__ = ["Change", "Control", "Record", "apply_change", "read_control"]

STAGING: Final = "staging"
READY: Final = "ready"
REFUSED: Final = "refused"
QUARANTINED: Final = "quarantined"
RETIRED: Final = "retired"

REMOVE: Final = "-"
VERSION: Final = 1
MAX_GONE: Final = 30  # how many generations of which nothing is left are still listed
_ATTEMPTS: Final = 50
_DELETING: Final = "deleting"
_OVERRULED: Final = "overruled"


@dataclass(frozen=True, slots=True)
class Record:
    """One generation, as the registry has it."""

    id: str
    state: str
    created: str = ""
    entries: int = 0
    size_bytes: int = 0
    chunks: int = 0
    since: str = ""
    note: str = ""
    # Fields of later versions, which are kept.
    more: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_being_deleted(self) -> bool:
        """True once its deletion has begun: some keys may be gone already."""
        return bool(self.more.get(_DELETING))

    @property
    def is_quarantined(self) -> bool:
        """True if it was rolled back from and has not been live since."""
        return self.state == QUARANTINED or self.is_overruled

    @property
    def is_overruled(self) -> bool:
        """True while it is being published in spite of a rollback from it."""
        return _OVERRULED in self.more

    def overruling(self, quarantined: Record) -> Record:
        """Return the record of a new attempt at a quarantined generation, which keeps its note."""
        note = quarantined.more.get(_OVERRULED, quarantined.note)
        return replace(self, more={**self.more, _OVERRULED: note})

    def quarantined_again(self) -> Record:
        """Return the record with its quarantine in force, if an attempt overruled one."""
        if not self.is_overruled:
            return self
        note = str(self.more[_OVERRULED])
        return replace(self.no_longer_overruled(), state=QUARANTINED, note=note)

    def no_longer_overruled(self) -> Record:
        """Return the record without the quarantine that an attempt overruled."""
        return replace(self, more={k: v for k, v in self.more.items() if k != _OVERRULED})

    def marked_for_deletion(self) -> Record:
        """Return the record marked as being deleted: the generation's keys may be gone from now."""
        return replace(self, more={**self.more, _DELETING: True})

    def to_json(self) -> dict[str, Any]:
        """Return the record as the registry writes it."""
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
        }


class Control(NamedTuple):
    """Registry and pointer, as read together."""

    live: str | None
    records: tuple[Record, ...]  # newest first
    raw: str  # the registry's text, to be compared when it is written

    def find(self, generation: str) -> Record | None:
        """Return the record of a generation, if it has one."""
        return next((record for record in self.records if record.id == generation), None)

    def put(self, *records: Record) -> tuple[Record, ...]:
        """Return all records with some of them new or replaced."""
        changed = {record.id: record for record in records}
        kept = [record for record in self.records if record.id not in changed]
        return tuple(sorted([*kept, *changed.values()], key=lambda r: r.id, reverse=True))


class Change(NamedTuple):
    """What shall be written; None leaves a part as it is."""

    records: tuple[Record, ...]
    live: str | None = None
    hold: str | None = None  # REMOVE removes it
    manifest_of: str | None = None
    manifest: str | None = None  # REMOVE removes it
    heed_hold_at: float | None = None  # seconds since 1970; None: a hold does not matter
    run_id: str | None = None  # the server must be this one still


class HoldInForce(Exception):
    """A hold forbids this change."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(hold)
        self.hold = hold


def read_control(client: Client, keys: Keys) -> Control:
    """Read registry and pointer together.

    Raises:
        ContractMismatch: the registry is damaged, or of a later version.
        redis.RedisError: the store does not answer.
    """
    # Both have the hash tag of the namespace, so this is one command on a cluster too.
    names = (keys.generations, keys.current)
    raw, pointer = insist(lambda: values(client.mget(names), len(names)))
    text = "" if raw is None else _text(raw)
    return Control(None if pointer is None else _text(pointer), _parse(text), text)


def apply_change(
    client: Client, keys: Keys, decide: Callable[[Control], Change | None], *, token: str = ""
) -> Control:
    """Change the control state atomically.

    Args:
        client: connection to the store.
        keys: the namespace's keys.
        decide: computes the change from the present state; called again whenever the state
            changed meanwhile; None means that there is nothing to change.
        token: of the run, which is then fenced; empty for an operator.

    Returns:
        The state from which the change was decided.

    Raises:
        Fenced: another run took over.
        HoldInForce: the change heeds holds, and there is one.
        VerifyFailed: the server is not the one that was staged to.
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
        "the registry changed at every attempt to change it",
        f"Look for other programs that write {keys.generations}.",
    )


def _send(
    client: Client, keys: Keys, control: Control, change: Change, token: str
) -> tuple[str, str]:
    names = (keys.current, keys.generations, keys.lock, keys.fence, keys.hold)
    manifest_key = keys.manifest(change.manifest_of or change.live or "none")
    heed = "" if change.heed_hold_at is None else repr(change.heed_hold_at)
    arguments = (
        token,
        control.raw,
        _dump(change.records),
        control.live or "",
        change.live or "",
        change.hold or "",
        change.manifest or "",
        heed,
        change.run_id or "",
    )
    word, fact = run_script(
        client,
        CHANGE,
        (*names, manifest_key),
        arguments,
        allow_when_full=runs_scripts_when_full(client),
    )
    return _text(word), _text(fact)


def gone(record: Record) -> Record:
    """Return a record of which nothing is left in the store."""
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
            "what reco writes",
            "Something else writes under this namespace; choose another with --namespace.",
        ) from error


def _record(entry: dict[str, Any]) -> Record:
    known = {"id", "state", "created", "entries", "bytes", "chunks", "since", "note"}
    return Record(
        id=str(entry["id"]),
        state=str(entry["state"]),
        created=str(entry.get("created", "")),
        entries=int(entry.get("entries", 0)),
        size_bytes=int(entry.get("bytes", 0)),
        chunks=int(entry.get("chunks", 0)),
        since=str(entry.get("since", "")),
        note=str(entry.get("note", "")),
        more={name: value for name, value in entry.items() if name not in known},
    )


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


def refuse_quarantined(control: Control, generation: str) -> None:
    """Refuse what a rollback has found bad.

    Raises:
        UsageError: the generation was rolled back from.
    """
    known = control.find(generation)
    if known is not None and known.is_quarantined:
        note = known.quarantined_again().note
        raise UsageError(
            f"generation {generation} was rolled back from ({note}) and is not published "
            "again; run `batch run` for a new one, or, if the rollback was a mistake, "
            f"`batch republish {generation} --force REASON`"
        )

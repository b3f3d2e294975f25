"""Pinning: every request reads one generation, from its first step to its last.

Requests are generators. They yield a ``Step``, one round trip, and receive the values of its keys
and then the replies to its commands, in order. ``Reader`` and ``AsyncReader`` drive them, so the
logic exists once.

Every step also reads the pointer. If it moved in the first step, the request reads again, under the
new generation. In a later step the values of the pinned generation are still valid, unless one is
missing: the generation may have been retired, so the request starts over.

Requests for a named generation, which need not be live, read its manifest in place of the pointer:
a manifest exists only while all keys of its generation do.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from reco_store.contract.codec import decode_movie
from reco_store.contract.keys import MOST_RATED_SUFFIX, Keys, movie_suffix
from reco_store.errors import NothingPublished, StoreUnfit, UnknownGeneration
from reco_store.read.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reco_store.read.snapshot import Label

__all__ = ["Moved", "Pinned", "Pinning", "Request", "Step", "flattened", "queue"]

_T = TypeVar("_T")
Command: TypeAlias = "tuple[str, ...]"

MAX_LABELS: Final = 50_000
MAX_MOVES: Final = 50


class Step(NamedTuple):
    """One round trip to the store."""

    keys: tuple[str | bytes, ...]
    """Keys of the strings to read."""
    commands: tuple[Command, ...] = ()
    """Other read-only commands."""


#: Generator that yields steps, receives their values and replies, and returns the answer.
Request: TypeAlias = Generator[Step, "Sequence[Any]", _T]


def queue(pipeline: Any, step: Step, *, clustered: bool) -> None:  # noqa: ANN401  four kinds
    """Queue a step in a pipeline of the client library.

    One MGET reads all keys at once, as fast as a single GET. A cluster may have them on several
    servers, so it gets one GET a key.
    """
    if clustered:
        for key in step.keys:
            pipeline.execute_command("GET", key)
    else:
        pipeline.execute_command("MGET", *step.keys)
    for command in step.commands:
        pipeline.execute_command(*command)


def flattened(replies: Sequence[Any], step: Step, *, clustered: bool) -> Sequence[Any]:
    """Return values and replies, as a request receives them, from the replies of a pipeline."""
    if clustered:
        return replies
    return [*replies[0], *replies[1:]] if step.commands else replies[0]


class Moved(Exception):
    """Signal that the pinned generation may have been retired, so the request starts over."""


class Pinned(NamedTuple):
    """Pinned generation with the results of the first step."""

    snapshot: Snapshot
    values: list[Any]
    """Value of each suffix: bytes, or None if there is no such key."""
    replies: list[Any]
    """Replies to the commands."""


class Pinning:
    """Pins generations, and caches the last one between requests.

    Args:
        keys: keys of the namespace.
        clock: returns seconds since 1970.
        generation: generation to pin; None pins the live one.

    Attributes:
        mark: key that every step reads, and whose value changes when the pinned generation may no
            longer be read: the pointer, or the manifest of a named generation.
    """

    def __init__(
        self, keys: Keys, clock: Callable[[], float], generation: str | None = None
    ) -> None:
        self.keys = keys
        self.clock = clock
        self.snapshot: Snapshot | None = None
        self._named = generation
        self.mark = keys.current if generation is None else keys.manifest(generation)

    def pin(self, suffixes: Sequence[str], commands: tuple[Command, ...] = ()) -> Request[Pinned]:
        """Pin the live or the named generation and read some of its keys, in the first step.

        Raises:
            NothingPublished: no generation is live.
            UnknownGeneration: the named generation is not complete in the store.
            ContractMismatch: it was published under another contract.
            StoreUnfit: the pointer moved at every attempt.
        """
        mark = self.mark
        snapshot = self.snapshot
        for _ in range(MAX_MOVES):
            if snapshot is None:
                (value,) = yield Step((mark,))
                snapshot = self._snapshot(value)
            names: tuple[str | bytes, ...] = (mark, *map(snapshot.key, suffixes))
            if not snapshot.manifest:
                names = (*names, self.keys.manifest(snapshot.generation))
            found = yield Step(names, commands)
            if found[0] == snapshot.mark:
                if not snapshot.manifest:
                    snapshot.learn(found[len(names) - 1])
                    self.snapshot = snapshot
                values = list(found[1 : len(suffixes) + 1])
                return Pinned(snapshot, values, list(found[len(names) :]))
            snapshot = None if found[0] is None else self._snapshot(found[0])
        raise self.pointer_moves_error()

    def _snapshot(self, mark: bytes | None) -> Snapshot:
        """Return a new snapshot for a value of the mark.

        Raises:
            NothingPublished: there is no pointer.
            UnknownGeneration: there is no manifest of the named generation.
        """
        if self._named is None:
            if mark is None:
                raise NothingPublished(self.keys.namespace)
            return Snapshot(self.keys, mark, mark.decode("utf-8", "replace"))
        if mark is None:
            raise UnknownGeneration(
                self._named,
                "is not complete in the store; `batch generations` lists those that are",
                None,
            )
        return Snapshot(self.keys, mark, self._named)

    def more(
        self,
        snapshot: Snapshot,
        suffixes: Iterable[str],
        commands: tuple[Command, ...] = (),
        *,
        missing: bool = False,
    ) -> Request[tuple[list[bytes | None], list[Any]]]:
        """Read more of the pinned generation, in a later step.

        Args:
            snapshot: the generation.
            suffixes: suffixes of the keys to read.
            commands: further commands to send.
            missing: True if an earlier step found a key missing.

        Raises:
            Moved: a key is missing, and the generation may have been retired.
        """
        names: tuple[str | bytes, ...] = (self.mark, *map(snapshot.key, suffixes))
        found = yield Step(names, commands)
        values = list(found[1 : len(names)])
        if found[0] != snapshot.mark and (missing or None in values):
            raise Moved
        return values, list(found[len(names) :])

    def one(self, suffix: str) -> Request[tuple[Snapshot, bytes | None]]:
        """Read one key; a missing key is confirmed by a second step.

        Raises:
            DataLost: the key is missing, and so are others that were published.
        """
        snapshot, found = yield from self.some((suffix,))
        return snapshot, found.get(suffix)

    def some(self, suffixes: Sequence[str]) -> Request[tuple[Snapshot, dict[str, bytes]]]:
        """Read the keys that exist; if none does, confirm that none was published.

        Raises:
            DataLost: all of them are missing, and so are others that were published.
        """
        for _ in range(MAX_MOVES):
            snapshot, values, _ = yield from self.pin(suffixes)
            found = {s: v for s, v in zip(suffixes, values, strict=True) if v is not None}
            if not found:
                try:
                    yield from self.confirm_unpublished(snapshot)
                except Moved:
                    continue
            return snapshot, found
        raise self.pointer_moves_error()

    def confirm_unpublished(self, snapshot: Snapshot) -> Request[None]:
        """Confirm, in a step, that missing keys were never published.

        Raises:
            Moved: they may be missing because the generation was retired.
            DataLost: the store lost them.
        """
        (value,), _ = yield from self.more(snapshot, (MOST_RATED_SUFFIX,), missing=True)
        snapshot.require("popular", value, MOST_RATED_SUFFIX)

    def labels(
        self,
        snapshot: Snapshot,
        ids: Iterable[str],
        commands: tuple[Command, ...] = (),
        *,
        missing: bool = False,
    ) -> Request[tuple[Mapping[str, Label], list[Any]]]:
        """Read the labels that are not cached yet; takes no step if there is nothing to read.

        Args:
            snapshot: the generation.
            ids: movie ids.
            commands: commands to send in the same step.
            missing: True if an earlier step found a key missing; this step confirms it.

        Returns:
            At least these labels, and the replies to the commands.

        Raises:
            Moved: a key is missing, and the generation may have been retired.
        """
        labels = snapshot.labels  # another request may replace the dict, but removes no label
        if len(labels) > MAX_LABELS:
            labels = snapshot.labels = {}
        wanted = [movie_id for movie_id in ids if movie_id not in labels]
        if not (wanted or commands or missing):
            return labels, []
        suffixes = map(movie_suffix, wanted)
        values, replies = yield from self.more(snapshot, suffixes, commands, missing=missing)
        for movie_id, value in zip(wanted, values, strict=True):
            # A movie without a label is shown by its id.
            labels[movie_id] = (movie_id, None, (), 0) if value is None else decode_movie(value)[:4]
        return labels, replies

    def age(self, snapshot: Snapshot) -> float:
        """Return how long ago a generation was computed, in seconds."""
        return max(0.0, self.clock() - snapshot.created)

    def pointer_moves_error(self) -> StoreUnfit:
        """Return the error of a request that started over too often."""
        return StoreUnfit(
            "the pointer moved at every attempt to read",
            f"Look for other programs that write {self.mark}.",
        )

"""One request, one generation: how a request pins it, and reads on under it.

Requests are generators: they yield a ``Step``, all that is read in one round trip, and receive the
values of its keys and then the replies to its commands, in order. ``Reader`` and ``AsyncReader``
drive them, so their logic exists once.

Every step asks for the pointer too. In the first step a moved pointer means reading again, under
the new generation. In a later step it does not: the pinned generation's values stay what they are,
unless one is missing, which may then be because the generation was retired meanwhile; so the
request starts over.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from reco_store.contract.codec import decode_movie
from reco_store.contract.keys import EVERYBODY, Keys, movie_suffix
from reco_store.errors import NothingPublished, StoreUnfit
from reco_store.read.snapshot import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reco_store.read.snapshot import Label

__all__ = ["Moved", "Pinned", "Pinning", "Request", "Step", "flattened", "queue"]

_T = TypeVar("_T")
Command: TypeAlias = "tuple[str, ...]"

MAX_LABELS: Final = 50_000
MAX_MOVES: Final = 50


class Step(NamedTuple):
    """One round trip."""

    keys: tuple[str | bytes, ...]  # whose values are read
    commands: tuple[Command, ...] = ()  # others, which only read


#: Yields steps, receives what they read, returns the answer.
Request: TypeAlias = Generator[Step, "Sequence[Any]", _T]


def queue(pipeline: Any, step: Step, *, clustered: bool) -> None:  # noqa: ANN401  four kinds
    """Put a step into a pipeline of the client library.

    One MGET for all keys: as quick as a single GET, and they are of one moment. A cluster has them
    on several servers.
    """
    if clustered:
        for key in step.keys:
            pipeline.execute_command("GET", key)
    else:
        pipeline.execute_command("MGET", *step.keys)
    for command in step.commands:
        pipeline.execute_command(*command)


def flattened(replies: Sequence[Any], step: Step, *, clustered: bool) -> Sequence[Any]:
    """Return what a request receives: values and replies, from what the pipeline answered."""
    if clustered:
        return replies
    return [*replies[0], *replies[1:]] if step.commands else replies[0]


class Moved(Exception):
    """The pinned generation may be gone: start over."""


class Pinned(NamedTuple):
    """What the first step of a request has read."""

    view: View
    values: list[Any]  # of the suffixes: bytes, or None where there is no such key
    replies: list[Any]  # to the commands


class Pinning:
    """Pins generations, and remembers the last one between requests.

    Args:
        keys: the namespace's keys.
        clock: seconds since 1970.
    """

    def __init__(self, keys: Keys, clock: Callable[[], float]) -> None:
        self.keys = keys
        self.clock = clock
        self.view: View | None = None

    def pin(self, suffixes: Sequence[str], commands: tuple[Command, ...] = ()) -> Request[Pinned]:
        """First step: pin the live generation and read some of its keys.

        Raises:
            NothingPublished: no generation is live.
            ContractMismatch: this version cannot go by it.
            StoreUnfit: the pointer never stands still.
        """
        current = self.keys.current
        view = self.view
        for _ in range(MAX_MOVES):
            if view is None:
                (pointer,) = yield Step((current,))
                if pointer is None:
                    raise NothingPublished(self.keys.namespace)
                view = View(self.keys, pointer)
            names: tuple[str | bytes, ...] = (current, *map(view.key, suffixes))
            if not view.manifest:
                names = (*names, self.keys.manifest(view.generation))
            found = yield Step(names, commands)
            if found[0] == view.pointer:
                if not view.manifest:
                    view.learn(found[len(names) - 1])
                    self.view = view
                values = list(found[1 : len(suffixes) + 1])
                return Pinned(view, values, list(found[len(names) :]))
            view = None if found[0] is None else View(self.keys, found[0])
        raise self.never_still()

    def more(
        self,
        view: View,
        suffixes: Iterable[str],
        commands: tuple[Command, ...] = (),
        *,
        missing: bool = False,
    ) -> Request[tuple[list[bytes | None], list[Any]]]:
        """Take a later step: read on under the pinned generation.

        Args:
            view: the generation.
            suffixes: of the keys to read.
            commands: to send besides.
            missing: an earlier step has missed a key.

        Raises:
            Moved: what is missing may be so because the generation was retired.
        """
        names: tuple[str | bytes, ...] = (self.keys.current, *map(view.key, suffixes))
        found = yield Step(names, commands)
        values = list(found[1 : len(names)])
        if found[0] != view.pointer and (missing or None in values):
            raise Moved
        return values, list(found[len(names) :])

    def one(self, suffix: str) -> Request[tuple[View, bytes | None]]:
        """Read one key; that it is missing is made sure of, as a cluster reads key by key.

        Raises:
            DataLost: the key is missing, and so are others that were published.
        """
        view, found = yield from self.some((suffix,))
        return view, found.get(suffix)

    def some(self, suffixes: Sequence[str]) -> Request[tuple[View, dict[str, bytes]]]:
        """Read the keys that exist; if there is none, make sure that none was published.

        Raises:
            DataLost: none is there, nor are others that were published.
        """
        for _ in range(MAX_MOVES):
            view, values, _ = yield from self.pin(suffixes)
            found = {s: v for s, v in zip(suffixes, values, strict=True) if v is not None}
            if not found:
                try:
                    yield from self.make_sure(view)
                except Moved:
                    continue
            return view, found
        raise self.never_still()

    def make_sure(self, view: View) -> Request[None]:
        """Take a step to make sure that missing keys were never published.

        Raises:
            Moved: they may be missing because the generation was retired.
            DataLost: the store lost them.
        """
        (value,), _ = yield from self.more(view, (EVERYBODY,), missing=True)
        view.require("popular", value, EVERYBODY)

    def labels(
        self,
        view: View,
        ids: Iterable[str],
        commands: tuple[Command, ...] = (),
        *,
        missing: bool = False,
    ) -> Request[tuple[Mapping[str, Label], list[Any]]]:
        """Read the labels that are not remembered yet; no step if there is nothing to read.

        Args:
            view: the generation.
            ids: of movies.
            commands: to send in the same step.
            missing: an earlier step has missed a key, which this one makes sure of.

        Returns:
            At least these labels, and the replies to the commands.

        Raises:
            Moved: what is missing may be so because the generation was retired.
        """
        labels = view.labels  # another request may replace it meanwhile, but removes nothing
        if len(labels) > MAX_LABELS:
            labels = view.labels = {}
        wanted = [movie_id for movie_id in ids if movie_id not in labels]
        if not (wanted or commands or missing):
            return labels, []
        suffixes = map(movie_suffix, wanted)
        values, replies = yield from self.more(view, suffixes, commands, missing=missing)
        for movie_id, value in zip(wanted, values, strict=True):
            # A movie without a label is shown by its id.
            labels[movie_id] = (movie_id, None, (), 0) if value is None else decode_movie(value)[:4]
        return labels, replies

    def age(self, view: View) -> float:
        """Return how long ago a generation was computed, in seconds."""
        return max(0.0, self.clock() - view.created)

    def never_still(self) -> StoreUnfit:
        """Return the error of a request that has started over again and again."""
        return StoreUnfit(
            "the pointer moved at every attempt to read",
            f"Look for other programs that write {self.keys.current}.",
        )

"""Readers of what the pages show: each a namespace, live or in a named generation."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from reco_cli.options import Where
from reco_store import (
    Reader,
    RecoError,
    StoredGeneration,
    StoreError,
    StoreUnreachable,
    UsageError,
)
from reco_store.connection.home import default_home
from reco_store.contract.keys import is_generation_id

_MOST_OPEN: Final = 16
_T = TypeVar("_T")


class Source(NamedTuple):
    """Lists that a page shows: those of a namespace, live or in a named generation."""

    namespace: str
    generation: str | None = None

    @property
    def text(self) -> str:
        """Text of the source in an address, such as `reco/20261124T031502Z-7f3a` or `reco/`."""
        return f"{self.namespace}/{self.generation or ''}"


class Choice(NamedTuple):
    """Source that a person can choose, in words."""

    source: Source
    label: str


class Shelf:
    """Open readers of one store, shared by all requests.

    Args:
        where: the store, with the namespace to start from.
    """

    def __init__(self, where: Where) -> None:
        self.where = where
        self.own = Source(where.namespace)
        self._readers: OrderedDict[Source, Reader] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, source: Source, query: Callable[[Reader], _T]) -> _T:
        """Return the result of a query.

        A store that does not answer is opened again by the next query: an embedded one may have to
        be started again. Its readers are not closed: another request may be using them.

        Raises:
            RecoError: of the query, or of the connection.
        """
        try:
            return query(self._reader(source))
        except StoreUnreachable:
            with self._lock:
                self._readers.clear()
            raise

    def generations(self) -> tuple[StoredGeneration, ...]:
        """Return the generations that are complete in the store; none if the account may not."""
        try:
            return self.read(self.own, lambda reader: reader.generations())
        except StoreUnreachable:
            raise
        except StoreError:
            return ()

    def choices(self) -> list[Choice]:
        """Return everything that can be chosen: live, other generations, arms of the experiment."""
        found = [
            Choice(Source(self.own.namespace, one.generation), f"{one.state}, {one.generation}")
            for one in self.generations()
            if one.state != "live"
        ]
        experiment = self.read(self.own, lambda reader: reader.experiment())
        arms = {} if experiment is None else experiment.parts
        arms.setdefault(self.own.namespace, 0.0)
        live = [
            Choice(Source(arm), f"{arm}, live" + (f", {share:.1%} of users" if experiment else ""))
            for arm, share in arms.items()
        ]
        live.sort(key=lambda choice: choice.source != self.own)
        return [live[0], *found, *live[1:]]

    def source_of(self, text: str, choices: list[Choice]) -> Source:
        """Return the source that an address names.

        Raises:
            UsageError: it is none of the choices, and no generation of this namespace.
        """
        namespace, _, generation = text.partition("/")
        source = Source(namespace, generation or None)
        known = [choice.source for choice in choices]
        if source not in known and (
            namespace != self.own.namespace or not is_generation_id(generation)
        ):
            raise UsageError(f"{text!r} is not readable here; expected one of the list")
        return source

    def report_of(self, generation: str) -> Path | None:
        """Return the path of a run's report; None if it is not on this machine."""
        if not is_generation_id(generation):
            return None
        with suppress(RecoError, OSError):
            home = self.where.home
            folder = default_home() if home is None else Path(home).expanduser()
            path = folder / "artifacts" / generation / "report.html"
            return path if path.is_file() else None
        return None

    def _reader(self, source: Source) -> Reader:
        with self._lock:
            reader = self._readers.pop(source, None)
            if reader is None:
                where = self.where._replace(
                    namespace=source.namespace, generation=source.generation
                )
                reader = where.open()
            self._readers[source] = reader
            while len(self._readers) > _MOST_OPEN:
                self._readers.popitem(last=False)
            return reader
